"""What others sell of a row, and splits: written once, and no dollar moves."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.ledger.exit_rows import ExitApplied, NewExit
from snexec.ledger.held_rows import HighPrice, Split
from tests.fakes import MOMENT, FakeClock, open_store, row_of
from tests.ledger.selling import buy, exits_of, held, plan, ref_of, sell

if TYPE_CHECKING:
    from snexec.ledger.store import Store


def external(
    store: Store,
    quantity: str,
    price: str | None,
    *,
    reason: Literal["external", "corporate_action"] = "external",
) -> ExitApplied:
    done = store.exits.external(
        "sn-1",
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        remaining=held(store).remaining,
        reason=reason,
    )
    assert isinstance(done, ExitApplied), done
    return done


def split(store: Store, ratio: Fraction) -> Split:
    done = store.exits.split("sn-1", ratio, remaining=held(store).remaining)
    assert isinstance(done, Split), done
    return done


# Others' sales


@pytest.mark.parametrize("reason", ["external", "corporate_action"])
def test_a_row_that_others_sold_is_closed_at_their_mean_price(
    store: Store, reason: Literal["external", "corporate_action"]
) -> None:
    buy(store)
    done = external(store, "0.5", "90.25", reason=reason)
    assert (done.id, done.kind, done.closed) == ("sn-1-e1", "external", True)
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitReason"]) == ("closed", reason)
    assert (row["exitPrice"], row["pnl"], row["exitOrderId"]) == (90.25, -4.875, None)
    found = exits_of(store)["sn-1-e1"]
    assert (found["kind"], found["state"], found["alpacaOrderId"]) == (
        *("external", "filled", None),
    )
    assert found["settledAt"] is not None


def test_what_others_sold_of_a_row_is_no_more_sold_by_us(store: Store) -> None:
    buy(store)
    done = external(store, "0.2", "90")
    assert (done.closed, done.remaining) == (False, Decimal("0.3"))
    assert row_of(store, "sn-1")["status"] == "open"
    assert plan(store).quantity == Decimal("0.3")


def test_the_reason_is_that_of_the_sell_that_sold_most(store: Store) -> None:
    buy(store)
    sell(store, "0.4", "90", "profit_target")
    assert external(store, "9", "80").closed, "no more counts than was left"
    row = row_of(store, "sn-1")
    assert (row["exitReason"], row["exitOrderId"]) == ("profit_target", "o-x1")
    assert (row["exitPrice"], row["pnl"]) == (88.0, -6.0)


def test_a_sale_at_a_price_that_nobody_knows_has_no_result(store: Store) -> None:
    buy(store)
    assert external(store, "0.5", None).closed
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", None, None)


def test_when_others_sold_is_when_the_row_was_exited(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    clock.advance(60)
    store.exits.external(
        "sn-1",
        quantity=Decimal("0.5"),
        price=None,
        remaining=Decimal("0.5"),
        at=MOMENT,
    )
    assert row_of(store, "sn-1")["exitAt"] == "2026-01-05T14:30:00.123Z"


def test_what_is_not_as_it_was_seen_is_left_alone(store: Store) -> None:
    ask = store.exits.external
    half, one = Decimal("0.5"), Decimal(1)
    assert ask("sn-1", quantity=one, price=None, remaining=one) == "not_found"
    buy(store)
    assert ask("sn-1", quantity=one, price=None, remaining=one) == "changed"
    none = ask("sn-1", quantity=Decimal(0), price=None, remaining=half)
    assert none == "none_left"
    plan(store)
    assert ask("sn-1", quantity=half, price=None, remaining=half) == "closing"
    assert store.exits.split("sn-1", Fraction(2), remaining=half) == "closing"
    store.exits.apply_ended(ref_of("sn-1-x1"), "expired", quantity=None, price=None)
    store._db.execute("UPDATE BotExit SET settledAt = 'now'")
    ask("sn-1", quantity=half, price=one, remaining=half)
    assert ask("sn-1", quantity=half, price=one, remaining=half) == "not_open"
    assert store.exits.split("sn-1", Fraction(2), remaining=half) == "not_open"
    assert len(exits_of(store)) == 2, "what was written before a kill is written once"


# Splits


def test_a_split_restates_the_row_and_what_is_left_of_it(store: Store) -> None:
    buy(store, shares="0.5", price="100")
    store.held.raise_highs([HighPrice("sn-1", Decimal(120), Decimal(100))])
    sell(store, "0.2", "110")
    done = split(store, Fraction(10))
    assert (done.shares, done.remaining) == (Decimal(5), Decimal(3))
    assert (done.entry_price, done.high_price) == (Decimal(10), Decimal(12))
    row = held(store)
    assert (row.shares, row.remaining) == (Decimal(5), Decimal(3))
    assert (row.entry_price, row.high_price) == (Decimal(10), Decimal(12))
    assert plan(store).quantity == Decimal(3)


def test_a_split_is_written_once(store: Store) -> None:
    buy(store)
    seen = held(store).remaining
    assert isinstance(store.exits.split("sn-1", Fraction(2), remaining=seen), Split)
    assert store.exits.split("sn-1", Fraction(2), remaining=seen) == "changed"
    assert store.exits.split("sn-9", Fraction(2), remaining=seen) == "not_found"
    with pytest.raises(ValueError, match="no split has the ratio"):
        store.exits.split("sn-1", Fraction(0), remaining=seen)


def test_what_the_broker_says_of_an_order_from_before_stays_in_its_shares(
    store: Store,
) -> None:
    buy(store)
    sell(store, "0.2", "110")
    split(store, Fraction(1, 3))
    before = exits_of(store)
    late = store.exits.apply_ended(
        ref_of("sn-1-x1"), "canceled", quantity=Decimal("0.2"), price=Decimal(110)
    )
    assert late is not None
    assert (late.outcome, late.changed, late.oversold) == ("unchanged", False, None)
    assert exits_of(store) == before
    more = store.exits.apply_sold(
        ref_of("sn-1-x1"), quantity=Decimal("0.35"), price=Decimal(110), final=True
    )
    assert more is not None
    assert more.executed == pytest.approx(Decimal("0.05"))
    assert more.remaining == pytest.approx(Decimal("0.05"))
    assert more.price == Decimal(330)


def test_a_high_price_from_before_a_split_is_not_written_after_it(store: Store) -> None:
    buy(store, price="100")
    split(store, Fraction(10))
    store.held.raise_highs([HighPrice("sn-1", Decimal(120), Decimal(100))])
    assert held(store).high_price is None
    store.held.raise_highs([HighPrice("sn-1", Decimal(12), Decimal(10))])
    assert held(store).high_price == Decimal(12)


# Beside a sell that waits for its market


def test_a_split_restates_a_sell_that_has_not_left(store: Store) -> None:
    buy(store, shares="0.5", price="100")
    waiting = plan(store, "manual", waits=True)
    split(store, Fraction(10))
    leaves = store.exits.resume(waiting.id)
    assert isinstance(leaves, NewExit)
    assert leaves.quantity == Decimal(5)
    done = store.exits.apply_sold(
        ref_of(waiting.id), quantity=Decimal(5), price=Decimal(11), final=True
    )
    assert done is not None
    assert (done.sold, done.closed, done.pnl) == (Decimal(5), True, Decimal(5))


def test_a_restated_sell_is_of_a_quantity_that_the_broker_takes(store: Store) -> None:
    buy(store, shares="1", price="100")
    waiting = plan(store, "manual", waits=True)
    split(store, Fraction(1, 3))
    leaves = store.exits.resume(waiting.id)
    assert isinstance(leaves, NewExit)
    assert leaves.quantity == Decimal("0.333333333")


def test_a_sell_that_has_left_keeps_its_row_from_being_restated(store: Store) -> None:
    buy(store)
    half = Decimal("0.5")
    waiting = plan(store, "manual", waits=True)
    assert isinstance(store.exits.resume(waiting.id), NewExit)
    assert store.exits.split("sn-1", Fraction(2), remaining=half) == "closing"
    asked = store.exits.external("sn-1", quantity=half, price=None, remaining=half)
    assert asked == "closing"


def test_what_others_sold_is_not_sold_by_a_sell_that_waits(store: Store) -> None:
    buy(store)
    waiting = plan(store, "manual", held="0.5", waits=True)
    done = external(store, "0.2", "90")
    assert (done.closed, done.dropped) == (False, None)
    leaves = store.exits.resume(waiting.id)
    assert isinstance(leaves, NewExit)
    assert (leaves.quantity, leaves.is_whole_position) == (Decimal("0.3"), False)


def test_a_sell_that_waits_is_dropped_where_others_sold_it_all(store: Store) -> None:
    buy(store)
    waiting = plan(store, "manual", waits=True)
    done = external(store, "0.5", "90")
    assert (done.closed, done.dropped, done.also_live) == (True, waiting.id, None)
    assert exits_of(store)[waiting.id]["state"] == "dropped"
    assert store.exits.unsettled() == []
    assert store.exits.resume(waiting.id) == "over"


_MICRO = Decimal("0.000001")
# No part is so small that it would count as dust.
_quantities = st.integers(10**7, 10**10).map(
    lambda billionths: Decimal(billionths) / 10**9
)
_prices = st.decimals(Decimal(2), Decimal(5000), places=4)
_ratios = st.fractions(Fraction(1, 50), Fraction(50), max_denominator=50)


@given(
    entry=_prices,
    sold=st.lists(st.tuples(_quantities, _prices), max_size=3),
    last=st.tuples(_quantities, _prices),
    ratios=st.lists(_ratios, min_size=1, max_size=3),
)
def test_a_split_moves_no_dollar(
    entry: Decimal,
    sold: list[tuple[Decimal, Decimal]],
    last: tuple[Decimal, Decimal],
    ratios: list[Fraction],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = open_store(tmp_path_factory.mktemp("split") / "t.db", FakeClock())
    shares = sum((quantity for quantity, _price in sold), last[0])
    buy(store, shares=str(shares), price=str(entry))
    for quantity, price in sold:
        sell(store, str(quantity), str(price))
    price = last[1]
    for ratio in ratios:
        split(store, ratio)
        price = price * ratio.denominator / ratio.numerator
    done = external(store, str(held(store).remaining), str(price))
    assert done.closed
    assert done.pnl is not None
    dollars = sum(quantity * price for quantity, price in (*sold, last))
    assert abs(done.pnl - (dollars - entry * shares)) <= _MICRO
    store._db.close()
