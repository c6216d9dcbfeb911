"""BROKER: Alpaca's REST API, and what its answers mean.

It owns one client for each account, with its keys, its warm connections and its budget of
requests; one that new settings have replaced is closed once nobody uses it. Orders leave
over warm connections, and each question has one of its own. Its state is written by its
own tasks, by ``reconfigure``, by ``try_take`` and by whoever holds a ``Lease``. Foreign
errors become ours here; what does not speak of what was asked is no answer. It never sends
a request twice, and never reads or writes a row.
"""

from __future__ import annotations

from snexec.broker.accounts import Accounts as Accounts
from snexec.broker.accounts import BudgetStatus as BudgetStatus
from snexec.broker.activities import Activity as Activity
from snexec.broker.activities import ActivityPages as ActivityPages
from snexec.broker.answers import FINAL_STATUSES as FINAL_STATUSES
from snexec.broker.answers import (
    MAX_CLIENT_ORDER_ID_CHARS as MAX_CLIENT_ORDER_ID_CHARS,
)
from snexec.broker.answers import MAX_ORDER_ID_CHARS as MAX_ORDER_ID_CHARS
from snexec.broker.answers import BrokerOrder as BrokerOrder
from snexec.broker.answers import amount as amount
from snexec.broker.answers import moment as moment
from snexec.broker.answers import quantity_or_zero as quantity_or_zero
from snexec.broker.budget import Purpose as Purpose
from snexec.broker.client import AlpacaClient as AlpacaClient
from snexec.broker.endpoint import DataEndpoint as DataEndpoint
from snexec.broker.endpoint import Endpoint as Endpoint
from snexec.broker.lease import Lease as Lease
from snexec.broker.listing import ListedOrder as ListedOrder
from snexec.broker.listing import OrderPages as OrderPages
from snexec.broker.listing import read_listed as read_listed
from snexec.broker.positions import MOST_POSITIONS_BYTES as MOST_POSITIONS_BYTES
from snexec.broker.positions import HeldPosition as HeldPosition
from snexec.broker.positions import Own as Own
from snexec.broker.positions import PositionList as PositionList
from snexec.broker.positions import read_positions as read_positions
from snexec.broker.proxies import ignored_proxies as ignored_proxies
from snexec.broker.replies import is_about_symbol as is_about_symbol
from snexec.broker.replies import readable as readable
from snexec.broker.replies import refusal as refusal
from snexec.broker.sent import DOUBTFUL as DOUBTFUL
from snexec.broker.sent import SentOrder as SentOrder
from snexec.broker.simulated import BuiltInExchange as BuiltInExchange
from snexec.broker.tls import tls_context as tls_context
