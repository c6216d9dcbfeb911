"""What other packages log reaches the operator seldom, and in our words."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from snexec.cli.daemon_logs import NoMoreClients

if TYPE_CHECKING:
    import pytest


def trios_record() -> logging.LogRecord:
    """Return what Trio logs each time that it cannot accept a client."""
    error = OSError(24, "Too many open files")
    return logging.LogRecord(
        *("trio.serve_listeners", logging.ERROR, "trio", 1),
        *("accept returned %s", ("EMFILE",), (OSError, error, None)),
    )


def test_clients_that_cannot_be_connected_are_one_line_a_minute_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    one_line = NoMoreClients()
    first = trios_record()
    assert one_line.filter(first)
    assert (first.name, first.exc_info) == ("Intake", None)
    assert first.getMessage().startswith("no further client can be connected: ")
    now += 59.0
    assert not one_line.filter(trios_record())
    now += 1.0
    assert one_line.filter(trios_record())
