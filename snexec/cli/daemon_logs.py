"""How a daemon logs: through its drain, and what others would say too often (SPEC 11)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.logs import LogDrain

_SAY_FULL_EVERY_SECONDS = 60.0

# They would log every request at INFO.
_CHATTY = ("httpx", "httpcore", "hypercorn", "trio-websocket", "wsproto")


class NoMoreClients(logging.Filter):
    """Makes one line a minute of the traceback that Trio logs ten times a second."""

    _said_at = -_SAY_FULL_EVERY_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log it, in words of our own."""
        now = time.monotonic()
        if now - self._said_at < _SAY_FULL_EVERY_SECONDS:
            return False
        self._said_at = now
        record.name, record.exc_info, record.args = "Intake", None, ()
        record.msg = (
            "no further client can be connected: the limit of open files is reached;"
            " those connected go on; close some, or raise the limit (LimitNOFILE)"
        )
        return True


def set_up_logging(drain: LogDrain, level: str) -> None:
    """Have every line of this process go through a drain.

    Args:
        drain: Writes them.
        level: As the command line has it: ``debug``, ``info``, ``warning``, ``error``.
    """
    root = logging.getLogger()
    root.handlers = [drain]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("trio.serve_listeners").addFilter(NoMoreClients())
    logging.captureWarnings(capture=True)
    # What logging's own page on optimization names: no line says where in the source
    # it was written, and to find that out took more than half of what a line takes.
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
