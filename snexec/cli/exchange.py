"""Run the simulated exchange on its own, for tests and to try things out."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click
import trio

from snexec.errors import StartError
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from snexec.logs import printable

if TYPE_CHECKING:
    from pathlib import Path


class ExchangeOptions(NamedTuple):
    """What the command line says of it.

    Attributes:
        port: Where to listen; 0 is any free port.
        prices: A file of prices to keep symbols at.
        log_requests: Whether each request is a line on standard error.
    """

    port: int
    prices: Path | None = None
    log_requests: bool = False


def run_exchange(config: Path | None, options: ExchangeOptions) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        config: Its ``[exchange]`` says how it behaves; None is the usual.
        options: The rest.

    Raises:
        ConfigError: The configuration cannot be used.
        StartError: The port is taken, or the file of prices cannot be read.
    """
    settings = ExchangeSettings()
    if config is not None:
        from snexec.settings import load_settings

        settings = load_settings(config).exchange
    log_request = _print_request if options.log_requests else None
    trio.run(_serve, Exchange(settings, log_request=log_request), options)


def _print_request(line: str) -> None:
    click.echo(printable(line), err=True)
    sys.stderr.flush()


async def _serve(exchange: Exchange, options: ExchangeOptions) -> None:
    refusal: StartError | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async with trio.open_nursery() as nursery:
            try:
                await _start(exchange, options, nursery)
            except StartError as exc:
                # A nursery would wrap it in a group, so it is raised after this one.
                refusal = exc
            else:
                click.echo(
                    "simulated exchange; nothing is traded\n"
                    f'paper_url = "{exchange.paper_url}"\n'
                    f'live_url = "{exchange.live_url}"'
                )
                sys.stdout.flush()
                async for _number in received:
                    break
            nursery.cancel_scope.cancel(reason="stopped by a signal, or refused")
    if refusal is not None:
        raise refusal


async def _start(
    exchange: Exchange, options: ExchangeOptions, nursery: trio.Nursery
) -> None:
    if options.prices is not None:
        file = exchange.follow_prices(options.prices)
        try:
            file.read()
        except OSError as exc:
            raise StartError(f"--prices: {options.prices}: {exc.strerror}") from None
        nursery.start_soon(file.run, name="file of prices")
    try:
        await nursery.start(partial(exchange.run, port=options.port))
    except OSError as exc:
        raise StartError(f"exchange: port {options.port}: {exc.strerror}") from None
