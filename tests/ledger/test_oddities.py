"""Rows that hold what cannot be read are named, with what counts in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger import oddities
from snexec.ledger.oddities import describe_oddities
from tests.fakes import make_trade
from tests.ledger.broker_says import SAYS
from tests.ledger.hands import NOT_UTF8, add_row, write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from snexec.ledger.store import Store


def test_sound_rows_are_not_odd(store: Store, database: Path) -> None:
    store.open_trade(make_trade())
    SAYS["fill"](store)
    add_row(database, entryAt=1767623400123, pnl=5)
    assert describe_oddities(store._db) == []


def test_each_thing_that_cannot_be_read_is_said_with_its_row(
    store: Store, database: Path
) -> None:
    add_row(
        database,
        id=NOT_UTF8,
        symbol=NOT_UTF8,
        status="Open",
        mode="Paper",
        shares="many",
        notional=float("inf"),
        exitAt="11/29/2026",
    )
    (line,) = describe_oddities(store._db)
    assert line == (
        r"row '�AAPL' ('�AAPL') cannot be read in full: no order has such an id,"
        " so nobody is asked about it: end it by hand; its symbol is no text, so it"
        " blocks no other; mode 'Paper' counts in both modes; status 'Open' is neither"
        " open nor ended, and blocks nothing; shares 'many' is no number, and counts as"
        " unknown; notional inf is no number, and counts as more dollars than any limit"
        " allows; exitAt '11/29/2026' is no time: another one of the row counts, or now"
    )


def test_a_long_value_is_cut_and_only_so_many_rows_are_named(
    store: Store, database: Path
) -> None:
    for number in range(13):
        add_row(database, id=f"x{number}", symbol=f"S{number}", pnl="y" * 1_000_000)
    lines = describe_oddities(store._db)
    assert len(lines) == 11
    assert max(len(line) for line in lines) < 200
    assert lines[-1] == "3 more rows hold what cannot be read"


def test_open_rows_are_looked_at_however_old_they_are(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_row(database, id="old", shares="many")
    for number in range(5):
        add_row(database, id=f"x{number}", status="closed")
    statement = oddities._ROWS.replace("LIMIT 10000", "LIMIT 3")
    assert statement != oddities._ROWS
    monkeypatch.setattr(oddities, "_ROWS", statement)
    (line,) = describe_oddities(store._db)
    assert line.startswith("row 'old' ('GE')")


def test_a_column_that_another_program_dropped_is_said(
    store: Store, database: Path
) -> None:
    write(database, "ALTER TABLE BotTrade DROP COLUMN notional")
    assert describe_oddities(store._db) == [
        "BotTrade has no notional: a start puts that back"
    ]
