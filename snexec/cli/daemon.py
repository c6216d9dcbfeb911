"""Run the daemon: OS signals, locks, the built-in exchange (SPEC 2)."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib.util
import logging
import os
import resource
import secrets
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from snexec.access import access_of
from snexec.app import Daemon
from snexec.boot_clock import BootClock
from snexec.broker import BuiltInExchange, ignored_proxies, tls_context
from snexec.cli.daemon_logs import set_up_logging
from snexec.cli.kept_settings import keep_settings
from snexec.clock import SystemClock
from snexec.errors import StartError
from snexec.intake import Entrance, Kind, kind_of_stdin
from snexec.ledger import Ledger, Store, open_database
from snexec.locks import lock_database
from snexec.logs import (
    JsonFormatter,
    LineFormatter,
    LogDrain,
    SecretMask,
    json_of_dropped,
)
from snexec.names import HostNames
from snexec.ops import Systemd
from snexec.permissions import warn_open_folders
from snexec.risk import is_unlimited, unlimited_words
from snexec.settings import (
    LiveSettings,
    learn_secrets,
    load_settings,
    redis_address,
    warn_open_secrets,
)
from snexec.stages import Opened

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from snexec.cli.run_report import RunReport
    from snexec.ops import Web
    from snexec.settings import Settings

log = logging.getLogger("Daemon")

_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

# How long another thread, which may import or write the log, keeps Python from the loop
# that trades. With the interpreter's own 5 ms the first order after a start took 28 ms
# beside the import of the stream, and takes 18.
_SWITCH_SECONDS = 0.0005

# How many objects are made between two looks for garbage, of which orders make none.
# Python's own 700 took an eighth of a fill's time; one look takes 0.2 ms now.
_OBJECTS = 10_000

_OPEN_FILES = 65_536  # where the system allows it: each client is one


def run_daemon(
    config: Path,
    *,
    stop_at_end_of_input: bool,
    log_level: str,
    log_format: str = "text",
) -> int:
    """Run until stopped, and return the exit status.

    Raises:
        ConfigError: The configuration cannot be used; nothing was created.
        StartError: The daemon cannot start here.
    """
    settings = load_settings(config)
    _refuse_without_driver(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    _allow_open_files()
    stdin = kind_of_stdin()
    if not stop_at_end_of_input and stdin in {Kind.TERMINAL, Kind.DEVICE}:
        stdin = Kind.NOTHING
    mask = SecretMask()
    learn_secrets(mask, settings)
    drain = (
        LogDrain(JsonFormatter(mask), notice=json_of_dropped)
        if log_format == "json"
        else LogDrain(LineFormatter(mask))
    )
    set_up_logging(drain, log_level)
    report: RunReport | None = None
    if stop_at_end_of_input:
        from snexec.cli.run_report import RunReport  # only where it is shown

        report = RunReport()
    status = 0
    try:
        logs, clock = (mask, drain), BootClock()
        trio.run(_main, config, settings, logs, stdin, report, clock=clock)
    except StartError:
        raise
    except Exception:
        # Whatever it was: a supervisor starts it again, and recovery finds the rest.
        log.exception("the daemon has failed and stops; start it again, it recovers")
        status = 1
    finally:
        drain.flush_now()
    if report is not None:
        is_screen = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_screen else None
        click.echo(report.table(width))
    return status


async def _main(
    config: Path,
    settings: Settings,
    logs: tuple[SecretMask, LogDrain],
    stdin: Kind,
    report: RunReport | None,
) -> None:
    systemd = Systemd(os.environ)
    if systemd.is_watched:
        faulthandler.enable()  # its SIGABRT then says where we hang
    tls = _read_certificates(settings)
    access = access_of(settings.intake.socket_mode, settings.intake.socket_group)
    now: Settings | None = settings
    with (
        trio.open_signal_receiver(*_SIGNALS) as received,
        contextlib.closing(systemd),
        HostNames(),
        Entrance(Path(settings.intake.socket), access) as entrance,
    ):
        while now is not None:
            now = await _run_until_standby(
                *(config, now, logs, stdin, report, systemd, tls, received, entrance)
            )
            if now is not None:
                # Or the next one would freeze, and so keep, what this one leaves behind.
                gc.unfreeze()
                gc.collect()


async def _run_until_standby(  # noqa: PLR0917 - all that `_main` has
    config: Path,
    settings: Settings,
    logs: tuple[SecretMask, LogDrain],
    stdin: Kind,
    report: RunReport | None,
    systemd: Systemd,
    tls: ssl.SSLContext | None,
    received: AsyncIterator[int],
    entrance: Entrance,
) -> Settings | None:
    """Run a daemon until it is stopped, or another host may order.

    A daemon that was active and is not any more ends as in a crash, and another one
    stands by in its place: nothing of the first can order, and what it knew is asked
    anew, as at any start.

    Returns:
        The settings of the one that stands by; None after a stop.
    """
    mask, drain = logs
    clock = SystemClock()
    database = Path(settings.database)
    refusal: StartError | None = None
    with (
        lock_database(database) as lock,
        contextlib.closing(
            Store(
                open_database(
                    database, simulated=settings.alpaca.simulate, clock=clock
                ),
                clock=clock,
            )
        ) as store,
        contextlib.nullcontext(entrance.listener()) as listener,
        keep_settings(config, settings),
    ):
        async with trio.open_nursery() as root:
            root.start_soon(drain.run, name="log lines")
            warn_open_secrets(config, settings)
            warn_open_folders([database.parent, Path(settings.intake.socket).parent])
            if proxies := ignored_proxies(os.environ):
                log.warning("%s", proxies)
            daemon = Daemon(
                Opened(
                    live=LiveSettings(settings, path=config, mask=mask),
                    clock=clock,
                    ledger=Ledger(store, path=database, clock=clock, lock=lock),
                    listener=listener,
                    stdin=stdin,
                    report=report,
                    exchange=await _start_exchange(root, settings),
                    tls=tls,
                    systemd=systemd,
                    web=_web(settings),
                    dropped_lines=lambda: drain.dropped,
                )
            )
            root.start_soon(_obey_signals, received, daemon, root, name="OS signals")
            # No collection looks through the program itself, which takes 10 to 30 ms.
            gc.freeze()
            gc.set_threshold(_OBJECTS)
            gc.enable()
            try:
                await daemon.run()
            except StartError as exc:
                # A nursery would wrap it in a group, so it is raised after this one.
                refusal = exc
            root.cancel_scope.cancel(reason="the daemon has stopped")
    if refusal is not None:
        raise refusal
    return daemon.wings.live.now if daemon.stages.is_lease_lost else None


def _refuse_without_driver(settings: Settings) -> None:
    """Say how to install what ``[redis]`` needs, if it is not there.

    Raises:
        StartError: It is not.
    """
    if settings.redis is not None and importlib.util.find_spec("coredis") is None:
        raise StartError(
            "[redis] needs coredis, which is not installed: pip install 'snexec[redis]'"
        )


def _read_certificates(settings: Settings) -> ssl.SSLContext | None:
    """Find out before anything runs whether the broker can be verified."""
    alpaca, webhook = settings.alpaca, settings.notify.webhook
    urls = [] if alpaca.simulate else [alpaca.paper_url, alpaca.live_url]
    if webhook is not None:
        urls.append(webhook.get_secret_value())
    redis = settings.redis
    is_encrypted = redis is not None and redis_address(redis).encrypted
    if not is_encrypted and not any(url.startswith("https:") for url in urls):
        return None
    try:
        return tls_context(os.environ)
    except OSError as exc:
        raise StartError(f"SSL_CERT_FILE/SSL_CERT_DIR cannot be used: {exc}") from None


def _web(settings: Settings) -> Web | None:
    """Return what serves the page and metrics, and takes signals, if any is wanted."""
    is_wanted = settings.page is not None or settings.http.enabled
    if not is_wanted and settings.metrics.listen is None:
        return None
    # Imported only where it is used.
    from snexec.web import WebServer

    return WebServer(settings)


async def _obey_signals(
    received: AsyncIterator[int], daemon: Daemon, nursery: trio.Nursery
) -> None:
    async for number in received:
        if number == signal.SIGHUP:
            # Beside, as a file on a disk that hangs must not keep a SIGTERM waiting.
            nursery.start_soon(daemon.operations.reload, name="reload")
            continue
        # The second one stops at once, and nothing is lost that recovery cannot find.
        for deadly in (signal.SIGTERM, signal.SIGINT):
            signal.signal(deadly, signal.SIG_DFL)
        seconds = daemon.wings.live.now.intake.shutdown_timeout_sec
        daemon.stages.stop(why=signal.Signals(number).name, seconds=seconds)


async def _start_exchange(
    nursery: trio.Nursery, settings: Settings
) -> BuiltInExchange | None:
    if not settings.alpaca.simulate:
        if settings.mode == "live":
            log.warning("mode is live: orders are placed with real money")
            if is_unlimited(settings.bot):
                log.warning("live, and %s; set limits in [bot]", unlimited_words())
        return None
    # Imported only where it is used: it brings a web server along.
    from snexec.exchange.server import Exchange

    exchange = Exchange(settings.simulated_exchange())
    await nursery.start(exchange.run, name="simulated exchange")
    log.warning(
        "SIMULATED: the built-in exchange answers at %s; nothing is traded",
        exchange.paper_url,
    )
    return BuiltInExchange(
        urls={"paper": exchange.paper_url, "live": exchange.live_url},
        quote=exchange.quote,
        id_salt=secrets.token_hex(8),
        data_url=exchange.data_url,
        stories=exchange.stories,
    )


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
