"""Checks what is on this machine: file, keys, database, socket (SPEC 2, 3, 10)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snexec import __version__
from snexec.assets import CRYPTO, asset_class
from snexec.broker import ignored_proxies, tls_context
from snexec.cli.check_findings import Finding, fail, ok, warn
from snexec.cli.daemon_client import ask_status
from snexec.cli.formats import duration, foreign, number
from snexec.cli.trades_query import open_to_read
from snexec.errors import (
    CommandError,
    ConfigError,
    DaemonGoneError,
    NoDaemonError,
    NotAllowedError,
    StartError,
)
from snexec.ledger import (
    SCHEMA_VERSION,
    check_kind,
    check_rows,
    describe_oddities,
    find_ahead,
    kind_words,
    named,
    refuse_damaged,
)
from snexec.model import MODES, STARS, counted
from snexec.permissions import files_of, folder_lies_open, lies_open
from snexec.risk import (
    exits_words,
    is_unlimited,
    limits_set,
    read_both,
    unlimited_words,
)
from snexec.settings import credential, credentials_for, open_secrets

if TYPE_CHECKING:
    from snexec.model import Mode
    from snexec.settings import Settings

_MEGABYTE = 1024 * 1024
_SCARCE_BYTES = 1024 * _MEGABYTE
_TOO_FEW_BYTES = 50 * _MEGABYTE


def check_config(config: Path, settings: Settings) -> Finding:
    """Check who may read and write a configuration file that is valid."""
    mode = config.stat().st_mode
    shown = f"{config} is valid, mode {settings.mode}, bot {settings.bot.state}"
    if not settings.bot.enabled:
        shown += " (disabled)"
    if found := open_secrets(config, settings):
        detail = f"{shown}; it holds {found}, and others can read it"
        return warn("config", detail, f"chmod 600 {config}")
    if mode & stat.S_IWOTH:
        return warn("config", f"{shown}; anybody may write it", f"chmod o-w {config}")
    return ok("config", shown)


def check_guards(config: Path, settings: Settings) -> Finding:
    """Check whether anything stops every signal, and say which limits are set."""
    bot = settings.bot
    shown = ", ".join(limits_set(bot)) or "no limit is set"
    halt, for_all = read_both(config)
    if halt is not None:
        reach = exits_words(stops_all=for_all)
        detail = f"HALTED, {reach}: {halt.reason} (since {halt.since}); {shown}"
        return warn("guards", detail, "when it is over: snexec resume")
    if not bot.enabled:
        return warn("guards", f"enabled = false, nothing is traded; {shown}")
    if bot.state != "running":
        return warn("guards", f"{bot.state}, nothing is bought; {shown}")
    if settings.mode == "live" and is_unlimited(bot):
        advice = (
            "set daily_loss_limit_usd, max_concurrent_positions and others in [bot]"
        )
        rest = f"; {shown}" if limits_set(bot) else ""
        return warn("guards", f"live, and {unlimited_words()}{rest}", advice)
    if bot.min_win_rate is not None:
        shown += "; min_win_rate can stop all trading until snexec resume"
    return ok("guards", shown)


def check_sizes(settings: Settings) -> list[Finding]:
    """Check that crypto can be ordered in every size, where it may be ordered at all."""
    bot = settings.bot
    allowed = bot.symbols_allowed
    if allowed is not None and CRYPTO not in map(asset_class, allowed):
        return []
    smallest = CRYPTO.smallest_dollars
    small = [
        f"trade_size_stars{stars} = {dollars}"
        for stars in STARS
        if (dollars := bot.dollars(stars)) < smallest
    ]
    if not small:
        return []
    return [
        warn(
            "sizes",
            f"{', '.join(small)}: the broker refuses crypto orders of less than"
            f" ${smallest}",
            "raise it, or name the shares that may trade in symbols_allowed",
        )
    ]


def check_keys(settings: Settings) -> list[Finding]:
    """Check for each mode's keys, which are never shown."""
    if settings.alpaca.simulate:
        return [ok("keys", "simulated: none are needed")]
    return [_check_keys_of(mode, settings) for mode in MODES]


def check_proxies() -> list[Finding]:
    """Check for proxies that the environment names and nothing goes through."""
    found = ignored_proxies(os.environ)
    if not found:
        return []
    return [warn("proxy", found, "let this machine reach Alpaca without one")]


def check_certificates() -> Finding:
    """Check that the certificates to verify the broker with can be read."""
    try:
        tls_context(os.environ)
    except OSError as exc:
        return fail(
            "certificates",
            f"SSL_CERT_FILE/SSL_CERT_DIR cannot be used: {exc}",
            "name a readable bundle, or unset them",
        )
    return ok("certificates", "can be read")


def check_database(settings: Settings) -> list[Finding]:
    """Check the database file and its folder; neither is changed."""
    path = Path(settings.database)
    folder = path.resolve().parent
    if not folder.is_dir():
        return [fail("database", f"{folder} is no folder", f"mkdir -p {folder}")]
    found = [_check_disk(folder)]
    writable = os.access(folder, os.W_OK | os.X_OK)
    if path.exists() and not (writable and os.access(path, os.W_OK)):
        found.append(
            fail("folder", f"{path} and its folder must be writable", "chown them")
        )
    elif not writable:
        found.append(fail("folder", f"{folder} is not writable", "chown it"))
    found += _check_others(path, folder)
    if not path.exists():
        if writable:
            found.append(ok("database", f"{path}: the first start makes it"))
        return found
    found.append(_check_content(path, settings))
    return found + _check_dates(path)


def check_daemon(
    config: Path, settings: Settings
) -> tuple[Finding, dict[str, Any] | None]:
    """Check whether a daemon runs; return its status too, if it gave one."""
    path = Path(settings.intake.socket)
    try:
        status = ask_status(settings, config)
    except NoDaemonError:
        return _check_socket_path(path), None
    except CommandError as exc:
        return fail("daemon", str(exc), _advice_on(exc)), None
    seconds = number(status.get("uptimeSec"))
    shown = (
        f"runs, pid {foreign(status.get('pid'))}, mode {foreign(status.get('mode'))}"
        + ("" if seconds is None else f", up {duration(seconds)}")
    )
    for key, theirs, ours, advice in (
        ("version", status.get("version"), __version__, "restart it"),
        ("mode", status.get("mode"), settings.mode, "send it SIGHUP"),
        ("simulate", status.get("simulate"), settings.alpaca.simulate, "restart it"),
    ):
        if theirs != ours:
            detail = f"{shown}; its {key} is {_word(theirs)}, here it is {_word(ours)}"
            return warn("daemon", detail, advice), status
    writer = status.get("writer")
    if isinstance(writer, dict) and writer.get("healthy") is False:
        return fail("daemon", f"{shown}; it cannot write its database"), status
    if isinstance(halt := status.get("halted"), dict):
        reach = exits_words(stops_all=halt.get("all") is True)
        detail = f"{shown}; HALTED, {reach}: {foreign(halt.get('reason'))}"
        return warn("daemon", detail, "when it is over: snexec resume"), status
    return ok("daemon", shown), status


def _advice_on(exc: CommandError) -> str:
    """Return what to do about a socket that is there and does not serve us."""
    match exc:
        case NotAllowedError():
            return ""  # its words say who may
        case DaemonGoneError():
            return "look at its log, and check again"
        case _:
            return (
                "is it a daemon that hangs? its log and status say; else move it away"
            )


def _check_socket_path(path: Path) -> Finding:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        return fail("daemon", f"{path}: its folder is not writable", "chown it")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        return fail("daemon", f"{path} is no socket", "move it away")
    left = "; a dead one left its socket, the next replaces it" if path.exists() else ""
    return ok("daemon", f"none runs at {path}{left}")


def _check_keys_of(mode: Mode, settings: Settings) -> Finding:
    what, bad = f"{mode} keys", fail if mode == settings.mode else warn
    name = f"APCA_{mode.upper()}_API_KEY_ID"
    try:
        credentials = credentials_for(mode, settings)
    except ConfigError as exc:
        # In either mode: the daemon refuses to start with half a pair.
        return fail(what, str(exc), "set both or neither")
    if credentials is None:
        secret = f"APCA_{mode.upper()}_API_SECRET_KEY"
        return bad(what, "there are none", f"set {name} and {secret}")
    common = "common to both modes"
    for key_name, whose in ((name, "of this mode"), ("APCA_API_KEY_ID", common)):
        if os.environ.get(key_name):
            return ok(what, f"in the environment, {whose}")
        if credential(key_name, os.environ):
            return ok(what, f"among the credentials, {whose}")
    return ok(what, f"in the file, {common}")


def _check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    shown = f"{free // _MEGABYTE:,} MB free in {folder}"
    if free < _TOO_FEW_BYTES:
        return fail("disk", shown, "free some: orders stop when rows cannot be written")
    if free < _SCARCE_BYTES:
        return warn("disk", shown, "free some: orders stop when rows cannot be written")
    return ok("disk", shown)


def _check_dates(path: Path) -> list[Finding]:
    """Name rows dated ahead; none where the check of the content says why."""
    try:
        with closing(open_to_read(path)) as connection:
            rows = find_ahead(connection, datetime.now(UTC))
    except sqlite3.Error:
        return []
    if not rows:
        return []
    return [
        warn(
            "dates",
            f"rows are dated ahead of this machine's clock ({named(rows)}): those of"
            " later than tomorrow count for no limit",
            "look at the clock, or correct the rows",
        )
    ]


def _check_others(path: Path, folder: Path) -> list[Finding]:
    """Check what others than the owner may do with the rows."""
    found = []
    if folder_lies_open(folder):
        detail = f"{folder} can be written by others, who may replace the database"
        found.append(warn("folder", detail, f"chmod go-w {folder}"))
    if opened := [str(each) for each in files_of(path) if lies_open(each)]:
        detail = f"open to others: {', '.join(opened)}"
        found.append(warn("files", detail, f"chmod 600 {' '.join(opened)}"))
    return found


def _check_content(path: Path, settings: Settings) -> Finding:
    kind = "simulated" if settings.alpaca.simulate else "real"
    try:
        with closing(open_to_read(path)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                return fail(
                    "database",
                    f"{path} has schema version {version}, this snexec knows"
                    f" {SCHEMA_VERSION} at most",
                    "upgrade snexec, or name another file in `database`",
                )
            refuse_damaged(connection, path)
            tables = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master")
            }
            if "SnexecMeta" in tables:
                check_kind(connection, path, kind)
            count, odd = 0, list[str]()
            if "BotTrade" in tables:
                check_rows(connection, path)
                count = connection.execute("SELECT count(*) FROM BotTrade").fetchone()[
                    0
                ]
                if version == SCHEMA_VERSION:  # an older file lacks columns
                    odd = describe_oddities(connection)
    except StartError as exc:
        return fail("database", str(exc).removeprefix("database: "))
    except sqlite3.Error as exc:
        return fail("database", f"{path} cannot be read: {exc}")
    shown = f"{path}: undamaged, {counted(count, 'row')} of {kind_words(kind)}, schema {version}"
    if version < SCHEMA_VERSION:
        shown += f" (the next start makes it {SCHEMA_VERSION})"
    if odd:
        more = f", and {len(odd) - 1} more" if odd[1:] else ""
        return warn("database", f"{shown}; {odd[0]}{more}", "mend the row")
    return ok("database", shown)


def _word(value: object) -> str:
    """Return a value as the configuration has it."""
    return str(value).lower() if isinstance(value, bool) else foreign(value)
