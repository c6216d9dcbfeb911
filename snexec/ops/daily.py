"""When the day's report is due: once a day, by New York's clock on the wall (SPEC 15).

The last day that was reported is kept in a file beside the database, so that a restart
neither repeats a day nor leaves one out.
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
        on_duty: Whether this is the host that reports; the day counts as done elsewhere
            if not. None where that is not known yet, which is waited for.
    """

    def __init__(
        self,
        *,
        at: time,
        record: Path,
        clock: Clock,
        report: Callable[[date], Awaitable[str | None]],
        send: Callable[[str], None],
        on_duty: Callable[[], bool | None],
    ) -> None:
        self._at = at
        self._record = record
        self._clock = clock
        self._report = report
        self._send = send
        self._on_duty = on_duty

    async def run(self) -> None:
        """Look for a due day, until cancelled."""
        done = self._read()
        if done is None:
            done = self._is_done(due_day(self._clock.now(), self._at))
        while True:
            now = self._clock.now()
            due = due_day(now, self._at)
            tomorrow = now.astimezone(_NEW_YORK).date() + timedelta(days=1)
            if done < due or done > tomorrow:  # later only by a clock that was wrong
                is_on_duty = self._on_duty()
                text = await self._report(due) if is_on_duty else ""
                if text is None:
                    await trio.sleep(_AGAIN_SECONDS)
                    continue
                if is_on_duty is not None:
                    # Kept first: a crash in between loses a report, and repeats none.
                    done = self._is_done(due)
                if text:
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
