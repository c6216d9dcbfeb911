"""What recovery needs of a refusal that no look-up has borne out yet (SPEC 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from snexec.errors import RefusedError


class OpenRefusal(Protocol):
    """A refusal, which does not say whose it is: a look-up by the order's id does."""

    async def not_found(self) -> None:
        """Take that the broker does not know the order."""

    async def not_answered(self, problem: RefusedError) -> bool:
        """Take that the broker refuses to answer, and return whether that settles it."""

    def found(self) -> None:
        """Take that the broker has the order."""
