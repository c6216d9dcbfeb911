"""A hardened systemd unit for this installation and this configuration file."""

from __future__ import annotations

import getpass
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import snexec
from snexec.cli.reach import in_the_way
from snexec.errors import ConfigError
from snexec.settings import load_settings

if TYPE_CHECKING:
    from snexec.settings import Settings

_WATCHDOG_SECONDS = 60
_INSTANCE = "[instance]"  # until the rest is written as systemd wants it
_STOP_SLACK_SECONDS = 10.0  # for the writer, the notifications and Python's own end

_UNIT = """\
# Made by: snexec --config {config} unit
# Put it at /etc/systemd/system/{name}.service, then:
#   systemctl daemon-reload && systemctl enable --now {started}
[Unit]
Description=snexec, trading signals to Alpaca orders
Wants=network-online.target
After=network-online.target time-sync.target
# It must run for fills to be confirmed: systemd never gives up starting it.
StartLimitIntervalSec=0

[Service]
# From systemd 253 on, Type=notify-reload without ExecReload does the same, and
# "systemctl reload" waits for the end of it. Older ones take that type for a mistake.
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
{user}
{groups}# A start waits for the broker as long as it must, and asks for that time itself.
WatchdogSec={watchdog}
TimeoutStopSec={stop}
Restart=on-failure
RestartSec=5
# A configuration that cannot be used is not tried again.
RestartPreventExitStatus=2
{exits}
# Keys: readable for the daemon alone, and in no environment. Files of root's, mode 0600.
#LoadCredential=APCA_API_KEY_ID:/etc/snexec/{keys}APCA_API_KEY_ID
#LoadCredential=APCA_API_SECRET_KEY:/etc/snexec/{keys}APCA_API_SECRET_KEY
{redis}{http}# Different ones for each mode: APCA_PAPER_API_KEY_ID, APCA_LIVE_API_KEY_ID and so on.
# Encrypted ones (systemd 250): LoadCredentialEncrypted=, made by "systemd-creds encrypt".

# What it may touch: its database's and its socket's folders, and the network. systemd
# makes those below /var/lib and /run by itself, each for this user.
{folders}ProtectSystem=strict
ProtectHome={home}
PrivateTmp={tmp}
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
{execute}SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0027
# A core file would hold the keys.
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""
_EXITS = """\
# While it is stopped nothing is sold by a rule; stops that rest at the broker work on.
"""
_REDIS = """\
# Where Redis is, with its password.
#LoadCredential=SNEXEC_REDIS_URL:/etc/snexec/{keys}SNEXEC_REDIS_URL
"""
_HTTP = """\
# Who may post signals: lines of name=token.
#LoadCredential=SNEXEC_HTTP_TOKENS:/etc/snexec/{keys}SNEXEC_HTTP_TOKENS
"""
_EXECUTE = "MemoryDenyWriteExecute=yes\n"
_EXECUTE_OFF = """\
# MemoryDenyWriteExecute=yes would stop a [notify] command in Node or Java.
"""


def print_unit(config: Path, *, user: str | None, template: bool = False) -> None:
    """Print the unit; as a template, one for each folder beside the configuration's.

    Raises:
        ConfigError: The configuration cannot be used, or a word cannot go in a unit.
    """
    settings = load_settings(config)
    click.echo(make_unit(config, settings, user=user, template=template), nl=False)
    whose = user or ("snexec" if os.geteuid() == 0 else getpass.getuser())
    blocking = in_the_way(Path(sys.executable), whose)
    if blocking is not None:
        click.echo(
            f"snexec: {whose} cannot run {sys.executable}, as {blocking} is not open to"
            " it: install snexec where it is, such as below /opt",
            err=True,
        )


def make_unit(
    config: Path,
    settings: Settings,
    *,
    user: str | None = None,
    template: bool = False,
) -> str:
    """Return the text of the unit.

    Args:
        config: The configuration file.
        settings: Its settings, with absolute paths.
        user: Who runs the daemon; None for the current user.
        template: Whether it is one for many accounts: the name of the configuration's
            folder is the instance's, wherever it is in a path.

    Raises:
        ConfigError: A path or the user cannot go in a unit.
    """
    # Not resolved: a link to the configuration or to a venv's Python stays a link.
    config = Path(os.path.abspath(config))  # noqa: PTH100 - as it says
    database = Path(settings.database).parent
    socket = Path(settings.intake.socket).parent
    folders = list(dict.fromkeys([str(database), str(socket)]))
    touched = [Path(folder) for folder in folders]
    # The program too, wherever its parts are: a venv's Python is a link.
    python = Path(sys.executable)
    touched += [config, python, python.resolve(), Path(sys.base_prefix)]
    touched.append(Path(snexec.__file__))
    at_home = any(_is_below(path, "/home", "/root", "/run/user") for path in touched)
    at_tmp = any(_is_below(path, "/tmp", "/var/tmp") for path in touched)  # noqa: S108 - where a private one would hide it
    instance = config.parent.name if template else None
    if instance is not None:
        for folder in touched[:2]:
            if instance not in folder.parts:
                raise ConfigError(
                    f"{folder} would be shared by all accounts: its path must have the"
                    f" name of the configuration's folder, {instance}, in it"
                )
    keys = "" if instance is None else "%i/"
    stop = math.ceil(settings.intake.shutdown_timeout_sec + _STOP_SLACK_SECONDS)
    return _UNIT.format(
        name="snexec" if instance is None else "snexec@",
        started="snexec" if instance is None else f"snexec@{instance}",
        keys=keys,
        redis="" if settings.redis is None else _REDIS.format(keys=keys),
        http=_HTTP.format(keys=keys) if settings.http.enabled else "",
        config=_in_comment(str(config)),
        command=" ".join(
            [
                *(_word(word, argument=True) for word in [*_program(), "--config"]),
                _path(config, instance, argument=True),
            ]
        ),
        folder=_path(config.parent, instance, quote=False),
        user=_user_line(user),
        watchdog=_WATCHDOG_SECONDS,
        stop=stop,
        folders=_folder_lines(settings, folders, instance),
        groups=_groups(settings),
        home="read-only" if at_home else "yes",
        tmp="no" if at_tmp else "yes",
        exits="" if settings.exits is None else _EXITS,
        execute=_EXECUTE_OFF if settings.notify.command else _EXECUTE,
    )


def _folder_lines(settings: Settings, folders: list[str], instance: str | None) -> str:
    """Return who makes the folders of the database and the socket, and that they are ours.

    A template's are made by whoever makes an account.
    """
    grouped = settings.intake.socket_group is not None
    lines = []
    for folder in folders if instance is None else ():
        name = folder.removeprefix("/var/lib/")
        run = folder.removeprefix("/run/")
        if name != folder and _is_plain(name):
            lines += [f"StateDirectory={_word(name)}", "StateDirectoryMode=0700"]
        elif run != folder and _is_plain(run):
            mode = "0755" if grouped else "0700"
            lines += [f"RuntimeDirectory={_word(run)}", f"RuntimeDirectoryMode={mode}"]
    paths = " ".join(_path(Path(folder), instance) for folder in folders)
    lines.append(f"ReadWritePaths={paths}")
    return "".join(f"{line}\n" for line in lines)


def _is_plain(name: str) -> bool:
    return bool(name) and not any(char in name for char in " \t:\"'\\")


def _groups(settings: Settings) -> str:
    group = settings.intake.socket_group
    if group is None:
        return ""
    return (
        f"# For intake.socket_group.\nSupplementaryGroups={_word(group, quote=False)}\n"
    )


def _program() -> list[str]:
    """Return the command that starts this installation, with absolute paths."""
    python = Path(sys.executable)
    script = python.with_name("snexec")
    if os.access(script, os.X_OK):
        return [str(script)]
    return [str(python), "-m", "snexec"]


def _user_line(user: str | None) -> str:
    if user is None and os.geteuid() != 0:
        user = getpass.getuser()
    if user is not None:
        return f"User={_word(user, quote=False)}"
    return (
        "# Not as root: useradd --system snexec, and give it the folders below.\n"
        "User=snexec"
    )


def _path(
    path: Path, instance: str | None, *, argument: bool = False, quote: bool = True
) -> str:
    """Return a path as a word; the instance's name in it is what systemd puts there."""
    parts = [_INSTANCE if part == instance else part for part in path.parts]
    word = _word(str(Path(*parts)), argument=argument, quote=quote)
    return word.replace(_INSTANCE, "%i")


def _word(text: str, *, argument: bool = False, quote: bool = True) -> str:
    """Return a word as systemd.syntax(7) and systemd.service(5) require it.

    Args:
        text: The word.
        argument: Whether it is part of a command line, where ``$`` has a meaning.
        quote: Whether quotes have a meaning where it is used.
    """
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot stand in a unit file")
    written = text.replace("%", "%%")
    if argument:
        written = written.replace("$", "$$")
    if quote and any(char in text for char in " \t\"'\\;"):
        written = written.replace("\\", "\\\\").replace('"', '\\"')
        written = f'"{written}"'
    return written


def _in_comment(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _is_below(path: Path, *folders: str) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
