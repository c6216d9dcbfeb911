"""The kill switch: no order leaves while its file is there.

The file is the state, so that it works whatever else hangs, for whoever can write the
folder (``touch halt``), and stays over a restart. It is looked at for every order, the
last time in the moment before the request leaves.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.logs import printable
from snexec.risk.halt_file import (
    MAX_REASON_CHARS,
    Halt,
    halt_files,
    read_halt,
    remove_halt,
    write_halt,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.clock import Clock
    from snexec.events import Event, EventFeed
    from snexec.settings import BotSettings

log = logging.getLogger("Halt")

_LOOK_SECONDS = 1.0


class HaltSwitch:
    """Tells whether the daemon is halted, and says so once, loudly.

    Args:
        config: The configuration file, beside which the switch lies.
        bot: Tells the current limits.
    """

    def __init__(
        self,
        *,
        config: Path,
        bot: Callable[[], BotSettings],
        feed: EventFeed,
        clock: Clock,
    ) -> None:
        self.files = halt_files(config)
        self._names = tuple(map(str, self.files))
        self._bot = bot
        self._feed = feed
        self._clock = clock
        self._in_memory: Halt | None = None  # where the file cannot be written
        self._told = False
        self._refusals = 0

    def is_halted(self) -> bool:
        """Look, which takes a microsecond or two, and say so if it has changed."""
        halted = self._in_memory is not None
        for name in self._names:
            try:
                os.lstat(name)
            except FileNotFoundError:
                continue
            except OSError:
                pass  # nobody knows, so nothing is ordered
            halted = True
        if halted != self._told:
            self._tell(halted=halted)
        return halted

    def is_known(self) -> bool:
        """Tell whether a halt was noticed and still is, without a look if not.

        For the gate before the row: a new halt is noticed by the last look before a
        request, or within a second. Two looks at each order would be one too many.
        """
        return self._told and self.is_halted()

    def current(self) -> Halt | None:
        """Return why the daemon is halted, if it is."""
        return read_halt(self.files) or self._in_memory

    def halt(self, reason: str, *, by: str) -> Halt:
        """Halt, and return what holds: an earlier halt's reason stays."""
        halt = Halt(
            reason=printable(reason[:MAX_REASON_CHARS]),
            since=timestamp(self._clock.now()),
            by=printable(by[:MAX_REASON_CHARS]),
        )
        try:
            write_halt(self.files[0], halt)
        except OSError as exc:
            if self._in_memory is None:
                self._in_memory = halt
            log.error(  # noqa: TRY400 - the reason says it all
                "%s cannot be written (%s): halted until this daemon ends, and NOT"
                " after a restart",
                self.files[0],
                exc.strerror,
            )
        self.is_halted()
        return self.current() or halt

    def resume(self) -> None:
        """Take orders again.

        Raises:
            OSError: The file stays, and with it the halt.
        """
        self._refusals = 0
        try:
            remove_halt(self.files)
        finally:
            self.is_halted()
        self._in_memory = None
        self.is_halted()

    def happened(self, event: Event) -> None:
        """Count refusals and rejections in a row; halt when they are too many."""
        match event.event:
            case "fill" | "partial_fill":
                self._refusals = 0
                return
            case "refused" if event.more.get("httpStatus") is not None:
                self._refusals += 1
            case "rejected":
                self._refusals += 1
            case _:
                return
        limit = self._bot().halt_after_refusals
        if limit is None or self._refusals < limit:
            return
        count, self._refusals = self._refusals, 0
        self.halt(
            f"{count} orders in a row were refused or rejected, at last"
            f" {event.symbol}: {event.reason or 'rejected by the broker'}",
            by="snexec (halt_after_refusals)",
        )

    async def run(self) -> None:
        """Notice within a second what nobody told us, until cancelled."""
        while True:
            self.is_halted()
            await trio.sleep(_LOOK_SECONDS)

    def _tell(self, *, halted: bool) -> None:
        self._told = halted  # first: whoever hears of it may look
        if not halted:
            log.warning("RESUMED: orders are placed again")
            self._feed.publish("resume")
            return
        halt = self.current() or Halt(reason="it is over already", since=None)
        log.error(
            "HALTED: no order leaves any more (%s; since %s%s); to go on: snexec"
            " resume, or remove %s",
            halt.reason,
            halt.since or "an unknown time",
            f", by {halt.by}" if halt.by else "",
            self.files[0],
        )
        self._feed.publish(
            "halt", {"since": halt.since, "by": halt.by}, reason=halt.reason
        )
