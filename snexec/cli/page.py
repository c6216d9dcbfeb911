"""Print the page's address, with its key, or open it (SPEC 14)."""

from __future__ import annotations

import socket
import webbrowser
from pathlib import Path

import click

from snexec.cli.kept_settings import say_mistake, settings_and_problem
from snexec.errors import CommandError

_KNOCK_SECONDS = 1.0


def run_page(config: Path, *, opens: bool) -> int:
    """Print the address, perhaps open it, and return the exit status.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: There is no page, or it has no key yet.
    """
    from snexec.web import key_path, page_address, read_key  # where there is a page

    settings, problem = settings_and_problem(config)
    page = settings.page
    if page is None and problem is not None:
        raise problem
    if page is None:
        raise CommandError(
            f"there is no page: {config} has no [page] section; put one there and"
            " restart the daemon"
        )
    host, port = page.host_and_port()
    if port == 0:
        raise CommandError(
            "page.listen: with port 0 each start has another port, which its log says;"
            " name one"
        )
    path = key_path(Path(settings.database))
    try:
        key = read_key(path)
    except OSError as exc:
        raise CommandError(f"the page's key {path}: {exc.strerror or exc}") from None
    if key is None:
        raise CommandError(
            f"the page has no key yet: the daemon makes {path} when it starts"
        )
    address = page_address(page, port=port, key=key.text)
    if problem is not None:
        say_mistake(problem)
    click.echo(address)
    if not _answers(host, port):
        click.echo("snexec: nothing answers there: does the daemon run?", err=True)
    if opens and not webbrowser.open(address):
        raise CommandError("no browser could be started: open the address above")
    return 0


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _KNOCK_SECONDS).close()
    except OSError:
        return False
    return True
