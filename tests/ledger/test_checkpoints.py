"""Checkpoints: after so many changes, in a lull, and a failure of one is no fault."""

from __future__ import annotations

import logging
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
import trio.lowlevel

from snexec.ledger import checkpoints as checkpoints_module
from snexec.ledger.checkpoints import Checkpoints
from snexec.ledger.writer import Writer
from tests.ledger.writing import ChangeOf, CountingStore, change_nothing, settled

if TYPE_CHECKING:
    from collections.abc import Callable

Test = TypeVar("Test", bound="Callable[..., object]")


class Load:
    """What a writer has to do.

    Attributes:
        pending: Changes that wait.
        flood_until: Until then, on Trio's clock, a change is written at each look.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.flood_until = 0.0
        self._applied = 0

    @property
    def applied(self) -> int:
        if trio.current_time() < self.flood_until:
            self._applied += 1
        return self._applied


class Copies:
    """Notes when each checkpoint is made.

    Attributes:
        at: When, on Trio's clock.
        faults: What the next ones fail with.
        during: Called during the next one.
    """

    def __init__(self) -> None:
        self.at: list[float] = []
        self.faults: list[sqlite3.Error] = []
        self.during: list[Callable[[], None]] = []

    def __call__(self) -> None:
        self.at.append(trio.current_time())
        if self.during:
            self.during.pop()()
        if self.faults:
            raise self.faults.pop()


jumping = pytest.mark.jumping_time


# On their own


@jumping
async def test_a_checkpoint_is_made_after_so_many_changes(
    nursery: trio.Nursery,
) -> None:
    copies = Copies()
    checkpoints = Checkpoints(copies, Load())
    nursery.start_soon(checkpoints.run)
    made = []
    for changes in (99, 1, 99, 32):
        checkpoints.note(changes)
        await trio.sleep(3600)
        made.append(len(copies.at))
    assert made == [0, 1, 1, 2], "it counts anew after each"
    nursery.cancel_scope.cancel()


@jumping
@pytest.mark.parametrize("busy_seconds", [0.5, 3.0])
async def test_a_checkpoint_waits_for_a_lull(
    nursery: trio.Nursery, *, busy_seconds: float
) -> None:
    copies, load = Copies(), Load()
    checkpoints = Checkpoints(copies, load)
    load.flood_until = busy_seconds
    nursery.start_soon(checkpoints.run)
    checkpoints.note(100)
    await trio.sleep(3600)
    [made_at] = copies.at
    assert busy_seconds <= made_at < 5.0
    nursery.cancel_scope.cancel()


@jumping
async def test_a_lull_is_not_one_while_changes_wait(nursery: trio.Nursery) -> None:
    copies, load = Copies(), Load()
    checkpoints = Checkpoints(copies, load)
    load.pending = 1
    nursery.start_soon(checkpoints.run)
    checkpoints.note(100)
    await trio.sleep(2)
    assert copies.at == []
    load.pending = 0
    await trio.sleep(3600)
    [made_at] = copies.at
    assert 2.0 <= made_at < 5.0
    nursery.cancel_scope.cancel()


@jumping
async def test_a_flood_that_goes_on_is_not_waited_out(nursery: trio.Nursery) -> None:
    copies, load = Copies(), Load()
    checkpoints = Checkpoints(copies, load)
    load.flood_until = 3600.0
    nursery.start_soon(checkpoints.run)
    checkpoints.note(100)
    await trio.sleep(1800)
    assert copies.at == [pytest.approx(5.0)]
    nursery.cancel_scope.cancel()


@jumping
async def test_a_checkpoint_that_cannot_be_made_is_made_when_the_next_is_due(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    copies = Copies()
    copies.faults = [sqlite3.OperationalError("database is locked")]
    checkpoints = Checkpoints(copies, Load())
    nursery.start_soon(checkpoints.run)
    made = []
    for _ in range(2):
        checkpoints.note(100)
        await trio.sleep(3600)
        made.append(len(copies.at))
    assert made == [1, 2]
    assert caplog.messages == [
        "the write-ahead log stays long for now: database is locked"
    ]
    nursery.cancel_scope.cancel()


@jumping
async def test_changes_written_during_a_checkpoint_count_for_the_next(
    nursery: trio.Nursery,
) -> None:
    copies = Copies()
    checkpoints = Checkpoints(copies, Load())
    copies.during = [lambda: checkpoints.note(100)]
    nursery.start_soon(checkpoints.run)
    checkpoints.note(100)
    await trio.sleep(3600)
    assert len(copies.at) == 2
    nursery.cancel_scope.cancel()


async def test_a_checkpoint_under_way_is_finished_when_the_writer_ends() -> None:
    under_way, may_end, finished = trio.Event(), threading.Event(), list[bool]()
    token = trio.lowlevel.current_trio_token()

    def copy() -> None:
        token.run_sync_soon(under_way.set)
        assert may_end.wait(10)
        finished.append(threading.current_thread() is not threading.main_thread())

    checkpoints = Checkpoints(copy, Load())
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(checkpoints.run)
            checkpoints.note(100)
            await under_way.wait()
            nursery.cancel_scope.cancel()
            may_end.set()
    assert finished == [True]


async def test_a_checkpoint_for_which_there_is_no_thread_is_made_later(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    def no_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made: list[str] = []
    checkpoints = Checkpoints(lambda: made.append("copy"), Load())
    with trio.fail_after(5):
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", no_start)
            nursery.start_soon(checkpoints.run)
            checkpoints.note(100)
            await trio.sleep(0.05)
        assert made == []
        checkpoints.note(100)
        await settled(lambda: made == ["copy"])
    nursery.cancel_scope.cancel()


# The writer's


async def test_the_log_is_kept_short_now_and_then_and_a_failure_of_that_is_no_fault(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    calls: list[int] = []

    def checkpoint() -> None:
        calls.append(writer.status().applied)
        raise sqlite3.OperationalError("database or disk is full")

    writer = Writer(counting, checkpoint=checkpoint)
    nursery.start_soon(writer.run)
    with trio.fail_after(10):
        for due in (1, 2):
            for _ in range(120):
                await writer.submit(ChangeOf(change_nothing))
            await settled(partial(lambda due: len(calls) == due, due))
    assert calls == [120, 240], "once nothing more was to be written"
    writer.close()


async def test_a_checkpoint_waits_for_a_lull_but_not_forever(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "_LONGEST_LULL_WAIT_SECONDS", 0.05)
    calls: list[int] = []
    writer = Writer(counting, checkpoint=lambda: calls.append(1))
    nursery.start_soon(writer.run)

    async def flood() -> None:
        while True:
            await writer.write(change_nothing)
            await trio.lowlevel.checkpoint()

    with trio.fail_after(10):
        nursery.start_soon(flood)
        await settled(lambda: len(calls) > 0)
    nursery.cancel_scope.cancel()
