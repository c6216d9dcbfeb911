"""One task that reads many sockets."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from trio.testing import wait_all_tasks_blocked

from snexec.broker.readers import Readers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio


class Ends:
    """Three sockets that are watched, and their other ends."""

    def __init__(self, readers: Readers, stack: ExitStack) -> None:
        self.readers = readers
        self.ours: list[socket.socket] = []
        self.theirs: list[socket.socket] = []
        self.read: list[tuple[int, bytes]] = []
        for number in range(3):
            ours, theirs = socket.socketpair()
            self.ours.append(stack.enter_context(ours))
            self.theirs.append(stack.enter_context(theirs))
            readers.add(ours, partial(self._receive, number))

    def _receive(self, number: int) -> None:
        data = self.ours[number].recv(4)
        self.read.append((number, data))
        if not data:
            self.readers.remove(self.ours[number])


@pytest.fixture
def ends(nursery: trio.Nursery) -> Iterator[Ends]:
    readers = Readers()
    with ExitStack() as stack:
        stack.callback(readers.close)
        ends = Ends(readers, stack)
        nursery.start_soon(readers.run)
        yield ends


async def test_whoever_can_be_read_is_called(ends: Ends) -> None:
    await wait_all_tasks_blocked()
    assert ends.read == []
    ends.theirs[2].send(b"a")
    ends.theirs[0].send(b"b")
    await wait_all_tasks_blocked()
    assert sorted(ends.read) == [(0, b"b"), (2, b"a")]


async def test_what_is_left_unread_is_read_in_another_step(ends: Ends) -> None:
    ends.theirs[1].send(b"twelve bytes")
    await wait_all_tasks_blocked()
    assert ends.read == [(1, b"twel"), (1, b"ve b"), (1, b"ytes")]


async def test_the_end_of_a_stream_can_be_read(ends: Ends) -> None:
    ends.theirs[0].close()
    await wait_all_tasks_blocked()
    assert ends.read == [(0, b"")]


async def test_a_socket_that_was_removed_is_watched_no_longer(ends: Ends) -> None:
    ends.readers.remove(ends.ours[1])
    ends.theirs[1].send(b"late")
    ends.theirs[2].send(b"here")
    await wait_all_tasks_blocked()
    assert ends.read == [(2, b"here")]
