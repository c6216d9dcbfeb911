"""A sell whose id the broker says it has taken, and which no look-up finds (SPEC 12.5).

It is sent no more: there is such an order, or there will never be one by that id. A new
id comes only after evidence, so the broker is asked at growing intervals, and it is said.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from snexec.logs import OrderLog

if TYPE_CHECKING:
    from snexec.errors import RefusedError
    from snexec.ledger import NewExit

order_log = OrderLog(logging.getLogger("TradeExecutor"))

_REMIND_SECONDS = 3600.0


@dataclass(slots=True, eq=False)
class TakenId:
    """Such a sell, as ``reconciliation.OpenRefusal`` says.

    Attributes:
        patience: For how many seconds look-ups may lag behind.
    """

    sell: NewExit
    patience: float
    _since: float = field(default_factory=trio.current_time)
    _said_at: float = -math.inf

    async def not_found(self) -> None:
        """Say it, once look-ups have had the time to find it, and then hourly."""
        now = trio.current_time()
        if now - self._since < self.patience or now - self._said_at < _REMIND_SECONDS:
            return
        self._said_at = now
        order_log.error(
            self.sell,
            "the broker says that it has taken this sell, and that it does not know it,"
            " for %.0f s: it is asked about, and nothing else of its row is sold; look at"
            " the account, and sell it there if it has no such order",
            now - self._since,
        )

    async def not_answered(self, problem: RefusedError) -> bool:  # noqa: ARG002
        """Leave it open: no answer says nothing of it."""
        return False

    def found(self) -> None:
        """Take it for taken, as the broker has said."""
