"""Rows are read beside whoever writes them, whatever they hold (SPEC 2, 10)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from snexec.cli import trades_query
from snexec.cli.trades_query import MOMENT, Query, money_of, open_rows, open_to_read
from snexec.errors import CommandError
from snexec.ledger.file import connect
from tests.fakes import FakeClock, make_trade, open_store
from tests.ledger.hands import add_row, write

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, **query: Any) -> list[str]:  # noqa: ANN401 - as the fields are
    """Return the ids of the rows that a query finds."""
    with open_rows(path, Query(**query)) as found:
        assert found is not None
        return [str(row["id"]) for row in found.rows]


@pytest.fixture
def path(database: Path) -> Path:
    """Give a file with three rows, an hour apart."""
    with closing(open_store(database, FakeClock())) as store:
        store.open_trade(make_trade("sn-1"))
    for number, symbol in ((2, "BRK.B"), (3, "BTC/USD")):
        at = f"2026-01-05T{14 + number}:00:00.000Z"
        add_row(database, id=f"sn-{number}", symbol=symbol, createdAt=at)
    return database


def ms(hour: int) -> int:
    return 1_767_571_200_000 + hour * 3_600_000  # of 2026-01-05


def test_a_file_that_is_not_there_yet_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with open_rows(path, Query()) as found:
        assert found is None
    assert not path.exists()


def test_nor_has_one_without_the_table(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    write(path, "CREATE TABLE Other (x)")
    with open_rows(path, Query()) as found:
        assert found is None


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database, though it is long enough to be read as one" * 20)
    with (
        pytest.raises(CommandError, match=r"database: .*text\.db cannot be read"),
        open_rows(path, Query()),
    ):
        raise AssertionError


def test_all_rows_come_the_oldest_first(path: Path) -> None:
    assert read(path) == ["sn-1", "sn-2", "sn-3"]


def test_of_many_the_newest_come_the_oldest_of_them_first(path: Path) -> None:
    assert read(path, limit=2) == ["sn-2", "sn-3"]


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("brk-b", ["sn-2"]),
        ("BRK/B", ["sn-2"]),
        ("BTCUSD", ["sn-3"]),
        ("AAPL", ["sn-1"]),
        ("GE", []),
    ],
)
def test_a_symbol_is_found_by_any_spelling(
    path: Path, symbol: str, found: list[str]
) -> None:
    assert read(path, columns={"symbol": symbol}) == found


def test_every_column_that_is_given_has_to_hold_its_value(path: Path) -> None:
    assert read(path, columns={"status": "open", "mode": "paper"}) == ["sn-1"]
    assert read(path, columns={"status": "closed"}) == []
    assert len(read(path, columns={"status": None})) == 3


def test_a_column_that_is_not_there_holds_nothing(path: Path) -> None:
    assert read(path, columns={"noSuchColumn": "x"}) == []
    assert len(read(path, columns={"noSuchColumn": None})) == 3


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (ms(16), None, ["sn-2", "sn-3"]),
        (ms(16) + 1, None, ["sn-3"]),
        (None, ms(17), ["sn-1", "sn-2"]),
        (None, ms(17) + 1, ["sn-1", "sn-2", "sn-3"]),
        (ms(16), ms(17), ["sn-2"]),
    ],
)
def test_a_time_is_from_and_up_to_but_not_until(
    path: Path, since: int | None, until: int | None, found: list[str]
) -> None:
    assert read(path, since=since, until=until) == found


@pytest.mark.parametrize(
    "created_at", [ms(15), "2026-01-05T10:00:00.000-05:00", "2026-01-05 15:00:00"]
)
def test_a_time_is_read_as_others_write_it(path: Path, created_at: object) -> None:
    add_row(path, id="theirs", symbol="GE", createdAt=created_at)
    assert read(path, since=ms(15), until=ms(15) + 1) == ["theirs"]
    with open_rows(path, Query(columns={"id": "theirs"})) as found:
        assert found is not None
        assert [row[MOMENT] for row in found.rows] == [ms(15)]


def test_a_table_without_a_time_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    write(path, "CREATE TABLE BotTrade (id, symbol)")
    write(path, "INSERT INTO BotTrade VALUES ('a', 'GE'), ('b', 'KO')")
    assert read(path) == ["a", "b"]
    assert read(path, limit=1) == ["b"]
    assert read(path, since=0) == []


def test_the_columns_are_those_of_the_table(path: Path) -> None:
    with open_rows(path, Query()) as found:
        assert found is not None
        assert {"id", "symbol", "highPrice"} <= set(found.columns)
        assert MOMENT not in found.columns


def test_nothing_can_be_written(path: Path) -> None:
    with closing(open_to_read(path)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM BotTrade")
        assert connection.execute("SELECT count(*) FROM BotTrade").fetchone()[0] == 3


def test_what_is_no_database_is_not_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, and longer than the hundred bytes of a header" * 2)
    with closing(connect(path, read_only=True)) as connection:
        monkeypatch.setattr(trades_query, "connect", lambda *_, **__: connection)
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            open_to_read(path)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("money", ["real", "simulated"])
def test_a_file_says_which_kind_of_money_it_is_about(path: Path, money: str) -> None:
    put = "INSERT OR REPLACE INTO SnexecMeta VALUES ('money', ?)"
    write(path, (put, [money]))
    with closing(open_to_read(path)) as connection:
        assert money_of(connection) == money
    write(path, "DELETE FROM SnexecMeta WHERE key = 'money'")
    with closing(open_to_read(path)) as connection:
        assert money_of(connection) is None


def test_a_file_of_others_says_nothing_of_money(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    write(path, "CREATE TABLE BotTrade (id, symbol)")
    with closing(open_to_read(path)) as connection:
        assert money_of(connection) is None
