"""The statements: rows opened, found, ended and asked about, and their transactions."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.rows import OrderRef, Unsettled
from snexec.ledger.store import Store
from tests.fakes import (
    MOMENT,
    MOMENT_TEXT,
    FakeClock,
    make_trade,
    row_of,
    rows_of,
)
from tests.ledger.broker_says import (
    FILLED,
    LATER_TEXT,
    PRICE,
    QUANTITY,
    SAYS,
    add_foreign_row,
    closed_by_monitor,
    said,
    say,
)
from tests.ledger.hands import (
    NOT_UTF8,
    TRIGGERS,
    add_row,
    drop_trigger,
    trigger,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.model import Mode

# Opening and discarding


def test_a_row_is_opened_with_exactly_what_is_known(store: Store) -> None:
    assert store.open_trade(make_trade(signal_id="n-1")) == "opened"
    assert rows_of(store) == {
        "sn-1": {
            "id": "sn-1",
            "symbol": "AAPL",
            "entryPrice": None,
            "exitPrice": None,
            "shares": None,
            "pnl": None,
            "catalystType": "fda_approval",
            "catalystTier": 1,
            "exitReason": None,
            "status": "open",
            "alpacaOrderId": None,
            "entryAt": MOMENT_TEXT,
            "exitAt": None,
            "createdAt": MOMENT_TEXT,
            "updatedAt": MOMENT_TEXT,
            "settledAt": None,
            "mode": "paper",
            "notional": 100.0,
            "starRating": 5,
            "priceAtSignal": 187.2,
            "signalId": "n-1",
            "wireMs": None,
            "replyMs": None,
            "fillMs": None,
            "highPrice": None,
            "exitOrderId": None,
        }
    }


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 5, 14, 30, tzinfo=UTC), "2026-01-05T14:30:00.000Z"),
        (
            datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            "2026-12-31T23:59:59.999Z",
        ),
        (
            datetime(2026, 1, 5, 0, 30, tzinfo=timezone(timedelta(hours=-5))),
            "2026-01-05T05:30:00.000Z",
        ),
    ],
)
def test_times_are_utc_with_milliseconds(
    store: Store, clock: FakeClock, moment: datetime, text: str
) -> None:
    clock.moment = moment
    store.open_trade(make_trade())
    row = row_of(store, "sn-1")
    assert (row["entryAt"], row["createdAt"], row["updatedAt"]) == (text, text, text)


def test_what_a_fill_did_says_when_its_order_left(
    store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade())
    left_at = row_of(store, "sn-1")["entryAt"]
    clock.advance(40)
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    applied = store.apply_fill(ref, price=Decimal(9), quantity=Decimal(1))
    assert applied is not None
    assert applied.entry_at == left_at


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_symbol_with_an_open_row_gets_no_second_one_whatever_its_mode(
    store: Store, mode: Mode
) -> None:
    store.open_trade(make_trade())
    before = rows_of(store)
    assert store.open_trade(make_trade("sn-2", mode=mode)) == "symbol_open"
    assert store.open_trade(make_trade("sn-3", "MSFT", mode=mode)) == "opened"
    assert rows_of(store).keys() == before.keys() | {"sn-3"}


def test_another_programs_open_row_blocks_its_symbol(store: Store) -> None:
    add_foreign_row(store)
    assert store.open_trade(make_trade()) == "symbol_open"
    store._db.execute("UPDATE BotTrade SET status = 'closed'")
    assert store.open_trade(make_trade()) == "opened"


@pytest.mark.parametrize("status", ["open", "closed", "missed"])
def test_an_id_is_opened_once_whatever_became_of_it(store: Store, status: str) -> None:
    store.open_trade(make_trade())
    store._db.execute("UPDATE BotTrade SET status = ?", [status])
    before = rows_of(store)
    assert store.open_trade(make_trade(symbol="MSFT")) == "repeated"
    assert rows_of(store) == before


def test_the_row_of_an_order_that_does_not_exist_is_removed(store: Store) -> None:
    store.open_trade(make_trade())
    assert store.discard_trade("sn-1")
    assert rows_of(store) == {}
    assert not store.discard_trade("sn-1")


@pytest.mark.parametrize("word", ["working", "partial", "fill", "rejected"])
def test_a_row_that_the_broker_has_spoken_of_is_not_removed(
    store: Store, word: str
) -> None:
    store.open_trade(make_trade())
    say(store, word)
    before = rows_of(store)
    assert not store.discard_trade("sn-1")
    assert rows_of(store) == before


# Whose order it is


@pytest.mark.parametrize("word", [w for w in SAYS if w != "not_found"])
def test_another_modes_events_change_nothing(store: Store, word: str) -> None:
    store.open_trade(make_trade(mode="live"))
    store.apply_working(OrderRef(mode="live", order_id="o-1", client_order_id="sn-1"))
    before = rows_of(store)
    assert SAYS[word](store) is None
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-x", client_order_id=None),
        OrderRef(mode="paper", order_id="o-x", client_order_id="x"),
        OrderRef(mode="paper", order_id="o-9", client_order_id="x"),
        OrderRef(mode="paper", order_id=None, client_order_id="x"),
        OrderRef(mode="live", order_id="o-x", client_order_id="x"),
    ],
)
def test_another_programs_rows_are_never_changed(store: Store, ref: OrderRef) -> None:
    add_foreign_row(store)
    before = rows_of(store)
    assert store.apply_working(ref) is None
    assert store.apply_fill(ref, price=PRICE, quantity=QUANTITY) is None
    assert store.apply_partial_fill(ref, price=PRICE, shares=QUANTITY) is None
    assert store.apply_ended(ref, "rejected", price=None, quantity=Decimal(0)) is None
    ended = store.apply_ended(ref, "canceled", price=None, quantity=Decimal(0))
    assert ended is None
    assert rows_of(store) == before


def test_another_programs_rows_are_not_ended_with_a_simulation(store: Store) -> None:
    add_foreign_row(store)
    before = rows_of(store)
    assert store.end_simulation() == 0
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-2", client_order_id=None),
        OrderRef(mode="paper", order_id="o-2", client_order_id="sn-9"),
        OrderRef(mode="paper", order_id=None, client_order_id="sn-9"),
        OrderRef(mode="paper", order_id=None, client_order_id=None),
    ],
)
def test_an_order_that_is_not_the_rows_changes_nothing(
    store: Store, ref: OrderRef
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    before = rows_of(store)
    assert store.apply_fill(ref, price=PRICE, quantity=QUANTITY) is None
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-1", client_order_id=None),
        OrderRef(mode="paper", order_id=None, client_order_id="sn-1"),
        OrderRef("paper", "o-1", "sn-1", symbol="AAPL", side="buy"),
        OrderRef("paper", "o-1", "sn-1", symbol="", side=""),
    ],
)
def test_either_id_finds_a_row_whose_order_is_known(
    store: Store, ref: OrderRef
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    store.apply_fill(ref, price=PRICE, quantity=QUANTITY)
    assert said(row_of(store, "sn-1")) == FILLED


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef("paper", "o-2", "sn-1"),
        OrderRef("paper", "o-1", "sn-9"),
        OrderRef("paper", "o-1", "sn-1", symbol="MSFT"),
        OrderRef("paper", "o-1", "sn-1", side="sell"),
        OrderRef("paper", None, "sn-1", symbol="MSFT"),
        OrderRef("paper", "o-9", "sn-1"),
    ],
)
@pytest.mark.parametrize("bought", [False, True])
def test_what_is_only_in_part_about_a_row_changes_nothing_and_says_so(
    store: Store, ref: OrderRef, bought: bool
) -> None:
    store.open_trade(make_trade())
    say(store, "fill" if bought else "working")
    store.open_trade(make_trade("sn-9", "KO"))
    store.apply_working(OrderRef("paper", "o-9", "sn-9"))
    before = rows_of(store)
    zero = Decimal(0)
    found = [
        store.apply_working(ref),
        store.apply_fill(ref, price=PRICE + 1, quantity=QUANTITY + 1),
        store.apply_partial_fill(ref, price=PRICE + 1, shares=QUANTITY + 1),
        store.apply_ended(ref, "rejected", price=None, quantity=zero),
    ]
    assert [each and each.outcome for each in found] == ["disputed"] * 4
    assert rows_of(store) == before


def test_an_order_that_another_row_holds_is_not_a_rows_order(store: Store) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.apply_working(OrderRef("paper", "o-1", "sn-1"))
    store.open_trade(make_trade("sn-2", "MSFT"))
    applied = store.apply_working(OrderRef("paper", "o-1", "sn-2"))
    assert applied is not None
    assert (applied.trade_id, applied.outcome) == ("sn-2", "disputed")
    assert row_of(store, "sn-2")["alpacaOrderId"] is None


@pytest.mark.parametrize("word", ["working", "fill", "partial", "rejected"])
def test_an_answer_to_a_look_up_overrules_what_was_said_of_another_order(
    store: Store, word: str
) -> None:
    store.open_trade(make_trade())
    say(store, word)
    answer = OrderRef("paper", "o-2", "sn-1", is_answer=True)
    store.apply_fill(answer, price=PRICE + 1, quantity=QUANTITY)
    row = row_of(store, "sn-1")
    assert (row["status"], row["alpacaOrderId"]) == ("open", "o-2")
    assert (row["entryPrice"], row["shares"]) == (float(PRICE + 1), float(QUANTITY))
    assert row["settledAt"] is not None


def test_an_answer_that_nothing_is_bought_yet_forgets_another_orders_fill(
    store: Store,
) -> None:
    store.open_trade(make_trade())
    say(store, "fill")
    store.apply_working(OrderRef("paper", "o-2", "sn-1", is_answer=True))
    row = row_of(store, "sn-1")
    assert (row["status"], row["alpacaOrderId"]) == ("open", "o-2")
    assert (row["entryPrice"], row["shares"], row["settledAt"]) == (None,) * 3


def test_an_answer_never_opens_a_row_that_was_closed(store: Store) -> None:
    store.open_trade(make_trade())
    say(store, "fill")
    closed_by_monitor(store, "sn-1", price=80.0, shares=1.0)
    before = row_of(store, "sn-1")
    answer = OrderRef("paper", "o-2", "sn-1", is_answer=True)
    store.apply_fill(answer, price=PRICE + 1, quantity=QUANTITY)
    after = row_of(store, "sn-1")
    assert after["alpacaOrderId"] == "o-2"
    assert {**after, "alpacaOrderId": "o-1"} == before


# Giving up, and the end of a simulation


def test_an_order_given_up_for_good_is_settled(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    say(store, "not_found")
    clock.advance(60)
    store.settle_not_found("sn-1")
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitReason"]) == ("missed", "order_not_found")
    assert row["settledAt"] == row["updatedAt"] == LATER_TEXT


def test_an_open_order_is_never_settled_as_given_up(store: Store) -> None:
    store.open_trade(make_trade())
    store.settle_not_found("sn-1")
    assert row_of(store, "sn-1")["settledAt"] is None


def test_what_a_simulation_left_open_is_ended(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    say(store, "fill")
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    store.open_trade(make_trade("sn-3", "KO"))
    closed_by_monitor(store, "sn-3", price=1.0, shares=1.0)
    add_foreign_row(store, symbol="IBM")
    foreign = row_of(store, "x")
    clock.advance(60)
    assert store.end_simulation() == 2
    found = {
        name: (row["status"], row["exitReason"], row["exitAt"], row["settledAt"])
        for name, row in rows_of(store).items()
    }
    assert found == {
        "sn-1": ("closed", "simulation_ended", LATER_TEXT, MOMENT_TEXT),
        "sn-2": ("missed", "simulation_ended", None, LATER_TEXT),
        "sn-3": ("closed", "take_profit", None, LATER_TEXT),
        "x": ("open", None, None, None),
    }
    assert row_of(store, "x") == foreign
    assert store.unsettled() == []


# Questions


def test_unsettled_rows_are_ours_without_a_last_word(
    store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    clock.advance(10)
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    ref = OrderRef(mode="live", order_id="o-2", client_order_id="sn-2")
    store.apply_partial_fill(ref, price=PRICE, shares=QUANTITY)
    store.open_trade(make_trade("sn-3", "KO"))
    store.mark_not_found("sn-3")
    store.open_trade(make_trade("sn-4", "IBM"))
    store.apply_ended(
        OrderRef(mode="paper", order_id=None, client_order_id="sn-4"),
        "rejected",
        price=None,
        quantity=Decimal(0),
    )
    store.open_trade(make_trade("sn-5", "GE"))
    closed_by_monitor(store, "sn-5")
    add_foreign_row(store, symbol="F")
    clock.advance(5)
    assert [
        (u.trade_id, u.symbol, u.mode, u.order_id, u.missed) for u in store.unsettled()
    ] == [
        ("sn-1", "AAPL", "paper", None, False),
        ("sn-2", "MSFT", "live", "o-2", False),
        ("sn-3", "KO", "paper", None, True),
        ("sn-5", "GE", "paper", None, False),
    ]
    ages = [unsettled.age_seconds for unsettled in store.unsettled()]
    assert ages == pytest.approx([15, 5, 5, 5], abs=1)


@pytest.mark.parametrize("date", ["2036-01-01T00:00:00.000Z", "soon", 1e300])
def test_a_row_whose_dates_say_nothing_is_not_old(store: Store, date: object) -> None:
    store.open_trade(make_trade())
    store._db.execute("UPDATE BotTrade SET entryAt = ?, createdAt = ?", [date, date])
    [unsettled] = store.unsettled()
    assert unsettled.age_seconds == 0


def test_a_row_is_as_old_as_it_was_made_where_its_entry_says_nothing(
    store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade())
    store._db.execute("UPDATE BotTrade SET entryAt = 'soon'")
    clock.advance(5)
    [unsettled] = store.unsettled()
    assert unsettled.age_seconds == pytest.approx(5, abs=0.001)


def test_a_row_from_the_future_is_not_old(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    clock.advance(-3600)
    assert store.unsettled() == [
        Unsettled(
            trade_id="sn-1",
            symbol="AAPL",
            mode="paper",
            order_id=None,
            age_seconds=0.0,
            missed=False,
        )
    ]


def test_open_rows_are_counted_whoever_wrote_them(store: Store) -> None:
    assert store.count_open() == 0
    store.open_trade(make_trade())
    add_foreign_row(store, symbol="IBM")
    add_foreign_row(store, "y", symbol="GE", status="closed")
    assert store.count_open() == 2


# Transactions


def test_a_savepoint_undoes_one_change_of_a_transaction(store: Store) -> None:
    store.begin()
    store.savepoint()
    store.open_trade(make_trade())
    store.release()
    store.savepoint()
    store.open_trade(make_trade("sn-2", "MSFT"))
    store.undo_to_savepoint()
    store.commit()
    assert rows_of(store).keys() == {"sn-1"}


def test_a_rollback_undoes_all_of_it_and_may_come_twice(store: Store) -> None:
    store.begin()
    store.open_trade(make_trade())
    store.rollback()
    store.rollback()
    assert rows_of(store) == {}


def test_nobody_else_can_write_during_a_transaction(
    store: Store, database: Path
) -> None:
    store.begin()
    other = sqlite3.connect(database, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    store.rollback()


def test_every_time_that_is_written_has_the_form_of_the_contract(
    store: Store, clock: FakeClock
) -> None:
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    clock.moment = MOMENT + timedelta(microseconds=877_000)
    store.open_trade(make_trade())
    say(store, "fill")
    row = row_of(store, "sn-1")
    for name in ("entryAt", "createdAt", "updatedAt", "settledAt"):
        assert form.fullmatch(row[name]), name


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.876, 0.877, 0.999, 59.999, 60.0])
def test_the_age_of_a_row_is_told_to_the_millisecond(
    store: Store, clock: FakeClock, seconds: float
) -> None:
    store.open_trade(make_trade())
    clock.advance(seconds)
    [unsettled] = store.unsettled()
    assert unsettled.age_seconds == pytest.approx(seconds, abs=0.0005)


# Another program's hands


@pytest.mark.parametrize("kind", TRIGGERS)
@pytest.mark.parametrize("word", ["working", "fill", "partial", "rejected"])
def test_what_a_row_does_not_take_is_never_taken_for_written(
    store: Store, database: Path, kind: str, word: str
) -> None:
    store.open_trade(make_trade("sn-1", "DOOM"))
    before = row_of(store, "sn-1")
    trigger(database, kind, "UPDATE")
    store.begin()
    with pytest.raises(sqlite3.Error):
        SAYS[word](store)
    store.rollback()
    assert row_of(store, "sn-1") == before
    drop_trigger(database)
    applied = SAYS[word](store)
    assert applied is not None
    assert applied.changed


def test_a_row_of_any_content_takes_what_the_broker_says(
    store: Store, database: Path
) -> None:
    add_row(
        database,
        id="sn-1",
        mode="paper",
        symbol=NOT_UTF8,
        alpacaOrderId=NOT_UTF8,
        entryPrice="a lot",
        shares="many",
        signalId=NOT_UTF8,
        exitReason=NOT_UTF8,
    )
    applied = SAYS["partial nothing"](store)
    assert applied is not None
    assert (applied.symbol, applied.shares, applied.entry_price) == (
        *("\ufffdAAPL", None),
        None,
    )
    assert applied.order_id == "o-1", "what is no id is none"
    assert SAYS["rejected"](store).outcome == "contradicted", "something was bought"  # type: ignore[union-attr]
    applied = SAYS["fill"](store)
    assert applied is not None
    assert (applied.outcome, applied.shares, applied.entry_price) == (
        *("fill", float(QUANTITY)),
        float(PRICE),
    )
    assert json.dumps(applied._asdict())


def test_a_trigger_that_only_looks_on_is_nobodys_fault(
    store: Store, database: Path
) -> None:
    write(
        database,
        "CREATE TABLE Audit (id, at)",
        *(
            f"CREATE TRIGGER on_{on} AFTER {on} ON BotTrade BEGIN"  # noqa: S608
            " INSERT INTO Audit VALUES (NEW.id, 1);"
            " UPDATE BotTrade SET updatedAt = 'later' WHERE id = NEW.id; END"
            for on in ("insert", "update")
        ),
    )
    assert store.open_trade(make_trade()) == "opened"
    applied = say(store, "fill")
    assert (applied.outcome, said(row_of(store, "sn-1"))) == ("fill", FILLED)
