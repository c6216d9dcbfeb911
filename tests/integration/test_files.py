"""Other programs' hands in the files of a daemon that trades: nothing is lost unseen."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.permissions import files_of
from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.exchange.server import Exchange
    from tests.integration.harness import Client


async def send(client: Client, count: int, first: int) -> list[str]:
    return [
        (await client.ask(signal_line(f"S{number}")))["status"]
        for number in range(first, first + count)
    ]


def orders_without_a_row(box: Box, broker: Exchange) -> set[str]:
    rows = {row["id"] for row in box.rows()}
    return {order.client_order_id for order in broker.paper.book.orders()} - rows


def wal(box: Box) -> Path:
    return Path(f"{box.database}-wal")


def remove_beside(box: Box, ending: str) -> None:
    Path(f"{box.database}{ending}").unlink()


@pytest.mark.parametrize("endings", [("-wal",), ("-shm",), ("-wal", "-shm")])
async def test_a_log_that_is_removed_costs_no_row_and_no_daemon(
    endings: tuple[str, ...],
) -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await send(client, 20, 0)
            for ending in endings:
                remove_beside(box, ending)
            await send(client, 20, 100)
            await box.until(lambda: "trading goes on" in box.log(), "it says so")
            await send(client, 20, 200)
            await box.until(
                lambda: box.rows("symbol = 'S219' AND shares IS NOT NULL"), "it trades"
            )
            process.kill()
            await process.wait()
        assert orders_without_a_row(box, broker) == set()


async def fill_fifty_with_a_backup_after_ten(box: Box, client: Client) -> None:
    await send(client, 10, 0)
    await box.until(
        lambda: len(box.rows("settledAt IS NOT NULL")) == 10, "all are filled"
    )
    with closing(sqlite3.connect(box.database)) as other:
        other.execute(f"VACUUM INTO '{box.folder / 'backup.db'}'")
    await send(client, 40, 100)
    await box.until(
        lambda: len(box.rows("settledAt IS NOT NULL")) == 50, "all are filled"
    )


async def until_no_checkpoint_runs(box: Box) -> None:
    """Wait, as what is written over in the moment of one cannot be told from it."""
    await box.until(
        lambda: time.time() - box.database.stat().st_mtime > 1, "no checkpoint runs"
    )


def remove(box: Box) -> None:
    box.database.unlink()


def put_a_backup_in_place(box: Box) -> None:
    shutil.copyfile(box.folder / "backup.db", box.database)


def cut_the_log(box: Box) -> None:
    os.truncate(wal(box), 0)


@pytest.mark.parametrize("attack", [remove, put_a_backup_in_place, cut_the_log])
async def test_nothing_leaves_once_rows_would_not_be_found_again(
    attack: Callable[[Box], None],
) -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await fill_fifty_with_a_backup_after_ten(box, client)
            had = len(list(broker.paper.book.orders()))
            if attack is put_a_backup_in_place:
                await until_no_checkpoint_runs(box)
            attack(box)
            await send(client, 20, 200)
            await box.until(lambda: "no order is placed until" in box.log(), "it says")
            assert set(await send(client, 5, 300)) == {"overloaded"}
            status = await client.ask(b'{"command":"status"}\n')
            assert status["writer"]["healthy"] is False
            assert f"{box.database}" in status["problems"]["writer"]
            assert len(list(broker.paper.book.orders())) == had
            process.kill()
            await process.wait()


async def test_a_backup_in_place_is_what_the_next_start_finds() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await fill_fifty_with_a_backup_after_ten(box, client)
            await until_no_checkpoint_runs(box)
            put_a_backup_in_place(box)
            await box.until(lambda: "no order is placed until" in box.log(), "it says")
            process.kill()
            await process.wait()
        assert len(box.rows()) == 10
        with closing(sqlite3.connect(box.database)) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def modes(box: Box) -> dict[str, int]:
    ours = [box.socket, *files_of(box.socket), *files_of(box.database)]
    return {path.name: path.stat().st_mode & 0o777 for path in ours if path.exists()}


def lie_open(box: Box) -> None:
    for path in files_of(box.database):
        path.touch()
        path.chmod(0o644)
    box.folder.chmod(0o777)


@pytest.mark.parametrize("existing", [False, True])
async def test_what_the_daemon_keeps_is_its_owners_alone(existing: bool) -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        if existing:
            lie_open(box)
        before = os.umask(0)
        try:
            async with box.daemon() as process, box.client() as client:
                await send(client, 1, 0)
                assert set(modes(box).values()) == {0o600}
                assert len(modes(box)) == 6, "two locks, a socket, three of the rows"
                assert await box.stop(process) == 0
        finally:
            os.umask(before)
        assert ("lay open to others (mode 0644)" in box.log()) is existing
        assert (f"chmod go-w {box.folder.resolve()}" in box.log()) is existing


@pytest.mark.skipif(sys.platform != "linux", reason="only names are locked there")
async def test_a_second_daemon_on_a_hard_link_of_the_database_is_refused() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            second = second_name(box)
            second.configure(alpaca=alpaca(broker))
            ended = await second.run()
            assert ended.returncode == 1
            said = ended.stderr.decode()
            assert f"another snexec runs on {second.database}" in said
            assert "Traceback" not in said
            assert await send(client, 1, 0) == ["accepted"]
            assert await box.stop(process) == 0


def second_name(box: Box) -> Box:
    folder = box.folder / "second"
    folder.mkdir(mode=0o700)
    second = Box(folder)
    second.database.hardlink_to(box.database)
    return second
