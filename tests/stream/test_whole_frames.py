from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from snexec.bench.websocket import BINARY, CLOSE, PING, PONG, TEXT, frame
from snexec.errors import StreamClosedError
from snexec.stream.whole_frames import WholeFrames

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
LONGEST = 70_000
ENDED = StreamClosedError("1000 NORMAL_CLOSURE")


def opened(most_waiting: int = 100) -> WholeFrames:
    frames = WholeFrames(LONGEST, most_waiting)
    assert frames.take(HEAD) == HEAD
    return frames


async def given_out(frames: WholeFrames) -> list[str | bytes]:
    frames.end(ENDED)
    messages: list[str | bytes] = []
    with suppress(StreamClosedError):
        while True:
            messages.append(await frames.get())
    return messages


@given(
    st.lists(
        st.tuples(
            st.sampled_from([TEXT, BINARY, PING, PONG, CLOSE]),
            st.sampled_from([0, 1, 5, 125, 126, 300, 65_535, 65_536, LONGEST]),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 40_000), max_size=20),
)
def test_messages_are_taken_and_the_rest_is_left_however_it_is_cut(
    sent: list[tuple[int, int]], cuts: list[int]
) -> None:
    payloads = [
        (kind, bytes([number]) * (size if kind in {TEXT, BINARY} else min(size, 125)))
        for number, (kind, size) in enumerate(sent)
    ]
    data = b"".join(frame(payload, kind) for kind, payload in payloads)
    frames = opened()
    left = b""
    for cut in [*cuts, len(data) + 1]:
        left += frames.take(data[:cut])
        data = data[cut:]

    async def taken() -> list[str | bytes]:
        return await given_out(frames)

    messages = [payload for kind, payload in payloads if kind in {TEXT, BINARY}]
    assert trio.run(taken) == messages
    assert left == b"".join(
        frame(payload, kind) for kind, payload in payloads if kind not in {TEXT, BINARY}
    )


async def test_what_comes_right_behind_the_handshake_is_taken() -> None:
    frames = WholeFrames(LONGEST, 100)
    assert frames.take(HEAD + frame(b"{}") + frame(b"", PING)) == HEAD + frame(
        b"", PING
    )
    assert await given_out(frames) == [b"{}"]


@pytest.mark.parametrize(
    "head",
    [
        HEAD[:30],
        b"HTTP/1.1 429 Too Many Requests\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"",
    ],
    ids=["cut", "refused", "other news", "nothing"],
)
async def test_any_other_answer_to_the_handshake_leaves_all(head: bytes) -> None:
    frames = WholeFrames(LONGEST, 100)
    assert frames.take(head) == head
    assert frames.take(HEAD + frame(b"{}")) == HEAD + frame(b"{}")
    assert await given_out(frames) == []


@pytest.mark.parametrize(
    "strange",
    [
        bytes([TEXT, 2]) + b"{}",
        bytes([0x80, 2]) + b"{}",
        bytes([0xC0 | TEXT, 2]) + b"{}",
        bytes([0x83, 2]) + b"{}",
        bytes([0x80 | TEXT, 0x82]) + b"mask{}",
        bytes([0x80 | PING, 126, 0, 126]) + b"x" * 126,
        frame(b"x" * (LONGEST + 1)),
        bytes([0x80 | TEXT, 127]) + b"\xff" * 8,
    ],
    ids=[
        "a part",
        "the rest of nothing",
        "compressed",
        "of no known kind",
        "masked",
        "a ping too long",
        "too long",
        "longer than any",
    ],
)
async def test_what_is_not_plain_is_left_with_all_that_follows(strange: bytes) -> None:
    frames = opened()
    after = frame(b"after")
    assert frames.take(frame(b"before") + strange + after) == strange + after
    assert frames.take(after) == after
    assert await given_out(frames) == [b"before"]


async def test_what_was_left_comes_behind_what_was_taken() -> None:
    frames = opened()
    frames.take(frame(b"1"))
    frames.add("2")
    assert await given_out(frames) == [b"1", "2"]


async def test_a_message_wakes_whoever_waits_for_it() -> None:
    frames, messages = opened(), []

    async def wait() -> None:
        messages.append(await frames.get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        frames.take(frame(b"1"))
    assert messages == [b"1"]


async def test_others_have_their_turn_in_a_flood() -> None:
    frames, given, seen = opened(), 0, []

    async def look() -> None:
        while given < 64:
            seen.append(given)
            await trio.lowlevel.checkpoint()

    frames.take(frame(b"1") * 64)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        while given < 64:
            await frames.get()
            given += 1
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(steps) <= 16  # two turns, as the order of tasks is random


async def test_the_reader_waits_while_too_many_wait() -> None:
    frames, has_room = opened(most_waiting=2), False

    async def wait() -> None:
        nonlocal has_room
        await frames.wait_room()
        has_room = True

    frames.take(frame(b"1") * 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not has_room
        await frames.get()
        await trio.testing.wait_all_tasks_blocked()
        assert has_room


async def test_a_connection_that_has_ended_is_read_to_its_end() -> None:
    frames = opened(most_waiting=1)
    frames.take(frame(b"1"))
    frames.end(ENDED)
    with trio.fail_after(30):
        await frames.wait_room()


# Taken in the step in which they come.


class Taker:
    """Waits for messages, and takes some of them as they come."""

    def __init__(self, frames: WholeFrames, *, leaves: bytes = b"") -> None:
        self.taken: list[str | bytes] = []
        self.given: list[str | bytes] = []
        self.problem: Exception | None = None
        self._frames = frames
        self._leaves = leaves

    def take(self, message: str | bytes) -> bool:
        """Take a message, unless it is one of those that are left."""
        if self.problem is not None:
            raise self.problem
        if message == self._leaves:
            return False
        self.taken.append(message)
        return True

    async def run(self) -> None:
        """Wait for messages until cancelled, or until the connection has ended."""
        with suppress(StreamClosedError):
            while True:
                self.given.append(await self._frames.get(self.take))


async def test_a_message_is_taken_in_the_step_in_which_it_comes(
    nursery: trio.Nursery,
) -> None:
    frames = opened()
    taker = Taker(frames)
    nursery.start_soon(taker.run)
    await trio.testing.wait_all_tasks_blocked()
    frames.take(frame(b"1") + frame(b"2"))
    assert taker.taken == [b"1", b"2"]
    frames.add("3")
    assert taker.taken == [b"1", b"2", "3"]
    frames.end(ENDED)
    await trio.testing.wait_all_tasks_blocked()
    assert taker.given == []


async def test_what_is_not_taken_is_given_out_and_nothing_overtakes_it(
    nursery: trio.Nursery,
) -> None:
    frames = opened()
    taker = Taker(frames, leaves=b"2")
    nursery.start_soon(taker.run)
    await trio.testing.wait_all_tasks_blocked()
    frames.take(frame(b"1") + frame(b"2") + frame(b"3"))
    frames.take(frame(b"4"))
    assert taker.taken == [b"1"]
    await trio.testing.wait_all_tasks_blocked()
    assert taker.given == [b"2", b"3", b"4"]
    frames.take(frame(b"5"))
    assert taker.taken == [b"1", b"5"]
    nursery.cancel_scope.cancel()


async def test_others_have_their_turn_where_many_come_at_once(
    nursery: trio.Nursery,
) -> None:
    frames = opened()
    taker = Taker(frames)
    nursery.start_soon(taker.run)
    await trio.testing.wait_all_tasks_blocked()
    frames.take(frame(b"1") * 64)
    assert len(taker.taken) <= 8
    await trio.testing.wait_all_tasks_blocked()
    assert len(taker.taken + taker.given) == 64
    nursery.cancel_scope.cancel()


async def test_what_a_taker_raises_is_raised_where_it_waits_and_ends_all() -> None:
    frames = opened()
    taker = Taker(frames)
    taker.problem = ZeroDivisionError("ours")

    async def fall() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert frames.take(frame(b"1") + frame(b"", PING)) == frame(b"", PING)
        taker.problem = None
        frames.take(frame(b"2"))

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the nursery's block
        async with trio.open_nursery() as nursery:
            nursery.start_soon(taker.run)
            nursery.start_soon(fall)
    assert caught.group_contains(ZeroDivisionError, match="ours")
    assert taker.taken == taker.given == []


async def test_what_a_taker_raises_counts_though_the_connection_ends_as_well() -> None:
    frames = opened()
    taker = Taker(frames)
    taker.problem = ZeroDivisionError("ours")

    async def fall_and_end() -> None:
        await trio.testing.wait_all_tasks_blocked()
        frames.take(frame(b"1"))
        frames.end(ENDED)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fall_and_end)
        with pytest.raises(ZeroDivisionError, match="ours"):
            await frames.get(taker.take)


async def test_nothing_is_taken_for_one_who_does_not_wait_any_more() -> None:
    frames = opened()
    taker = Taker(frames)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(taker.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    frames.take(frame(b"1"))
    assert taker.taken == []
    assert await given_out(frames) == [b"1"]
