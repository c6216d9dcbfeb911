"""Rows that gave way to a newer row of their symbol, and get its place back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.found import FoundOrder
from snexec.ledger.rows import OrderRef
from tests.fakes import MOMENT, make_trade, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors


def adopt(store: Store, trade_id: str, symbol: str = "KO", *, hours: int = 1) -> None:
    """Write the row of an order that was found."""
    order = FoundOrder(
        trade_id=trade_id,
        symbol=symbol,
        mode="paper",
        order_id=f"o-{trade_id}",
        notional=Decimal(100),
        placed_at=MOMENT - timedelta(hours=hours),
    )
    assert store.found.adopt(order) is not None


def ref(trade_id: str) -> OrderRef:
    return OrderRef(mode="paper", order_id=f"o-{trade_id}", client_order_id=trade_id)


def fill(store: Store, trade_id: str) -> None:
    store.apply_fill(ref(trade_id), price=Decimal(50), quantity=Decimal(2))


def gave_way(store: Store, *older: str, filled: bool = True) -> None:
    """Have found orders give way to an open row, ``newer``."""
    store.open_trade(make_trade("newer", "KO"))
    for hours, trade_id in enumerate(older, 1):
        adopt(store, trade_id, hours=hours)
        if filled:
            fill(store, trade_id)
        assert said(store, trade_id) == ("missed", "order_found_late")


def said(store: Store, trade_id: str) -> tuple[object, object]:
    row = row_of(store, trade_id)
    return row["status"], row["exitReason"]


def ends(store: Store, how: str) -> None:
    """End the newer row, which has bought nothing."""
    match how:
        case "canceled" | "expired" | "rejected":
            store.apply_ended(ref("newer"), how, price=None, quantity=Decimal(0))
        case "not found":
            store.mark_not_found("newer")
        case "refused":
            assert store.discard_trade("newer")
        case "settled":
            assert store.settle("newer", "missed", None) is not None
        case _:
            raise AssertionError(how)


ENDS = ["canceled", "expired", "rejected", "not found", "refused", "settled"]


@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("how", ENDS)
def test_a_row_is_open_again_once_the_newer_one_has_ended_with_nothing(
    store: Store, how: str, logged_errors: LoggedErrors, *, filled: bool
) -> None:
    gave_way(store, "older", filled=filled)
    ends(store, how)
    assert said(store, "older") == ("open", None)
    assert logged_errors.take() == [
        "KO trade=older had given way to trade=newer, which has ended: its row is open"
        " again and holds what it bought"
    ]
    assert store.open_trade(make_trade("third", "KO")) == "symbol_open"
    assert store.unconcluded.of("paper") == ["older"], "it may have been sold since"


def test_of_several_the_newest_is_open_again(
    store: Store, logged_errors: LoggedErrors
) -> None:
    gave_way(store, "older", "oldest")
    ends(store, "canceled")
    assert said(store, "older") == ("open", None)
    assert said(store, "oldest") == ("missed", "order_found_late")
    assert len(logged_errors.take()) == 1


def test_one_of_another_symbol_is_not(store: Store) -> None:
    store.open_trade(make_trade("other", "MO"))
    adopt(store, "late", "MO")
    gave_way(store)
    ends(store, "canceled")
    assert said(store, "late") == ("missed", "order_found_late")


def test_a_newer_row_that_has_bought_keeps_its_place(store: Store) -> None:
    gave_way(store, "older")
    store.apply_ended(ref("newer"), "canceled", price=Decimal(50), quantity=Decimal(1))
    assert said(store, "newer") == ("open", None)
    assert said(store, "older") == ("missed", "order_found_late")


@pytest.mark.parametrize("end", ["sold", "settled"])
def test_one_that_has_ended_meanwhile_stays_so(store: Store, end: str) -> None:
    gave_way(store, "older")
    if end == "sold":
        assert store.found.close("older") is not None
    else:
        store._db.execute("UPDATE BotTrade SET exitReason = 'x' WHERE id = 'older'")
    before = said(store, "older")
    ends(store, "canceled")
    assert said(store, "older") == before


def test_late_evidence_has_its_place_back_as_well(
    store: Store, logged_errors: LoggedErrors
) -> None:
    store.open_trade(make_trade("older", "KO"))
    store.mark_not_found("older")
    store.open_trade(make_trade("newer", "KO"))
    fill(store, "older")
    assert said(store, "older") == ("missed", "order_found_late")
    ends(store, "rejected")
    assert said(store, "older") == ("open", None)
    assert len(logged_errors.take()) == 1


def test_a_row_that_cannot_be_opened_again_keeps_no_other_from_ending(
    store: Store, logged_errors: LoggedErrors
) -> None:
    gave_way(store, "older")
    store._db.execute(
        "CREATE TRIGGER t BEFORE UPDATE ON BotTrade WHEN NEW.id = 'older'"
        " BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    store.begin()
    ends(store, "canceled")
    store.commit()
    assert said(store, "newer") == ("missed", "alpaca_canceled")
    [line] = logged_errors.take()
    assert "cannot be opened again" in line
    assert "trigger t of another program" in line
    assert line.endswith("close its shares by hand")


def test_a_commit_that_is_tried_again_says_it_once(
    store: Store, logged_errors: LoggedErrors
) -> None:
    gave_way(store, "older")
    for end in (store.rollback, store.commit):
        store.begin()
        ends(store, "canceled")
        end()
    assert said(store, "older") == ("open", None)
    assert len(logged_errors.take()) == 1


def close_newer(store: Store) -> None:
    store._db.execute("UPDATE BotTrade SET status = 'closed' WHERE id = 'newer'")


def test_one_that_the_account_still_holds_is_open_again_once_its_symbol_is_free(
    store: Store, logged_errors: LoggedErrors
) -> None:
    gave_way(store, "older")
    assert not store.found.keep("older")
    assert said(store, "older") == ("missed", "order_found_late")
    close_newer(store)
    assert not store.found.keep("older"), "positions lag: it is looked at once more"
    assert said(store, "older") == ("open", None)
    assert store.unconcluded.of("paper") == ["older"]
    assert store.found.keep("older")
    assert store.unconcluded.of("paper") == []
    assert len(logged_errors.take()) == 1


@pytest.mark.parametrize(
    ("then", "left"),
    [
        (lambda store: store.found.close("found"), []),
        (lambda store: store.found.keep("found"), []),
        (lambda _store: None, ["found"]),
    ],
    ids=["closed", "kept", "not known yet"],
)
def test_a_row_that_was_found_is_noted_until_it_is_known_whether_it_was_sold(
    store: Store, then: Callable[[Store], object], left: list[str]
) -> None:
    adopt(store, "found")
    fill(store, "found")
    assert store.unconcluded.of("paper") == ["found"]
    assert store.unconcluded.of("live") == []
    then(store)
    assert store.unconcluded.of("paper") == left
