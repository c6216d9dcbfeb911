"""Who may post signals, known by their tokens, and how many a minute (SPEC 13)."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from snexec.settings import HttpSettings

_WINDOW_SECONDS = 60.0


class Producer:
    """One who may post signals.

    Args:
        name: As events and log lines call it.
        per_minute: How many signals it may post, good or bad.

    Attributes:
        posting: How many of its requests are read and answered now.
    """

    def __init__(self, name: str, *, per_minute: int) -> None:
        self.name = name
        self.per_minute = per_minute
        self.posting = 0
        self._posted_at: deque[float] = deque()  # on Trio's clock, the oldest first

    def wait_for(self, count: int) -> float:
        """Return in how many seconds it may post as many; 0 is now."""
        now, posted_at = trio.current_time(), self._posted_at
        while posted_at and posted_at[0] <= now - _WINDOW_SECONDS:
            posted_at.popleft()
        too_many = len(posted_at) + count - self.per_minute
        if too_many <= 0:
            return 0.0
        if too_many > len(posted_at):
            return _WINDOW_SECONDS  # more than it may ever post at once
        return posted_at[too_many - 1] + _WINDOW_SECONDS - now

    def count(self, count: int) -> None:
        """Note that it has posted as many now."""
        self._posted_at.extend([trio.current_time()] * count)


class Producers:
    """Finds who has a token, in the same time for every wrong one of a length.

    Args:
        settings: Names them.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._salt = secrets.token_bytes(32)
        self._known = [
            (
                self._digest(token.get_secret_value()),
                Producer(name, per_minute=settings.per_minute),
            )
            for name, token in settings.tokens.items()
        ]

    def who_has(self, token: str) -> Producer | None:
        """Return who has a token; None is nobody.

        All are compared, and digests that nobody can foresee: how many characters are
        right takes no time, and neither does whose they are.
        """
        given, found = self._digest(token), None
        for digest, producer in self._known:
            if hmac.compare_digest(digest, given):
                found = producer
        return found

    def _digest(self, token: str) -> bytes:
        text = token.encode("utf-8", "surrogateescape")
        return hmac.digest(self._salt, text, "sha256")
