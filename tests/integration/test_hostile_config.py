"""Half a configuration, and what is none, under a daemon that trades."""

from __future__ import annotations

import itertools
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSED = "the configuration is refused, and the old one stays: "


def refused_times(box: Box, count: int) -> bool:
    return box.log().count(REFUSED) == count


async def test_half_a_file_buys_nothing_that_the_whole_one_stopped() -> None:
    async with real_box() as (box, broker):
        box.configure(
            alpaca=alpaca(broker),
            bot={"state": "paused", "symbols_blocked": ["GME"], "max_share_price": 5},
        )
        whole = box.config.read_text()
        async with box.daemon() as process, box.client() as client:
            for count, cut in enumerate(("state", "[bot]"), start=1):
                box.config.write_text(whole.partition(cut)[0])
                process.send_signal(signal.SIGHUP)
                await box.until(
                    partial(refused_times, box, count), "half a file is refused"
                )
            assert (
                'what is loosened must be said outright: bot.state = "running",'
                ' bot.symbols_blocked = "off", bot.max_share_price = "off"'
            ) in box.log()
            await client.ask(signal_line("GME"))
            status = await client.ask(b'{"command":"status"}\n')
            assert status["skipped"] == {"paused": 1}
            assert status["state"] == "paused"

            box.config.write_text(
                whole.replace("paused", "running").replace('["GME"]', '"off"')
            )
            process.send_signal(signal.SIGHUP)
            await box.until(
                lambda: 'bot.state is "running" now (was "paused")' in box.log(),
                "it is said outright",
            )
            assert 'bot.symbols_blocked is off now (was ["GME"])' in box.log()
        assert not broker.paper.posts


def pipe(config: Path) -> str:
    os.mkfifo(config)
    return "is not a regular file"


def device(config: Path) -> str:
    config.symlink_to("/dev/zero")
    return "is not a regular file"


def folder(config: Path) -> str:
    config.mkdir()
    return "Is a directory"


def ten_megabytes(config: Path) -> str:
    config.write_bytes(b"x = 1\n" * 1_700_000)
    return "is larger than 1048576 bytes"


@pytest.mark.parametrize("make", [pipe, device, folder, ten_megabytes])
async def test_what_is_no_configuration_is_refused_and_trading_goes_on(
    make: Callable[[Path], str],
) -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            box.config.unlink()
            said = make(box.config)
            process.send_signal(signal.SIGHUP)
            await box.until(lambda: REFUSED in box.log(), "it is refused")
            assert f"{box.config}: {said}" in box.log()
            assert (await client.ask(signal_line("AAPL")))["status"] == "accepted"
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it is filled")

        done = await box.run()
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr == f"snexec: {box.config}: {said}\n".encode()


async def test_a_file_that_never_holds_still_keeps_no_sigterm_waiting() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, trio.open_nursery() as nursery:
            nursery.start_soon(keep_writing, box)
            process.send_signal(signal.SIGHUP)
            await trio.sleep(0.5)
            assert await box.stop(process) == 0
            nursery.cancel_scope.cancel()
        assert "is being written" not in box.log(), "it was not read to its end"


async def keep_writing(box: Box) -> None:
    text = box.config.read_text()
    for number in itertools.count():
        box.config.write_text(f"{text}# {number}\n")
        await trio.sleep(0.02)
