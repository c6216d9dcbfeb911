"""What a stream brings, to the intake: what is pending first, then what is new (SPEC 13)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.intake import LINES_PER_TURN, Phase
from snexec.redis.entries import default_id, following, line_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.clock import Clock
    from snexec.intake import Intake
    from snexec.redis.client import Pending, Session
    from snexec.redis.entries import Entry
    from snexec.redis.undecided import Undecided
    from snexec.settings import RedisSettings

log = logging.getLogger("Redis")

_MOST_AT_ONCE = 512  # entries in one answer of the server
_PENDING_AT_ONCE = 100
_MOST_UNACKNOWLEDGED = 10_000
_LOOK_AGAIN_SECONDS = 0.1  # while rows cannot be written, or nothing is acknowledged
_CLAIMS_AN_IDLE = 3  # looks for what others left, in the time after which it is left


class Reader:
    """Feeds the intake from a stream, with no more than there is room for.

    Args:
        settings: The stream, and when what others hold is taken over.
        intake: Takes the lines.
        undecided: Is told of each entry, and how many are not decided.
        clock: The wall clock, by which an entry's id says how old it is.
        most: How many entries may be undecided at once.
    """

    def __init__(
        self,
        settings: RedisSettings,
        intake: Intake,
        undecided: Undecided,
        clock: Clock,
        *,
        most: int,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._undecided = undecided
        self._clock = clock
        self._most = most
        self._turn = trio.Lock()
        self.again = 0

    async def run(self, session: Session) -> None:
        """Read whenever signals are taken, until cancelled or the session fails."""
        while True:
            await self._intake.wait_taking()
            await self._take_over(session, all_at_once=self._settings.lease_sec > 0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_for_left, session, name="left entries")
                while self._intake.phase is Phase.TAKING:
                    left = await session.read(await self._room(), self._arrived)
                    if left:
                        async with self._turn:
                            await self._feed(left)
                nursery.cancel_scope.cancel(reason="no signals are taken")

    async def _look_for_left(self, session: Session) -> None:
        """Take over, now and then, what somebody was given and has not decided."""
        pause = self._idle_seconds() / _CLAIMS_AN_IDLE
        while True:
            await trio.sleep(pause)
            await self._take_over(session, all_at_once=False)

    def _idle_seconds(self) -> float:
        """Return after how long an entry that somebody holds counts as left."""
        settings = self._settings
        return settings.lease_sec or settings.claim_idle_sec

    async def _take_over(self, session: Session, *, all_at_once: bool) -> None:
        """Take what is pending: ours, and what others left.

        Args:
            session: With the server.
            all_at_once: Whether others count as gone, however short the time.
        """
        start, idle = "-", 0.0 if all_at_once else self._idle_seconds()
        while self._intake.phase is Phase.TAKING:
            found = await session.pending(start, _PENDING_AT_ONCE)
            wanted = [each for each in found if self._is_left(each, idle)]
            while wanted:
                room = await self._room()
                some, wanted = wanted[:room], wanted[room:]
                async with self._turn:
                    await self._claim(session, some, idle)
            if len(found) < _PENDING_AT_ONCE:
                return
            start = following(found[-1].id)

    def _is_left(self, pending: Pending, idle: float) -> bool:
        if self._undecided.knows(pending.id):
            return False
        return pending.consumer == self._settings.name or pending.idle_seconds >= idle

    async def _claim(
        self, session: Session, pending: Sequence[Pending], idle: float
    ) -> None:
        """Have entries delivered again, and take them."""
        # What the other task has taken meanwhile is not left any more.
        pending = [each for each in pending if not self._undecided.knows(each.id)]
        for seconds in (0.0, idle):
            counts = {
                each.id: each.deliveries + 1
                for each in pending
                if (0.0 if each.consumer == self._settings.name else idle) == seconds
            }
            if not counts:
                continue
            entries = await session.claim(list(counts), seconds)
            self.again += len(entries)
            if not seconds:
                await self._give_up(
                    session, counts.keys() - {each.id for each in entries}
                )
            await self._feed(
                [each._replace(deliveries=counts[each.id]) for each in entries]
            )
            if not idle:
                return

    async def _give_up(self, session: Session, gone: set[str]) -> None:
        """Have entries acknowledged that nobody can be given any more.

        Most were acknowledged since they were looked at, and are decided.
        """
        deleted = [each for each in gone if not await session.is_there(each)]
        if deleted:
            log.warning(
                "%s of %s: deleted or trimmed before a decision; the first is %s",
                "1 entry" if len(deleted) == 1 else f"{len(deleted)} entries",
                self._settings.stream,
                min(deleted),
            )
        for entry_id in gone:
            self._undecided.decide(entry_id)

    async def _room(self) -> int:
        """Wait until there is room, and return how many entries may be read."""
        intake, undecided = self._intake, self._undecided
        while True:
            if intake.is_full:
                await intake.wait_for_room()
            await undecided.wait_fewer_than(self._most)
            waiting = len(undecided.decided) + len(undecided.dead)
            if intake.can_write and waiting < _MOST_UNACKNOWLEDGED:
                room = min(intake.room, self._most - len(undecided), _MOST_AT_ONCE)
                if room > 0:
                    return room
            else:
                await trio.sleep(_LOOK_AGAIN_SECONDS)

    def _arrived(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Take the first ones at once, so that their orders leave; return the others."""
        return entries if self._turn.locked() else self._take_some(entries)

    async def _feed(self, entries: Sequence[Entry]) -> None:
        """Take entries, a few at a time, so that others get their turns."""
        intake = self._intake
        while entries := self._take_some(entries):
            await trio.sleep(0 if intake.can_write else _LOOK_AGAIN_SECONDS)
            if intake.is_full:
                await intake.wait_for_room()

    def _take_some(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Take the first ones in one step; return those that are for later steps."""
        intake = self._intake
        ahead = self._clock.now().timestamp() - trio.current_time()
        taken = 0
        for entry in entries[:LINES_PER_TURN]:
            if intake.is_full or not intake.can_write:
                break
            if not self._take(entry, ahead):
                taken = len(entries)  # no more are taken: these stay pending
                break
            taken += 1
        intake.flush()
        return entries[taken:]

    def _take(self, entry: Entry, ahead: float) -> bool:
        """Take one entry; return whether more may be taken.

        Args:
            entry: The entry.
            ahead: How far the wall clock, by which its id says how old it is, is ahead of
                Trio's, in seconds.
        """
        settings, undecided = self._settings, self._undecided
        if undecided.knows(entry.id):
            return True  # it was read, and claimed before that was looked at
        if entry.deliveries > settings.max_deliveries:
            undecided.bury(
                entry, f"delivered {entry.deliveries} times and never decided"
            )
            return True
        line = line_of(entry)
        now = trio.current_time()
        answer = self._intake.take(
            line.data,
            read_at=min(seconds_of(entry.id) - ahead, now),
            lost=line.lost,
            default_id=default_id(settings.stream, entry.id),
            is_kept=True,
        )
        match answer.status:
            case "accepted":
                undecided.taken(entry.id, answer.sequence or 0, answer.id or "")
            case "invalid":
                undecided.bury(entry, answer.error or "no signal")
            case "repeated":
                undecided.decide(entry.id)
            case "overloaded" | "starting" | "stopping" | "standby":
                return False  # it stays pending
        return True
