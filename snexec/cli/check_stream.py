"""Opens a trading stream for a moment, to check that events would come (ALPACA 3.1)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import h11
import trio

from snexec.broker import tls_context
from snexec.cli.check_findings import Finding, fail, ok
from snexec.cli.formats import foreign
from snexec.errors import (
    StreamClosedError,
    StreamError,
    StreamRejectedError,
    leaves,
    reasons,
)
from snexec.stream.connection import open_connection

if TYPE_CHECKING:
    import ssl

    from snexec.broker import Endpoint
    from snexec.stream.connection import Socket

_ANSWER_SECONDS = 10.0
_CROWDED = "another program holds the account's one stream: stop it, wait 90 s"


async def try_stream(endpoint: Endpoint) -> Finding:
    """Authenticate, subscribe, and close at once."""
    what, problem, advice = f"{endpoint.mode} stream", "", "check the network"
    try:
        with trio.fail_after(_ANSWER_SECONDS):
            async with open_connection(endpoint.stream_url, _tls) as socket:
                problem, advice = await _shake_hands(socket, endpoint)
    except* StreamRejectedError as group:
        statuses = {exc.status_code for exc in leaves(group)}
        problem = f"refused: HTTP {', '.join(map(str, statuses))}"
        if 429 in statuses:
            advice = _CROWDED
    except* StreamClosedError as group:
        problem, advice = f"closed: {reasons(group)}", _CROWDED
    except* StreamError as group:
        problem = f"no answer that can be read: {reasons(group)}"
    except* trio.TooSlowError:
        problem = f"no answer within {_ANSWER_SECONDS:g} s"
    except* (OSError, trio.BrokenResourceError) as group:
        problem = reasons(group)
    except* (ValueError, RecursionError, h11.ProtocolError) as group:
        problem = f"no answer that can be read: {reasons(group)}"
    if problem:
        return fail(what, problem, advice)
    return ok(what, "authorized, listens to trade_updates; closed again")


async def _shake_hands(socket: Socket, endpoint: Endpoint) -> tuple[str, str]:
    """Authenticate and subscribe; return the problem and the advice, or two empties."""
    assert endpoint.credentials is not None  # noqa: S101 - asked with keys only
    key, secret = endpoint.credentials.values()
    await socket.send_message(
        json.dumps({"action": "auth", "key": key, "secret": secret})
    )
    data = await _answer(socket, "authorization")
    if data.get("status") != "authorized":
        why = foreign(data.get("message") or data.get("status"))
        return f"the keys are not taken: {why}", "check the keys of this mode"
    request = {"action": "listen", "data": {"streams": ["trade_updates"]}}
    await socket.send_message(json.dumps(request))
    streams = (await _answer(socket, "listening")).get("streams")
    if not isinstance(streams, list) or "trade_updates" not in streams:
        return f"trade_updates is not fed, only {foreign(streams)}", "ask Alpaca"
    return "", ""


async def _answer(socket: Socket, stream: str) -> dict[str, Any]:
    while True:
        message = json.loads(await socket.get_message())
        if isinstance(message, dict) and message.get("stream") == stream:
            data = message.get("data")
            return data if isinstance(data, dict) else {}


def _tls() -> ssl.SSLContext:
    return tls_context(os.environ)
