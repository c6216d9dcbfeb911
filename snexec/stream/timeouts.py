"""Waits that have a limit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def limit(seconds: float, problem: str) -> Iterator[None]:
    """Limit a wait, with an error that says what was waited for.

    Raises:
        TooSlowError: It took longer.
    """
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise trio.TooSlowError(f"{problem} within {seconds:g} s")
