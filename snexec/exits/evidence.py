"""What was seen of one row's position so far in this run (SPEC 12.7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from snexec.exits.external import APART_SECONDS
from snexec.exits.prices import NEVER
from snexec.exits.sights import Case, Claim, restated
from snexec.exits.splits import merged
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from snexec.broker import HeldPosition
    from snexec.exits.position import Position
    from snexec.exits.sights import Sight
    from snexec.exits.splits import SplitDay
    from snexec.ledger import HeldBeside

_LONGEST_PAUSE_SECONDS = 3600.0
_DAY_SECONDS = 24 * 3600.0


@dataclass(slots=True, eq=False)
class Evidence:
    """What a row is judged by, beside what is seen now.

    Attributes:
        before: The last sight at which nothing was wrong.
        noted: What the account held in all at that of an earlier run, with shares of
            others; as the row's own shares, it is what a split changes.
        first: The first one at which it was as it was last.
        splits: That the account has been through since the row was bought.
        bought: What its buy bought, in the shares of that time, once that was asked.
        used: Activities that were counted for this row.
        is_surveyed: Whether it was asked what happened since it was bought.
        ask_at: Before this, on Trio's clock, nothing more is asked for it.
        rests: Why its price rules rest, where that is for what was seen here.
    """

    before: Sight | None = None
    noted: HeldBeside | None = None
    first: Sight | None = None
    splits: Sequence[SplitDay] = ()
    bought: Decimal | None = None
    used: frozenset[str] = frozenset()
    is_surveyed: bool = False
    ask_at: float = NEVER
    rests: str | None = None
    _pause: float = APART_SECONDS
    _traded_at: float = NEVER
    _anew_at: float = NEVER
    _shares: Decimal | None = None  # that the row had bought at the last look
    _remaining: Decimal | None = None
    _is_unreadable: bool = False
    _said: dict[str, float] | None = None

    @property
    def is_troubled(self) -> bool:
        """Whether it has to be looked at again soon."""
        return self.first is not None

    def note(self, position: Position) -> None:
        """Note whether the row has bought or sold anything since the last look."""
        claimed = (self._shares, self._remaining)
        if self._shares is None:
            self._traded_at = position.bought_at
        elif claimed != (position.shares, position.remaining):
            self._traded_at = trio.current_time()
        self._claim(position)

    def case(
        self,
        position: Position,
        now: Sight,
        *,
        known: Sequence[SplitDay],
        grace_seconds: float,
    ) -> Case:
        """Return what the row is judged by now."""
        self._is_unreadable = False
        claim = Claim(
            symbol=position.symbol,
            shares=position.shares,
            remaining=position.remaining,
            entry_price=position.entry_price,
            entry_at=datetime.fromtimestamp(position.entry_at, UTC),
            order_id=position.order_id,
            is_selling=(
                not position.waits
                and (
                    position.state == "closing"
                    or (
                        position.live_exit is not None and not position.has_resting_stop
                    )
                )
            ),
            quiet_seconds=now.at - self._traded_at,
        )
        case = Case(
            claim=claim,
            now=now,
            is_listed=now.quantity > 0,
            before=self.before,
            noted=self.noted,
            first=self.first,
            is_surveyed=self.is_surveyed,
            bought=self.bought,
            used=self.used,
            grace_seconds=grace_seconds,
        )
        if not known and not self.splits:
            return case
        return case.having(splits=self.splits_with({position.symbol: known}, case))

    def splits_with(
        self, known: Mapping[str, Sequence[SplitDay]], case: Case
    ) -> list[SplitDay]:
        """Return the splits since the row was bought, those to come left out."""
        today, entry_day = day_of_trade(case.now.moment), case.claim.entry_day
        since = [
            split
            for split in known.get(case.claim.symbol, ())
            if entry_day < split.day <= today
        ]
        return merged(since, self.splits)

    def looks_split(self, position: Position, held: HeldPosition) -> str | None:
        """Return why its price rules are to rest, if a position looks split."""
        before, claim = self.before, (position.remaining, position.entry_price)
        is_same = held.quantity == (claim[0] if before is None else before.quantity)
        if is_same and (before is not None or self.noted is None):
            return None  # nearly all rows in nearly all lists
        ratio = restated(before, self.noted, claim, (held.held, held.average_price))
        return None if ratio is None else f"its position looks split, {ratio} for 1"

    def forget(self) -> None:
        """Count nothing that was seen to be wrong before."""
        self.first = None

    def begin_anew(self) -> None:
        """Forget it; what is seen again stands since now, whenever it was asked for."""
        self.forget()
        self._anew_at = trio.current_time()

    def begin(self, now: Sight) -> None:
        """Note the first sight of something wrong."""
        self.first = now._replace(at=max(now.at, self._anew_at))
        self._ask_freely()

    def whole(self, now: Sight) -> None:
        """Note a sight at which nothing was wrong."""
        self.before, self.first = now._replace(price=None), None
        self._said = None
        self._ask_freely()

    def restated(self, position: Position, now: Sight) -> None:
        """Note what was written of the row, so that no look takes it for a trade."""
        self._claim(position)
        self.whole(now._replace(remaining=position.remaining))

    def unreadable(self) -> bool:
        """Note a list that does not speak of it, and return whether that is news."""
        is_news, self._is_unreadable = not self._is_unreadable, True
        self.forget()
        return is_news

    def ask_later(self, now: float) -> None:
        """Ask nothing more for a while, longer each time."""
        self.ask_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def is_news(self, text: str) -> bool:
        """Return whether something was not said within a day, and note that it is."""
        now = trio.current_time()
        self._said = self._said or {}
        if now - self._said.get(text, NEVER) < _DAY_SECONDS:
            return False
        self._said[text] = now
        return True

    def _claim(self, position: Position) -> None:
        self._shares, self._remaining = position.shares, position.remaining

    def _ask_freely(self) -> None:
        self.ask_at, self._pause = NEVER, APART_SECONDS
