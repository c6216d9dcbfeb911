"""One thing that the broker said of a sell, as the change that it makes (SPEC 12.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.latency import Latencies, Times
from snexec.reconciliation.sell_steps import SellStep, is_final, looked_up_sell
from tests.fakes import make_order
from tests.ledger.selling import SELL, SELL_ID, buy, exits_of, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from snexec.ledger.exit_rows import ExitApplied
    from snexec.ledger.store import Store

pytestmark = pytest.mark.jumping_time

AT = datetime(2026, 1, 5, 15, 0, 0, 500_000, tzinfo=UTC)


class Reports:
    """Notes what each step did to its sell."""

    def __init__(self) -> None:
        self.made: list[ExitApplied | None] = []
        self.refused: list[Exception] = []
        self.fault: Exception | None = None

    def report(self, _step: SellStep, applied: ExitApplied | None) -> None:
        self.made.append(applied)
        self._fail()

    def not_written(self, _step: SellStep, error: Exception) -> None:
        self.refused.append(error)
        self._fail()

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def store(store: Store) -> Store:
    """Give a store with a sell that was decided, of 0.5 shares."""
    buy(store)
    plan(store)
    return store


def step(reports: Reports, **changes: Any) -> SellStep:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "ref": SELL,
        "symbol": "AAPL",
        "source": "stream",
        "reporter": reports,
    }
    return SellStep(**(values | changes))


def applied(store: Store, made: SellStep) -> ExitApplied:
    found = made.apply(store)
    assert found is not None
    return found


def sell_of(store: Store) -> dict[str, Any]:
    return exits_of(store)[SELL_ID]


# What it changes


async def test_that_the_broker_has_it_changes_nothing_else(
    store: Store, reports: Reports
) -> None:
    known = step(reports, is_known_only=True, quantity=Decimal("0.3"), how="canceled")
    assert applied(store, known).outcome == "working"
    sell = sell_of(store)
    assert (sell["state"], sell["alpacaOrderId"], sell["filledQty"]) == (
        *("working", "o-x1"),
        "0",
    )


async def test_a_part_that_was_sold_leaves_it_at_work(
    store: Store, reports: Reports
) -> None:
    part = step(reports, quantity=Decimal("0.3"), price=Decimal(110), at=AT)
    executed = [applied(store, part).executed for _ in range(2)]
    assert executed == [Decimal("0.3"), Decimal(0)], "an execution counts once"
    sell = sell_of(store)
    assert (sell["state"], sell["filledQty"], sell["filledAvgPrice"]) == (
        *("working", "0.3"),
        "110",
    )


async def test_a_fill_closes_the_row_as_of_its_time(
    store: Store, reports: Reports
) -> None:
    times = Times(wire_ms=1.0, reply_ms=2.0, fill_ms=3.0)
    fill = step(
        reports,
        quantity=Decimal("0.5"),
        price=Decimal(110),
        is_filled=True,
        at=AT,
        times=times,
    )
    assert applied(store, fill).closed
    sell = sell_of(store)
    assert (sell["state"], sell["wireMs"], sell["fillMs"]) == ("filled", 1.0, 3.0)
    [exit_at] = store._db.execute("SELECT exitAt FROM BotTrade").fetchone()
    assert exit_at == "2026-01-05T15:00:00.500Z"


@pytest.mark.parametrize("how", ["canceled", "expired", "rejected"])
async def test_an_end_leaves_what_was_sold_before_it(
    store: Store, reports: Reports, how: str
) -> None:
    end = step(reports, how=how, quantity=Decimal("0.3"), price=Decimal(110), at=AT)
    made = applied(store, end)
    assert (made.outcome, made.sold, made.remaining) == (
        *(how, Decimal("0.3")),
        Decimal("0.2"),
    )
    assert sell_of(store)["filledAvgPrice"] == "110"


async def test_what_is_about_no_sell_of_ours_is_none(
    store: Store, reports: Reports
) -> None:
    ref = SELL._replace(order_id="o-9", client_order_id="by-hand")
    assert step(reports, ref=ref, quantity=Decimal(1)).apply(store) is None


# Whom it tells


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("is_written", [True, False])
async def test_it_is_reported_and_is_over_whatever_comes_of_that(
    reports: Reports, *, is_written: bool, fails: bool
) -> None:
    over: list[str] = []
    made = step(reports, over=lambda: over.append("over"))
    reports.fault = ValueError("a fault of the reporter's") if fails else None
    problem = RuntimeError("not that")

    def end() -> None:
        if is_written:
            made.done(None)
        else:
            made.failed(problem)

    if fails:
        with pytest.raises(ValueError, match="a fault"):
            end()
    else:
        end()
    assert over == ["over"]
    assert (reports.made, reports.refused) == (
        ([None], []) if is_written else ([], [problem])
    )


async def test_nobody_has_to_wait_for_it(reports: Reports) -> None:
    step(reports).done(None)
    assert reports.made == [None]


# Look-ups


@pytest.fixture
def look_up(reports: Reports) -> Callable[[BrokerOrder], SellStep]:
    latencies = Latencies()
    latencies.begin(SELL_ID, read_at=0.0)

    def make(order: BrokerOrder) -> SellStep:
        return looked_up_sell(
            *("paper", order, "AAPL"), reporter=reports, latencies=latencies
        )

    return make


async def test_an_answer_names_the_order_by_both_ids_whatever_was_said_before(
    look_up: Callable[[BrokerOrder], SellStep],
) -> None:
    made = look_up(make_order(SELL_ID, "new", order_id="o-x1"))
    assert made.ref == SELL._replace(is_answer=True)
    assert (made.symbol, made.source) == ("AAPL", "lookup")


async def test_a_filled_one_has_sold_all_and_is_timed(
    look_up: Callable[[BrokerOrder], SellStep],
) -> None:
    await trio.sleep(2)
    order = make_order(SELL_ID, "filled", quantity="0.5", price="110")
    order = order.model_copy(update={"filled_at": AT})
    made = look_up(order)
    assert (made.is_filled, made.how, made.is_known_only) == (True, None, False)
    assert (made.quantity, made.price, made.at) == (Decimal("0.5"), Decimal(110), AT)
    assert made.times is not None
    assert made.times.fill_ms == 2000


async def test_a_filled_one_that_says_that_it_sold_nothing_does_not_say_how_much(
    look_up: Callable[[BrokerOrder], SellStep],
) -> None:
    made = look_up(make_order(SELL_ID, "filled", quantity="0"))
    assert (made.is_filled, made.quantity) == (True, None)


@pytest.mark.parametrize("status", ["canceled", "expired", "rejected"])
@pytest.mark.parametrize("quantity", ["0", "0.3"])
async def test_an_end_is_one_with_or_without_something_sold(
    look_up: Callable[[BrokerOrder], SellStep], status: str, quantity: str
) -> None:
    made = look_up(make_order(SELL_ID, status, quantity=quantity, price="110"))
    assert (made.how, made.is_filled, made.is_known_only) == (status, False, False)
    assert made.quantity == Decimal(quantity)
    assert made.times is None


@pytest.mark.parametrize(
    "status", ["new", "accepted", "pending_cancel", "done_for_day", "a word of its own"]
)
async def test_of_any_other_word_the_numbers_decide(
    look_up: Callable[[BrokerOrder], SellStep], status: str
) -> None:
    nothing = look_up(make_order(SELL_ID, status))
    assert (nothing.is_known_only, nothing.how) == (True, None)
    some = look_up(make_order(SELL_ID, status, quantity="0.3", price="110"))
    assert (some.is_known_only, some.how, some.is_filled) == (False, None, False)


@pytest.mark.parametrize(
    ("status", "quantity", "says_final"),
    [
        ("accepted", "0", False),
        ("accepted", "0.1", True),
        ("filled", "0.5", True),
        ("canceled", "0", True),
        ("expired", "0", True),
        ("rejected", "0", True),
        ("pending_cancel", "0", False),
    ],
)
def test_an_answer_that_says_an_end_or_a_sale_is_looked_into(
    status: str, quantity: str, *, says_final: bool
) -> None:
    order = make_order(SELL_ID, status, quantity=quantity, price="110")
    assert is_final(order) is says_final
