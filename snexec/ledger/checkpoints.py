"""Checkpoints that keep the write-ahead log short, out of everyone's way."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.threads import NoThreadError, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("Writer")

# Changes, some 2 MB of write-ahead log: a commit that overwrites the log is a fifth
# quicker than one that makes it longer.
_CHECKPOINT_EVERY = 100
# A commit that meets a checkpoint waits 2 to 15 ms for the disk.
_LULL_SECONDS = 0.004
_LONGEST_LULL_WAIT_SECONDS = 5.0  # a flood that goes on makes 30 MB of log by then


class Load(Protocol):
    """What the writer has to do."""

    @property
    def pending(self) -> int:
        """Changes that wait."""

    @property
    def applied(self) -> int:
        """Changes written since the start."""


class Checkpoints:
    """Copies the log into the file after so many changes, during a lull.

    Args:
        copy: Makes one checkpoint, over a connection of its own; called in a thread.
        load: The writer's load, which shows a lull.
    """

    def __init__(self, copy: Callable[[], None], load: Load) -> None:
        self._copy = copy
        self._load = load
        self._since = 0  # changes
        self._due = trio.Event()

    def note(self, changes: int) -> None:
        """Count changes that were written."""
        self._since += changes
        if self._since >= _CHECKPOINT_EVERY:
            self._since = 0
            self._due.set()

    async def run(self) -> None:
        """Make a checkpoint whenever one is due, until cancelled."""
        with Threads("checkpoints", 1) as threads:
            while True:
                await self._due.wait()
                await self._wait_for_lull()
                self._due = trio.Event()
                try:
                    await threads.run(self._copy)
                except (sqlite3.Error, NoThreadError) as exc:
                    log.debug("the write-ahead log stays long for now: %s", exc)

    async def _wait_for_lull(self) -> None:
        pause = _LULL_SECONDS
        with trio.move_on_after(_LONGEST_LULL_WAIT_SECONDS):
            while True:
                before = self._load.applied
                await trio.sleep(pause)
                if self._load.applied == before and not self._load.pending:
                    return
                pause *= 1.5
