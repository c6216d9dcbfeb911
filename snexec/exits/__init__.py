"""EXITS: which position becomes a sell.

It owns the positions that are watched and what is known of their prices: which price
counts, which rule is true, when that is confirmed. Its state is written by its own task
and by the calls in which sources and reconciliation report to it; rows change through the
ledger alone. It never asks for a price on the way of an order, never sells by a price
while the market is closed, halted or not seen, and never sells what a row did not buy.
"""

from __future__ import annotations

from snexec.exits.book import PositionBook as PositionBook
from snexec.exits.closing import Closing as Closing
from snexec.exits.exits import Exits as Exits
from snexec.exits.exits import ExitsStatus as ExitsStatus
from snexec.exits.judge import Explained as Explained
from snexec.exits.means import Means as Means
from snexec.exits.position import Position as Position
from snexec.exits.prices import Price as Price
from snexec.exits.prices import Source as Source
from snexec.exits.rules import Trigger as Trigger
from snexec.exits.seller import Seller as Seller
