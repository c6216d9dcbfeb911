"""Settling a row at the command line, with and without a daemon (SPEC 2, 15)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from snexec.clock import SystemClock
from snexec.errors import StartError
from snexec.ledger.rows import OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.locks import lock_file
from tests.cli.conftest import running, until
from tests.fakes import make_trade
from tests.integration.harness import KEYS, alpaca
from tests.ledger.hands import write

if TYPE_CHECKING:
    from snexec.exchange.server import Exchange
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


@pytest.fixture
def real_box(
    box: Box, broker: Exchange, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> Box:
    """Give a box that takes the exchange for Alpaca, with a filled row of KO."""
    del desk
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    box.configure(alpaca=alpaca(broker))
    fill(box, "sn-1", "KO")
    return box


def fill(box: Box, trade_id: str, symbol: str, *, simulated: bool = False) -> None:
    clock = SystemClock()
    with closing(
        open_database(box.database, simulated=simulated, clock=clock)
    ) as connection:
        store = Store(connection, clock=clock)
        store.open_trade(make_trade(trade_id, symbol))
        ref = OrderRef(mode="paper", order_id="o-1", client_order_id=trade_id)
        store.apply_fill(ref, price=Decimal(60), quantity=Decimal(2))


def row(box: Box) -> dict[str, Any]:
    [found] = box.rows()
    return {name: found[name] for name in ("status", "exitReason", "exitPrice", "pnl")}


OPEN = {"status": "open", "exitReason": None, "exitPrice": None, "pnl": None}
CLOSED = {"status": "closed", "exitReason": "settled", "exitPrice": 61.5, "pnl": 3.0}
WORDS = (
    "sn-1: KO (paper), open, bought 2.0 at 60.0, becomes closed with exitReason settled,"
    " exitPrice 61.5, pnl 3.000000; paper holds none of it"
)
SETTLE = ("settle", "sn-1", "--as", "closed", "--price", "61.5")


def test_without_a_daemon_it_writes_by_itself(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert (done.status, done.err) == (0, "")
    assert done.lines == [WORDS, "sn-1 is closed now"]
    assert row(real_box) == CLOSED


def test_it_asks_first(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, *SETTLE, stdin=b"yes\n", typing=True)
    assert (done.status, done.lines[0]) == (0, WORDS)
    assert row(real_box) == CLOSED


@pytest.mark.parametrize("typed", [b"no\n", b"\n", b"y\n"])
def test_not_confirmed_is_not_done(desk: Desk, real_box: Box, typed: bytes) -> None:
    done = desk.run(real_box.config, *SETTLE, stdin=typed, typing=True)
    assert (done.status, done.lines[0]) == (1, WORDS)
    assert done.err == "snexec: not confirmed: nothing was changed\n"
    assert row(real_box) == OPEN


def test_a_row_that_changes_while_the_operator_thinks_is_left(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_meanwhile(_words: str, *, sure: bool) -> None:
        assert sure
        with closing(sqlite3.connect(real_box.database)) as monitor, monitor:
            monitor.execute(
                "UPDATE BotTrade SET status = 'closed', exitReason = 'take_profit'"
            )

    monkeypatch.setattr("snexec.cli.settle._confirm", closed_meanwhile)
    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert done.status == 1
    assert "not settled: sn-1 has changed meanwhile: ask again" in done.err
    assert row(real_box) == {**OPEN, "status": "closed", "exitReason": "take_profit"}


def test_without_a_terminal_it_is_not_done(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, *SETTLE, stdin=b"yes\n")
    assert done.status == 1
    assert "give --yes; nothing was changed" in done.err
    assert row(real_box) == OPEN


@pytest.mark.parametrize("daemon", [False, True])
def test_what_the_broker_holds_is_refused(
    desk: Desk, real_box: Box, broker: Exchange, daemon: bool
) -> None:
    positions = broker.paper.book.positions
    positions.buy("KO", Decimal(2), Decimal(120))
    refused = (
        "snexec: not settled: paper holds 2 KO: 2 are left, so sn-1 has not ended\n"
    )
    try:
        if daemon:
            with running(real_box):
                done = desk.run(real_box.config, *SETTLE, "--yes")
        else:
            done = desk.run(real_box.config, *SETTLE, "--yes")
    finally:
        positions.sell("KO", Decimal(2))
    assert (done.status, done.out, done.err) == (1, "", refused)
    assert row(real_box) == OPEN


def test_a_daemon_writes_it(desk: Desk, real_box: Box) -> None:
    with running(real_box):
        done = desk.run(real_box.config, *SETTLE, "--yes")
        assert (done.status, done.err) == (0, "")
        assert done.lines == [WORDS, "sn-1 is closed now"]
        assert row(real_box) == CLOSED
        until(lambda: "settled as closed" in real_box.log(), "the daemon logs it")
        again = desk.run(real_box.config, *SETTLE, "--yes")
        assert (again.status, again.err) == (
            1,
            "snexec: not settled: sn-1 (KO) is closed and settled\n",
        )


def test_a_row_that_is_not_there_is_refused(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, "settle", "sn-9", "--as", "missed", "--yes")
    assert (done.status, done.out) == (1, "")
    assert done.err == "snexec: not settled: there is no row sn-9\n"


def test_without_a_database_nothing_is_made(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, *SETTLE, "--yes")
    assert done.status == 1
    assert "not settled: there is no database" in done.err
    assert [path.name for path in box.folder.iterdir()] == ["config.toml"]


def test_a_broker_that_cannot_be_asked_is_named(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert done.status == 0
    assert done.lines[0].endswith(
        "; NOT CHECKED, what paper holds of KO could not be asked: there are no keys for"
        " paper here"
    )


def test_one_of_two_rows_that_keep_a_daemon_from_starting_is_settled(
    desk: Desk, real_box: Box
) -> None:
    with closing(sqlite3.connect(real_box.database)) as connection:
        # As an earlier version left it, to which these were two symbols.
        connection.execute("DROP INDEX BotTrade_one_open_per_symbol")
        connection.execute("PRAGMA user_version = 3")
        connection.execute(
            "INSERT INTO BotTrade (id, symbol, status, shares, entryPrice, settledAt,"
            " mode, createdAt, updatedAt) SELECT 'sn-2', symbol, status, shares,"
            " entryPrice, settledAt, mode, createdAt, updatedAt FROM BotTrade"
        )
        connection.commit()
    with pytest.raises(StartError, match=r"sn-1, sn-2.*snexec settle TRADE --as"):
        open_database(real_box.database, simulated=False, clock=SystemClock())

    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert (done.status, done.err) == (0, "")
    with running(real_box):
        pass
    assert {found["id"]: found["status"] for found in real_box.rows()} == {
        "sn-1": "closed",
        "sn-2": "open",
    }


def test_a_file_that_is_no_database_of_ours_is_named(desk: Desk, real_box: Box) -> None:
    with closing(sqlite3.connect(real_box.database)) as connection:
        connection.execute("ALTER TABLE BotTrade DROP COLUMN signalId")
    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert (done.status, done.out) == (1, "")
    assert "not settled: " in done.err
    assert "no such column" in done.err


def test_a_database_in_use_is_left_alone(desk: Desk, real_box: Box) -> None:
    with lock_file(real_box.database, owner="database"):
        done = desk.run(real_box.config, *SETTLE, "--yes")
    assert done.status == 1
    assert "is in use by another snexec daemon" in done.err
    assert row(real_box) == OPEN


@pytest.mark.parametrize(
    "words",
    [
        ("--as", "closed", "--price", "0"),
        ("--as", "closed", "--price", "-1"),
        ("--as", "closed", "--price", "nan"),
        ("--as", "closed", "--price", "dear"),
        ("--as", "missed", "--price", "5"),
        ("--as", "sold"),
        (),
    ],
)
def test_what_is_mistyped_is_refused(
    desk: Desk, real_box: Box, words: tuple[str, ...]
) -> None:
    done = desk.run(real_box.config, "settle", "sn-1", *words, "--yes")
    assert (done.status, done.out) == (2, "")
    assert row(real_box) == OPEN


def test_a_row_that_cannot_be_changed_is_refused_by_name(
    desk: Desk, real_box: Box
) -> None:
    write(
        real_box.database,
        "CREATE TRIGGER guard BEFORE UPDATE ON BotTrade BEGIN"
        " SELECT RAISE(ABORT, 'never'); END",
    )
    done = desk.run(real_box.config, *SETTLE, "--yes")
    assert done.status == 1
    assert (
        "not settled: the row cannot be changed: trigger guard of another program"
        " refuses the row: never" in done.err
    )
    assert row(real_box) == OPEN
