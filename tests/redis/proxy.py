"""A line between two programs that can be cut: silence, and nobody hangs up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTES = 64 * 1024


class Proxy:
    """Passes on whatever comes to a port, until it is cut.

    Args:
        port: Where it goes, on loopback.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._whole = trio.Event()
        self._whole.set()
        self.port = 0

    def cut(self) -> None:
        """Pass nothing on from now on, in either direction."""
        self._whole = trio.Event()

    def mend(self) -> None:
        """Pass on what comes; the connections whose data was held up are gone."""
        self._whole.set()

    async def run(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        async with client:
            await self._whole.wait()
            try:
                server = await trio.open_tcp_stream("127.0.0.1", self._target)
            except OSError:
                return
            async with server, trio.open_nursery() as nursery:
                ends: Callable[[], object] = nursery.cancel_scope.cancel
                nursery.start_soon(self._pass_on, client, server, ends)
                nursery.start_soon(self._pass_on, server, client, ends)

    async def _pass_on(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        ends: Callable[[], object],
    ) -> None:
        try:
            while data := await source.receive_some(_BYTES):
                if not self._whole.is_set():
                    break
                await target.send_all(data)
        except trio.BrokenResourceError:
            pass
        await self._whole.wait()
        ends()
