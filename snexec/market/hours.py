"""Whether the market is open, by the broker's own clock (``require_market_open``)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, RateLimitedError

if TYPE_CHECKING:
    from snexec.broker import Accounts
    from snexec.model import Mode
    from snexec.settings import LiveSettings

log = logging.getLogger("Market")

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class _View(NamedTuple):
    """What the broker's clock said.

    Attributes:
        until: When the market opens or closes next, on Trio's clock.
    """

    is_open: bool
    until: float


class MarketHours:
    """Asks the broker while ``require_market_open`` is set, at each opening and closing.

    Without keys nobody is asked, and no signal gets so far as to need it.

    In between Trio's clock counts, so that no change of the machine's time opens the
    market. No order ever waits for an answer.

    Args:
        live: Whether to ask, and of which account.
        accounts: Who is asked.
    """

    def __init__(self, live: LiveSettings, accounts: Accounts) -> None:
        self._live = live
        self._accounts = accounts
        self._views: dict[Mode, _View] = {}
        self._changed = trio.Event()
        self._decided = trio.Event()

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether the market is open, or None if that is not known now."""
        view = self._views.get(mode)
        if view is None or trio.current_time() >= view.until:
            return None
        return view.is_open

    def seconds_to_close(self, mode: Mode) -> float | None:
        """Return in how many seconds the market closes; None if it is not open.

        Half days count, as it is the broker's own clock that says it.
        """
        view = self._views.get(mode)
        if view is None or not view.is_open or trio.current_time() >= view.until:
            return None
        return view.until - trio.current_time()

    def settings_changed(self) -> None:
        """Look again at what there is to ask, if anything."""
        self._changed.set()
        self._changed = trio.Event()

    def forget(self) -> None:
        """Take what was known for unknown, also what is just being asked; ask anew."""
        self._views = {}
        self.settings_changed()

    async def wait_decided(self) -> None:
        """Wait until the market's state is known for the first time, or not needed."""
        await self._decided.wait()

    async def run(self) -> None:
        """Keep the market's state up to date, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            changed, settings = self._changed, self._live.now
            asked = settings.bot.require_market_open
            if not (asked and self._accounts.has_keys(settings.mode)):
                self._decided.set()
                await changed.wait()
                continue
            view = self._views.get(settings.mode)
            if view is not None and trio.current_time() < view.until:
                self._decided.set()
                with trio.move_on_at(view.until):
                    await changed.wait()
                continue
            if await self._ask(settings.mode, warn=pause == _FIRST_PAUSE_SECONDS):
                pause = _FIRST_PAUSE_SECONDS
                continue
            with trio.move_on_after(pause) as waiting:
                await changed.wait()
            pause = (
                min(pause * 2, _LONGEST_PAUSE_SECONDS)
                if waiting.cancelled_caught
                else _FIRST_PAUSE_SECONDS
            )

    async def _ask(self, mode: Mode, *, warn: bool) -> bool:
        """Ask once, and return whether the market's state is known now."""
        problem = "it says that its next change is over"
        lease = self._accounts.try_take(mode, Purpose.RECOVERY)
        if lease is None:
            self._log_unknown(mode, "the rate limit leaves no request", warn=warn)
            return False
        with lease:
            # Counted from before the question: better too early than too late.
            asked, views = trio.current_time(), self._views
            try:
                answer = await lease.use().market_clock()
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                problem = str(exc)
            except BrokerError as exc:
                problem = str(exc)
            else:
                until = asked + answer.seconds_left
                views[mode] = _View(answer.is_open, until)
                if trio.current_time() < until:
                    log.info(
                        "the market is %s (%s), for another %.0f s",
                        "open" if answer.is_open else "closed",
                        mode,
                        answer.seconds_left,
                    )
                    return True
        self._log_unknown(mode, problem, warn=warn)
        return False

    def _log_unknown(self, mode: Mode, problem: str, *, warn: bool) -> None:
        log.log(
            logging.WARNING if warn else logging.DEBUG,
            "the broker's clock is not known (%s: %s): signals are skipped as"
            " market_closed until it is",
            mode,
            problem,
        )
