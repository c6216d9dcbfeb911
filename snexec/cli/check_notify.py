"""Checks who is told of what happens, and the ports that are listened at (SPEC 15)."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import socket
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker import tls_context
from snexec.cli.check_findings import Finding, fail, ok, warn
from snexec.errors import first_words
from snexec.http import httpx, new_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from snexec.settings import Settings

_ANSWER_SECONDS = 5.0
_GONE = 410
_NOT_FOUND = 404
_TEST = "snexec notify --test sends one"


def check_notify(settings: Settings) -> list[Finding]:
    """Check that whoever is to be told can be reached; nothing is sent."""
    notify = settings.notify
    if not notify.is_on:
        return [ok("notify", "nobody is told of what happens")]
    found = [] if notify.command is None else [_check_program(notify.command[0])]
    if notify.webhook is not None:
        found.append(trio.run(_ask_webhook, notify.webhook))
    if notify.daily_at is not None:
        found.append(ok("report", f"sent each day at {notify.daily_at}, New York"))
    return found


def check_ports(settings: Settings, status: Mapping[str, Any] | None) -> list[Finding]:
    """Check that each port to listen at is free, or is the running daemon's.

    Args:
        settings: Which ones.
        status: The status of the daemon that runs on this configuration, if any.
    """
    addresses = {"metrics": settings.metrics.host_and_port()}
    if settings.page is not None:
        addresses["page"] = settings.page.host_and_port()
    http = settings.http
    if http.enabled and http.host_and_port() not in addresses.values():
        addresses["http.listen"] = http.host_and_port()
    return [
        _check_port(section, *address, status)
        for section, address in addresses.items()
        if address is not None
    ]


def _check_program(program: str) -> Finding:
    # As the daemon runs it, in its own folder and by the same PATH.
    if shutil.which(program) is not None:
        return ok("notify", f"{program} is there; {_TEST}")
    if os.path.exists(program):  # noqa: PTH110 - a word of the command
        return fail("notify", f"{program} cannot be run", "chmod +x it")
    advice = "correct notify.command: it needs a full path, or a name on PATH"
    return fail("notify", f"there is no program {program}", advice)


async def _ask_webhook(url: SecretStr) -> Finding:
    """Ask whether anybody is there; the address is a secret, and is not shown."""
    what, advice = "webhook", f"check notify.webhook; {_TEST}"
    try:
        with trio.fail_after(_ANSWER_SECONDS):
            client = new_client(tls=tls_context(os.environ))
            async with client:
                answer = await client.head(url.get_secret_value())
    except trio.TooSlowError:
        return fail(what, f"no answer within {_ANSWER_SECONDS:g} s", advice)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
        why = "" if isinstance(exc, httpx.InvalidURL) else f": {first_words(exc)}"
        return fail(what, f"no connection ({type(exc).__name__}){why}", advice)
    status = answer.status_code
    if status == _GONE:
        return fail(what, f"it is gone (HTTP {status})", advice)
    if status == _NOT_FOUND:
        return warn(what, f"the server says HTTP {status} to a HEAD", advice)
    return ok(what, f"its server answers; {_TEST}")


def _check_port(
    section: str, host: str, port: int, status: Mapping[str, Any] | None
) -> Finding:
    shown = f"{section.removesuffix('.listen')}.listen: {host} port {port}"
    if not port:
        return ok(section, f"{shown}: any free one")
    try:
        addresses = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _name, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                # What a daemon of a moment ago had open is free all the same.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as exc:
        taken = getattr(exc, "errno", None) == errno.EADDRINUSE
        # Where only signals are taken, nothing else is there.
        said = {200, 503, 404} if section == "http.listen" else {200, 503}
        if taken and status is not None and _is_served(host, port, said):
            return ok(section, f"{shown}: served by the daemon")
        why = getattr(exc, "strerror", None) or str(exc)
        advice = "another program has it: name another port" if taken else ""
        return fail(section, f"{shown}: {why}", advice)
    if status is not None:
        advice = "the daemon that runs does not serve it: restart it"
        return warn(section, f"{shown}: free", advice)
    return ok(section, f"{shown}: free")


def _is_served(host: str, port: int, said: set[int]) -> bool:
    """Return whether a health check answers there as the daemon's, or TLS is spoken."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status in said
    except http.client.HTTPException:
        return True  # TLS, perhaps, which is none of HTTP's words
    except OSError:
        return False
    finally:
        connection.close()
