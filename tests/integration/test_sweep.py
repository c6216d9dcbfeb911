"""The README's own backup put back: what the broker has and the file has not."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from snexec.exchange.faults import RestFault
from snexec.exchange.settings import Behaviour
from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.exchange.server import Exchange
    from tests.integration.harness import Client


def back_up(box: Box) -> Path:
    """Back the database up as the README says."""
    backup = box.folder / "backup.db"
    with closing(sqlite3.connect(box.database)) as connection:
        connection.execute(f"VACUUM INTO '{backup}'")
    return backup


def put_back(box: Box, backup: Path) -> None:
    """Put a backup in the place of the database, as after a lost disk."""
    for beside in box.folder.glob(f"{box.database.name}*"):
        beside.unlink()
    shutil.copy(backup, box.database)


async def skipped(box: Box, client: Client, reason: str, count: int) -> None:
    """Wait until so many signals were skipped for a reason."""
    while True:
        status = await client.ask(b'{"command":"status"}\n')
        if status["skipped"].get(reason) == count:
            return
        assert status["orders"]["placed"] == 0, (status, box.log())


async def bought(box: Box, broker: Exchange, *symbols: str) -> None:
    """Start, buy, and stop in good order."""
    async with box.daemon() as process, box.client() as client:
        for symbol in symbols:
            await client.ask(signal_line(symbol, id=f"n-{symbol}"))
        await box.until(
            lambda: len(box.rows("settledAt IS NOT NULL")) >= len(symbols), "filled"
        )
        assert await box.stop(process) == 0
    assert len(broker.paper.posts) == len(symbols)


async def test_what_was_bought_after_a_backup_has_its_row_again_and_is_not_bought_twice() -> (
    None
):
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process:
            assert await box.stop(process) == 0
        backup = back_up(box)
        await bought(box, broker, "KO", "BTCUSD")
        before = {row["id"]: row for row in box.rows()}
        put_back(box, backup)
        assert box.rows() == []

        async with box.daemon() as process, box.client() as client:
            await box.until(
                lambda: len(box.rows("settledAt IS NOT NULL")) == 2, "both are back"
            )
            for row in box.rows():
                was = before[row["id"]]
                for column in (
                    *("symbol", "status", "shares", "entryPrice", "mode", "notional"),
                    *("alpacaOrderId", "exitReason", "signalId"),
                ):
                    expected = None if column == "signalId" else was[column]
                    assert row[column] == expected, column
            await client.ask(signal_line("KO", id="another"))
            await skipped(box, client, "symbol_open", 1)
            await client.ask(signal_line("BTC/USD", id="n-BTCUSD"))
            await skipped(box, client, "repeated", 1)
            assert await box.stop(process) == 0

        assert len(broker.paper.posts) == 2
        assert (
            box.log().count("of ours that no row knows: its row is written, open") == 2
        )
        assert "ERROR [Recovery] KO trade=sn-" in box.log()


async def test_a_start_that_waits_for_rows_waits_for_those_that_are_missing_too() -> (
    None
):
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("WORK", Behaviour(end_status="never"))
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("WORK", id="n-0"))
            await box.until(lambda: box.rows("alpacaOrderId IS NOT NULL"), "placed")
            assert await box.stop(process) == 0
        backup = back_up(box)
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("KO", id="n-1"))
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "filled")
            assert await box.stop(process) == 0
        put_back(box, backup)

        async with box.daemon():
            row = {each["symbol"]: each for each in box.rows()}["KO"]
            assert (row["status"], row["settledAt"] is not None) == ("open", True)


def noted(box: Box, key: str) -> str | None:
    """Return a note of the file's."""
    with closing(sqlite3.connect(box.database)) as connection:
        found = connection.execute(
            "SELECT value FROM SnexecMeta WHERE key = ?", [key]
        ).fetchone()
    return None if found is None else str(found[0])


def list_slowly(broker: Exchange, seconds: float) -> None:
    """Have the paper account's next list of orders take a while."""
    broker.paper.rest_faults.add(
        RestFault(how="delay", delay_sec=seconds, method="GET", path="/v2/orders?")
    )


async def test_a_start_from_a_backup_takes_no_signal_before_it_knows_what_is_held() -> (
    None
):
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        await bought(box, broker, "MO")
        async with box.daemon() as process, box.client() as client:
            await box.until(lambda: noted(box, "stopped") is None, "started")
            backup = back_up(box)
            await client.ask(signal_line("KO", id="n-KO"))
            await box.until(lambda: len(box.rows("settledAt NOT NULL")) == 2, "filled")
            assert await box.stop(process) == 0
        put_back(box, backup)

        list_slowly(broker, 0.5)
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("KO", id="another"))
            await skipped(box, client, "symbol_open", 1)
            assert await box.stop(process) == 0
        assert len(broker.paper.posts) == 2
        assert "paper is asked first for orders without a row" in box.log()


async def test_a_start_after_a_kill_asks_first_and_one_after_a_stop_does_not() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        await bought(box, broker, "MO")
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("KO", id="n-KO"))
            await box.until(lambda: len(box.rows("settledAt NOT NULL")) == 2, "filled")
            process.kill()
            await process.wait()
        asked = "paper is asked first for orders without a row"
        assert asked not in box.log()
        before = noted(box, "swept paper")
        async with box.daemon() as process:
            await box.until(lambda: asked in box.log(), "asked first")
            await box.until(lambda: noted(box, "swept paper") != before, "swept")
            assert await box.stop(process) == 0
        async with box.daemon() as process:
            assert await box.stop(process) == 0
        assert box.log().count(asked) == 1
