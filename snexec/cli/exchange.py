"""Run the simulated exchange on its own, for tests and to try things out."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click
import trio

from snexec.errors import StartError
from snexec.exchange.server import Exchange
from snexec.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


def run_exchange(config: Path, port: int) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigError: The configuration cannot be used.
        StartError: The port is taken.
    """
    settings = load_settings(config)
    trio.run(_serve, Exchange(settings.exchange), port)


async def _serve(exchange: Exchange, port: int) -> None:
    refusal: StartError | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(_run, exchange, port)
            except OSError as exc:
                # A nursery would wrap it in a group, so it is raised after this one.
                refusal = StartError(f"exchange: port {port}: {exc.strerror}")
            else:
                click.echo(
                    f'simulated exchange; nothing is traded\npaper_url = "{exchange.paper_url}"\nlive_url = "{exchange.live_url}"'
                )
                async for _number in received:
                    break
            nursery.cancel_scope.cancel(reason="stopped by a signal, or refused")
    if refusal is not None:
        raise refusal


async def _run(
    exchange: Exchange,
    port: int,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await exchange.run(port=port, task_status=task_status)
