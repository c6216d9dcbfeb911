"""Questions to the REST API: everything but orders (SPEC 5, ALPACA 2).

Each has a connection of its own. A 404 does not say what it is about, and a row may go
for it: on a kept connection it could be the answer to the question before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import trio

from snexec.broker.dial import connect
from snexec.broker.heads import question
from snexec.broker.readers import Readers
from snexec.broker.request import MOST_BYTES, Request
from snexec.broker.wire import Connection
from snexec.errors import first_words, no_answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from snexec.broker.request import Reply

Method = Literal["GET", "DELETE"]


class LookUps:
    """Asks one account's questions.

    Args:
        base_url: The server's, http:// or https://.
        headers: The headers of every request, the keys among them.
        timeout_seconds: How long a whole question may take.
        tls: The context that verifies an https:// server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        timeout_seconds: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._base_url = base_url
        self._headers = headers
        self._timeout_seconds = timeout_seconds
        self._tls = tls

    async def ask(
        self, method: Method, path: str, *, most_bytes: int = MOST_BYTES
    ) -> tuple[Reply | None, str, bool]:
        """Ask a question, or for an order's cancel.

        Args:
            method: Of the request.
            path: Of the request, with its query.
            most_bytes: How long the body of a 200 may be.

        Returns:
            The answer as far as it came; why it is not whole, empty if it is; and
            whether any of the question may have left this machine.
        """
        data = question(self._base_url, method, path, self._headers)
        request = Request(data, None, most_bytes)
        problem = "the server closed the connection"
        try:
            with trio.fail_after(self._timeout_seconds):
                await self._carry(request)
        except trio.TooSlowError:
            problem = no_answer(self._timeout_seconds)
        except (OSError, ValueError) as exc:
            problem = first_words(exc) or type(exc).__name__
        if not request.sent:
            return None, problem, False
        return request.reply, request.problem or "", True

    async def _carry(self, request: Request) -> None:
        """Send it and wait for its answer, on a connection that is closed after it.

        Raises:
            OSError: No connection.
        """
        url = urlsplit(self._base_url)
        port = url.port or (443 if self._tls else 80)
        readers = Readers()  # first, as it may be what no file is left for
        try:
            sock = await connect(url.hostname or "", port, self._tls)
            keeper = _Alone()
            connection = Connection(sock, keeper, readers)
            try:
                async with trio.open_nursery() as keeper.nursery:
                    keeper.nursery.start_soon(_read, readers, connection)
                    if connection.send(request):
                        await request.done.wait()
                    keeper.nursery.cancel_scope.cancel(
                        reason="the question has its answer"
                    )
            finally:
                connection.close(no_answer(self._timeout_seconds))
        finally:
            readers.close()


async def _read(readers: Readers, connection: Connection) -> None:
    """Read a connection; one that cannot be waited for ends."""
    try:
        await readers.run()
    except OSError as exc:
        connection.close(first_words(exc))


class _Alone:
    """Keeps one connection, which nothing else is to use.

    Attributes:
        nursery: Runs its tasks.
    """

    nursery: trio.Nursery

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(task)

    def free(self, connection: Connection) -> None:
        """Leave it to whoever asked, who closes it."""

    def retire(self, connection: Connection) -> None:
        """Likewise."""

    def lost(self, connection: Connection) -> None:
        """Likewise."""
