"""What answers may say of the connection that a request came on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from starlette.types import Scope


class Client(Protocol):
    """A connection, as those see it who answer.

    Attributes:
        is_trusted: Whether a request showed the page's cookie: it is not ended to make
            room for others.
    """

    is_trusted: bool

    def allow(self, seconds: float) -> None:
        """Let this request's answer take so long; each piece of it is bounded still."""

    def end(self) -> None:
        """End it at once."""


def client_of(scope: Scope) -> Client:
    """Return the connection that a request came on."""
    return cast("Client", scope["state"]["connection"])
