"""Intents wait in their order, as many as may; those given out still wait a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.orders.queue import IntentQueue
from tests.input_helpers import within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.orders.intent import Intent


def intent(name: str) -> Intent:
    """Make something to put into a queue, which never looks at what it holds."""
    return cast("Intent", name)


def queue_of(names: Iterable[str], *, max_pending: int = 1_000) -> IntentQueue:
    queue = IntentQueue(max_pending)
    for name in names:
        queue.put(intent(name))
    return queue


async def rest(queue: IntentQueue) -> list[object]:
    """Return what it gives out until its end."""
    return [each async for each in queue]


# The bound --------------------------------------------------------------------------


def test_a_queue_is_full_when_as_many_wait_as_may() -> None:
    queue = IntentQueue(3)
    full = [queue.is_full]

    for name in "abc":
        queue.put(intent(name))
        full.append(queue.is_full)

    assert full == [False, False, False, True]
    assert queue.pending == 3


async def test_one_that_was_given_out_waits_until_it_has_started() -> None:
    queue, first, second = IntentQueue(2), intent("a"), intent("b")
    queue.put(first)
    queue.put(second)

    assert queue.next_nowait() is first
    assert await anext(aiter(queue)) is second
    assert queue.pending == 2
    assert queue.is_full

    queue.started()
    assert queue.pending == 1
    assert not queue.is_full


@within(5)
async def test_whoever_waits_for_room_has_it_at_once_where_there_is_some() -> None:
    queue = IntentQueue(1)

    await queue.wait_for_room()


@within(5)
async def test_whoever_waits_for_room_is_woken_when_there_is_some() -> None:
    queue = queue_of("0", max_pending=1)
    put_by: list[str] = []

    async def wait_and_put(name: str) -> None:
        await queue.wait_for_room()
        assert not queue.is_full
        put_by.append(name)
        queue.put(intent(name))

    async with trio.open_nursery() as nursery:
        for name in ("1", "2", "3"):
            nursery.start_soon(wait_and_put, name)
        for count in range(4):
            await wait_all_tasks_blocked()
            assert len(put_by) == count
            assert queue.pending == 1
            queue.started()

    assert sorted(put_by) == ["1", "2", "3"]


@within(5)
async def test_a_wait_for_room_can_be_cancelled() -> None:
    queue = queue_of("a", max_pending=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.wait_for_room)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert queue.pending == 1


# The order --------------------------------------------------------------------------


@within(5)
async def test_intents_are_given_out_in_the_order_of_their_coming() -> None:
    names = [str(number) for number in range(100)]
    queue = queue_of(names)
    queue.close()

    given_out: list[object] = []
    async for first in queue:  # as the dispatcher does
        following: object = first
        while following is not None:
            given_out.append(following)
            following = queue.next_nowait()

    assert given_out == names


@within(5)
async def test_what_is_put_while_somebody_waits_is_given_out_at_once() -> None:
    queue, given_out = IntentQueue(2), list[object]()

    async def take() -> None:
        given_out.extend(await rest(queue))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        queue.put(intent("a"))
        await wait_all_tasks_blocked()
        assert queue.next_nowait() is None
        queue.put(intent("b"))
        queue.close()

    assert given_out == ["a", "b"]


def test_an_empty_queue_gives_out_none() -> None:
    assert IntentQueue(1).next_nowait() is None


# The end ----------------------------------------------------------------------------


@within(5)
async def test_a_closed_queue_ends_after_what_waits() -> None:
    queue = queue_of("ab")

    queue.close()
    queue.close()

    assert await rest(queue) == ["a", "b"]
    assert queue.next_nowait() is None
    assert queue.pending == 2  # neither has started


@within(5)
async def test_whoever_waits_at_an_empty_queue_is_let_go_when_it_closes() -> None:
    queue, ended = IntentQueue(1), trio.Event()

    async def take() -> None:
        assert await rest(queue) == []
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        queue.close()

    assert ended.is_set()


async def test_nothing_can_be_put_into_a_closed_queue() -> None:
    queue = queue_of("a")
    queue.close()

    with pytest.raises(trio.ClosedResourceError):
        queue.put(intent("b"))


async def test_it_says_how_many_more_may_wait() -> None:
    queue = IntentQueue(2)
    assert queue.room == 2
    queue.put(cast("Intent", object()))
    assert queue.room == 1
