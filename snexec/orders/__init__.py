"""ORDERS: from an intent to the broker's answer.

It owns the intents that wait and the orders under way: who goes next, the row before the
request, the request once, the answer recorded. Its state is written by its own tasks and
by the step that hands an intent in. It never decides what is worth ordering (that is the
intent's own word), never sends an order twice, and leaves an order whose outcome is not
known to reconciliation.
"""

from __future__ import annotations

from snexec.orders.desk import OrderDesk as OrderDesk
from snexec.orders.desk import OrdersStatus as OrdersStatus
from snexec.orders.executor import Onlooker as Onlooker
from snexec.orders.intent import SKIP_REASONS as SKIP_REASONS
from snexec.orders.intent import Intent as Intent
from snexec.orders.intent import SkipReason as SkipReason
