"""RECONCILIATION: rows against the broker's word, until they agree.

It owns the list of unsettled orders, when to ask about each, when to look for orders that
no row knows, and the sequence in which what is heard of one order is applied. Its state is written by its own tasks, by whoever
has it follow an order, by the stream that hands it an event, and by the ledger that
reports a change. It never sends an order, and never writes a row but by a change that
the ledger's writer applies.
"""

from __future__ import annotations

from snexec.reconciliation.discarded import Discarded as Discarded
from snexec.reconciliation.fills import Fills as Fills
from snexec.reconciliation.parties import Fate as Fate
from snexec.reconciliation.parties import ForeignSell as ForeignSell
from snexec.reconciliation.parties import Holdings as Holdings
from snexec.reconciliation.parties import Reasons as Reasons
from snexec.reconciliation.parties import SellAgain as SellAgain
from snexec.reconciliation.rebuild import Rebuild as Rebuild
from snexec.reconciliation.rebuild import Rebuilt as Rebuilt
from snexec.reconciliation.reconciler import Reconciler as Reconciler
from snexec.reconciliation.reconciler import (
    ReconciliationStatus as ReconciliationStatus,
)
from snexec.reconciliation.refusal import OpenRefusal as OpenRefusal
from snexec.reconciliation.sell_steps import is_final as is_final
from snexec.reconciliation.sells import Sells as Sells
from snexec.reconciliation.unsettled import UnsettledOrders as UnsettledOrders
