"""One request on its way to the broker, and what came back (ALPACA 1.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_BYTES = 1024 * 1024  # in the body of an answer, unless more is expected


class Reply(NamedTuple):
    """What the broker answered; ``complete`` says whether all of the body came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool


class Listener(Protocol):
    """Whoever has sent a request."""

    def left(self) -> None:
        """Hear that it leaves, in that moment."""

    def is_withheld(self) -> bool:
        """Return whether a request that had to wait must not leave any more."""

    def is_named_in(self, reply: Reply) -> bool:
        """Return whether an answer says that it is about what was asked for."""

    def ended(self, request: Request) -> None:
        """Hear, once, that the answer is there or never will be."""


class Carrier(Protocol):
    """The connection that a request is on."""

    def close(self, problem: str) -> None:
        """Close it at once, and end the request with this problem."""


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way, and what came back.

    Attributes:
        data: All of it.
        listener: Who has sent it, until it has ended.
        most_bytes: How long the body of a 200 may be.
        waited: Whether no connection was free when it was handed in.
        sent: Whether any of it may have left this machine.
        reply: The answer, as far as it came.
        problem: Why there is no whole answer.
        is_doubtful: Whether bytes came behind the answer that nobody had asked for, so
            that it may be another request's.
        doubted: Called if that turns out once the request has ended.
    """

    data: bytes = field(repr=False)  # it holds the keys
    listener: Listener | None
    most_bytes: int = MOST_BYTES
    waited: bool = False
    connection: Carrier | None = None
    sent: bool = False
    reply: Reply | None = None
    problem: str | None = None
    is_doubtful: bool = False
    doubted: Callable[[], None] | None = None
    done: trio.Event = field(default_factory=trio.Event)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and nothing is listened for behind its answer."""
        return self.connection is None and self.done.is_set()

    def left(self) -> None:
        """Report that it leaves."""
        if self.listener is not None:
            self.listener.left()

    def is_withheld(self) -> bool:
        """Return whether it must not leave any more.

        One that need not wait is not asked: whoever sends it has just looked.
        """
        listener = self.listener
        return self.waited and listener is not None and listener.is_withheld()

    def is_named_in(self, reply: Reply) -> bool:
        """Return whether an answer says that it is this request's."""
        return self.listener is None or self.listener.is_named_in(reply)

    def doubt(self) -> None:
        """Note that its answer may be another's, and tell whoever relies on it."""
        self.is_doubtful = True
        if self.doubted is not None:
            self.doubted()

    def end(self, *, reply: Reply | None = None, problem: str | None = None) -> None:
        """Note how it ended, and wake who waits for it."""
        listener, self.listener = self.listener, None  # which holds this, in a circle
        self.connection = None
        self.reply = reply
        self.problem = problem
        self.done.set()
        if listener is not None:
            listener.ended(self)

    def abandon(self, problem: str) -> None:
        """Stop waiting for its answer, or for what follows; close its connection."""
        if self.connection is not None:
            self.connection.close(problem)
        elif not self.done.is_set():
            self.end(problem=problem)
