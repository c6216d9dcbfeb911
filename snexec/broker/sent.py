"""An order on its way to the broker, and then what became of it (SPEC 5, 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from snexec.broker.answers import read_order
from snexec.errors import UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.broker.answers import BrokerOrder
    from snexec.broker.budget import RateBudget
    from snexec.broker.pool import Pool
    from snexec.broker.replies import ReplyReader
    from snexec.broker.request import Reply, Request
    from snexec.model import Side

DOUBTFUL = "the broker said more than it was asked: its answer may be another order's"


class OutgoingOrder(Protocol):
    """An order to be sent, which hears what becomes of its request."""

    @property
    def symbol(self) -> str:
        """What to order, in its canonical spelling."""

    @property
    def side(self) -> Side:
        """Whether to buy or to sell it."""

    @property
    def notional(self) -> Decimal | None:
        """Dollars, with two decimals; None where it is shares that are ordered."""

    @property
    def quantity(self) -> Decimal | None:
        """Shares, where it is shares that are ordered."""

    @property
    def client_order_id(self) -> str:
        """The row's id."""

    def left(self) -> None:
        """Hear that it leaves, in that moment."""

    def is_withheld(self) -> bool:
        """Return whether an order that had to wait must not leave any more."""

    def answered(self) -> None:
        """Hear, once and later, that the outcome is known or out of time."""


class OutgoingSell(OutgoingOrder, Protocol):
    """An order that closes shares that are held."""

    @property
    def quantity(self) -> Decimal:
        """Shares, as they are to be spelled, without an exponent."""

    @property
    def stop_price(self) -> Decimal | None:
        """At which price it becomes a market order; None if it is one."""

    @property
    def says_intent(self) -> bool:
        """Whether it says that it closes, so that the broker refuses to open a short."""


class SentOrder:
    """An order that is on its way, and then what became of it."""

    __slots__ = (
        *("_budget", "_client_order_id", "_order", "_replies", "_request"),
        *("_side", "_symbol"),
    )

    def __init__(
        self, order: OutgoingOrder, replies: ReplyReader, budget: RateBudget
    ) -> None:
        self._order = order
        self._client_order_id = order.client_order_id
        self._symbol, self._side = order.symbol, order.side
        self._replies = replies
        self._budget = budget

    def send(self, data: bytes, pool: Pool) -> Request:
        """Hand its request over, once."""
        self._request = pool.submit(data, self)
        return self._request

    # As its request's listener.

    def left(self) -> None:
        """Pass it on."""
        self._order.left()

    def is_withheld(self) -> bool:
        """Pass it on."""
        return self._order.is_withheld()

    def is_named_in(self, reply: Reply) -> bool:
        """Return whether an answer holds the client order id, as any 200 does."""
        return self._client_order_id.encode() in reply.body

    def ended(self, request: Request) -> None:
        """Note it in the budget, and pass it on."""
        reply = request.reply
        self._budget.finish(reply.headers if reply is not None else None)
        order = self._order
        del self._order  # which may hold this, in a circle
        order.answered()

    # As what became of the order.

    @property
    def is_taken(self) -> bool:
        """Whether the broker has answered that it took the order."""
        reply = self._request.reply
        return reply is not None and reply.complete and reply.status == 200

    @property
    def is_doubtful(self) -> bool:
        """Whether the answer may be another request's: more came than was asked for."""
        return self._request.is_doubtful

    def if_doubted(self, call: Callable[[], None]) -> None:
        """Have a function called if the answer is doubtful, or still turns out to be.

        That is listened for until the time is over that an answer may take.
        """
        self._request.doubted = call
        if self._request.is_doubtful:
            call()

    def abandon(self, problem: str) -> None:
        """Stop waiting for its answer; if it has not left yet, it never does."""
        self._request.abandon(problem)

    def outcome(self) -> BrokerOrder:
        """Return the broker's order, once there is an answer.

        Raises:
            NotSentError: It never left this machine.
            RefusedError: The broker refuses it.
            DuplicateOrderError: The broker already has an order with this id.
            RateLimitedError: The broker asks us to try again later.
            UnknownOutcomeError: It left, and what became of it is not known: there is
                no readable answer, or none that is sure to be about this order.
        """
        request = self._request
        if request.is_doubtful and not self.is_taken:
            raise UnknownOutcomeError(DOUBTFUL)
        content = self._replies.content(
            request.reply, request.problem or "", sent=request.sent
        )
        return read_order(
            content, self._client_order_id, symbol=self._symbol, side=self._side
        )
