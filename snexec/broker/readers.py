"""One task that reads many sockets."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Readers:
    """Calls back whoever reads a socket once there is something to read.

    A task for each would do, and costs a burst of orders an eighth of its time: two
    switches and a call of the kernel for each answer.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, sock: socket.socket, receive: Callable[[], None]) -> None:
        """Call a function whenever a socket can be read.

        It must neither block nor raise; it may add and remove sockets.
        """
        self._selector.register(sock, selectors.EVENT_READ, receive)

    def remove(self, sock: socket.socket) -> None:
        """Watch a socket no longer, which is about to be closed."""
        self._selector.unregister(sock)

    async def run(self) -> None:
        """Call back until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._selector.fileno())
            for key, _ in self._selector.select(0):
                key.data()

    def close(self) -> None:
        """Watch nothing any more; every socket has been removed before."""
        self._selector.close()
