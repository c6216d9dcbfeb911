"""BROKER: Alpaca's REST API; foreign errors become ours here.

It owns each account's client: its keys, its warm connections, its request budget, and
how long a client stays that new settings have replaced. Its state is written by its own
tasks, by ``reconfigure``, and by whoever holds a ``Lease``. It never sends a request
twice, never retries, and knows nothing of rows or signals.
"""

from __future__ import annotations

from snexec.broker.accounts import Accounts as Accounts
from snexec.broker.accounts import BudgetStatus as BudgetStatus
from snexec.broker.accounts import Lease as Lease
from snexec.broker.answers import FINAL_STATUSES as FINAL_STATUSES
from snexec.broker.answers import BrokerOrder as BrokerOrder
from snexec.broker.answers import amount as amount
from snexec.broker.budget import Purpose as Purpose
from snexec.broker.client import AlpacaClient as AlpacaClient
from snexec.broker.client import SentOrder as SentOrder
from snexec.broker.endpoint import Endpoint as Endpoint
from snexec.broker.replies import readable as readable
from snexec.broker.replies import refusal as refusal
from snexec.broker.simulated import BuiltInExchange as BuiltInExchange
from snexec.broker.tls import tls_context as tls_context
