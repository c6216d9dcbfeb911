"""What the stand-ins share: one loop that serves HTTP and WebSockets, and dates what came.

Edge-triggered, as only then are connections reported in the order in which their data
came: level-triggered, a busy connection overtakes the others.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from snexec.bench.websocket import BINARY, CLOSE, PING, PONG, TEXT, frame, take_frame
from snexec.bench.websocket import upgrade as upgraded

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACKLOG = 1024
_READ_BYTES = 64 * 1024
_WATCH_PARENT_SECONDS = 1.0
_SEND_SECONDS = (
    30.0  # 2,000 fills fill every buffer; the rest waits for the client to read
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)
_RATE = 1_000_000
_HEAD = (
    b"HTTP/1.1 %d Bench\r\nContent-Type: application/json\r\n"
    b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\n"
    b"X-RateLimit-Reset: %d\r\nContent-Length: %d\r\n\r\n"
)

if sys.platform == "linux":

    class _Poller:
        def __init__(self) -> None:
            self._epoll = select.epoll()

        def add(self, fd: int) -> None:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

        def wait(self, seconds: float) -> list[int]:
            return [fd for fd, _ in self._epoll.poll(seconds)]

else:

    class _Poller:
        def __init__(self) -> None:
            self._kqueue = select.kqueue()

        def add(self, fd: int) -> None:
            flags = select.KQ_EV_ADD | select.KQ_EV_CLEAR
            event = select.kevent(fd, select.KQ_FILTER_READ, flags)
            self._kqueue.control([event], 0)

        def wait(self, seconds: float) -> list[int]:
            events = self._kqueue.control(None, _BACKLOG, seconds)
            return [event.ident for event in events]


class Connection:
    """One client's connection, and what has come of its next request."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = bytearray()
        self.is_stream = False
        self.listens = False

    def read(self) -> bool:
        """Read everything that has come; False at the end of the connection."""
        try:
            while data := self.socket.recv(_READ_BYTES):
                self.buffer += data
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def requests(self) -> Iterator[tuple[bytes, bytes]]:
        """Take the complete requests off the buffer: head and body of each."""
        while not self.is_stream and (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            length = _LENGTH.search(head)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < stop:
                return
            body = bytes(self.buffer[end + 4 : stop])
            del self.buffer[:stop]
            yield head, body

    def reply(self, status: int, body: bytes) -> None:
        """Answer a request."""
        self.send(_answer(status, body))

    def reply_aside(self, body: bytes) -> None:
        """Answer with much, while the loop goes on dating what comes."""
        data = _answer(200, body)
        aside = threading.Thread(target=self._send_aside, args=(data,), daemon=True)
        aside.start()

    def send(self, data: bytes) -> None:
        """Send data; what the client does not read at once is waited for."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.socket.settimeout(_SEND_SECONDS)
            self.socket.sendall(memoryview(data)[sent:])
            self.socket.setblocking(False)

    def _send_aside(self, data: bytes) -> None:
        with suppress(OSError), closing(self.socket.dup()) as same:
            same.settimeout(_SEND_SECONDS)
            same.sendall(data)


class Server(ABC):
    """Serves everything in one loop, so that one clock reading dates all that came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.connections: dict[int, Connection] = {}
        self._poller = _Poller()

    @abstractmethod
    def answer(
        self, connection: Connection, request: str, body: bytes, now_ns: int
    ) -> None:
        """Answer a request, such as ``GET /path?query``, that came at a time."""

    @abstractmethod
    def told(self, connection: Connection, message: dict[str, Any]) -> object:
        """Return the answer to a message on a stream, as JSON has it."""

    def begun(self, connection: Connection) -> None:  # noqa: B027 - few have to greet
        """Take a stream that was opened."""

    def tend(self) -> float:
        """Do what is due; return in how many seconds something is again."""
        return _WATCH_PARENT_SECONDS

    def run(self) -> None:
        """Print the port, and serve until the parent process has ended."""
        sys.stdout.write(f"port {self._listener.getsockname()[1]}\n")
        sys.stdout.flush()
        self._poller.add(self._listener.fileno())
        parent = os.getppid()
        while os.getppid() == parent:
            ready = self._poller.wait(self.tend())
            now_ns = time.monotonic_ns()
            for fd in ready:
                if fd == self._listener.fileno():
                    self._accept()
                elif (connection := self.connections.get(fd)) is not None:
                    self._serve(connection, now_ns)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self.connections[sock.fileno()] = Connection(sock)
            self._poller.add(sock.fileno())

    def _serve(self, connection: Connection, now_ns: int) -> None:
        lives = connection.read()
        try:
            for head, body in connection.requests():
                if (key := _KEY.search(head)) is not None:
                    connection.send(upgraded(key[1]))
                    connection.is_stream = True
                    self.begun(connection)
                else:
                    request = head[: head.index(b" HTTP")].decode()
                    self.answer(connection, request, body, now_ns)
            if connection.is_stream:
                lives = self._serve_stream(connection) and lives
        except OSError:
            lives = False
        if not lives:
            del self.connections[connection.socket.fileno()]
            connection.socket.close()

    def _serve_stream(self, connection: Connection) -> bool:
        """Answer a client's frames; False once it closes."""
        while (found := take_frame(connection.buffer)) is not None:
            opcode, payload = found
            if opcode == PING:
                connection.send(frame(payload, PONG))
            elif opcode == CLOSE:
                connection.send(frame(payload, CLOSE))
                return False
            elif opcode in {TEXT, BINARY}:
                answer = self.told(connection, json.loads(payload))
                connection.send(frame(json.dumps(answer).encode()))
        return True


def _answer(status: int, body: bytes) -> bytes:
    # The daemon's budget reads these headers, and that is part of what is measured.
    reset = int(time.time()) + 60
    return _HEAD % (status, _RATE, _RATE, reset, len(body)) + body
