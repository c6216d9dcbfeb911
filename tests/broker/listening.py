"""Whoever has sent a request, as a test that notes what it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.broker.request import Reply, Request


class Listening:
    """Notes how the request ended that it listens to."""

    def __init__(self, *, names: bool = True) -> None:
        self.ends: list[tuple[Request, str | None]] = []
        self.names = names

    def left(self) -> None:
        """Nothing here depends on it."""

    def is_withheld(self) -> bool:
        return False

    def is_named_in(self, _reply: Reply) -> bool:
        return self.names

    def ended(self, request: Request) -> None:
        self.ends.append((request, request.problem))
