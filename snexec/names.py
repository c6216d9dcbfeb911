"""Look-ups of host names, in threads that nothing else uses (SPEC 1).

One that hangs, as a resolver that does not answer makes it, keeps its thread for half a
minute or more; so each host has its own few, and a name that hangs holds up no other.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import trio

from snexec.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_THREADS = 2  # a host; a second try may succeed while the first one hangs
_HOSTS = 8  # beyond those of the configuration, all share what the last one has


class HostNames(trio.abc.HostnameResolver):
    """Looks up names for whatever connects, in the ``with`` block and in this program."""

    def __init__(self) -> None:
        self._threads: dict[str, Threads] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        trio.socket.set_custom_hostname_resolver(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        trio.socket.set_custom_hostname_resolver(None)
        self._opened.close()

    async def getaddrinfo(  # noqa: PLR0917 - as Trio's
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the names are Trio's
        proto: int = 0,
        flags: int = 0,
    ) -> Any:  # noqa: ANN401 - as socket's
        """Look up the addresses of a host; cancellation leaves a hung thread behind.

        Raises:
            OSError: There is no such host, no answer, or no thread to ask in.
        """
        return await self._ask(
            host, partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        )

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """Look up the name of an address.

        Raises:
            OSError: There is none, no answer, or no thread to ask in.
        """
        return await self._ask(None, partial(socket.getnameinfo, sockaddr, flags))

    async def _ask(self, host: bytes | None, question: Callable[[], T]) -> T:
        name = "" if host is None else host.decode("ascii", "replace").lower()
        threads = self._threads.get(name)
        if threads is None:
            if len(self._threads) >= _HOSTS:
                threads = list(self._threads.values())[-1]
            else:
                threads = self._opened.enter_context(Threads(f"names {name}", _THREADS))
                self._threads[name] = threads
        return await threads.run(question, abandon_on_cancel=True)
