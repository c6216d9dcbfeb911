"""What waits for each client: bounded in bytes, one copy of an event for all."""

from __future__ import annotations

from itertools import count

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.events import Event
from snexec.intake import outbox as outbox_module
from snexec.intake.outbox import Outbox, Outboxes
from tests.fakes import MOMENT
from tests.input_helpers import within


def an_event(reason: str) -> Event:
    return Event(event="skipped", moment=MOMENT, reason=reason)


def fill(outbox: Outbox, line: bytes) -> int:
    """Put a line until there is no room; return how often there was."""
    return next(number for number in count() if not outbox.put(line))


async def next_chunk(outbox: Outbox) -> bytes:
    return await anext(outbox)


def test_an_event_is_one_line_for_all_who_follow() -> None:
    outboxes, event = Outboxes(), an_event("one")

    first = outboxes.line_of(event)
    assert first == event.line()
    assert outboxes.line_of(event) is first
    assert outboxes.line_of(an_event("two")) == an_event("two").line()


@pytest.mark.parametrize(
    ("clients", "share"), [(1, 1 << 20), (64, 1 << 20), (512, 1 << 17), (50_000, 8192)]
)
def test_all_clients_share_one_bound(clients: int, share: int) -> None:
    outboxes = Outboxes()
    outbox, *_others = [outboxes.open() for _ in range(clients)]

    assert outboxes.share == share
    line = b"x" * 1023 + b"\n"
    assert fill(outbox, line) == share // 1024


def test_who_has_gone_leaves_its_share_to_the_others() -> None:
    outboxes = Outboxes()
    gone = [outboxes.open() for _ in range(511)]
    outbox = outboxes.open()
    for each in gone:
        each.end()
        each.end()

    assert outboxes.share == 1 << 20
    assert fill(outbox, b"x" * 1024) == 1024


def test_one_that_does_not_read_takes_no_room_from_another() -> None:
    outboxes = Outboxes()
    mute, other = outboxes.open(), outboxes.open()
    fill(mute, b"x" * 1024)

    assert other.put(b"answer\n")
    assert not mute.put(b"answer\n")


def test_short_lines_are_bounded_too() -> None:
    assert fill(Outboxes().open(), b"\n") == 4096


@within(5)
async def test_lines_come_out_in_their_order_and_in_chunks_of_a_bounded_size() -> None:
    outbox = Outboxes().open()
    lines = [f"{number:01000}\n".encode() for number in range(40)]
    for line in lines:
        assert outbox.put(line)
    outbox.end()

    chunks = [chunk async for chunk in outbox]
    assert b"".join(chunks) == b"".join(lines)
    assert max(map(len, chunks)) <= 16 * 1024


@within(5)
async def test_what_is_being_sent_counts_until_it_is_sent() -> None:
    outbox = Outboxes().open()
    fill(outbox, b"x" * 1024)

    await next_chunk(outbox)
    assert not outbox.put(b"x" * 1024)
    await next_chunk(outbox)
    assert fill(outbox, b"x" * 1024) == 16


@within(5)
async def test_a_line_longer_than_the_share_has_room_where_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_BYTES", 10)
    monkeypatch.setattr(outbox_module, "_LEAST_BYTES", 10)
    outbox = Outboxes().open()

    assert outbox.put(b"a longer one\n")
    assert not outbox.put(b"x")
    assert await next_chunk(outbox) == b"a longer one\n"


@within(5)
async def test_a_line_wakes_who_sends_it(nursery: trio.Nursery) -> None:
    outbox, sent = Outboxes().open(), list[bytes]()

    async def send() -> None:
        async for chunk in outbox:
            sent.append(chunk)

    nursery.start_soon(send)
    for line in (b"one\n", b"two\n"):
        await wait_all_tasks_blocked()
        outbox.put(line)
    await wait_all_tasks_blocked()
    assert sent == [b"one\n", b"two\n"]
    outbox.end()


@within(5)
async def test_nothing_is_kept_for_a_client_that_reads_no_more() -> None:
    outbox = Outboxes().open()
    outbox.put(b"one\n")
    outbox.give_up()

    assert all(outbox.put(b"x" * 1024) for _ in range(5000)), "and none is dropped"
    outbox.end()
    assert [chunk async for chunk in outbox] == []
