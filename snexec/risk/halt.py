"""The kill switch: nothing is bought while its file is there, and exits go on.

The file is the state, so the switch works whatever else hangs, for anyone who can write
the folder (``touch halt``), and outlasts a restart. It is looked for at every order,
the last time just before the request leaves. The file ``halt-all`` stops every order, the
sells of exits too (SPEC 12.8).
"""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.model import counted
from snexec.risk.halt_file import (
    ALL_FILE_NAME,
    Halt,
    halt_files,
    mended,
    read_halt,
    remove_halt,
    sync_halt,
    write_halt,
)
from snexec.risk.streak import Streak
from snexec.threads import Threads

if TYPE_CHECKING:
    from snexec.clock import Clock
    from snexec.events import Event, EventFeed
    from snexec.risk.active import Active
    from snexec.settings import LiveSettings

log = logging.getLogger("Halt")

_LOOK_SECONDS = 1.0


class HaltSwitch:
    """Says whether the daemon is halted, and announces each change once, loudly.

    Args:
        live: Its file, beside which the switch's file lies, and ``[bot]``.
        feed: Hears of each change; refusals in a row are counted from it.
        clock: Dates a halt.
        active: Whether this daemon may order, where several hosts share an account.

    Attributes:
        files: Those that stop what buys; the first is written.
        all_files: Those that stop every order; the first is written.
    """

    def __init__(
        self,
        live: LiveSettings,
        feed: EventFeed,
        clock: Clock,
        active: Active | None = None,
    ) -> None:
        self.files = halt_files(live.path)
        self.all_files = halt_files(live.path, name=ALL_FILE_NAME)
        self._names = tuple(
            (str(path), files is self.all_files)
            for files in (self.files, self.all_files)
            for path in files
        )
        self._live = live
        self._feed = feed
        self._clock = clock
        self._active = active
        self._unwritten_halt: Halt | None = None
        self._unwritten_stops_all = False
        self._unsynced = trio.Event()
        self._announced = False
        self._announced_all = False
        self._resumed_by: str | None = None
        self._refusals = Streak()
        feed.follow(
            *(self.happened, "placed", "fill", "partial_fill", "refused", "rejected")
        )

    def is_standby(self) -> bool:
        """Return whether another host may order now, and this daemon not."""
        return self._active is not None and self._active.is_over()

    def is_halted(self) -> bool:
        """Look whether buys are halted, in some microseconds, and announce a change."""
        stops_all = self._unwritten_stops_all
        halted = self._unwritten_halt is not None
        for name, is_all in self._names:
            try:
                os.lstat(name)
            except FileNotFoundError:
                continue
            except OSError:
                pass  # it may be there, so nothing is ordered
            halted = True
            stops_all = stops_all or is_all
        if halted != self._announced or stops_all != self._announced_all:
            self._announce(halted=halted, stops_all=stops_all)
        return halted

    def is_all_halted(self) -> bool:
        """Look whether every order is halted, and announce a change."""
        self.is_halted()
        return self._announced_all

    def is_known(self) -> bool:
        """Return whether a halt that was announced still holds; look only if one was.

        For the gate before the row: a new halt is noticed by the last look before a
        request, or within a second. Two looks for each order would be one too many.
        """
        return self._announced and self.is_halted()

    def is_all_known(self) -> bool:
        """Return whether every order is known to be halted, as ``is_known``.

        For whatever a sell meets before its row: the last look before its request is the
        one that counts.
        """
        return self._announced_all and self.is_all_halted()

    def current(self) -> Halt | None:
        """Return why the daemon is halted, None if it is not."""
        return (
            read_halt(self.all_files) or read_halt(self.files) or self._unwritten_halt
        )

    def halt(self, reason: str, *, by: str, stops_all: bool = False) -> Halt:
        """Halt, and return the halt that holds: an earlier one keeps its reason.

        Args:
            reason: Why.
            by: Who halts.
            stops_all: Whether no order leaves at all, the sells of exits neither.
        """
        path = self.all_files[0] if stops_all else self.files[0]
        mask = self._live.mask
        halt = Halt(
            reason=mended(reason, default="no reason was given", mask=mask),
            since=timestamp(self._clock.now()),
            by=mended(by, default="somebody", mask=mask),
        )
        try:
            write_halt(path, halt, sync=False)
            self._unsynced.set()
        except OSError as exc:
            if self._unwritten_halt is None:
                self._unwritten_halt = halt
            self._unwritten_stops_all |= stops_all
            log.error(  # noqa: TRY400 - the reason says it all
                "%s cannot be written (%s): halted until this daemon ends, and NOT"
                " after a restart",
                path,
                exc.strerror,
            )
        self.is_halted()
        return self.current() or halt

    def resume(self, *, by: str | None = None) -> None:
        """Let orders leave again.

        Args:
            by: Who says so, where that is known.

        Raises:
            OSError: The file stays, and so does the halt.
        """
        self._refusals.end()
        self._resumed_by = by
        try:
            try:
                remove_halt((*self.all_files, *self.files))
            finally:
                self.is_halted()
            self._unwritten_halt = None
            self._unwritten_stops_all = False
            self.is_halted()
        finally:
            self._resumed_by = None

    def refusal_heard(self, trade_id: str) -> None:
        """Keep an order's place in the sequence until its refusal is borne out.

        What the orders after it became is told before that.
        """
        self._refusals.expected(trade_id)

    def happened(self, event: Event) -> None:
        """Count refusals and rejections in a row, and halt at the limit.

        Those that are about one symbol say nothing of the account: they do not count.
        """
        match event.event:
            case "placed":
                self._refusals.taken(event.trade_id)
                return
            case "fill" | "partial_fill":
                self._refusals.bought(event.trade_id)
                return
            case "refused" if event.more.get("httpStatus") is None:
                return
            case "refused" | "rejected" if not event.is_about_symbol:
                count = self._refusals.unwanted(event.trade_id)
            case _:
                return
        limit = self._live.now.bot.halt_after_refusals
        if limit is None or count < limit:
            return
        self._refusals.end()
        self.halt(
            f"{counted(count, 'order')} in a row {'was' if count == 1 else 'were'} refused"
            f" or rejected, at last"
            f" {event.symbol}: {event.reason or 'rejected by the broker'}",
            by="snexec (halt_after_refusals)",
        )

    async def run(self) -> None:
        """Notice within a second a file that others make or remove, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sync_what_is_written, name="halt file")
            while True:
                self.is_halted()
                await trio.sleep(_LOOK_SECONDS)

    async def _sync_what_is_written(self) -> None:
        """Have the disk keep what ``halt`` writes, which waits for no disk itself."""
        with Threads("halt file", 1) as threads:
            while True:
                await self._unsynced.wait()
                self._unsynced = trio.Event()
                for path in (self.files[0], self.all_files[0]):
                    try:
                        await threads.run(
                            partial(sync_halt, path), abandon_on_cancel=True
                        )
                    except FileNotFoundError:
                        continue  # it is not this one, or over already
                    except OSError as exc:
                        log.warning("%s may not outlast a power cut: %s", path, exc)

    def _announce(self, *, halted: bool, stops_all: bool) -> None:
        self._announced = halted  # first, as a follower of the feed may look
        self._announced_all = stops_all
        if not halted:
            by = self._resumed_by
            log.warning(
                "RESUMED: orders are placed again%s", f" (by {by})" if by else ""
            )
            self._feed.publish("resume", {"by": by} if by else None)
            return
        halt = self.current() or Halt(reason="it is over already", since=None)
        log.error(
            "HALTED: %s (%s; since %s%s); to go on: snexec resume, or remove %s",
            "no order leaves any more, the sells of exits neither"
            if stops_all
            else "nothing is bought any more, exits go on",
            halt.reason,
            halt.since or "an unknown time",
            f", by {halt.by}" if halt.by else "",
            self.all_files[0] if stops_all else self.files[0],
        )
        self._feed.publish(
            "halt",
            {"since": halt.since, "by": halt.by, "all": stops_all},
            reason=halt.reason,
        )
