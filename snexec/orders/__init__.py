"""ORDERS: from an intent to the broker's answer.

It owns the intents that wait and the orders under way: who goes next, the row before the
request, the request once, the answer recorded. Its state is written by its own tasks, by
the step that hands an intent in, and by the calls in which writer and client report to an
``Attempt``. What is worth ordering is the intent's own word: ``SignalBuy`` asks the gates
of risk. It never sends an order again that the broker may have taken, never removes the
row of one that a look-up may find, and leaves one whose outcome is not known to
reconciliation.
"""

from __future__ import annotations

from snexec.orders.desk import OrderDesk as OrderDesk
from snexec.orders.desk import OrdersStatus as OrdersStatus
from snexec.orders.executor import Onlooker as Onlooker
from snexec.orders.intent import SKIP_REASONS as SKIP_REASONS
from snexec.orders.intent import Intent as Intent
from snexec.orders.intent import SkipReason as SkipReason
from snexec.orders.selling import NotPlanned as NotPlanned
from snexec.orders.selling import Sell as Sell
from snexec.orders.selling import SellListener as SellListener
from snexec.orders.selling import Withheld as Withheld
