"""A fixed window of requests, as the X-RateLimit headers describe it."""

from collections.abc import Callable

WINDOW_SEC = 60

_NS = 1_000_000_000


class RateWindow:
    """Counts one account's requests; a window opens with its first request."""

    def __init__(self, limit: int, now_ns: Callable[[], int]) -> None:
        self.limit = limit
        self._now_ns = now_ns
        self._ends = 0
        self._used = 0

    def take(self) -> bool:
        """Count a request; False if it is one too many, and then it is not counted."""
        self._turn()
        if self._used >= self.limit:
            return False
        self._used += 1
        return True

    def restart(self) -> None:
        """Forget the requests of this window."""
        self._ends = 0

    def headers(self) -> dict[str, str]:
        """Return the headers that every reply carries."""
        self._turn()
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self._used, 0)),
            "X-RateLimit-Reset": str(self._ends),
        }

    def _turn(self) -> None:
        now_ns = self._now_ns()
        # The end is rounded up as the header says it, so that a client that waits for it is served.
        if now_ns >= self._ends * _NS:
            self._ends = -(-now_ns // _NS) + WINDOW_SEC
            self._used = 0
