"""When the broker is asked for orders that no row knows."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import NotFoundError, NotSentError, RefusedError, UnknownOutcomeError
from snexec.ledger import FoundOrder, OrderRef
from tests.fakes import MOMENT, listed_order, make_order, make_trade, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.model import Mode
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

OURS = "sn-" + "a" * 32
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def swept_at(rig: Rig, mode: Mode = "paper") -> list[float]:
    """Return when an account was asked for a list."""
    return [each.at for each in rig.accounts.clients[mode].asked("list")]


def since(rig: Rig, mode: Mode = "paper") -> list[timedelta]:
    """Return how far back each list went, but for the margin, from the start on."""
    paths = [each.path or "" for each in rig.accounts.clients[mode].asked("list")]
    times = [dict(parse_qsl(urlsplit(path).query))["after"] for path in paths]
    ages = [MOMENT - datetime.fromisoformat(each) for each in times]
    return [timedelta(seconds=round(age.total_seconds() - 600, 3)) for age in ages]


def note_starved(rig: Rig) -> Callable[[Mode, float], None]:
    return lambda mode, at: rig.starved.append((mode, at))


def start(rig: Rig, nursery: trio.Nursery) -> None:
    """Load what is there, and run, as a start does."""
    rig.reconciler.load(rig.ledger.load(simulated=False, tally=False))
    nursery.start_soon(rig.reconciler.run, note_starved(rig))


async def started(rig: Rig) -> float:
    """Return when every row was compared."""
    await rig.reconciler.compare()
    return trio.current_time()


def dated(rig: Rig, trade_id: str, at: datetime, *, settled: bool = True) -> None:
    """Date a row of an earlier run."""
    when = at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    rig.store._db.execute(
        "UPDATE BotTrade SET createdAt = ?, entryAt = ?, settledAt = ? WHERE id = ?",
        [when, when, when if settled else None, trade_id],
    )


# When


async def test_each_account_is_swept_at_the_start_and_once_an_hour(
    rig: Rig, nursery: trio.Nursery
) -> None:
    start(rig, nursery)
    await trio.sleep(2.5 * 3600)
    assert swept_at(rig) == swept_at(rig, "live") == [0, 3600, 7200]
    nursery.cancel_scope.cancel()


async def test_whoever_asks_has_it_done_at_once_and_once(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.paper.seconds = 2.0
    start(rig, nursery)
    await trio.sleep(1)
    for _ in range(5):
        rig.reconciler.sweep.ask("paper")
    await trio.sleep(9)
    assert swept_at(rig) == [0, 2]
    rig.reconciler.sweep.ask("paper")
    await trio.sleep(1)
    assert swept_at(rig) == [0, 2, 10]
    assert swept_at(rig, "live") == [0]
    nursery.cancel_scope.cancel()


async def test_a_mode_without_keys_is_swept_once_it_has_some(
    rig: Rig, nursery: trio.Nursery
) -> None:
    endpoint = rig.accounts.endpoint("live")
    rig.accounts.lose_keys("live")
    start(rig, nursery)
    await trio.sleep(60)
    assert swept_at(rig, "live") == []
    rig.accounts._held["live"].endpoint = endpoint
    rig.reconciler.sweep.ask("live")
    await trio.sleep(1)
    assert swept_at(rig, "live") == [60]
    nursery.cancel_scope.cancel()


async def test_the_account_of_a_simulation_is_fresh_and_not_asked(
    rig: Rig, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(rig.accounts), "simulated", True)
    rig.open_row(make_trade())
    rig.reconciler.sweep.load(rig.store.unsettled())
    with trio.fail_after(1):
        await rig.reconciler.sweep.run()
    assert not rig.unsettled.awaits_sweep("paper")
    del nursery


async def test_it_takes_no_request_that_an_order_may_use(
    make_rig: Callable[..., Rig], nursery: trio.Nursery
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 10})
    for _ in range(6):
        assert rig.paper.budget.try_take(Purpose.ORDER)
    start(rig, nursery)
    for _ in range(3):
        await trio.sleep(1)
        rig.reconciler.sweep.ask("paper")
    assert len(swept_at(rig)) == 1, "a fifth of ten, but for a lost order's request"
    for _ in range(2):
        assert rig.paper.budget.try_take(Purpose.ORDER)
    assert rig.paper.budget.try_take(Purpose.RECOVERY)
    nursery.cancel_scope.cancel()


# How far back


async def test_it_looks_a_day_back(rig: Rig, nursery: trio.Nursery) -> None:
    rig.open_row(make_trade())
    dated(rig, "sn-1", MOMENT - HOUR)
    start(rig, nursery)
    await trio.sleep(3601)
    assert since(rig) == [DAY, DAY - HOUR]
    nursery.cancel_scope.cancel()


async def test_it_looks_back_to_the_oldest_order_of_its_mode_that_is_not_settled(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.open_row(make_trade("sn-1", "KO"), order_id="o-1")
    dated(rig, "sn-1", MOMENT - 30 * DAY, settled=False)
    rig.open_row(make_trade("sn-2", "MO"), order_id="o-2")
    dated(rig, "sn-2", MOMENT - HOUR)
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    start(rig, nursery)
    await trio.sleep(3601)
    assert since(rig) == [30 * DAY] * 2
    assert since(rig, "live")[0] == DAY
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("newest", "first"),
    [
        (timedelta(days=3), timedelta(days=3)),
        (timedelta(days=300), timedelta(days=7)),
        (None, timedelta(days=7)),
        (-timedelta(days=3000), DAY),
    ],
    ids=str,
)
async def test_a_start_looks_back_to_where_the_rows_end_a_week_at_most(
    rig: Rig, nursery: trio.Nursery, newest: timedelta | None, first: timedelta
) -> None:
    if newest is not None:
        rig.open_row(make_trade())
        dated(rig, "sn-1", MOMENT - newest)
    start(rig, nursery)
    await trio.sleep(3601)
    assert since(rig) == [first, DAY - HOUR]
    nursery.cancel_scope.cancel()


def noted(rig: Rig, mode: Mode = "paper") -> float | None:
    """Return when the file says that an account was swept, from the start on."""
    at = rig.store.found.swept_at(mode)
    return None if at is None else round(at - MOMENT.timestamp())


async def test_what_the_last_sweep_left_undone_the_next_start_does(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.store.found.note_swept("paper", MOMENT - 3 * DAY)  # in the file put back
    rig.open_row(make_trade())  # by a start that was killed before it had swept
    dated(rig, "sn-1", MOMENT - HOUR)
    rig.paper.listing += [NotSentError("no route")] * 3
    start(rig, nursery)
    await trio.sleep(5)
    assert since(rig) == [3 * DAY] * 3
    assert noted(rig) == -3 * DAY.total_seconds()
    await trio.sleep(5)
    assert (noted(rig), noted(rig, "live")) == (7, 0)
    nursery.cancel_scope.cancel()


async def test_an_older_order_whose_position_is_not_known_yet_keeps_a_sweep_undone(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    for name, at in ((OURS, MOMENT - HOUR), ("sn-" + "b" * 32, MOMENT - 2 * HOUR)):
        rig.paper.listed.append(listed_order(name, "KO", at=at))
        rig.paper.book[name] = make_order(
            name, "filled", order_id=f"o-{name}", quantity="2", price="50"
        )
    rig.paper.asking += [NotSentError("no route")] * 3
    start(rig, nursery)
    await trio.sleep(5)
    assert len(rig.rows()) == 1, "whether the older one was sold is not known"
    assert noted(rig) is None
    rig.paper.holds["KO"] = Decimal(2)
    await trio.sleep(120)
    assert len(rig.rows()) == 2
    assert noted(rig) == 0
    assert logged_errors.take()
    nursery.cancel_scope.cancel()


# Rows that name another order


@pytest.mark.parametrize("settled", [True, False])
async def test_a_row_that_an_event_gave_another_orders_id_is_put_right_after_a_kill(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, *, settled: bool
) -> None:
    rig.open_row(make_trade(OURS), order_id="o-another")
    rig.store._db.execute("UPDATE BotTrade SET shares = 0.5, entryPrice = 50")
    dated(rig, OURS, MOMENT - HOUR, settled=settled)
    rig.paper.book[OURS] = make_order(
        OURS, "filled", order_id=f"o-{OURS}", quantity="2", price="50"
    )
    if settled:
        rig.paper.listed = [listed_order(OURS)]
    else:  # a look-up by that id is a 404, and one by our own is not
        rig.paper.looking.append(
            NotFoundError(status_code=404, body="", reason="order not found")
        )
    start(rig, nursery)
    await started(rig)
    await trio.sleep(5)
    row = rig.rows()[OURS]
    assert (row["alpacaOrderId"], row["shares"]) == (f"o-{OURS}", 2.0)
    assert row["settledAt"] is not None
    told = [line for line in warnings_of(caplog) if "o-another" in line]
    assert len(told) == settled
    nursery.cancel_scope.cancel()


# A start


async def test_a_start_with_nothing_unsettled_waits_for_no_list(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.paper.listing += [NotSentError("no route")] * 3
    start(rig, nursery)
    assert await started(rig) == 0
    nursery.cancel_scope.cancel()


async def test_a_start_that_waits_for_its_rows_waits_for_the_current_modes_list(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    rig.paper.listed = [listed_order(OURS, "KO")]
    rig.paper.book[OURS] = make_order(
        OURS, "filled", order_id=f"o-{OURS}", quantity="2", price="50"
    )
    rig.paper.holds["KO"] = Decimal(2)
    rig.paper.listing += [NotSentError("no route")] * 2
    rig.live.listing += [NotSentError("no route")] * 20
    start(rig, nursery)
    assert await started(rig) == 3
    row = rig.rows()[OURS]
    assert (row["status"], row["shares"]) == ("open", 2.0), "what it found is compared"
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_a_start_does_not_wait_for_keys_that_may_not_list(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    rig.paper.listing.append(RefusedError(status_code=403, body="", reason="forbidden"))
    start(rig, nursery)
    assert await started(rig) == 0
    assert warnings_of(caplog) == [
        "the orders of paper cannot be listed (HTTP 403: forbidden): whether it has one"
        " that no row knows is not known"
    ]
    await trio.sleep(3601)
    assert swept_at(rig) == [0, 3600]
    nursery.cancel_scope.cancel()


async def test_a_start_does_not_wait_for_ever_for_a_list_that_never_comes(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    rig.paper.listing += [NotSentError("no route")] * 50
    start(rig, nursery)
    assert await started(rig) == 7
    await trio.sleep(100)
    assert len(swept_at(rig)) > 5, "it is asked for all the same"
    nursery.cancel_scope.cancel()


# A start after no stop in good order, or from a copy of the file


def be_a_copy(rig: Rig) -> None:
    """Have the file be one that may lack rows."""
    rig.store.stop_note.forget()


def bought_without_row(rig: Rig) -> None:
    """Have the broker know an order that bought and has no row."""
    rig.paper.listed = [listed_order(OURS, "KO")]
    rig.paper.book[OURS] = make_order(
        OURS, "filled", order_id=f"o-{OURS}", quantity="2", price="50"
    )
    rig.paper.holds["KO"] = Decimal(2)


async def test_a_start_from_a_copy_waits_for_the_list_and_what_it_found(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    be_a_copy(rig)
    bought_without_row(rig)
    rig.paper.seconds = rig.live.seconds = 0.5
    start(rig, nursery)
    assert await started(rig) == 1.0
    row = rig.rows()[OURS]
    assert (row["status"], row["shares"]) == ("open", 2.0)
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_a_start_from_a_copy_waits_two_seconds_at_most(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    be_a_copy(rig)
    rig.paper.seconds = 30
    start(rig, nursery)
    assert await started(rig) == 2
    assert warnings_of(caplog) == [
        "what paper has without a row is not known yet: signals are taken all the same,"
        " and such a symbol may be bought again"
    ]
    nursery.cancel_scope.cancel()


async def test_what_a_start_from_a_copy_found_is_waited_for_no_longer_either(
    rig: Rig,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    be_a_copy(rig)
    bought_without_row(rig)
    rig.paper.looking += [NotSentError("no route")] * 20
    start(rig, nursery)
    assert await started(rig) == 2
    assert rig.rows()[OURS]["status"] == "open", "it blocks its symbol"
    assert warnings_of(caplog)[-1].startswith("1 row of paper is not compared")
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_a_start_from_a_copy_does_not_wait_for_a_broker_that_is_away(
    rig: Rig, nursery: trio.Nursery
) -> None:
    be_a_copy(rig)
    rig.paper.listing += [NotSentError("no route")] * 3
    start(rig, nursery)
    assert await started(rig) == 0
    nursery.cancel_scope.cancel()


async def test_a_start_from_a_copy_without_keys_waits_for_nothing(
    rig: Rig, nursery: trio.Nursery
) -> None:
    be_a_copy(rig)
    rig.accounts.lose_keys("paper")
    rig.live.seconds = 30
    start(rig, nursery)
    assert await started(rig) == 0
    nursery.cancel_scope.cancel()


async def test_a_start_from_a_copy_waits_for_the_mode_that_it_is_changed_to(
    rig: Rig, nursery: trio.Nursery
) -> None:
    be_a_copy(rig)
    rig.open_row(make_trade("sn-1", "MO", mode="live"), order_id="o-1")
    rig.live.book["sn-1"] = make_order("sn-1", order_id="o-1")
    rig.live.seconds, rig.paper.seconds = 9, 30
    start(rig, nursery)
    async with trio.open_nursery() as waiting:
        waiting.start_soon(rig.reconciler.compare)
        await trio.sleep(1)
        rig.set_mode("live")
        rig.feed.publish("mode", {"mode": "live"}, reason="was the other")
    assert trio.current_time() == 9
    nursery.cancel_scope.cancel()


async def test_a_file_has_every_row_once_it_was_swept_and_all_found_is_concluded(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    be_a_copy(rig)
    bought_without_row(rig)
    rig.live.listing += [NotSentError("no route")] * 3
    rig.paper.asking += [NotSentError("no route")] * 2
    start(rig, nursery)
    await trio.sleep(3)
    assert rig.ledger.complete == set()
    await trio.sleep(60)
    assert rig.ledger.complete == {"paper", "live"}
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_an_order_whose_row_cannot_be_written_leaves_the_file_incomplete(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    be_a_copy(rig)
    bought_without_row(rig)
    rig.store._db.execute(
        "CREATE TRIGGER t BEFORE INSERT ON BotTrade"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    start(rig, nursery)
    await trio.sleep(60)
    assert rig.ledger.complete == {"live"}
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


# Faults


async def test_a_broker_that_is_away_is_asked_less_and_less_and_told_once(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.listing += [NotSentError("no route")] * 8
    start(rig, nursery)
    await trio.sleep(400)
    assert swept_at(rig) == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    told = [line for line in warnings_of(caplog) if "cannot be listed" in line]
    assert len(told) == 1
    nursery.cancel_scope.cancel()


async def test_the_first_look_that_fails_is_made_up_for_in_full(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.paper.listing.append(NotSentError("no route"))
    start(rig, nursery)
    await trio.sleep(10)
    assert since(rig) == [timedelta(days=7)] * 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]", b"[[]]"])
async def test_an_answer_that_is_no_list_finds_nothing_and_ends_nothing(
    rig: Rig, nursery: trio.Nursery, body: bytes
) -> None:
    rig.paper.listing += [body] * 9
    rig.paper.listed = []
    start(rig, nursery)
    await trio.sleep(20)
    assert rig.rows() == {}
    assert swept_at(rig) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    nursery.cancel_scope.cancel()


async def test_a_fault_of_ours_ends_that_look_alone(
    rig: Rig,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_values: object) -> None:
        raise RuntimeError("a bug")

    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    with monkeypatch.context() as patched:
        patched.setattr(rig.reconciler.rebuild, "look", broken)
        start(rig, nursery)
        assert await started(rig) == 0
    await trio.sleep(3601)
    assert swept_at(rig) == [3600]
    assert len(logged_errors.take()) == 2
    nursery.cancel_scope.cancel()


async def test_what_was_found_is_concluded_beside_the_next_look(
    rig: Rig,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rig.paper.listed = [listed_order(OURS)]
    rig.paper.book[OURS] = make_order(
        OURS, "filled", order_id=f"o-{OURS}", quantity="2", price="50"
    )
    start(rig, nursery)
    await trio.sleep(5)
    assert rig.rows()[OURS]["status"] == "open"
    rig.reconciler.sweep.ask("paper")
    await trio.sleep(1)
    assert swept_at(rig) == [0, 5]
    await trio.sleep(20)
    assert rig.rows()[OURS]["exitReason"] == "rebuilt"
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("held", [True, False])
async def test_what_a_stop_has_left_open_the_first_sweep_after_a_start_concludes(
    rig: Rig, nursery: trio.Nursery, *, held: bool
) -> None:
    bought_without_row(rig)
    found = FoundOrder(OURS, "KO", "paper", f"o-{OURS}", None, MOMENT - HOUR)
    assert rig.store.found.adopt(found) is not None
    rig.store.apply_fill(
        OrderRef("paper", f"o-{OURS}", OURS), price=Decimal(50), quantity=Decimal(2)
    )
    if not held:
        rig.paper.holds.clear()
    start(rig, nursery)
    await trio.sleep(60)
    status = rig.rows()[OURS]["status"]
    assert status == ("open" if held else "closed")
    assert rig.store.unconcluded.of("paper") == []
    nursery.cancel_scope.cancel()


async def test_a_found_row_that_gave_way_is_open_once_the_newer_one_bought_nothing(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    newer = make_trade("sn-1", "KO")
    rig.open_row(newer, order_id="o-1")
    rig.unsettled.placed(newer, order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", order_id="o-1")
    bought_without_row(rig)
    start(rig, nursery)
    await trio.sleep(30)
    assert rig.rows()[OURS]["exitReason"] == "order_found_late"
    rig.paper.book["sn-1"] = make_order("sn-1", "canceled", order_id="o-1")
    await trio.sleep(61)
    assert rig.rows()["sn-1"]["exitReason"] == "alpaca_canceled"
    row = rig.rows()[OURS]
    assert (row["status"], row["exitReason"], row["shares"]) == ("open", None, 2.0)
    assert any(
        f"trade={OURS} had given way to trade=sn-1" in each
        for each in logged_errors.take()
    )
    rig.paper.holds.clear()
    await trio.sleep(3600)
    assert rig.rows()[OURS]["exitReason"] == "rebuilt", "it was sold by hand"
    nursery.cancel_scope.cancel()


async def test_an_order_of_this_run_is_never_taken_for_one_without_a_row(
    rig: Rig, nursery: trio.Nursery
) -> None:
    start(rig, nursery)
    trade = make_trade(OURS)
    page = json.dumps([listed_order(OURS)]).encode()
    await trio.sleep(1)
    rig.paper.listing.append(page)
    rig.paper.book[OURS] = make_order(OURS, order_id=f"o-{OURS}")
    rig.open_row(trade)
    rig.unsettled.placed(trade, order_id=None)
    rig.reconciler.sweep.ask("paper")
    await trio.sleep(1)
    assert rig.rows()[OURS]["notional"] == 100.0
    assert len(rig.rows()) == 1
    nursery.cancel_scope.cancel()


async def test_an_order_that_counted_as_refused_has_its_row_again(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    start(rig, nursery)
    await trio.sleep(1)
    rig.open_row(make_trade(OURS))
    assert rig.store.discard_trade(OURS)
    rig.paper.listed = [listed_order(OURS)]
    rig.paper.book[OURS] = make_order(
        OURS, "filled", order_id=f"o-{OURS}", quantity="2", price="50"
    )
    rig.paper.holds["AAPL"] = Decimal(2)
    rig.reconciler.sweep.ask("paper")
    await trio.sleep(1)
    assert rig.rows()[OURS]["shares"] == 2.0
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_it_says_nothing_where_nothing_is_missing(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.paper.listing.append(UnknownOutcomeError("once"))
    start(rig, nursery)
    await trio.sleep(100)
    assert caplog.messages == []
    nursery.cancel_scope.cancel()


# Several hosts


async def test_a_takeover_waits_for_the_list_for_as_long_as_that_takes(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.paper.listing += [NotSentError("no route")] * 12
    rows = rig.ledger.load(simulated=False, tally=False, is_shared=True)
    rig.reconciler.load(rows, is_shared=True)
    nursery.start_soon(rig.reconciler.run, note_starved(rig))
    assert await started(rig) > 60
    assert len(swept_at(rig)) > 12
    nursery.cancel_scope.cancel()
