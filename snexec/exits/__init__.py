"""EXITS: which position becomes a sell.

It owns the positions that are watched and what is known of their prices: which price
counts, which rule is true, when that is confirmed. Its state is written by its own task
and by the calls in which sources and reconciliation report to it; rows change through the
ledger alone. It never asks for a price on the way of an order, never sells by a price
while the market is closed, halted or not seen, and never sells what a row did not buy.
"""

from __future__ import annotations

from snexec.exits.answers import CloseAnswer as CloseAnswer
from snexec.exits.answers import ExitsStatus as ExitsStatus
from snexec.exits.answers import PositionStatus as PositionStatus
from snexec.exits.exits import Exits as Exits
from snexec.exits.judge import Explained as Explained
from snexec.exits.prices import Source as Source
