"""One asset in whatever spelling: it has one open row, and is found by any of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from snexec.assets import canonical_symbol
from snexec.errors import StartError
from snexec.ledger.store import Store
from snexec.ledger.symbols import symbol_key
from tests.fakes import MOMENT_TEXT, FakeClock, make_trade, row_of, warnings_of
from tests.ledger.files import contents, make_foreign, open_real
from tests.ledger.hands import write
from tests.test_assets import SPELLINGS, WRITTEN

if TYPE_CHECKING:
    from pathlib import Path


def key(symbol: str) -> str:
    with closing(sqlite3.connect(":memory:")) as connection:
        (found,) = connection.execute(f"SELECT {symbol_key('?1')}", [symbol]).fetchone()
        return str(found)


def test_what_the_database_takes_for_one_asset_is_one_and_no_other() -> None:
    keys = {
        meant: {key(one) for one in (meant, *all_of_it)}
        for meant, all_of_it in SPELLINGS.items()
        if meant != "BTC.USD"  # no share has such a class; it counts as the pair
    }
    assert {len(of_one) for of_one in keys.values()} == {1}
    assert len(set.union(*keys.values())) == len(keys)


@given(WRITTEN)
def test_a_symbol_is_to_the_database_what_it_is_to_the_daemon(written: str) -> None:
    try:
        canonical = canonical_symbol(written)
    except ValueError:
        return
    assert key(written) == key(canonical)


@pytest.mark.parametrize("written", ["BRK/B", "BRK-B", "BRK.B", "brk/b"])
def test_another_programs_row_blocks_its_asset_in_any_spelling(
    database: Path, written: str
) -> None:
    make_foreign(database, ("x", written, "open"))
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        assert store.open_trade(make_trade(symbol="BRK.B")) == "symbol_open"
        assert store.conflict("sn-1", "BRK.B") == (None, "x")
        row = connection.execute("SELECT symbol, updatedAt FROM BotTrade").fetchone()
        assert tuple(row) == (written, "2026-01-01T00:00:00.000Z")


def test_a_row_that_is_written_while_the_daemon_runs_blocks_its_asset(
    database: Path,
) -> None:
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        with closing(sqlite3.connect(database)) as other, other:
            other.execute(
                "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt)"
                " VALUES ('x', 'btcusd', 'open', 'now', 'now')"
            )
        assert store.open_trade(make_trade(symbol="BTC/USD")) == "symbol_open"
        assert store.open_trade(make_trade(symbol="ETH/USD")) == "opened"


def make_version_3(path: Path, *rows: tuple[str, str, str, str | None]) -> None:
    """Make a file of the version before; rows are id, symbol, status and mode."""
    with closing(open_real(path)) as connection:
        connection.execute("DROP INDEX BotTrade_one_open_per_symbol")
        connection.execute(
            "CREATE UNIQUE INDEX BotTrade_one_open_per_symbol"
            " ON BotTrade (symbol) WHERE status = 'open'"
        )
        connection.executemany(
            "INSERT INTO BotTrade (id, symbol, status, mode, createdAt, updatedAt)"
            " VALUES (?, ?, ?, ?, 'then', 'then')",
            rows,
        )
        connection.execute("PRAGMA user_version = 3")


def test_our_rows_of_an_earlier_version_are_respelled_and_no_others(
    database: Path,
) -> None:
    make_version_3(
        database,
        ("a", "BRK/B", "open", "paper"),
        ("b", "BTCUSD", "closed", "live"),
        ("c", "BTC-USD", "missed", "paper"),
        ("d", "ETH/BTC", "open", "live"),
        ("e", "AAPL", "open", "paper"),
        ("f", "KO-A", "open", None),
    )
    with closing(open_real(database)) as connection:
        rows = connection.execute("SELECT id, symbol, updatedAt FROM BotTrade")
        assert [tuple(row) for row in rows] == [
            ("a", "BRK.B", MOMENT_TEXT),
            ("b", "BTC/USD", MOMENT_TEXT),
            ("c", "BTC/USD", MOMENT_TEXT),
            ("d", "ETH/BTC", "then"),
            ("e", "AAPL", "then"),
            ("f", "KO-A", "then"),
        ]
        store = Store(connection, clock=FakeClock())
        assert store.open_trade(make_trade(symbol="BRK.B")) == "symbol_open"
        assert store.open_trade(make_trade(symbol="KO.A")) == "symbol_open"
        assert store.open_trade(make_trade(symbol="BTC/USD")) == "opened"


def test_two_open_rows_of_an_asset_in_two_spellings_are_refused_by_name(
    database: Path,
) -> None:
    make_version_3(
        database, ("a", "BRK.B", "open", "paper"), ("b", "BRK/B", "open", "paper")
    )
    before = contents(database)
    with pytest.raises(StartError, match=r"open row .*\(BRK.B or BRK/B: a, b\): close"):
        open_real(database)
    assert contents(database) == before


def test_open_rows_are_found_by_their_index(database: Path) -> None:
    with closing(open_real(database)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM BotTrade WHERE status = 'open'"  # noqa: S608
            f" AND {symbol_key('symbol')} = {symbol_key('?1')}",
            ["AAPL"],
        ).fetchone()
        assert "BotTrade_one_open_per_symbol (<expr>=?)" in plan["detail"]


def test_a_row_that_cannot_be_respelled_stops_no_start(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_version_3(
        database, ("a", "DOOM/USD", "open", "paper"), ("b", "BRK/B", "open", "live")
    )
    write(
        database,
        "INSERT INTO BotTrade (id, symbol, status, mode, createdAt, updatedAt)"
        " VALUES ('c', x'ff2f2f2f2f2f', 'open', 'paper', '', '')",
        "CREATE TRIGGER guard BEFORE UPDATE ON BotTrade WHEN OLD.symbol = 'BRK/B'"
        " BEGIN SELECT RAISE(ABORT, 'never'); END",
    )
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        assert row_of(store, "b")["symbol"] == "BRK/B"
        assert store.open_trade(make_trade(symbol="BRK.B")) == "symbol_open"
    assert warnings_of(caplog) == [
        "rows of BRK/B keep that spelling of BRK.B, and block it all the same: trigger"
        " guard of another program refuses the row: never; mend or drop it"
    ]
