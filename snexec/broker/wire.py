"""One HTTP/1.1 connection, made for orders (ALPACA 1.1).

A request is written by the very call that hands it over, with no task switch between.
A connection is always being read, so that a close by the server is noticed at once,
whether it is in use or not.

Answers come without a name, so one that came twice would be the next order's. A connection
therefore carries another request only after an answer that says which order it is about;
after any other it is only listened to, as what follows makes that answer doubtful.
"""

from __future__ import annotations

import ssl
from io import BytesIO
from typing import TYPE_CHECKING, Protocol

import httptools
import trio

from snexec.broker.request import MOST_BYTES, Reply
from snexec.errors import first_words

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from snexec.broker.readers import Readers
    from snexec.broker.request import Request

_READ_BYTES = 64 * 1024
_READS_AT_ONCE = 4  # then others have their turn
_MAX_HEAD_BYTES = 64 * 1024
_YOUNG_SECONDS = 1.0  # a server that closes this soon accepts no connections


class Keeper(Protocol):
    """Owns connections, and is called by them."""

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task of a connection."""

    def free(self, connection: Connection) -> None:
        """Take a connection that can carry a request."""

    def retire(self, connection: Connection) -> None:
        """Take a connection that carries no more requests, and still listens."""

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""


class Connection:
    """One connected socket, with TLS or without, and at most one request on it.

    Raises:
        OSError: It cannot be watched, and is closed.
    """

    _complete: bool

    def __init__(self, sock: socket.socket, keeper: Keeper, readers: Readers) -> None:
        self._socket = sock
        self._keeper = keeper
        self._readers = readers
        self._open = True
        self._opened_at = trio.current_time()
        self._used = False
        self._unsent = b""
        self._request: Request | None = None
        self._answered: Request | None = None  # while it listens for what follows
        self._expect_reply()
        try:
            readers.add(sock, self._receive)
        except OSError:
            sock.close()
            raise

    @property
    def died_young(self) -> bool:
        """Whether it was closed as soon as it was opened, and never carried anything."""
        age = trio.current_time() - self._opened_at
        return not self._open and not self._used and age < _YOUNG_SECONDS

    def send(self, request: Request) -> bool:
        """Write a request now; False if the server has closed, and nothing has left.

        The connection must be idle.
        """
        self._receive()
        if not self._open:
            return False
        try:
            taken = self._write(request.data)
        except OSError as exc:
            self._end(first_words(exc))
            return False
        self._request = request
        self._used = True
        request.connection = self
        request.sent = True
        request.left()
        self._unsent = request.data[taken:]
        if self._unsent:
            self._keeper.start_soon(self._send_rest)
        return True

    def close(self, problem: str) -> None:
        """Close it at once, and end the request on it with this problem."""
        self._end(problem)

    async def _send_rest(self) -> None:
        try:
            while self._open and self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._unsent = self._unsent[self._write(self._unsent) :]
        except trio.ClosedResourceError:
            pass  # by `close`
        except OSError as exc:
            self._end(first_words(exc))

    def _write(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _receive(self) -> None:
        """Read what has come; of a long answer the rest is read at the next call."""
        for _ in range(_READS_AT_ONCE):
            if not self._open:
                return
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as exc:
                self._end(first_words(exc))
                return
            if data:
                self._parse(data)
            else:
                self._end_of_input()
            if len(data) < _READ_BYTES and not isinstance(self._socket, ssl.SSLSocket):
                return  # saves a call that would find nothing

    def _parse(self, data: bytes) -> None:
        if self._request is None:
            answered = self._answered
            self._end("the server spoke unasked")
            if answered is not None:
                answered.doubt()
            return
        self._size += len(data)
        problem = ""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            problem = f"the answer is not HTTP: {exc}"
            if self._complete:
                self._is_followed = True
        most = self._request.most_bytes if self._status == 200 else MOST_BYTES
        length = self._body.tell()
        if length > most or self._size - length > _MAX_HEAD_BYTES + most:
            self._complete = False
            problem = f"the answer is longer than {most >> 20} MiB"
        if self._is_followed:
            self._request.doubt()
        if self._complete:
            self._end_request()
        elif problem:
            self._end(problem)

    def _end_request(self) -> None:
        """Hand over a whole answer, and offer the connection for the next request."""
        request, self._request = self._request, None
        assert request is not None  # noqa: S101 - the answer was asked for
        reply = self._reply()
        is_named = request.is_named_in(reply)
        keep = self._reusable and not self._unsent
        request.end(reply=reply)
        if not (is_named or self._is_followed or self._unsent):
            self._answered, request.connection = request, self
            self._keeper.retire(self)
        elif is_named and keep:
            self._expect_reply()
            self._keeper.free(self)
        else:
            self._end("used up")

    def _end_of_input(self) -> None:
        if self._status and not self._has_length:
            self._complete = True  # as in HTTP/1.0: the body ends with the connection
        self._end("the server closed the connection")

    def _end(self, problem: str) -> None:
        """Close the socket, and end the request on it if there is one."""
        if not self._open:
            return
        self._open = False
        self._readers.remove(self._socket)
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        if self._answered is not None:
            self._answered.connection = None
            self._answered = None
        request, self._request = self._request, None
        if request is not None:
            reply = self._reply() if self._status else None
            request.end(reply=reply, problem=None if self._complete else problem)
        self._keeper.lost(self)

    def _reply(self) -> Reply:
        return Reply(self._status, self._headers, self._body.getvalue(), self._complete)

    def _expect_reply(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: dict[str, str] = {}
        self._has_length = False
        self._body = BytesIO()  # which hands it over without a copy
        self._size = 0
        self._complete = False
        self._is_followed = False
        self._reusable = False

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notice a second answer, which nobody asked for."""
        if self._complete:
            self._is_followed = True
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; a trailer, which follows the body, does not count."""
        if not self._status:
            text = value.decode("latin-1").strip(" \t")
            self._headers[name.decode("latin-1").lower()] = text

    def on_headers_complete(self) -> None:
        """Take the status; an interim one (1xx) says nothing about the order."""
        status = self._parser.get_status_code()
        if self._complete:
            return
        if status < 200:
            self._headers.clear()
            return
        self._status = status
        self._has_length = not self._headers.keys().isdisjoint(
            ("content-length", "transfer-encoding")
        )

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if not self._complete:
            self._body.write(data)

    def on_message_complete(self) -> None:
        """Record that the answer is whole."""
        if self._status and not self._complete:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
