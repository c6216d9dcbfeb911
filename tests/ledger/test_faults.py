"""Faults of the file are tried again; a fault of one change names whose rule it met."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.faults import explained, is_of_one_change
from tests.fakes import make_trade
from tests.ledger.hands import TRIGGERS, trigger, write
from tests.ledger.test_found import order

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store


def coded(kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    error = kind("…")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_READONLY_DBMOVED,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    ],
)
def test_what_the_disk_or_a_lock_does_is_no_changes_fault(code: int) -> None:
    assert not is_of_one_change(coded(sqlite3.OperationalError, code))
    assert not is_of_one_change(coded(sqlite3.DatabaseError, code))


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT_TRIGGER,
        sqlite3.SQLITE_CONSTRAINT_CHECK,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CORRUPT_VTAB,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
    ],
)
def test_what_a_row_or_a_rule_does_is_that_changes_fault(code: int) -> None:
    assert is_of_one_change(coded(sqlite3.OperationalError, code))


def test_without_a_code_it_is_python_that_speaks() -> None:
    assert is_of_one_change(sqlite3.ProgrammingError("bindings"))
    assert is_of_one_change(OverflowError("int too large"))
    assert not is_of_one_change(sqlite3.OperationalError("its file was removed"))


# Words


def words_of_opening(store: Store, symbol: str = "DOOM") -> str:
    """Return what is said when a row cannot be opened."""
    with pytest.raises(sqlite3.Error) as caught:
        store.open_trade(make_trade("sn-1", symbol))
    return str(store.explained(caught.value))


@pytest.mark.parametrize("kind", TRIGGERS)
def test_a_trigger_is_named(store: Store, database: Path, kind: str) -> None:
    trigger(database, kind, "INSERT")
    assert words_of_opening(store) == TRIGGERS[kind][1]


@pytest.mark.parametrize("kind", TRIGGERS)
def test_a_trigger_is_named_that_keeps_out_the_row_of_an_order_that_was_found(
    store: Store, database: Path, kind: str
) -> None:
    trigger(database, kind, "INSERT")
    with pytest.raises(sqlite3.Error) as caught:
        store.found.adopt(order("sn-1", "DOOM"))
    assert str(store.explained(caught.value)) == TRIGGERS[kind][1]


def test_of_several_triggers_the_one_that_said_it_is_named(
    store: Store, database: Path
) -> None:
    for name, words in (("a", "it is late"), ("b", "it is early")):
        write(
            database,
            f"CREATE TRIGGER {name} BEFORE INSERT ON BotTrade WHEN NEW.id = 'sn-{name}'"
            f" BEGIN SELECT RAISE(ABORT, '{words}'); END",
        )
    with pytest.raises(sqlite3.Error) as caught:
        store.open_trade(make_trade("sn-b"))
    assert str(store.explained(caught.value)) == (
        "trigger b of another program refuses the row: it is early; mend or drop it"
    )


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("INSERT INTO Audit VALUES (1)", "no such table: main.Audit"),
        ("SELECT notify(1)", "no such function: notify"),
    ],
)
def test_a_trigger_that_names_what_is_gone_is_named(
    store: Store, database: Path, does: str, said: str
) -> None:
    write(database, f"CREATE TRIGGER audit AFTER INSERT ON BotTrade BEGIN {does}; END")
    assert words_of_opening(store) == (
        f"trigger audit of another program fails: {said}; mend or drop it"
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "CREATE UNIQUE INDEX one_a_day ON BotTrade (catalystType)",
            "a rule of another program forbids the row: UNIQUE constraint failed:"
            " BotTrade.catalystType",
        ),
        (
            "ALTER TABLE BotTrade ADD COLUMN ours TEXT NOT NULL DEFAULT 'x'"
            " CHECK (symbol <> 'DOOM')",
            "a rule of another program forbids the row: CHECK constraint failed: symbol"
            " <> 'DOOM'",
        ),
        (
            "ALTER TABLE BotTrade DROP COLUMN priceAtSignal",
            "table BotTrade has no column named priceAtSignal: another program has"
            " altered the table; start snexec again, which puts the column back",
        ),
        (
            "ALTER TABLE BotTrade RENAME TO Trades",
            "the table BotTrade is gone: restore it from a backup",
        ),
    ],
)
def test_a_rule_is_named(store: Store, database: Path, rule: str, said: str) -> None:
    store.open_trade(make_trade("sn-0", "MSFT"))
    write(database, rule)
    assert words_of_opening(store) == said


def test_what_is_explained_keeps_its_kind_and_its_cause(store: Store) -> None:
    fault = coded(sqlite3.IntegrityError, sqlite3.SQLITE_CONSTRAINT_CHECK)
    found = explained(fault, store._db)
    assert type(found) is sqlite3.IntegrityError
    assert found.__cause__ is fault
    bug = ZeroDivisionError("…")
    assert explained(bug, store._db) is bug
