"""The database's tables: what they look like, how they are migrated."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.errors import StartError
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.fakes import MOMENT_TEXT, FakeClock, make_trade, warnings_of
from tests.ledger.files import (
    EXIT_BLOCK,
    FIRST_BLOCK,
    FOREIGN_TABLE,
    LATENCY_BLOCK,
    SECOND_BLOCK,
    columns,
    contents,
    make_foreign,
    make_version_4,
    open_real,
)
from tests.ledger.selling import SELL, plan

if TYPE_CHECKING:
    from pathlib import Path

# A file of our own


def test_a_fresh_file_has_the_columns_of_the_contract(database: Path) -> None:
    with closing(open_real(database)) as connection:
        assert (
            columns(connection)
            == FIRST_BLOCK + SECOND_BLOCK + LATENCY_BLOCK + EXIT_BLOCK
        ), "a new column needs a higher SCHEMA_VERSION, or no older file ever gets it"
        needed = {
            row["name"]
            for row in connection.execute("PRAGMA table_info(BotTrade)")
            if row["notnull"]
        }
        assert needed == {"symbol", "status", "createdAt", "updatedAt"}
        keys = [
            row["name"]
            for row in connection.execute("PRAGMA table_info(BotTrade)")
            if row["pk"]
        ]
        assert keys == ["id"]
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 5


@pytest.mark.parametrize("existing", [False, True])
def test_its_files_are_for_their_owner_alone_whatever_the_umask(
    database: Path, caplog: pytest.LogCaptureFixture, existing: bool
) -> None:
    if existing:
        make_foreign(database, wal=True)
        database.chmod(0o644)
    before = os.umask(0)
    try:
        with closing(open_real(database)) as connection:
            Store(connection, clock=FakeClock()).open_trade(make_trade())
            found = list(database.parent.iterdir())
            assert len(found) == 3, "the log and its index too"
            modes = {path.stat().st_mode & 0o777 for path in found}
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert len(warnings_of(caplog)) == existing


def test_a_commit_is_durable_and_readers_do_not_block_it(database: Path) -> None:
    for _ in range(2):  # fresh, and opened again
        with closing(open_real(database)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL"


def test_a_current_file_is_opened_again_with_its_rows(database: Path) -> None:
    with closing(open_real(database)) as connection:
        Store(connection, clock=FakeClock()).open_trade(make_trade())
    with closing(open_real(database)) as connection:
        rows = connection.execute("SELECT id, createdAt FROM BotTrade").fetchall()
        assert [tuple(row) for row in rows] == [("sn-1", MOMENT_TEXT)]


def test_one_open_row_per_symbol_is_held_by_the_database_itself(
    database: Path,
) -> None:
    add = (
        "INSERT INTO BotTrade (id, symbol, status, mode, createdAt, updatedAt)"
        " VALUES (?, 'AAPL', ?, ?, 'now', 'now')"
    )
    with closing(open_real(database)) as connection:
        connection.execute(add, ["a", "open", "paper"])
        connection.execute(add, ["b", "closed", "paper"])
        connection.execute(add, ["c", "missed", "paper"])
        for mode in ("paper", "live", None):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(add, ["d", "open", mode])
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE BotTrade SET status = 'open' WHERE id = 'b'")


def test_a_file_of_version_1_gets_the_index_of_version_2(database: Path) -> None:
    find = "SELECT sql FROM sqlite_master WHERE name = 'BotTrade_alpacaOrderId'"
    with closing(open_real(database)) as connection:
        current = connection.execute(find).fetchone()[0]
        connection.execute("DROP INDEX BotTrade_alpacaOrderId")
        connection.execute(
            "CREATE INDEX BotTrade_alpacaOrderId ON BotTrade (alpacaOrderId)"
        )
        connection.execute("PRAGMA user_version = 1")
    with closing(open_real(database)) as connection:
        assert connection.execute(find).fetchone()[0] == current
        assert "alpacaOrderId IS NOT NULL" in current
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM BotTrade WHERE alpacaOrderId = 'x'"
        ).fetchone()
        assert "BotTrade_alpacaOrderId" in plan["detail"]


def test_a_file_of_version_4_gets_the_sells_and_keeps_its_rows(
    database: Path,
) -> None:
    make_version_4(database)
    with closing(open_real(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 5
        assert (
            columns(connection)
            == FIRST_BLOCK + SECOND_BLOCK + LATENCY_BLOCK + EXIT_BLOCK
        )
        store = Store(connection, clock=FakeClock())
        (row,) = store.held.watched()
        assert (row.id, row.remaining, row.high_price) == ("sn-1", Decimal(2), None)
        assert store.exits.unsettled() == []
        assert plan(store).quantity == Decimal(2)
        sold = store.exits.apply_sold(
            SELL, quantity=Decimal(2), price=Decimal(11), final=True
        )
        assert sold is not None
        assert (sold.closed, sold.pnl) == (True, Decimal(2))


def test_the_programs_that_share_a_file_read_and_write_it_as_before(
    database: Path,
) -> None:
    make_version_4(database)
    read = "SELECT id, status, exitPrice, pnl FROM BotTrade ORDER BY id"
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        before = other.execute(read).fetchall()
        open_real(database).close()
        assert other.execute(read).fetchall() == before
        other.execute(
            "UPDATE BotTrade SET status = 'closed', exitPrice = 12, pnl = 4,"
            " exitReason = 'theirs' WHERE id = 'sn-1'"
        )
    with closing(open_real(database)) as connection:
        assert Store(connection, clock=FakeClock()).held.watched() == []


def test_a_new_file_has_small_pages_and_an_old_one_keeps_its_own(
    database: Path,
) -> None:
    with closing(open_real(database)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone()[0] == 1024
    old = database.with_name("old.db")
    with closing(sqlite3.connect(old)) as other:
        other.execute("PRAGMA page_size = 4096")
        other.execute("CREATE TABLE Note (text TEXT)")
    with closing(open_real(old)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone()[0] == 4096


def test_an_index_that_was_dropped_is_made_again(database: Path) -> None:
    with closing(open_real(database)) as connection:
        connection.execute("DROP INDEX BotTrade_one_open_per_symbol")
    with closing(open_real(database)) as connection:
        names = {
            row["name"] for row in connection.execute("SELECT * FROM sqlite_master")
        }
        assert "BotTrade_one_open_per_symbol" in names


# Another program's file


def test_an_id_is_unique_in_another_programs_table_too(database: Path) -> None:
    loose = FOREIGN_TABLE.replace("TEXT NOT NULL PRIMARY KEY", "TEXT")
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(loose)
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        assert store.open_trade(make_trade()) == "opened"
        connection.execute("UPDATE BotTrade SET status = 'closed'")
        assert store.open_trade(make_trade()) == "repeated"


def test_a_rule_of_another_programs_is_no_open_symbol(database: Path) -> None:
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        assert store.open_trade(make_trade()) == "opened"
        connection.execute("UPDATE BotTrade SET status = 'closed'")
        connection.execute("CREATE UNIQUE INDEX theirs ON BotTrade (symbol)")
        with pytest.raises(sqlite3.IntegrityError):
            store.open_trade(make_trade("sn-2"))


@pytest.mark.parametrize("wal", [False, True])
def test_another_programs_table_gets_the_new_columns_and_keeps_its_rows(
    database: Path,
    wal: bool,
) -> None:
    make_foreign(database, ("x", "AAPL", "open"), ("y", "AAPL", "closed"), wal=wal)
    with closing(open_real(database)) as connection:
        assert (
            columns(connection)
            == FIRST_BLOCK + SECOND_BLOCK + LATENCY_BLOCK + EXIT_BLOCK
        )
        rows = connection.execute("SELECT * FROM BotTrade ORDER BY id").fetchall()
        assert [(row["id"], row["status"], row["mode"]) for row in rows] == [
            ("x", "open", None),
            ("y", "closed", None),
        ]
        assert rows[0]["updatedAt"] == "2026-01-01T00:00:00.000Z"
        store = Store(connection, clock=FakeClock())
        assert store.open_trade(make_trade(symbol="MSFT")) == "opened"
        assert store.open_trade(make_trade("sn-2", "AAPL")) == "symbol_open"
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(
            "INSERT INTO BotTrade (id, symbol, status, updatedAt)"
            " VALUES ('z', 'KO', 'open', '2026-01-01T00:00:00.000Z')"
        )


def test_further_columns_of_another_program_are_left_alone(database: Path) -> None:
    make_foreign(database)
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("ALTER TABLE BotTrade ADD COLUMN note TEXT")
        other.execute("ALTER TABLE BotTrade ADD COLUMN rank INTEGER NOT NULL DEFAULT 1")
    with closing(open_real(database)) as connection:
        assert Store(connection, clock=FakeClock()).open_trade(make_trade()) == "opened"
        assert connection.execute("SELECT rank FROM BotTrade").fetchone()[0] == 1


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("CREATE TABLE BotTrade (id TEXT PRIMARY KEY, price REAL)", "symbol"),
        (FOREIGN_TABLE.rstrip().removesuffix(")") + ", must TEXT NOT NULL)", "must"),
    ],
)
def test_a_table_of_another_meaning_is_refused_and_untouched(
    database: Path, table: str, named: str
) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(table)
    before = contents(database)
    with pytest.raises(StartError, match=rf"BotTrade is not the one.*{named}"):
        open_real(database)
    assert contents(database) == before


def test_two_open_rows_of_a_symbol_are_refused_by_name_and_untouched(
    database: Path,
) -> None:
    make_foreign(
        database,
        ("x", "AAPL", "open"),
        ("y", "AAPL", "open"),
        ("z", "KO", "open"),
        ("w", "AAPL", "closed"),
    )
    before = contents(database)
    with pytest.raises(StartError, match=r"more than one open row.*AAPL: x, y\)"):
        open_real(database)
    assert contents(database) == before


# Files that are refused


@pytest.mark.parametrize("wal", [False, True])
def test_a_newer_version_is_refused_and_untouched(
    database: Path,
    wal: bool,
) -> None:
    make_foreign(database, ("x", "AAPL", "open"), wal=wal)
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA user_version = 6")
    before = contents(database)
    with pytest.raises(StartError, match="schema version 6, and this snexec knows 5"):
        open_real(database)
    assert contents(database) == before


def test_a_file_that_is_no_database_is_refused_and_untouched(database: Path) -> None:
    database.write_text("mode = 'paper'\n" * 200)
    database.chmod(0o644)  # others may have to read it
    before = contents(database)
    with pytest.raises(
        StartError, match=r"snexec\.db cannot be used: .*not a database"
    ):
        open_real(database)
    assert contents(database) == before
    assert database.stat().st_mode & 0o777 == 0o644


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "snexec.db"):
        with pytest.raises(StartError, match="database: "):
            open_real(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("simulated", [False, True])
def test_simulated_and_real_money_never_share_a_file(
    database: Path,
    simulated: bool,
) -> None:
    open_database(database, simulated=simulated, clock=FakeClock()).close()
    open_database(database, simulated=simulated, clock=FakeClock()).close()
    before = contents(database)
    with pytest.raises(StartError, match="`database`"):
        open_database(database, simulated=not simulated, clock=FakeClock())
    assert contents(database) == before


def test_a_column_that_another_program_dropped_is_there_again(database: Path) -> None:
    with closing(open_real(database)) as connection:
        connection.execute("ALTER TABLE BotTrade DROP COLUMN wireMs")
    with closing(open_real(database)) as connection:
        assert "wireMs" in {name for name, _ in columns(connection)}
