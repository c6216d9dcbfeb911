"""What today's trading says of a symbol: whether positions show it, and its halts.

`positions` say no time: what they show in the morning is yesterday's last sale, or one from
before the open. It counts once it has moved since the open, or a print with a time is
known to be from after it (SPEC 12.4, 12.8a).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.exits.prices import NEVER

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.exits.prices import Session

_EVER = -NEVER


class Today:
    """One symbol's session.

    Args:
        day: The last one, on which positions have shown its price; None if none has.

    Attributes:
        day: Which session it is; None before the first.
        is_halted: Whether its trading is halted.
        has_moved: Whether what positions show is known to be today's.
    """

    __slots__ = (
        "_first",
        "_first_at",
        "_halted_at",
        "_is_certain",
        "_stands_still",
        "day",
        "has_moved",
        "is_halted",
    )

    def __init__(self, day: int | None = None) -> None:
        self.is_halted = False
        self.day = day
        self._first: Decimal | None = None  # of positions
        self._first_at = _EVER
        self.has_moved = day is not None
        self._stands_still = False
        self._halted_at = NEVER
        self._is_certain = True

    def begin(self, session: Session) -> bool:
        """Begin a session, if it is another one than the last; return whether it is.

        A halt may outlast its day, but its end may have been missed over night.
        """
        if session.day == self.day or not session.is_open:
            return False
        if self.day is not None:
            self._is_certain = False
        self.day = session.day
        self._first, self._first_at = None, _EVER
        self._stands_still = False
        self.has_moved = session.opened_at == NEVER
        return True

    def moves(self, price: Decimal, wall: float) -> bool:
        """Take a price of positions; return whether it is known to be today's."""
        if self.has_moved:
            return True
        if self._first is None:
            self._first = price
            self._first_at = min(self._first_at, wall)
        elif price != self._first:
            self._first, self._first_at, self.has_moved = None, _EVER, True
        else:
            self._stands_still = True
        return self.has_moved

    @property
    def is_undated(self) -> bool:
        """Whether positions have shown one price only, and nobody knows of which day."""
        return self._stands_still and not self.has_moved

    def traded(self, at: float, wall: float, session: Session) -> None:
        """Take the time of a print, which may prove that positions show today's."""
        self._first_at = min(self._first_at, wall)
        opened = session.opened_at
        if at > (self._first_at if opened is None else opened):
            self.has_moved, self._first_at = True, _EVER

    # Halts.

    def hear_status(self, *, is_halted: bool, at: float) -> bool:
        """Take a trading status; return whether it has changed anything."""
        before, self.is_halted = self.is_halted, is_halted
        if is_halted:
            self._is_certain, self._halted_at = True, at
        return is_halted != before

    def lose_stream(self) -> None:
        """Note that the end of a halt may be missed: any later print ends it as well."""
        self._is_certain = False

    def resumes_by(self, at: float) -> bool:
        """Return whether a print ends a halt, whose own end may have been missed."""
        if not self.is_halted or self._is_certain or at <= self._halted_at:
            return False
        self.is_halted = False
        return True
