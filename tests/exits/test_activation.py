"""New or stricter rules sell nothing at once unless that was said (SPEC 12.3, 12.8a)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.exits.rule_set import NO_RULES, read_rules
from snexec.settings import ExitSettings
from tests.exits.hands import Desk
from tests.fakes import make_settings, warnings_of

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

STOP = {"hard_stop_loss_pct": 5}  # of 189.58: at or below 180.10


def fall(desk: Desk, price: float = 170) -> None:
    desk.say(price)
    desk.say(price)


async def test_a_plain_restart_waits_for_nothing(nursery: trio.Nursery) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery)
    fall(desk)
    assert desk.reasons == [("AAPL", "stop_loss")]
    assert desk.shelf.rules == []
    nursery.cancel_scope.cancel()


async def test_the_first_start_on_open_rows_says_what_it_will_sell_and_waits(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.start(nursery, again=False)
    await trio.sleep(1.5)
    fall(desk)
    desk.say(189, "MSFT")
    desk.say(189, "MSFT")
    while trio.current_time() < 59:
        fall(desk)
        await trio.sleep(1)
    assert desk.reasons == []
    assert warnings_of(caplog) == [
        "the new rules sell 1 row at once, about $90.68: AAPL stop_loss; that happens"
        " in 60 s unless `snexec halt --all` or a SIGHUP with other rules comes first"
    ]
    assert desk.shelf.rules == []
    await trio.sleep(3.1)
    fall(desk)
    assert desk.reasons == [("AAPL", "stop_loss")]
    [kept] = desk.shelf.rules
    rules = read_rules(kept)
    assert rules is not None
    assert rules.values["hard_stop_loss_pct"] == 5
    nursery.cancel_scope.cancel()


async def test_what_a_new_rule_does_not_sell_at_once_it_protects_at_once(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery, again=False)
    desk.say(189)
    desk.say(189)
    desk.say(170)
    assert desk.reasons == []
    desk.say(170)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_no_settings_are_copied_for_a_price_while_rules_wait(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.start(nursery, again=False)
    await trio.sleep(1.5)
    copies, copy = list[ExitSettings](), ExitSettings.model_copy

    def counted(self: ExitSettings, **keys: Any) -> ExitSettings:  # noqa: ANN401 - as copied
        copies.append(self)
        return copy(self, **keys)

    monkeypatch.setattr(ExitSettings, "model_copy", counted)
    for _ in range(20):
        fall(desk)
        await trio.sleep(1)
    assert (desk.reasons, copies) == ([], [])
    nursery.cancel_scope.cancel()


async def test_other_keys_are_heard_of_while_rules_wait(nursery: trio.Nursery) -> None:
    desk = Desk(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.start(nursery, again=False)
    await trio.sleep(1.5)
    fall(desk)
    desk.say(189, "MSFT")
    desk.say(189, "MSFT")
    desk.set(**STOP, confirm_ticks=3)
    await trio.sleep(1)
    desk.say(170, "MSFT")
    desk.say(170, "MSFT")
    assert desk.reasons == []
    desk.say(170, "MSFT")
    assert desk.reasons == [("MSFT", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_what_is_bought_meanwhile_is_under_the_new_rules(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery, again=False)
    await trio.sleep(1.5)
    desk.book.load([desk.row("MSFT")])
    desk.say(170, "MSFT")
    desk.say(170, "MSFT")
    assert desk.reasons == [("MSFT", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_without_open_rows_new_rules_hold_at_once(nursery: trio.Nursery) -> None:
    desk = Desk(**STOP)
    desk.start(nursery, again=False)
    await trio.sleep(0.1)
    assert len(desk.shelf.rules) == 1
    desk.book.load([desk.row()])
    fall(desk)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_stricter_rule_of_sighup_waits_and_a_laxer_one_does_not(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(hard_stop_loss_pct=5)
    desk.hold("AAPL", "MSFT")
    desk.start(nursery)
    for symbol in ("AAPL", "MSFT"):
        desk.say(185, symbol)
        desk.say(185, symbol)
    desk.set(hard_stop_loss_pct=2)  # 185.79
    for _ in range(50):
        await trio.sleep(1)
        desk.say(185)
        desk.say(185, "MSFT")
    assert desk.reasons == []
    desk.say(170, "MSFT")  # what the old rules sell as well
    desk.say(170, "MSFT")
    assert desk.reasons == [("MSFT", "stop_loss")]
    desk.set(hard_stop_loss_pct=15)  # 161.15, and nothing waits any more
    await trio.sleep(30)
    fall(desk, 162)
    assert desk.reasons == [("MSFT", "stop_loss")]
    fall(desk, 161)
    assert desk.reasons == [("MSFT", "stop_loss"), ("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_no_price_between_sighup_and_the_next_look_sells_by_the_new_rule(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(hard_stop_loss_pct=5)
    desk.hold()
    desk.start(nursery)
    fall(desk, 185)
    desk.live.now = make_settings(exits={"hard_stop_loss_pct": 2})
    fall(desk, 185)
    await trio.sleep(5)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_another_setting_does_not_begin_the_delay_anew(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery, again=False)
    for second in range(59):
        fall(desk)
        if second == 30:
            desk.set(**STOP, poll_sec=7)
        await trio.sleep(1)
    assert desk.reasons == []
    await trio.sleep(2)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_halt_all_keeps_back_what_waits_and_it_is_said_anew(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1))
    desk.start(nursery, again=False)
    await trio.sleep(50)
    desk.switch.all_halted = True
    await trio.sleep(600)
    assert desk.reasons == []
    caplog.clear()
    desk.switch.all_halted = False
    await trio.sleep(50)
    assert desk.reasons == []
    (said,) = warnings_of(caplog)
    assert said.startswith("the new rules sell 1 row at once")
    await trio.sleep(12)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_a_delay_is_the_settings_own(nursery: trio.Nursery) -> None:
    desk = Desk(max_hold_duration_sec=60, activation_delay_sec=5)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1))
    desk.start(nursery, again=False)
    await trio.sleep(4)
    assert desk.reasons == []
    await trio.sleep(3)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_many_rows_are_summed_up(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    symbols = [f"S{letter}" for letter in "ABCDEFG"]
    desk.hold(*symbols, entry_at=desk.clock.now() - timedelta(days=1))
    desk.start(nursery, again=False)
    await trio.sleep(1.1)
    [warning] = warnings_of(caplog)
    assert warning.startswith(
        "the new rules sell 7 rows at once, about $707.84: SA max_hold, SB max_hold, SC"
        " max_hold, SD max_hold, SE max_hold and 2 more; that happens in 60 s"
    )
    nursery.cancel_scope.cancel()


async def test_what_turns_out_later_to_be_sold_is_said_too(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery, again=False)
    await trio.sleep(20)  # no price so far
    assert warnings_of(caplog) == []
    fall(desk)
    await trio.sleep(1.1)
    assert len(warnings_of(caplog)) == 1
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_what_recovers_meanwhile_is_not_sold(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(**STOP)
    held = desk.hold()
    desk.start(nursery, again=False)
    await trio.sleep(1.5)
    fall(desk)
    await trio.sleep(1)
    assert warnings_of(caplog)
    for _ in range(70):
        desk.say(189)
        await trio.sleep(1)
    assert held.is_armed
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_the_delay_of_rules_that_are_new_at_night_begins_at_the_open(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.market.close(opens_in=3600)
    desk.start(nursery, again=False)
    await trio.sleep(3600)
    assert warnings_of(caplog) == []
    desk.market.open()
    for _ in range(58):
        fall(desk)
        desk.say(170, "MSFT")
        await trio.sleep(1)
    assert desk.reasons == []
    [warning] = warnings_of(caplog)
    assert warning.startswith("the new rules sell 2 rows at once, about $181.35: ")
    for _ in range(4):
        await trio.sleep(1)
        fall(desk)
        desk.say(170, "MSFT")
    assert desk.reasons == [("AAPL", "stop_loss"), ("MSFT", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_time_rule_that_is_new_at_night_plans_nothing_before_its_delay(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1))
    desk.market.close(opens_in=3600)
    desk.start(nursery, again=False)
    await trio.sleep(3600)
    assert (desk.reasons, warnings_of(caplog)) == ([], [])
    desk.market.open()
    await trio.sleep(59)
    assert desk.reasons == []
    assert len(warnings_of(caplog)) == 1
    await trio.sleep(3)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_a_coin_waits_for_no_open(nursery: trio.Nursery) -> None:
    desk = Desk(max_hold_duration_sec=60)
    yesterday = desk.clock.now() - timedelta(days=1)
    desk.hold("AAPL", "BTC/USD", entry_at=yesterday)
    desk.market.close(opens_in=3600)
    desk.start(nursery, again=False)
    await trio.sleep(62)
    assert desk.reasons == [("BTC/USD", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_a_price_that_comes_late_is_said_before_its_delay(
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    logged_errors: LoggedErrors,
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery, again=False)
    await trio.sleep(200)
    assert len(logged_errors.take()) == 1, "no price counts"
    for _ in range(58):
        fall(desk)
        await trio.sleep(1)
    assert desk.reasons == []
    assert len(warnings_of(caplog)) == 1
    for _ in range(4):
        fall(desk)
        await trio.sleep(1)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_new_flatten_rule_has_missed_no_earlier_close(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(flatten_before_close_sec=300)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=2))
    desk.market.open(closes_in=3600)
    desk.start(nursery, again=False)
    await trio.sleep(200)
    assert desk.reasons == []
    await trio.sleep(3200)
    assert desk.reasons == [("AAPL", "market_close")]
    assert logged_errors.take() == []
    nursery.cancel_scope.cancel()


async def test_enabling_exits_is_a_new_rule(nursery: trio.Nursery) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(1)
    desk.set(**STOP, enabled=False)
    await trio.sleep(1)
    desk.set(**STOP)
    fall(desk)
    assert desk.reasons == []
    assert len(desk.shelf.rules) == 1
    rules = read_rules(desk.shelf.rules[0])
    assert rules is not None
    assert rules.values["hard_stop_loss_pct"] is None
    nursery.cancel_scope.cancel()


async def test_rules_that_were_taken_away_are_new_when_they_come_back(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP, activation_delay_sec=10)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(1)
    desk.set()
    await trio.sleep(1)
    (kept,) = desk.shelf.rules
    assert read_rules(kept) == NO_RULES, "a start that finds the same rules waits too"
    desk.set(**STOP, activation_delay_sec=10)
    fall(desk)
    assert desk.reasons == []
    await trio.sleep(11)
    fall(desk)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_rules_that_are_taken_away_while_they_wait_sell_nothing_later(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1))
    desk.start(nursery, again=False)
    await trio.sleep(10)
    desk.set()
    await trio.sleep(100)
    desk.set(max_hold_duration_sec=60)
    await trio.sleep(59)
    assert desk.reasons == []
    await trio.sleep(2.1)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_a_row_that_costs_nothing_is_worth_nothing(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1), remaining=Decimal(0))
    desk.start(nursery, again=False)
    await trio.sleep(1.1)
    assert "about $0.00" in warnings_of(caplog)[0]
    nursery.cancel_scope.cancel()
