"""Faults that come again and again: logged once, and then summed up."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from snexec.clock import Clock

_FIRST_SUMMARY_SECONDS = 60.0
_LONGEST_SUMMARY_SECONDS = 600.0
_CALM_SECONDS = 60.0  # of working well, after which the next fault is news again
_KINDS_IN_FULL = 8  # kinds of fault in one row; any more are summed up
_WITHOUT_DATE = timedelta(hours=12)


class Repeats:
    """Logs the first fault of a row in full, and the rest less and less often.

    A fault of another kind is logged in full as well. A row ends once the thing has
    worked for a minute; one that works and fails in turns goes on with its row.

    Args:
        name: What fails, for the summaries.
    """

    def __init__(self, name: str, *, log: logging.Logger, clock: Clock) -> None:
        self._name = name
        self._log = log
        self._clock = clock
        self._kinds: set[str] = set()
        self._tries = 0
        self._since: datetime | None = None
        self._began_at = 0.0
        self._logged_at = 0.0
        self._pause = _FIRST_SUMMARY_SECONDS
        self._works_since = math.inf
        self._tries_at_recovery = 0

    def failed(self, kind: str) -> bool:
        """Note a fault.

        Args:
            kind: The fault in a few words, the same words for the same fault.

        Returns:
            Whether the caller must log it in full; if not, nothing is left to do.
        """
        now = trio.current_time()
        if now - self._works_since >= _CALM_SECONDS:
            self.reset()
        self._works_since = math.inf
        if self._since is None:
            self._since, self._began_at = self._clock.now(), now
            self._logged_at = now
        self._tries += 1
        if kind not in self._kinds and len(self._kinds) < _KINDS_IN_FULL:
            self._kinds.add(kind)
            return True
        if now - self._logged_at >= self._pause:
            self._logged_at = now
            self._pause = min(2 * self._pause, _LONGEST_SUMMARY_SECONDS)
            self._log.warning(
                "%s: still failing (%s), %d tries since %s",
                self._name,
                kind,
                self._tries,
                self._when(self._since),
            )
        else:
            self._log.debug("%s: failed again (%s)", self._name, kind)
        return False

    def worked(self) -> None:
        """Note that it works, and log that if it had failed more than once."""
        if self._since is None or self._works_since < math.inf:
            return
        self._works_since = trio.current_time()
        if self._tries - self._tries_at_recovery > 1:
            self._log.info(
                "%s: works again after %d tries, %s",
                self._name,
                self._tries,
                roughly(trio.current_time() - self._began_at),
            )
        self._tries_at_recovery = self._tries

    def reset(self) -> None:
        """Treat the next fault as the first one."""
        self._kinds.clear()
        self._tries = self._tries_at_recovery = 0
        self._since = None
        self._pause = _FIRST_SUMMARY_SECONDS
        self._works_since = math.inf

    def _when(self, moment: datetime) -> str:
        recent = self._clock.now() - moment < _WITHOUT_DATE
        return f"{moment:%H:%M} UTC" if recent else f"{moment:%Y-%m-%d %H:%M} UTC"


def roughly(seconds: float) -> str:
    """Return a duration as a person would say it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
