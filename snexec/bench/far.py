"""A broker that is far away: TLS before the stand-in, and the time that the way takes.

A process of its own, ``python -m snexec.bench.far PORT FOLDER SECONDS``: it prints its
port, takes the certificate from the folder, passes on what comes to the port on this
machine, and holds up each piece on its way for half of the round trip's seconds.
"""

from __future__ import annotations

import math
import os
import ssl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.bench.programs import Program, module
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "localhost"
_CERTIFICATE, _KEY = "certificate.pem", "key.pem"
_READ_BYTES = 64 * 1024
_WATCH_PARENT_SECONDS = 1.0


class _Late(trio.abc.Stream):
    """A stream on which everything arrives later."""

    def __init__(self, stream: trio.abc.Stream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._coming_send, self._coming = trio.open_memory_channel[
            tuple[float, bytes | bytearray]
        ](math.inf)
        self._going_send, self._going = trio.open_memory_channel[
            tuple[float, bytes | bytearray | memoryview]
        ](math.inf)

    async def run(self) -> None:
        """Carry what comes and goes, until the other side leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send)
            data: bytes | bytearray = b" "
            while data:
                data = await self._stream.receive_some(_READ_BYTES)
                self._coming_send.send_nowait((self._due(), data))

    async def receive_some(self, _max_bytes: int | None = None) -> bytes | bytearray:
        due, data = await self._coming.receive()
        await trio.sleep_until(due)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self._going_send.send_nowait((self._due(), bytes(data)))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _send(self) -> None:
        async for due, data in self._going:
            await trio.sleep_until(due)
            await self._stream.send_all(data)

    def _due(self) -> float:
        return trio.current_time() + self._seconds


async def _serve(port: int, folder: Path, seconds: float) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / _CERTIFICATE, folder / _KEY)

    async def serve(client: trio.SocketStream) -> None:
        late = _Late(client, seconds / 2)
        secured = trio.SSLStream(late, tls, server_side=True, https_compatible=True)
        try:
            async with trio.open_nursery() as nursery, client:
                nursery.start_soon(late.run)
                near = await trio.open_tcp_stream("127.0.0.1", port)
                async with near:
                    nursery.start_soon(_pass_on, near, secured)
                    await _pass_on(secured, near)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # as connections end

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    sys.stdout.write(f"port {listeners[0].socket.getsockname()[1]}\n")
    sys.stdout.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        parent = os.getppid()
        while os.getppid() == parent:  # noqa: ASYNC110 - nothing says so
            await trio.sleep(_WATCH_PARENT_SECONDS)
        nursery.cancel_scope.cancel()


async def _pass_on(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    while data := await source.receive_some(_READ_BYTES):
        await target.send_all(data)


def make_certificate(folder: Path) -> Path:
    """Make a certificate of this machine in a folder, for a day; return its path.

    Raises:
        StartError: There is no ``openssl``, or it cannot.
    """
    path = folder / _CERTIFICATE
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        f" -days 1 -subj /CN={HOST} -addext subjectAltName=DNS:{HOST}"
    )
    command = [*words.split(), "-keyout", str(folder / _KEY), "-out", str(path)]
    try:
        subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - ours
    except (OSError, subprocess.CalledProcessError) as exc:
        raise StartError(f"bench: no certificate could be made: {exc}") from None
    return path


@contextmanager
def far_away(folder: Path, port: int, seconds: float) -> Iterator[int]:
    """Have a broker at a port be a round trip away, by TLS; return the port for that.

    The certificate must have been made in the folder.
    """
    command = module("snexec.bench.far", str(port), str(folder), str(seconds))
    with Program("the way to it", command, folder / f"far-{port}.log") as program:
        yield int(program.expect(r"port (\d+)\n"))


def main() -> None:
    """Serve."""
    trio.run(_serve, int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))


if __name__ == "__main__":
    main()
