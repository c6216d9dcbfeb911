"""The rules, in the order in which they are asked (SPEC 12.3).

| rule | sells |
| --- | --- |
| `stop_loss` | at `hard_stop_loss_pct` below the entry price, or less |
| `trailing_stop` | at `trailing_stop_pct` below the highest price since the fill, or less, once that was `trailing_start_pct` above the entry |
| `profit_target` | at `profit_target_pct` above the entry price, or more |
| `max_hold` | after `max_hold_duration_sec` |
| `market_close` | shares, `flatten_before_close_sec` before the close, or once that is missed |

A rule of the price is its level, a pure function over a position and the settings: what is
asked at each price is only whether that is reached. A rule of time is a pure function over a
position, the moment and the settings, which says why it is true, or None. To add one: its
keys in ``ExitSettings``, its word in the ledger's ``ExitReason``, a function, a line in
``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, NamedTuple

from snexec.assets import asset_class

if TYPE_CHECKING:
    from snexec.exits.position import Position
    from snexec.ledger import ExitReason
    from snexec.settings import ExitSettings

MISSED = "the close was missed: it is sold as soon as the market is open"
_CENT = Decimal("0.01")
_TENTH_OF_A_MILL = Decimal("0.0001")  # what prices below a dollar move by
# From a close to the next open, at least; longer after a half day.
_NIGHT_SECONDS = 17.5 * 3600


class Trigger(NamedTuple):
    """Why a position is to be sold.

    Attributes:
        reason: As the row and its ``BotExit`` have it.
        price: That made the rule true, dollars a share; None for a rule of time.
        source: Of the price, as ``BotExit`` has it; "clock" for a rule of time.
        says: The rule and its figures, in words; or what says them, as that takes longer
            than a sell's way to its row, and none waits for it.
    """

    reason: ExitReason
    price: Decimal | None
    source: str
    says: str | Callable[[], str]

    @property
    def text(self) -> str:
        """The rule and its figures, for the log."""
        return self.says if isinstance(self.says, str) else self.says()


class Moment(NamedTuple):
    """When a rule is asked.

    Attributes:
        now: On Trio's clock.
        is_open: Whether the symbol trades, by the broker's clock.
        closes_in: Seconds until the market of shares closes; None while it is closed, or
            that is not known.
        session: When it opened today, or opens next, in seconds since 1970; None where
            that is not known.
        flatten_since: Since when shares are to be sold before a close, likewise; None if
            they are not.
    """

    now: float
    is_open: bool
    closes_in: float | None = None
    session: float | None = None
    flatten_since: float | None = None


When = Callable[["Position", Moment, "ExitSettings"], str | None]
Level = Callable[["Position", "ExitSettings"], Decimal | None]


class Figures(NamedTuple):
    """By what a rule of the price was true.

    Attributes:
        price: Dollars a share, as are all of them.
        level: Of the rule.
        entry: What was paid; None if it is not known.
        high: The highest since; None if there is none.
    """

    price: Decimal
    level: Decimal
    entry: Decimal | None
    high: Decimal | None


class Rule(NamedTuple):
    """One rule, of the price or of time.

    Attributes:
        key: In ``[exits]``.
        when: Of a rule of time: why it is true; None if it is not, or is off.
        level: Of a rule of the price: at which it is true; None while it is off or cannot
            be true yet.
        words: Of a rule of the price: why it is true.
        is_above: Whether it is true above its level, not below.
    """

    reason: ExitReason
    key: str
    when: When | None = None
    level: Level | None = None
    words: Callable[[Figures], str] | None = None
    is_above: bool = False

    def level_now(self, position: Position, settings: ExitSettings) -> Decimal | None:
        """Return its level; None if it is not true at any price now."""
        if self.level is stop_level and position.stop_at_broker:
            return None
        return None if self.level is None else self.level(position, settings)

    def reached(self, level: Decimal) -> Callable[[Decimal], bool]:
        """Return what says of a price whether it is at the level or beyond."""
        return level.__le__ if self.is_above else level.__ge__


def stop_level(position: Position, settings: ExitSettings) -> Decimal | None:
    """Return the price at which the stop sells."""
    if settings.hard_stop_loss_pct is None or position.entry_price is None:
        return None
    return position.entry_price * (1 - settings.hard_stop_loss_pct / 100)


def target_level(position: Position, settings: ExitSettings) -> Decimal | None:
    """Return the price at which the target sells."""
    if settings.profit_target_pct is None or position.entry_price is None:
        return None
    return position.entry_price * (1 + settings.profit_target_pct / 100)


def trailing_level(position: Position, settings: ExitSettings) -> Decimal | None:
    """Return the price at which the trailing stop sells, once it has started."""
    entry = position.entry_price
    if settings.trailing_stop_pct is None or entry is None:
        return None
    # The fill itself was at the entry price.
    high = max(entry, position.high_price or entry)
    if high < entry * (1 + settings.trailing_start_pct / 100):
        return None
    return high * (1 - settings.trailing_stop_pct / 100)


def _stop_loss(figures: Figures) -> str:
    return f"{_below(figures)} ({_entry(figures)})"


def _trailing_stop(figures: Figures) -> str:
    price = figures.price
    high = max(figures.high or price, figures.entry or price)
    return f"{_below(figures)} (highest {show_price(high)}, {_entry(figures)})"


def _profit_target(figures: Figures) -> str:
    shown = show_price(figures.level, ROUND_CEILING)
    return f"{show_price(figures.price)} is at or above {shown} ({_entry(figures)})"


def _max_hold(position: Position, moment: Moment, settings: ExitSettings) -> str | None:
    most, held = settings.max_hold_duration_sec, moment.now - position.held_since
    if most is None or held < most:
        return None
    return f"held for {held:.0f} s, at most {most:.0f}"


def _market_close(
    position: Position, moment: Moment, settings: ExitSettings
) -> str | None:
    before = settings.flatten_before_close_sec
    if before is None or asset_class(position.symbol).around_the_clock:
        return None
    if moment.closes_in is not None and moment.closes_in <= before:
        return f"the market closes in {moment.closes_in:.0f} s"
    if missed_close(position, moment):
        return MISSED
    return None


def missed_close(position: Position, moment: Moment) -> bool:
    """Return whether a position was held over a close before which it was to be sold."""
    if moment.session is None or moment.flatten_since is None:
        return False
    # No later than this was the last close; bought and decided before it is missed.
    close = moment.session - _NIGHT_SECONDS
    return position.entry_at < close and moment.flatten_since < close


RULES: tuple[Rule, ...] = (
    Rule("stop_loss", "hard_stop_loss_pct", None, stop_level, _stop_loss),
    Rule("trailing_stop", "trailing_stop_pct", None, trailing_level, _trailing_stop),
    Rule(
        "profit_target", "profit_target_pct", None, target_level, _profit_target, True
    ),
    Rule("max_hold", "max_hold_duration_sec", _max_hold),
    Rule("market_close", "flatten_before_close_sec", _market_close),
)


RULE_KEYS: dict[str, str] = {rule.reason: rule.key for rule in RULES}


def show_price(price: Decimal, rounding: str = ROUND_HALF_EVEN) -> str:
    """Return dollars to the cent, below a dollar to four places."""
    step = _CENT if price >= 1 else _TENTH_OF_A_MILL
    return f"{price.quantize(step, rounding):f}"


def _below(figures: Figures) -> str:
    # The first cent at which it is true.
    level = show_price(figures.level, ROUND_FLOOR)
    return f"{show_price(figures.price)} is at or below {level}"


def _entry(figures: Figures) -> str:
    entry = figures.entry
    if not entry:
        return "entry not known"
    percent = (figures.price / entry - 1) * 100
    return f"entry {show_price(entry)}, {percent:+.1f} %"
