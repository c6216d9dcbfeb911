"""Orders of other programs in the same account: passed over, but for what they sell.

There may be far more of them than of ours, so nothing is made of one before it is known
whether anybody minds it. What an order of ours is called is ours to say: one that the
broker gives another name, by what the row holds of it, is found by look-ups.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from snexec.broker import amount
from snexec.reconciliation.parties import ForeignSell

if TYPE_CHECKING:
    from snexec.ledger import Writer
    from snexec.model import AccountName
    from snexec.reconciliation.parties import Holdings

log = logging.getLogger("TradeExecutor")


class ForeignOrders:
    """Takes what the stream says of orders that no row can be about.

    Args:
        writer: Orders what was sold behind what was bought before.
        holdings: Hear what was sold.

    Attributes:
        minds_sells: Whether anybody looks at what others sell.
    """

    def __init__(self, writer: Writer, holdings: list[Holdings]) -> None:
        self._writer = writer
        self._holdings = holdings
        self.minds_sells = False

    async def take_fill(
        self,
        mode: AccountName,
        order_id: str,
        symbol: str | None,
        side: str | None,
        sold: tuple[object, object] | None = None,
    ) -> None:
        """Take a fill; of a buy there is nothing to do.

        Args:
            mode: The account.
            order_id: The broker's id.
            symbol: As the broker spells it.
            side: Likewise.
            sold: Shares and dollars a share of a final fill, as they came.
        """
        if side == "sell" and self.minds_sells:
            sell = ForeignSell(mode, symbol or "", order_id)
            if sold is not None:
                sell = sell._replace(quantity=amount(sold[0]), price=amount(sold[1]))
            await self._writer.submit_probe(partial(self._say, sell))
        log.debug("order %s (%s) is another program's", order_id, symbol)

    def _say(self, sell: ForeignSell) -> None:
        for each in self._holdings:
            each.foreign_sell(sell)
