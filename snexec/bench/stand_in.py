"""The stand-in broker: takes orders, notes when each arrived, and sends fills.

A process of its own, ``python -m snexec.bench.stand_in``, which prints its port and
ends when its parent does. It stands in for the built-in exchange, which does much more
for an order, so that a burst would measure the exchange. Besides Alpaca's paths:

| request | answer |
| --- | --- |
| GET /bench/counts | numbers of posts, listeners and look-ups |
| GET /bench/posts?N | `[arrived_ns, symbol]` of every post but the first N, by arrival |
| POST /bench/fills | fills every order not filled yet; when that began, and how many |
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import socket
import sys
import time
from typing import TYPE_CHECKING

from snexec.bench.stand_in_orders import Order, take_order
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
_UNKNOWN_ORDER = b'{"code":40410000,"message":"order not found"}'
_UNKNOWN_PATH = b'{"code":40410000,"message":"endpoint not found"}'

# Edge-triggered, as only then are connections reported in the order in which their data
# came: level-triggered, a busy connection overtakes the others.
if sys.platform == "linux":

    class _Poller:
        def __init__(self) -> None:
            self._epoll = select.epoll()

        def add(self, fd: int) -> None:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

        def wait(self) -> list[int]:
            return [fd for fd, _ in self._epoll.poll(_WATCH_PARENT_SECONDS)]

else:

    class _Poller:
        def __init__(self) -> None:
            self._kqueue = select.kqueue()

        def add(self, fd: int) -> None:
            flags = select.KQ_EV_ADD | select.KQ_EV_CLEAR
            event = select.kevent(fd, select.KQ_FILTER_READ, flags)
            self._kqueue.control([event], 0)

        def wait(self) -> list[int]:
            events = self._kqueue.control(None, _BACKLOG, _WATCH_PARENT_SECONDS)
            return [event.ident for event in events]


class _Connection:
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
        # The daemon's budget reads these headers, and that is part of what is measured.
        reset = int(time.time()) + 60
        self.send(_HEAD % (status, _RATE, _RATE, reset, len(body)) + body)

    def send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.socket.settimeout(_SEND_SECONDS)
            self.socket.sendall(memoryview(data)[sent:])
            self.socket.setblocking(False)


class Broker:
    """Serves everything in one loop, so that one clock reading dates all that came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._connections: dict[int, _Connection] = {}
        self._poller = _Poller()
        self._orders: list[Order] = []
        self._by_id: dict[str, Order] = {}
        self._lookups = 0

    @property
    def port(self) -> int:
        """The TCP port on loopback."""
        port: int = self._listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Serve until the parent process has ended."""
        self._poller.add(self._listener.fileno())
        parent = os.getppid()
        while os.getppid() == parent:
            ready = self._poller.wait()
            now_ns = time.monotonic_ns()
            for fd in ready:
                if fd == self._listener.fileno():
                    self._accept()
                elif (connection := self._connections.get(fd)) is not None:
                    self._serve(connection, now_ns)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self._connections[sock.fileno()] = _Connection(sock)
            self._poller.add(sock.fileno())

    def _serve(self, connection: _Connection, now_ns: int) -> None:
        lives = connection.read()
        try:
            for head, body in connection.requests():
                self._answer(connection, head, body, now_ns)
            if connection.is_stream:
                lives = self._serve_stream(connection) and lives
        except OSError:
            lives = False
        if not lives:
            del self._connections[connection.socket.fileno()]
            connection.socket.close()

    def _answer(
        self, connection: _Connection, head: bytes, body: bytes, now_ns: int
    ) -> None:
        if head.startswith(b"POST /v2/orders "):
            order = take_order(body, now_ns, len(self._orders))
            connection.reply(200, order.reply())
            self._orders.append(order)
            for name in ("id", "client_order_id"):
                self._by_id[order.fields[name]] = order
            return
        path, _, query = head.split(b" ", 2)[1].decode().partition("?")
        if (key := _KEY.search(head)) is not None:
            connection.send(upgraded(key[1]))
            connection.is_stream = True
        elif path.startswith("/bench/"):
            answer = self._control(path, query)
            connection.reply(200, json.dumps(answer).encode())
        elif path == "/v2/orders":
            connection.reply(200, b"[]")  # it has no orders but those of this run
        elif path.startswith("/v2/orders"):
            self._lookups += 1
            name = query.partition("=")[2] or path.rpartition("/")[2]
            found = self._by_id.get(name)
            if found is None:
                connection.reply(404, _UNKNOWN_ORDER)
            else:
                connection.reply(200, found.reply())
        else:
            connection.reply(404, _UNKNOWN_PATH)

    def _control(self, path: str, query: str) -> object:
        match path.removeprefix("/bench/"):
            case "posts":
                known = int(query)
                posts = self._orders[known:]
                return [(post.arrived_ns, post.fields["symbol"]) for post in posts]
            case "fills":
                return self._fill()
            case _:
                listeners = [c for c in self._connections.values() if c.listens]
                return {
                    "posts": len(self._orders),
                    "listeners": len(listeners),
                    "lookups": self._lookups,
                }

    def _fill(self) -> dict[str, int]:
        orders = [order for order in self._orders if not order.filled]
        for order in orders:
            order.filled = True
        events = b"".join(frame(order.fill_event()) for order in orders)
        began_ns = time.monotonic_ns()
        for connection in self._connections.values():
            if connection.listens:
                connection.send(events)
        return {"beganNs": began_ns, "events": len(orders)}

    def _serve_stream(self, connection: _Connection) -> bool:
        """Answer a client's frames; False once it closes."""
        while (found := take_frame(connection.buffer)) is not None:
            opcode, payload = found
            if opcode == PING:
                connection.send(frame(payload, PONG))
            elif opcode == CLOSE:
                connection.send(frame(payload, CLOSE))
                return False
            elif opcode in {TEXT, BINARY}:
                connection.send(frame(self._greet(connection, json.loads(payload))))
        return True

    def _greet(self, connection: _Connection, message: dict[str, object]) -> bytes:
        if message.get("action") == "listen":
            connection.listens = True
            answer: dict[str, object] = {"streams": ["trade_updates"]}
            return json.dumps({"stream": "listening", "data": answer}).encode()
        answer = {"action": "authenticate", "status": "authorized"}
        return json.dumps({"stream": "authorization", "data": answer}).encode()


def main() -> None:
    """Print the port and serve."""
    gc.disable()  # a pause of ours would be measured as the daemon's
    broker = Broker()
    sys.stdout.write(f"port {broker.port}\n")
    sys.stdout.flush()
    broker.run()


if __name__ == "__main__":
    main()
