"""One order on its way, as the writer, the client and the dispatcher see it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.ledger.damage import gone
from snexec.orders.attempt import Attempt
from snexec.orders.buying import SignalBuy
from snexec.signals import TakenSignal
from tests.fakes import Rig, make_signal, make_trade
from tests.orders.selling import Sell

if TYPE_CHECKING:
    from snexec.orders.intent import Intent

pytestmark = pytest.mark.jumping_time


class Owner:
    """Who sees attempts to their end, and what each looked like at each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Attempt]] = []

    def row_decided(self, attempt: Attempt) -> None:
        assert attempt.opening is not None or attempt.error is not None
        self.calls.append(("row_decided", attempt))

    def answered(self, attempt: Attempt) -> None:
        assert attempt.answered_at < math.inf
        self.calls.append(("answered", attempt))


@pytest.fixture
def owner() -> Owner:
    return Owner()


def make_attempt(rig: Rig, owner: Owner, intent: Intent) -> Attempt:
    """Draw up an order that has its request of the budget."""
    lease = rig.accounts.try_take("paper", Purpose.ORDER)
    assert lease is not None
    return Attempt(
        intent=intent,
        trade=intent.draw_up("paper"),
        lease=lease,
        owner=owner,
        halt=rig.halt,
        ledger=rig.ledger,
        latencies=rig.latencies,
    )


def buy(rig: Rig, symbol: str = "AAPL") -> SignalBuy:
    """Make an intent to buy for a signal that was read now."""
    signal = make_signal(symbol, id="n-1")
    taken = TakenSignal(signal, trio.current_time(), 1, rig.settings.term)
    return SignalBuy(taken, rig.orders._buying)


# As the writer's change


async def test_its_row_is_opened_as_its_intent_would_have_it(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    assert attempt.apply(rig.store) == "opened"
    assert rig.rows()[attempt.trade.id]["status"] == "open"
    assert attempt.apply(rig.store) == "repeated"


async def test_a_limit_of_its_intent_keeps_the_row_from_being_opened(
    rig: Rig, owner: Owner
) -> None:
    rig.set_bot(max_concurrent_positions=1)
    rig.open_row(make_trade("sn-2", "MSFT"))
    attempt = make_attempt(rig, owner, buy(rig))
    assert attempt.apply(rig.store) == "max_positions"
    assert list(rig.rows()) == ["sn-2"]


async def test_no_row_is_opened_once_it_was_given_up(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    attempt.given_up = True
    assert attempt.apply(rig.store) is None
    assert rig.rows() == {}


async def test_its_owner_goes_on_once_the_row_is_durable(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    attempt.done("symbol_open")
    assert owner.calls == [("row_decided", attempt)]
    assert (attempt.opening, attempt.error) == ("symbol_open", None)


async def test_its_owner_goes_on_once_it_is_known_that_there_is_no_row(
    rig: Rig, owner: Owner
) -> None:
    attempt, error = make_attempt(rig, owner, buy(rig)), ValueError("no")
    attempt.failed(error)
    assert owner.calls == [("row_decided", attempt)]
    assert (attempt.opening, attempt.error) == (None, error)


# As the client's order


async def test_a_buy_is_sized_in_dollars(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    assert (attempt.symbol, attempt.side) == ("AAPL", "buy")
    assert (str(attempt.notional), attempt.quantity) == ("100.00", None)


async def test_a_sell_of_shares_is_sized_in_shares(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, Sell("MSFT", "0.533313387"))
    assert (attempt.symbol, attempt.side) == ("MSFT", "sell")
    assert (attempt.notional, str(attempt.quantity)) == (None, "0.533313387")


async def test_the_broker_knows_it_by_the_id_of_its_row(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    assert attempt.client_order_id == attempt.trade.id


async def test_the_way_to_the_wire_is_timed_in_the_moment_it_leaves(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.latencies.begin(attempt.trade.id, read_at=attempt.intent.read_at)
    await trio.sleep(0.002)
    attempt.left()
    await trio.sleep(5)
    times = rig.latencies.replied(attempt.trade.id, at=trio.current_time())
    assert times.wire_ms == pytest.approx(2)


# What may keep it


async def test_nothing_keeps_an_order_that_is_fresh(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    await trio.sleep(rig.settings.now.intake.max_signal_age_sec)
    assert not attempt.is_withheld()
    assert (attempt.halted, attempt.lapsed) == (False, None)


async def test_its_age_keeps_it_and_is_noted(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    await trio.sleep(rig.settings.now.intake.max_signal_age_sec + 0.001)
    assert attempt.is_withheld()
    assert (attempt.halted, attempt.lapsed) == (False, "stale")


async def test_a_change_of_mode_keeps_it_and_is_noted(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.set_mode("live")
    assert attempt.is_withheld()
    assert (attempt.halted, attempt.lapsed) == (False, "mode_changed")


async def test_a_halt_keeps_it_and_is_noted(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.halt.on = True
    assert attempt.is_withheld()
    assert (attempt.halted, attempt.lapsed) == (True, None)


async def test_an_order_that_is_too_old_is_not_counted_as_halted(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.halt.on = True
    await trio.sleep(100)
    assert attempt.is_withheld()
    assert (attempt.halted, attempt.lapsed) == (False, "stale")


async def test_each_look_is_a_new_one(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.halt.on = True
    assert attempt.is_withheld()
    rig.halt.on = False
    assert not attempt.is_withheld()
    assert not attempt.halted


async def test_the_kill_switch_may_be_asked_alone(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    await trio.sleep(100)
    assert not attempt.is_kept_back()
    rig.halt.on = True
    assert attempt.is_kept_back()
    assert (attempt.halted, attempt.lapsed) == (True, None)


async def test_a_row_that_may_not_be_found_again_keeps_it_back(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.store.watch.damage = gone("snexec.db")
    assert attempt.is_withheld()
    assert (attempt.unsafe, attempt.halted, attempt.lapsed) == (True, False, None)
    rig.store.watch.damage = None
    assert not attempt.is_withheld()


# Its answer


async def test_its_owner_is_called_once_the_broker_has_answered(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    await trio.sleep(3)
    attempt.answered()
    assert owner.calls == [("answered", attempt)]
    assert attempt.answered_at == 3


async def test_an_answer_that_its_own_task_waits_for_is_that_tasks_alone(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    attempt.awaited = trio.Event()
    await trio.sleep(3)
    attempt.answered()
    assert attempt.awaited.is_set()
    assert attempt.answered_at == 3
    assert owner.calls == []


async def test_two_attempts_are_never_the_same_one(rig: Rig, owner: Owner) -> None:
    intent = buy(rig)
    attempts = [make_attempt(rig, owner, intent) for _ in range(2)]
    assert attempts[0].trade == attempts[1].trade
    assert len(set(attempts)) == 2


# The lease


async def test_the_lease_is_looked_at_last_of_all(rig: Rig, owner: Owner) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    assert not attempt.is_withheld()

    class Losing:
        """A kill switch at whose look the lease is lost."""

        def is_halted(self) -> bool:
            rig.halt.standby = True
            return False

    rig.halt.is_halted = Losing().is_halted  # type: ignore[method-assign]
    assert attempt.is_withheld()
    assert attempt.lapsed == "standby"


async def test_a_request_that_would_be_sent_again_is_kept_back_by_a_lost_lease(
    rig: Rig, owner: Owner
) -> None:
    attempt = make_attempt(rig, owner, buy(rig))
    rig.halt.standby = True
    assert attempt.is_kept_back()
    assert attempt.lapsed == "standby"
