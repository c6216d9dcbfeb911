"""Reads the body of a request, which may be long, slow, or without an end (SPEC 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.web.answers import NotAnsweredError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

MOST_BYTES = 64 * 1024
SECONDS = 10.0


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        NotAnsweredError: It is longer than 64 KiB, takes longer than 10 s, or its client
            has gone.
    """
    too_long = NotAnsweredError(
        f"the body is longer than {MOST_BYTES} bytes", status=413
    )
    said = dict(scope["headers"]).get(b"content-length", b"0")
    if not said.isdigit() or int(said[:12]) > MOST_BYTES:
        raise too_long
    body = bytearray()
    with trio.move_on_after(SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise NotAnsweredError("the body did not come whole", status=400)
            body += message["body"]
            if len(body) > MOST_BYTES:
                raise too_long
            if not message["more_body"]:
                return bytes(body)
    raise NotAnsweredError(f"the body took longer than {SECONDS:g} s", status=408)
