"""How a request becomes a call, and what comes of it an answer."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import Request

from snexec.threads import NoThreadError
from snexec.web.access import respond
from snexec.web.actions import SECONDS, asked_by
from snexec.web.answers import NotAnsweredError, refused
from snexec.web.bodies import read_body
from snexec.web.client import client_of
from snexec.web.trades import read_sheet, wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from snexec.web.answers import Answer
    from snexec.web.rows import Rows

_SHEET_SECONDS = 300.0
_SHEET_HEAD = [
    (b"content-type", b"text/csv; charset=utf-8"),
    (b"content-disposition", b'attachment; filename="trades.csv"'),
]


class Get:
    """Answers a question.

    Args:
        make: Makes the answer.
    """

    def __init__(self, make: Callable[[Request], Awaitable[Answer]]) -> None:
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await respond(send, await _answered(self._make(Request(scope, receive))))


class Act:
    """Does what the body of a request asks for.

    Args:
        do: Does it.
    """

    def __init__(self, do: Callable[[Mapping[str, object]], Awaitable[Answer]]) -> None:
        self._do = do

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, once it is done."""
        await respond(send, await _answered(self._carried_out(scope, receive)))

    async def _carried_out(self, scope: Scope, receive: Receive) -> Answer:
        kind = dict(scope["headers"]).get(b"content-type", b"")
        if kind.partition(b";")[0].strip().lower() != b"application/json":
            raise NotAnsweredError("the body must be application/json", status=415)
        asked = asked_by(await read_body(scope, receive))
        client_of(scope).allow(SECONDS)
        return await self._do(asked)


class Sheets:
    """Sends trades as a sheet, a part at a time, so that none of it waits in memory.

    Args:
        rows: Asks the database.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            asked = wanted(Request(scope, receive).query_params)._replace(before=None)
            part = await self._rows.ask(partial(read_sheet, asked=asked))
        except NotAnsweredError as exc:
            await respond(send, exc.answer)
            return
        except (sqlite3.Error, NoThreadError) as exc:
            await respond(send, _unreadable(exc))
            return
        client_of(scope).allow(_SHEET_SECONDS)
        start = {"type": "http.response.start", "status": 200, "headers": _SHEET_HEAD}
        await send(start)
        while part.before is not None:
            await send(_body(part.data, more=True))
            asked = asked._replace(before=part.before)
            part = await self._rows.ask(partial(read_sheet, asked=asked))
        await send(_body(part.data, more=False))


async def _answered(making: Awaitable[Answer]) -> Answer:
    try:
        return await making
    except NotAnsweredError as exc:
        return exc.answer
    except (sqlite3.Error, NoThreadError) as exc:
        return _unreadable(exc)


def _unreadable(exc: Exception) -> Answer:
    return refused(f"the database cannot be read: {exc}; try again", status=503)


def _body(data: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}
