"""A client that is lent with a request of its budget (SPEC 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import trio

if TYPE_CHECKING:
    from snexec.broker.budget import Purpose
    from snexec.broker.client import AlpacaClient
    from snexec.broker.endpoint import Endpoint
    from snexec.broker.sent import OutgoingOrder, OutgoingSell, SentOrder


@dataclass(slots=True, eq=False)
class Held:
    """A client, and how many have borrowed it.

    Attributes:
        retired: Whether another has taken its place.
    """

    endpoint: Endpoint
    client: AlpacaClient
    leases: int = 0
    retired: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def close_if_unused(self) -> None:
        """End its connections once it is retired and the last lease has ended."""
        if self.retired and self.leases == 0:
            self.scope.cancel(reason="the client is replaced and no longer used")


class Lease:
    """A client that stays open until the block is left, and a request of its budget.

    What was taken of the budget and not used by then is given back.
    """

    __slots__ = ("_held", "_taken")

    def __init__(self, held: Held, taken: Purpose | None = None) -> None:
        self._held = held
        self._taken = taken
        held.leases += 1

    @property
    def client(self) -> AlpacaClient:
        """The account's client, for all but requests."""
        return self._held.client

    def try_take(self, purpose: Purpose) -> bool:
        """Take one request from the budget, if there is one for this purpose."""
        if not self.client.budget.try_take(purpose):
            return False
        self._taken = purpose
        return True

    async def take(self, purpose: Purpose) -> None:
        """Take one request from the budget, waiting for it if need be."""
        await self.client.budget.take(purpose)
        self._taken = purpose

    def use(self) -> AlpacaClient:
        """Return the client for one question, with the request that was taken."""
        self._taken = None
        return self._held.client

    def send_order(self, order: OutgoingOrder) -> SentOrder:
        """Send an order with the one request that was taken."""
        sent = self._held.client.send_order(order)
        self._taken = None
        return sent

    def send_sell(self, sell: OutgoingSell) -> SentOrder:
        """Send a sell with the one request that was taken."""
        sent = self._held.client.send_sell(sell)
        self._taken = None
        return sent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._taken is not None:
            self.client.budget.give_back(self._taken)
            self._taken = None
        self._held.leases -= 1
        self._held.close_if_unused()
