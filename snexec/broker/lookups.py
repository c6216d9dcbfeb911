"""Questions to the REST API, over httpx: everything but orders (SPEC 5, ALPACA 2).

Each has a connection of its own. A 404 does not say what it is about, and a row may go
for it: on a kept connection it could be the answer to the question before.

Imported when the first question is asked: httpx takes a tenth of a start, and 4 MB of
memory, which a daemon whose fills all come over the stream does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import trio

from snexec.broker.wire import Reply
from snexec.errors import first_words, no_answer
from snexec.http import httpx, new_client, read_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

Method = Literal["GET", "DELETE"]


class LookUps:
    """Asks one account's questions.

    Args:
        headers: The headers of every request, the keys among them.
        timeout_seconds: How long a whole question may take.
        dial_seconds: How long a connection may take to open.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        timeout_seconds: float,
        dial_seconds: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._http = new_client(
            headers=headers,
            # Trio's own deadline covers a whole request. Connecting ends earlier, as
            # only then does httpx close what it has opened so far.
            timeout=httpx.Timeout(None, connect=dial_seconds),
            tls=ssl_context,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def ask(self, method: Method, path: str) -> tuple[Reply | None, str, bool]:
        """Ask a question, or for an order's cancel.

        Returns:
            The answer as far as it came; why it is not whole, empty if it is; and
            whether any of the question may have left this machine.
        """
        sent = False

        async def note_sending(event: str, _info: Mapping[str, Any]) -> None:
            nonlocal sent
            if event.endswith("send_request_headers.started"):
                sent = True

        answer: httpx.Response | None = None
        body = bytearray()
        problem = ""
        try:
            with trio.fail_after(self._timeout_seconds):
                async with self._http.stream(
                    method, self._base_url + path, extensions={"trace": note_sending}
                ) as answer:
                    await read_body(answer, into=body)
        except (trio.TooSlowError, httpx.TimeoutException):
            problem = no_answer(self._timeout_seconds)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            detail = first_words(exc)
            problem = (
                f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__
            )
        if answer is None:
            return None, problem, sent
        reply = Reply(answer.status_code, answer.headers, bytes(body), not problem)
        return reply, problem, True
