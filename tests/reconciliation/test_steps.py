"""One thing that the broker said of an order, as the change that it makes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.latency import Latencies, Times
from snexec.ledger.rows import OrderRef
from snexec.reconciliation.steps import (
    EndedStep,
    FillStep,
    PartialFillStep,
    Step,
    fill_step,
    looked_up_step,
)
from tests.fakes import make_order, make_trade, row_of

if TYPE_CHECKING:
    from snexec.ledger.rows import Applied
    from snexec.ledger.store import Store

pytestmark = pytest.mark.jumping_time

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
PRICE, QUANTITY = Decimal("86.878"), Decimal("0.5")


class Reports:
    """Notes what each step did to its row."""

    def __init__(self) -> None:
        self.made: list[tuple[Step, Applied | None]] = []
        self.refused: list[tuple[Step, Exception]] = []

    def report(self, step: Step, applied: Applied | None) -> None:
        self.made.append((step, applied))

    def not_written(self, step: Step, error: Exception) -> None:
        self.refused.append((step, error))


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def latencies() -> Latencies:
    return Latencies()


@pytest.fixture
def store(store: Store) -> Store:
    """Give a store that holds the open row sn-1."""
    assert store.open_trade(make_trade()) == "opened"
    return store


# Every status that a look-up may find


@pytest.mark.parametrize(
    ("status", "kind", "is_final", "asks_position"),
    [
        ("filled", FillStep, True, False),
        ("partially_filled", PartialFillStep, False, True),
        ("canceled", EndedStep, True, False),
        ("expired", EndedStep, True, False),
        ("rejected", EndedStep, True, False),
        *(
            (status, PartialFillStep, False, True)
            for status in (
                *("new", "accepted", "pending_new", "accepted_for_bidding", "held"),
                *("pending_cancel", "pending_replace", "replaced", "done_for_day"),
                *("stopped", "suspended", "calculated", "pending_review"),
                *("", "FILLED", "Rejected", "unheard_of"),
            )
        ),
    ],
)
async def test_each_status_is_its_own_step(  # noqa: PLR0917 - a table
    latencies: Latencies,
    reports: Reports,
    status: str,
    kind: type[Step],
    is_final: bool,
    asks_position: bool,
) -> None:
    order = make_order("sn-1", status, quantity="0.5", price="86.878")
    step = looked_up_step("paper", order, "AAPL", latencies=latencies, reporter=reports)
    assert type(step) is kind
    assert (step.is_final, step.asks_position) == (is_final, asks_position)
    told = REF._replace(is_answer=True)
    assert (step.ref, step.symbol, step.source) == (told, "AAPL", "lookup")
    if isinstance(step, EndedStep):
        assert step.how == status
    if isinstance(step, FillStep | PartialFillStep | EndedStep):
        assert step.price == PRICE
    if isinstance(step, FillStep | EndedStep):
        assert step.quantity == QUANTITY
    if isinstance(step, PartialFillStep):
        assert step.shares is None, "the position's, and that was not asked for yet"


@pytest.mark.parametrize("status", ["new", "unheard_of"])
async def test_a_working_order_changes_its_id_and_nothing_else(
    store: Store, latencies: Latencies, reports: Reports, status: str
) -> None:
    before = row_of(store, "sn-1")
    order = make_order("sn-1", status)
    looked_up_step("paper", order, "AAPL", latencies=latencies, reporter=reports).apply(
        store
    )
    assert row_of(store, "sn-1") == before | {"alpacaOrderId": "o-1"}


@pytest.mark.parametrize("how", ["canceled", "expired", "rejected"])
@pytest.mark.parametrize(
    ("quantity", "outcome", "settled"),
    [("0.5", "fill", True), ("0", None, True), (None, "partial_fill", False)],
)
async def test_what_was_bought_before_the_end_stays_bought(  # noqa: PLR0917 - a table
    store: Store,
    latencies: Latencies,
    reports: Reports,
    how: str,
    quantity: str | None,
    outcome: str | None,
    settled: bool,
) -> None:
    order = make_order("sn-1", how, quantity=quantity, price="86.878")
    applied = looked_up_step(
        "paper", order, "AAPL", latencies=latencies, reporter=reports
    ).apply(store)
    assert applied is not None
    assert (applied.outcome, applied.settled) == (outcome or how, settled)
    bought = {"0.5": 0.5}.get(quantity or "")
    assert row_of(store, "sn-1")["shares"] == bought


async def test_a_rejection_makes_the_row_missed(store: Store, reports: Reports) -> None:
    step = EndedStep(
        ref=REF,
        symbol="AAPL",
        source="stream",
        reporter=reports,
        how="rejected",
        price=None,
        quantity=Decimal(0),
    )
    applied = step.apply(store)
    assert applied is not None
    assert (applied.outcome, applied.settled, applied.status) == (
        *("rejected", True),
        "missed",
    )


async def test_a_partial_fill_writes_the_positions_shares_once_they_are_known(
    store: Store, reports: Reports
) -> None:
    step = PartialFillStep(
        ref=REF, symbol="AAPL", source="stream", reporter=reports, price=PRICE
    )
    step.apply(store)
    assert row_of(store, "sn-1")["shares"] is None
    step.shares = Decimal("7.25")
    step.apply(store)
    row = row_of(store, "sn-1")
    assert (row["shares"], row["entryPrice"], row["settledAt"]) == (7.25, 86.878, None)


# A final fill


def make_fill(
    latencies: Latencies,
    reports: Reports,
    *,
    price: Decimal | None = PRICE,
    quantity: Decimal | None = QUANTITY,
) -> FillStep:
    return fill_step(
        *(REF, "AAPL", "stream", price, quantity),
        latencies=latencies,
        reporter=reports,
    )


async def test_a_fill_is_the_last_word_and_is_timed(
    store: Store, latencies: Latencies, reports: Reports
) -> None:
    latencies.begin("sn-1", read_at=0)
    await trio.sleep(2)
    step = make_fill(latencies, reports)
    assert step.is_final
    assert step.times == Times(fill_ms=2000)
    applied = step.apply(store)
    assert applied is not None
    assert (applied.outcome, applied.settled, applied.fill_ms) == ("fill", True, 2000)
    row = row_of(store, "sn-1")
    assert (row["shares"], row["entryPrice"], row["fillMs"]) == (0.5, 86.878, 2000)


@pytest.mark.parametrize(
    ("price", "quantity"), [(None, QUANTITY), (PRICE, None), (None, None)]
)
async def test_a_fill_without_its_numbers_is_not_final_and_not_timed(
    store: Store,
    latencies: Latencies,
    reports: Reports,
    price: Decimal | None,
    quantity: Decimal | None,
) -> None:
    latencies.begin("sn-1", read_at=0)
    await trio.sleep(2)
    step = make_fill(latencies, reports, price=price, quantity=quantity)
    assert step.times is None
    applied = step.apply(store)
    assert applied is not None
    assert (applied.outcome, applied.settled) == ("partial_fill", False)
    assert row_of(store, "sn-1")["settledAt"] is None
    await trio.sleep(3)
    assert make_fill(latencies, reports).times == Times(fill_ms=5000)


@pytest.mark.parametrize("quantity", ["0", None])
async def test_a_look_up_that_finds_a_fill_of_nothing_is_not_final(
    store: Store, latencies: Latencies, reports: Reports, quantity: str | None
) -> None:
    order = make_order("sn-1", "filled", quantity=quantity, price="86.878")
    step = looked_up_step("paper", order, "AAPL", latencies=latencies, reporter=reports)
    assert isinstance(step, FillStep)
    assert (step.quantity, step.times) == (None, None)
    applied = step.apply(store)
    assert applied is not None
    assert not applied.settled


# Once the writer has applied it


async def test_what_a_step_did_is_reported_with_the_step(
    store: Store, latencies: Latencies, reports: Reports
) -> None:
    step = make_fill(latencies, reports)
    applied = step.apply(store)
    step.done(applied)
    step.done(None)
    assert reports.made == [(step, applied), (step, None)]


async def test_a_step_that_its_row_does_not_take_is_reported_as_that_and_over(
    latencies: Latencies, reports: Reports
) -> None:
    step, fault = make_fill(latencies, reports), ValueError("a trigger says no")
    over: list[bool] = []
    step.over = lambda: over.append(True)
    step.failed(fault)
    assert (reports.made, reports.refused, over) == ([], [(step, fault)], [True])
