"""The floor: the least that any program must do between a signal and its order.

A process of its own, ``python -m snexec.bench.floor SOCKET PORT CONNECTIONS``: it
reads JSON lines from a Unix socket and writes a prepared POST for each to one of its
open connections, in turns. No model, no checks, no row, no event loop.
"""

from __future__ import annotations

import gc
import itertools
import json
import socket
import sys

_ACCEPT_SECONDS = 30.0  # the bench may have died before it connected
_READ_BYTES = 64 * 1024
_REPLY_SECONDS = 30.0

_HEAD = (
    b"POST /v2/orders HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"APCA-API-KEY-ID: bench-key\r\nAPCA-API-SECRET-KEY: bench-secret\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
)
_BODY = (
    b'{"symbol":"%b","notional":"100.00","side":"buy","type":"market",'
    b'"time_in_force":"day","client_order_id":"floor-%b"}'
)
_ANSWER = b'{"status":"accepted"}\n'


class _Connection:
    """A kept-alive connection; its reply is read when it is needed again."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _REPLY_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._busy = False

    def post(self, request: bytes) -> None:
        if self._busy:
            self._read_reply()
        self._socket.sendall(request)
        self._busy = True

    def _read_reply(self) -> None:
        reply = b""
        while not reply.endswith(b"}"):  # of the JSON body, which comes last
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionError("the broker closed the connection")
            reply += data


def run(path: str, port: int, connections: int) -> None:
    """Serve one client until it leaves."""
    ring = itertools.cycle([_Connection(port) for _ in range(connections)])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(_ACCEPT_SECONDS)
        client, _ = listener.accept()
    client.settimeout(None)
    rest = b""
    while data := client.recv(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            symbol = json.loads(line)["symbol"].encode()
            body = _BODY % (symbol, symbol)
            next(ring).post(_HEAD % (len(body), body))
        client.sendall(_ANSWER * len(lines))


if __name__ == "__main__":
    gc.disable()
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
