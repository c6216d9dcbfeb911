"""New or stricter rules: what they would sell at once waits, and is said (SPEC 12.3).

A row that a new rule does not sell when it is first asked is armed: the rule holds for it
from then on. One that it would sell at once is held back until the delay is over. A plain
restart finds the rules that were applied last, and waits for nothing.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.exits.judge import first_trigger, usable_price
from snexec.exits.rule_set import NO_RULES, is_stricter, laxer, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.exits.market import MarketView
    from snexec.exits.prices import Instant
    from snexec.exits.rule_set import RuleSet
    from snexec.exits.rules import Trigger
    from snexec.exits.watched import Watched
    from snexec.settings import ExitSettings

log = logging.getLogger("PositionMonitor")

_REPORT_SECONDS = 10.0  # the first prices have come by then, or come late
_SHOWN = 5


class Activation:
    """Which rules hold for which row.

    Args:
        view: The market's hours.
        applied: The rules that were applied last; None if none ever were.

    Attributes:
        applied: The rules that hold, but for those that wait.
        pending: The rules that wait; None if none do.
    """

    def __init__(self, view: MarketView, applied: RuleSet | None) -> None:
        self._view = view
        self.applied = applied or NO_RULES
        self.pending: RuleSet | None = None
        self._meanwhile = NO_RULES
        self._deadline = 0.0
        self._report_at = 0.0
        self._is_reported = True

    def change(
        self, settings: ExitSettings, rows: Iterable[Watched], now: Instant
    ) -> bool:
        """Take the rules as they are set now; return whether they hold at once."""
        new = rules_of(settings, self.applied, now.wall)
        rows = tuple(rows)
        if self.pending is not None and new.values == self.pending.values:
            return False
        self.withdraw(rows)
        if not rows or not is_stricter(self.applied, new):
            is_new, self.applied = new != self.applied, new
            return is_new
        self.pending, self._meanwhile = new, laxer(self.applied, new)
        self._begin(rows, settings, now)
        return False

    def ask(
        self, watched: Watched, now: Instant, settings: ExitSettings
    ) -> Trigger | None:
        """Return the first rule that is true of a position, and holds for it."""
        if self.pending is None:
            return self._first(watched, now, settings, self.applied)
        trigger = self._first(watched, now, self.pending.within(settings), self.pending)
        if watched.is_armed:
            return trigger
        if trigger is None:
            watched.held_back = None
            watched.is_armed = self._was_asked(watched, now, settings)
        elif watched.held_back is None:
            watched.held_back = trigger
            if self._is_reported:
                self._say([watched], now)
        held = self._meanwhile
        return self._first(watched, now, held.within(settings), held)

    def tick(
        self,
        rows: Iterable[Watched],
        now: Instant,
        settings: ExitSettings,
        *,
        halted: bool,
    ) -> bool:
        """Report what waits, once it is known; return whether new rules hold from now.

        Args:
            rows: Every position, each of them asked before.
            now: This moment.
            settings: In force.
            halted: Whether no order may leave: then what waits goes on waiting.
        """
        if self.pending is None:
            return False
        rows = tuple(rows)
        if halted:
            self._deadline = now.elapsed + settings.activation_delay_sec
        waiting = [each for each in rows if not each.is_armed]
        known = all(each.held_back is not None for each in waiting)
        if not self._is_reported and (known or now.elapsed >= self._report_at):
            self._is_reported = True
            self._say([each for each in waiting if each.held_back], now)
        if now.elapsed < self._deadline and waiting:
            return False
        self.applied = self.pending
        self.withdraw(rows)
        return True

    def withdraw(self, rows: Iterable[Watched]) -> None:
        """Let nothing wait any more."""
        self.pending = None
        for each in rows:
            each.is_armed, each.held_back = True, None

    def _begin(
        self, rows: tuple[Watched, ...], settings: ExitSettings, now: Instant
    ) -> None:
        delay = settings.activation_delay_sec
        self._deadline = now.elapsed + delay
        self._report_at = now.elapsed + min(_REPORT_SECONDS, delay / 2)
        self._is_reported = False
        for each in rows:
            each.is_armed = False
        log.info(
            "the rules are new or stricter for %s: what they would sell at once is sold"
            " in %g s",
            count_rows(len(rows)),
            delay,
        )

    def _first(
        self, watched: Watched, now: Instant, settings: ExitSettings, rules: RuleSet
    ) -> Trigger | None:
        moment = self._view.moment(watched.position, now, rules.flatten_since)
        return first_trigger(watched.position, watched.prices, moment, settings)

    def _was_asked(
        self, watched: Watched, now: Instant, settings: ExitSettings
    ) -> bool:
        """Return whether its rules were asked with all that they need."""
        if self.pending is None or not self.pending.within(settings).needs_prices:
            return True
        moment = self._view.moment(watched.position, now, None)
        price = usable_price(watched.position, watched.prices, moment, settings)
        confirmed = next(watched.prices.confirmations(now.elapsed, settings), None)
        return price is not None and confirmed is not None

    def _say(self, rows: list[Watched], now: Instant) -> None:
        if not rows:
            return
        dollars = sum((_worth(each) for each in rows), Decimal(0))
        shown = ", ".join(
            f"{each.position.symbol} {each.held_back.reason}"
            for each in rows[:_SHOWN]
            if each.held_back is not None
        )
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        log.warning(
            "the new rules sell %s at once, about $%.2f: %s%s; that happens in %.0f s"
            " unless `snexec halt --all` or a SIGHUP with other rules comes first",
            count_rows(len(rows)),
            dollars,
            shown,
            more,
            max(0.0, self._deadline - now.elapsed),
        )


def count_rows(count: int) -> str:
    """Return so many rows in words."""
    return "1 row" if count == 1 else f"{count} rows"


def _worth(watched: Watched) -> Decimal:
    position = watched.position
    price = watched.prices.last or position.entry_price or Decimal(0)
    return position.remaining * price
