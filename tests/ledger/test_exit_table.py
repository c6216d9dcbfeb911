"""Whatever is said of a row's sells, in any order, with kills in between (SPEC 12.2)."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from snexec.ledger.exit_rows import ExitApplied, NewExit
from snexec.ledger.rows import OrderRef
from snexec.ledger.store import Store
from tests.fakes import FakeClock, open_store, row_of
from tests.ledger.selling import buy, exits_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHARES = Decimal("0.5")
ENTRY = Decimal(100)
MICRO = Decimal("0.000001")

WORDS = (
    "working",
    "part",
    "fill",
    "canceled",
    "expired",
    "rejected",
    "refused",
    "dropped",
)
_number = st.sampled_from((1, 1, 2, 3))
_quantity = st.sampled_from(["0", "0.1", "0.2", "0.3", "0.5"]).map(Decimal)
_plan = st.tuples(st.just("plan"), st.just(0), st.none())
_said = st.tuples(st.sampled_from(WORDS), _number, _quantity | st.none())
_given_up = st.tuples(st.sampled_from(("refused", "dropped")), _number, st.none())
_others = st.tuples(
    st.sampled_from(("restart", "external")), st.just(0), _quantity.filter(bool)
)
_steps = st.lists(
    st.tuples(
        st.one_of(_plan, _said, _plan, _said, _given_up, _others),
        st.sampled_from((False, False, False, True)),  # whether a kill comes first
    ),
    min_size=3,
    max_size=14,
)


class Seen(NamedTuple):
    """What must never be undone."""

    status: str
    sold: dict[str, Decimal]
    final: dict[str, str]


def say(store: Store, word: str, number: int, quantity: Decimal | None) -> object:
    exit_id = f"sn-1-x{number}"
    known = None if word in {"refused", "dropped"} else f"o-x{number}"
    ref = OrderRef(mode="paper", order_id=known, client_order_id=exit_id)
    price = None if not quantity else 90 + quantity
    exits = store.exits
    match word:
        case "plan":
            return exits.plan("sn-1", "manual", held=None, free=None)
        case "working":
            return exits.apply_working(ref)
        case "part" | "fill":
            final = word == "fill"
            return exits.apply_sold(ref, quantity=quantity, price=price, final=final)
        case "canceled" | "expired" | "rejected":
            return exits.apply_ended(ref, word, quantity=quantity, price=price)
        case "refused" | "dropped":
            return exits.apply_gone(ref, word)
        case _:
            row = store.held.row("sn-1")
            left = Decimal(0) if row is None else row.remaining
            return exits.external(
                "sn-1", quantity=quantity or left, price=price, remaining=left
            )


def see(store: Store) -> Seen:
    exits = exits_of(store)
    said = {"filled", "canceled", "expired", "rejected"}
    return Seen(
        row_of(store, "sn-1")["status"],
        {name: Decimal(each["filledQty"]) for name, each in exits.items()},
        {name: each["state"] for name, each in exits.items() if each["state"] in said},
    )


def check(store: Store, before: Seen) -> Seen:
    now, exits = see(store), exits_of(store)
    assert now.status == "closed" or before.status == "open", "closed is never undone"
    for name, sold in before.sold.items():
        assert now.sold[name] >= sold, "what was sold never gets less"
    for name, state in before.final.items():
        assert now.final[name] == state, "what the broker has said finally stays"
    live = [name for name, each in exits.items() if each["settledAt"] is None]
    assert len(live) <= 1, "at most one sell of a row is under way"
    row = row_of(store, "sn-1")
    if now.status == "closed" and before.status == "open":
        assert sum(now.sold.values()) >= SHARES - MICRO, "closed only by evidence"
        parts = [
            (now.sold[name], each["filledAvgPrice"])
            for name, each in exits.items()
            if now.sold[name]
        ]
        if all(price is not None for _quantity, price in parts):
            dollars = sum(quantity * Decimal(price) for quantity, price in parts)
            pnl = (dollars - ENTRY * SHARES).quantize(MICRO, ROUND_HALF_EVEN)
            assert row["pnl"] == float(pnl)
        else:
            assert (row["pnl"], row["exitPrice"]) == (None, None)
    held = store.held.row("sn-1")
    if held is not None:
        assert held.remaining == max(SHARES - sum(now.sold.values()), Decimal(0))
        assert (held.live_exit is None) == (not live)
    return now


@settings(max_examples=300)
@given(steps=_steps)
def test_no_history_sells_twice_or_forgets(
    steps: list[tuple[tuple[str, int, Decimal | None], bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path: Path = tmp_path_factory.mktemp("history") / "t.db"
    clock = FakeClock()
    store = open_store(path, clock)
    buy(store, shares=str(SHARES), price=str(ENTRY))
    seen = see(store)
    for (word, number, quantity), killed in steps:
        clock.advance(1)
        if word == "restart":
            store._db.close()
            store = open_store(path, clock)
            seen = check(store, seen)
            continue
        store.begin()
        result = say(store, word, number, quantity)
        if killed:
            store.rollback()
            assert see(store) == seen, "what was not durable has not happened"
            continue
        store.commit()
        before, seen = seen, check(store, seen)
        if isinstance(result, NewExit):
            assert result.id not in before.sold, "an id is taken once"
            assert result.quantity == SHARES - sum(before.sold.values())
        if isinstance(result, ExitApplied):
            assert result.closed == (before.status != seen.status)
            over = sum(seen.sold.values()) - SHARES
            assert result.oversold == (over if over > 0 and result.executed else None)
    store._db.close()
