"""What follows from an answer to a sell: the table of SPEC 12.5, pure.

| answer | then |
| --- | --- |
| 422 about the field `position_intent` | the next without it, at once |
| 422 intent mismatch; 403 insufficient qty, and nothing is held | what others sold is looked at |
| 403 insufficient qty within 15 s of our buy's fill | after 1, 2, 4, 8 s |
| 403 insufficient qty, some of it free | what is free, at once; a second time: blocked |
| 403 insufficient qty, none of it free | blocked |
| 403 wash trade with this row's buy | the buy is canceled first; a second time: blocked |
| any other | blocked |

Blocked: after 1, 5, 15, 60 s, then every ``retry_max_sec``. A sell that ended unfilled is
followed by the next at once, and by the same pauses if it goes on so.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.broker import quantity_or_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.errors import RefusedError

Kind = Literal["held", "nothing_held", "wash_trade", "intent_field", "other"]

MOST_TRIES_A_SESSION = 20
_LAG_SECONDS = 15.0  # within which a position may not show what was just bought
_LAG_PAUSES = (1.0, 2.0, 4.0, 8.0)
_PAUSES = (1.0, 5.0, 15.0, 60.0)
# A sell that finds nothing is explained by others' sales, once those are seen and have
# stood for `external_grace_sec`.
_LOOKS_BEFORE_ALARM = 4
_ZERO = Decimal(0)


class Refused(NamedTuple):
    """A refusal as its body explains it.

    Attributes:
        available: Shares that could be sold; None where it does not say.
        existing_order_id: The broker's id of the order that is in the way.
        whole: The whole position as the broker spells it, where all of it is free.
    """

    kind: Kind
    available: Decimal | None = None
    existing_order_id: str | None = None
    whole: str | None = None


class Past(NamedTuple):
    """What a position's way to closed has met so far.

    Attributes:
        refusals: In a row, the one at hand among them; a sell that has sold ends it.
        lags: Those of them that were taken for a position that lags.
        since_bought: Seconds since the row's buy was filled last.
        buy_order_id: The broker's id of the row's buy; None once it was canceled.
        took_free: Whether the sell that was refused was for what was free.
    """

    refusals: int
    lags: int
    since_bought: float
    buy_order_id: str | None
    took_free: bool


class Next(NamedTuple):
    """What to do next.

    Attributes:
        after: Seconds to wait before it.
        free: How much to sell at most, where the broker has said that.
        held: The whole position as the broker spells it, where that is all of it.
        cancels_buy: Whether the row's buy has to be canceled first.
        is_blocked: Whether that is for somebody to look at.
        is_lag: Whether it is taken for a position that lags.
        looks_outside: Whether what others sold is to be looked at.
        says_intent: Whether the next one says that it closes.
    """

    after: float = 0.0
    free: Decimal | None = None
    held: str | None = None
    cancels_buy: bool = False
    is_blocked: bool = False
    is_lag: bool = False
    looks_outside: bool = False
    says_intent: bool = True


def read_refusal(error: RefusedError) -> Refused:
    """Return what a refusal of a sell is about."""
    fields = _fields(error.body)
    reason = error.reason.lower()
    if error.status_code == 422 and "intent mismatch" in reason:
        return Refused("nothing_held")
    if error.status_code == 422 and "position_intent" in reason:
        return Refused("intent_field")
    if error.status_code == 403 and "wash trade" in reason:
        order_id = fields.get("existing_order_id")
        return Refused(
            "wash_trade", None, order_id if isinstance(order_id, str) else None
        )
    if error.status_code == 403 and "insufficient qty" in reason:
        available = quantity_or_zero(fields.get("available"))
        held = quantity_or_zero(fields.get("held_for_orders"))
        if available == 0 and not held and not _exists(fields):
            return Refused("nothing_held", _ZERO)
        existing = fields.get("existing_qty")
        is_whole = bool(available) and available == quantity_or_zero(existing)
        return Refused("held", available, whole=str(existing) if is_whole else None)
    return Refused("other")


def after_refusal(refused: Refused, past: Past, *, retry_max: float) -> Next:
    """Return what follows a refusal.

    Args:
        refused: It.
        past: What came before.
        retry_max: The longest pause, in seconds.
    """
    refusals = past.refusals - past.lags
    blocked = Next(pause_after(refusals, retry_max), is_blocked=True)
    following = blocked
    match refused.kind:
        case "intent_field":
            following = blocked if refusals > 1 else Next()
            following = following._replace(says_intent=False)
        case "held" | "nothing_held" if (
            past.since_bought < _LAG_SECONDS and past.lags < len(_LAG_PAUSES)
        ):
            pause = min(_LAG_PAUSES[past.lags], retry_max)
            following = Next(pause, is_lag=True)
        case "nothing_held":
            is_blocked = refusals > _LOOKS_BEFORE_ALARM
            following = blocked._replace(looks_outside=True, is_blocked=is_blocked)
        case "held" if refused.available:
            following = blocked if past.took_free else Next()
            following = following._replace(free=refused.available, held=refused.whole)
        case "wash_trade" if (
            past.buy_order_id is not None
            and refused.existing_order_id == past.buy_order_id
        ):
            following = Next(cancels_buy=True)
        case _:
            pass
    return following


def after_end(ends: int, *, has_sold: bool, retry_max: float) -> Next:
    """Return what follows a sell that has ended with something left.

    Args:
        ends: How many in a row have ended without selling anything, this one too.
        has_sold: Whether it sold something.
        retry_max: The longest pause, in seconds.
    """
    if has_sold or ends <= 1:
        return Next()
    return Next(pause_after(ends - 1, retry_max), is_blocked=True)


def pause_after(refusals: int, retry_max: float) -> float:
    """Return the seconds to wait after so many refusals in a row."""
    number = refusals - 1
    return min(_PAUSES[number] if number < len(_PAUSES) else retry_max, retry_max)


def _fields(body: str) -> Mapping[str, object]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _exists(fields: Mapping[str, object]) -> bool:
    """Return whether something is held, as far as that is said."""
    existing = fields.get("existing_qty")
    return existing is not None and bool(quantity_or_zero(existing))
