"""What was seen of one row's position so far in this run (SPEC 12.7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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


class Evidence:
    """What a row is judged by, beside what is seen now.

    What nearly no row has is the class's, and takes memory only of those that have it.

    Args:
        seen: Of an earlier run, or whatever else of it is known, by its name.

    Attributes:
        before: The last sight at which nothing was wrong.
        noted: What the account held in all at that of an earlier run, with shares of
            others; as the row's own shares, it is what a split changes.
        first: The first one at which it was as it was last.
        splits: That the account has been through since the row was bought.
        bought: What its buy bought, in the shares of that time, once that was asked.
        used: Activities that were counted for this row.
        ask_at: Before this, on Trio's clock, nothing more is asked for it.
        rests: Why its price rules rest, where that is for what was seen here.
        is_surveyed: Whether it was asked what happened since it was bought.
    """

    __slots__ = (
        "__dict__",
        "_remaining",
        "_shares",
        "_traded_at",
        "before",
        "is_surveyed",
    )
    noted: HeldBeside | None = None
    first: Sight | None = None
    splits: Sequence[SplitDay] = ()
    bought: Decimal | None = None
    used: frozenset[str] = frozenset()
    ask_at: float = NEVER
    rests: str | None = None
    _pause: float = APART_SECONDS
    _is_unreadable: bool = False
    _said: Mapping[str, float] = {}  # none is ever added to it

    def __init__(self, **seen: Any) -> None:  # noqa: ANN401 - as the attributes are
        self.before: Sight | None = None
        self.is_surveyed = False
        self._traded_at = NEVER
        self._shares: Decimal | None = None  # that the row had bought at the last look
        self._remaining: Decimal | None = None
        for name, value in seen.items():
            setattr(self, name, value)

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
        self._reset("_is_unreadable")
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
        self._reset("first")

    def survey(self, splits: Sequence[SplitDay]) -> None:
        """Note what has happened since it was bought: the splits among that."""
        self.is_surveyed = True
        self._reset("splits")
        if splits:
            self.splits = splits

    def begin(self, now: Sight, *, anew_at: float = NEVER) -> None:
        """Note the first sight of something wrong; it counts from ``anew_at`` if later."""
        self.first = now._replace(at=max(now.at, anew_at), price=None)
        self._ask_freely()

    def whole(self, now: Sight) -> None:
        """Note a sight at which nothing was wrong."""
        self.before = now._replace(price=None)
        self._reset("first", "_said")
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
        if now - self._said.get(text, NEVER) < _DAY_SECONDS:
            return False
        self._said = {**self._said, text: now}
        return True

    def rest(self, rests: str | None) -> None:
        """Note why its price rules rest, or that they do not."""
        self._reset("rests")
        if rests is not None:
            self.rests = rests

    def _claim(self, position: Position) -> None:
        self._shares, self._remaining = position.shares, position.remaining

    def _ask_freely(self) -> None:
        self._reset("ask_at", "_pause")

    def _reset(self, *names: str) -> None:
        """Have nothing of its own by these names, as nearly no row has."""
        for name in names:
            if getattr(self, name) is not getattr(Evidence, name):
                delattr(self, name)
