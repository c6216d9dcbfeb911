"""The floor: the least that any program must do between a signal and its order.

A process of its own, ``python -m snexec.bench.floor SOCKET PORT CONNECTIONS``: it
reads JSON lines from a Unix socket and writes a prepared POST for each to one of its
open connections, in turns. No model, no checks, no row, no event loop. With a DATABASE
behind these, it commits a row for each line first, those of one read together; where
there is a C compiler, ``row_floor.c`` is measured in its place.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import socket
import sqlite3
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
_INSERT = (
    "INSERT INTO BotTrade (id, symbol, status, catalystType, catalystTier, entryAt,"
    " createdAt, updatedAt, mode, notional, starRating, priceAtSignal, signalId)"
    " VALUES (?1, ?2, 'open', 'earnings_beat', 1, ?3, ?3, ?3, 'paper', 100, 5, 187.2, ?2)"
    " ON CONFLICT DO NOTHING"
)


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


def writer_of_rows(database: str) -> Callable[[list[str]], None]:
    """Return what commits a row of the ledger's table for each of some symbols."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    numbers = itertools.count(1)

    def write(symbols: list[str]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for symbol in symbols:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
            row = (f"floor-{os.getpid()}-{next(numbers)}", symbol, now)
            connection.execute(_INSERT, row)
        connection.execute("COMMIT")

    return write


def run(
    path: str, port: int, connections: int, write: Callable[[list[str]], None]
) -> None:
    """Serve one client until it leaves; ``write`` takes the symbols of each read."""
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
        symbols = [json.loads(line)["symbol"] for line in lines]
        write(symbols)
        for symbol in symbols:
            text = symbol.encode()
            body = _BODY % (text, text)
            next(ring).post(_HEAD % (len(body), body))
        client.sendall(_ANSWER * len(lines))


if __name__ == "__main__":
    gc.disable()
    run(
        *(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])),
        writer_of_rows(sys.argv[4]) if len(sys.argv) > 4 else lambda _: None,
    )
