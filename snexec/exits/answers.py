"""What the operator is answered about positions and their sells: types only (SPEC 12.8)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from snexec.exits.position import State
    from snexec.exits.prices import PassedOver
    from snexec.model import Mode


class CloseAnswer(NamedTuple):
    """What was made of one row that was to be closed.

    Attributes:
        shares: What is sold; None where nothing is.
        exit_id: The sell's id, once it is durable.
        state: "selling" is durable and leaves now; "queued" leaves when the market
            opens; "closing" was on its way already, or something has to be canceled
            before; "refused".
        error: Why it is refused, or what blocks it, in words; empty otherwise.
    """

    symbol: str
    shares: Decimal | None
    exit_id: str | None
    state: Literal["selling", "queued", "closing", "refused"]
    error: str = ""


class PositionStatus(NamedTuple):
    """What is known of one position beyond the columns of its row.

    Attributes:
        state: Of its position; "unwatched" where exits are off.
        price: Dollars a share, the last one that counted; None before the first.
        price_source: Where it is from: positions, snapshots or stream.
        price_age_sec: Since it was true.
        stop: The price at or below which it is sold: the higher one of both stops.
        target: The price at or above which it is sold.
        seconds_left: Until it has been held for the longest time.
        blocked_by: What keeps it from being sold, in words; empty if nothing does.
        blocked_since: Since when, on Trio's clock; None if it is not blocked.
    """

    row_id: str
    mode: Mode
    state: State | Literal["unwatched"]
    price: Decimal | None = None
    price_source: str | None = None
    price_age_sec: float | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    seconds_left: float | None = None
    blocked_by: str = ""
    blocked_since: float | None = None


class ExitsStatus(NamedTuple):
    """How the exits are.

    Attributes:
        watched: Rows whose rules are asked.
        closing: Rows that are being sold.
        blocked: Rows that cannot be sold now.
        unwatched: Rows of which nothing is asked, as ``[exits]`` is not enabled.
        source: Where the newest price is from; None without one.
        price_age_sec: Its age.
        blind: Whether the rows of any mode have had no price for too long.
        passed_over: Prices that did not count since the start, by the reason.
    """

    watched: int
    closing: int
    blocked: int
    unwatched: int
    source: str | None = None
    price_age_sec: float | None = None
    blind: bool = False
    passed_over: Mapping[PassedOver, int] = MappingProxyType({})
