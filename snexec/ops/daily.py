"""When the day's report is due: once a day, by New York's clock on the wall (SPEC 15).

The last day that was reported is kept in a file beside the database, so that a restart
neither repeats a day nor leaves one out. Of several hosts the active one reports, unless
another one has: they say that to each other, so that one that dies leaves no day out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import trio

from snexec.errors import first_words
from snexec.small_files import read_small_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import time

    from snexec.clock import Clock

log = logging.getLogger("Notify")

_NEW_YORK = ZoneInfo("America/New_York")
_LOOK_SECONDS = 30.0  # the wall clock may be set, and a machine may sleep
_AGAIN_SECONDS = 300.0  # after a report that could not be had
_MOST_BYTES = 64


def due_day(now: datetime, at: time) -> date:
    """Return the newest day whose report is due.

    Args:
        now: The time, in UTC.
        at: The time of day, in New York. One that clocks skip in spring is an hour later;
            one that comes twice in autumn counts the first time.
    """
    today = now.astimezone(_NEW_YORK).date()
    due = datetime.combine(today, at, _NEW_YORK)
    # Compared in UTC: two times of one zone are compared as they stand on the wall.
    return today if now.timestamp() >= due.timestamp() else today - timedelta(days=1)


class Daily:
    """Sends the day's report when it is due.

    A day whose hour passed while nothing ran is reported late; of several such days the
    newest. The first start has no day to make good.

    Args:
        at: The time of day, in New York.
        record: Keeps the last day that was reported.
        clock: The wall clock.
        report: Returns a day's report, or None where it cannot be had, which it says.
        send: Sends it.
        on_duty: Whether this is the host that reports; that is waited for.
        claim: Returns whether no other host has reported a day, and none will from now
            on; None where that cannot be known now.
    """

    def __init__(
        self,
        *,
        at: time,
        record: Path,
        clock: Clock,
        report: Callable[[date], Awaitable[str | None]],
        send: Callable[[str], None],
        on_duty: Callable[[], bool],
        claim: Callable[[date], Awaitable[bool | None]],
    ) -> None:
        self._at = at
        self._record = record
        self._clock = clock
        self._report = report
        self._send = send
        self._on_duty = on_duty
        self._claim = claim

    async def run(self) -> None:
        """Look for a due day, until cancelled."""
        done = self._read()
        if done is None:
            done = self._is_done(due_day(self._clock.now(), self._at))
        while True:
            now = self._clock.now()
            due = due_day(now, self._at)
            tomorrow = now.astimezone(_NEW_YORK).date() + timedelta(days=1)
            # Later only by a clock that was wrong.
            if (done < due or done > tomorrow) and self._on_duty():
                text = await self._report(due)
                is_ours = None if text is None else await self._claim(due)
                if text is None or is_ours is None:
                    await trio.sleep(_AGAIN_SECONDS)
                    continue
                # Kept first: a crash in between loses a report, and repeats none.
                done = self._is_done(due)
                if is_ours:
                    self._send(text)
            await trio.sleep(_LOOK_SECONDS)

    def _read(self) -> date | None:
        try:
            content = read_small_file(self._record, max_bytes=_MOST_BYTES).content
            return date.fromisoformat(content.decode("ascii").strip())
        except (OSError, ValueError):
            return None

    def _is_done(self, day: date) -> date:
        try:
            # Beside it and then renamed, so that it is whole or not there.
            descriptor, name = tempfile.mkstemp(
                prefix=f".{self._record.name}.", dir=self._record.parent
            )
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(f"{day.isoformat()}\n")
                Path(name).replace(self._record)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as exc:
            log.warning(
                "%s cannot be written (%s): after a restart the day's report may come"
                " twice, or not at all",
                self._record,
                first_words(exc),
            )
        return day
