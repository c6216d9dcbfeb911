"""New or stricter rules: what they would sell at once waits, and is said (SPEC 12.3).

A row that a new rule does not sell when it is first asked is armed: the rule holds for it
from then on. One that it would sell at once, its market being open, is held back for the
delay, which begins there. A plain restart finds the rules that were applied last, and waits
for nothing.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from snexec.exits.judge import first_trigger, usable_price
from snexec.exits.rule_set import NO_RULES, is_stricter, laxer, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.exits.book_entry import BookEntry
    from snexec.exits.market import MarketView
    from snexec.exits.prices import Instant
    from snexec.exits.rule_set import RuleSet
    from snexec.exits.rules import Trigger
    from snexec.settings import ExitSettings

log = logging.getLogger("PositionMonitor")

_REPORT_SECONDS = 10.0  # for others to come, as at the open, and be said together
_SHOWN = 5


class _Waiting(NamedTuple):
    """Rules that wait, each with the settings that have them: no price waits for a copy.

    Attributes:
        new: What is to hold.
        new_settings: Those in force, with these rules.
        meanwhile: What holds until then.
        meanwhile_settings: Likewise.
    """

    new: RuleSet
    new_settings: ExitSettings
    meanwhile: RuleSet
    meanwhile_settings: ExitSettings


class Activation:
    """Which rules hold for which row.

    Args:
        view: The market's hours.
        applied: The rules that were applied last; None if none ever were.

    Attributes:
        applied: The rules that hold, but for those that wait.
    """

    def __init__(self, view: MarketView, applied: RuleSet | None) -> None:
        self._view = view
        self.applied = applied or NO_RULES
        self._waiting: _Waiting | None = None
        self._unsaid: list[BookEntry] = []
        self._say_at = 0.0

    def change(
        self, settings: ExitSettings, rows: Iterable[BookEntry], now: Instant
    ) -> bool:
        """Take the rules as they are set now; return whether they hold at once."""
        new = rules_of(settings, self.applied, now.wall)
        rows = tuple(rows)
        waiting = self._waiting
        if waiting is not None and new.values == waiting.new.values:
            # Keys that are no rule's hold at once.
            self._wait(settings, waiting.new, waiting.meanwhile)
            return False
        self.withdraw(rows)
        if not rows or not is_stricter(self.applied, new):
            is_new, self.applied = new != self.applied, new
            return is_new
        self._wait(settings, new, laxer(self.applied, new))
        self._begin(rows, settings)
        return False

    def ask(
        self, entry: BookEntry, now: Instant, settings: ExitSettings
    ) -> Trigger | None:
        """Return the first rule that is true of a position, and holds for it."""
        waiting = self._waiting
        if waiting is None:
            return self._first(entry, now, settings, self.applied)
        trigger = self._first(entry, now, waiting.new_settings, waiting.new)
        if entry.is_armed:
            return trigger
        if trigger is None:
            entry.held_back = None
            entry.is_armed = self._was_asked(entry, now, waiting.new_settings)
        elif self._view.moment(entry.position, now, None).is_open:
            self._hold_back(entry, trigger, now, settings.activation_delay_sec)
        return self._first(entry, now, waiting.meanwhile_settings, waiting.meanwhile)

    def tick(
        self,
        rows: Iterable[BookEntry],
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
            halted: Whether no order may leave: then what waits goes on waiting, and is
                said again once orders leave.
        """
        if self._waiting is None:
            return False
        rows = tuple(rows)
        waiting = [each for each in rows if not each.is_armed]
        if halted:
            self._unsaid = [each for each in waiting if each.waits_until is not None]
        else:
            self._say_in_time(waiting, now)
        for each in waiting:
            if each.waits_until is None:
                continue
            if halted:
                each.waits_until = now.elapsed + settings.activation_delay_sec
            elif now.elapsed >= each.waits_until:
                self._arm(each)
        if any(not each.is_armed for each in waiting):
            return False
        self.applied = self._waiting.new
        self.withdraw(rows)
        return True

    def end(self, rows: Iterable[BookEntry]) -> bool:
        """Have no rules hold: if they come back, they are new; return whether any did."""
        self.withdraw(rows)
        had_any, self.applied = self.applied != NO_RULES, NO_RULES
        return had_any

    def withdraw(self, rows: Iterable[BookEntry]) -> None:
        """Let nothing wait any more."""
        self._waiting = None
        self._unsaid.clear()
        for each in rows:
            self._arm(each)

    def _wait(self, settings: ExitSettings, new: RuleSet, meanwhile: RuleSet) -> None:
        self._waiting = _Waiting(
            new, new.within(settings), meanwhile, meanwhile.within(settings)
        )

    def _begin(self, rows: tuple[BookEntry, ...], settings: ExitSettings) -> None:
        for each in rows:
            each.is_armed = False
        log.info(
            "the rules are new or stricter for %s: what they would sell at once is said,"
            " and sold %g s later; shares wait for the market to open first",
            count_rows(len(rows)),
            settings.activation_delay_sec,
        )

    def _hold_back(
        self, entry: BookEntry, trigger: Trigger, now: Instant, delay: float
    ) -> None:
        entry.held_back = entry.held_back or trigger
        if entry.waits_until is not None:
            return  # a price that was too old for a while
        entry.waits_until = now.elapsed + delay
        if not self._unsaid:
            self._say_at = now.elapsed + min(_REPORT_SECONDS, delay / 2)
        self._unsaid.append(entry)

    @staticmethod
    def _arm(entry: BookEntry) -> None:
        entry.is_armed, entry.held_back, entry.waits_until = True, None, None

    def _first(
        self, entry: BookEntry, now: Instant, settings: ExitSettings, rules: RuleSet
    ) -> Trigger | None:
        moment = self._view.moment(entry.position, now, rules.flatten_since)
        return first_trigger(entry.position, entry.prices, moment, settings)

    def _was_asked(
        self, entry: BookEntry, now: Instant, settings: ExitSettings
    ) -> bool:
        """Return whether new rules were asked with all that they need."""
        if not settings.needs_prices:
            return True
        moment = self._view.moment(entry.position, now, None)
        price = usable_price(entry.position, entry.prices, moment, settings)
        return price is not None and entry.prices.can_confirm(now.elapsed, settings)

    def _say_in_time(self, waiting: list[BookEntry], now: Instant) -> None:
        """Say what is held back once that is all, or some of it has waited long enough."""
        is_all = all(each.held_back is not None for each in waiting)
        if self._unsaid and (is_all or now.elapsed >= self._say_at):
            rows, self._unsaid = self._unsaid, []
            self._say([each for each in rows if each.held_back is not None], now)

    def _say(self, rows: list[BookEntry], now: Instant) -> None:
        if not rows:
            return
        first = min(each.waits_until or now.elapsed for each in rows)
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
            max(0.0, first - now.elapsed),
        )


def count_rows(count: int) -> str:
    """Return so many rows in words."""
    return "1 row" if count == 1 else f"{count} rows"


def _worth(entry: BookEntry) -> Decimal:
    position = entry.position
    price = entry.prices.last or position.entry_price or Decimal(0)
    return position.remaining * price
