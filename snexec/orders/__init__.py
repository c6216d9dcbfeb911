"""From a taken signal to the broker's answer: which goes next, its row, its request."""

from __future__ import annotations

from snexec.ledger import trade_id as trade_id
from snexec.orders.dispatch import Dispatcher as Dispatcher
from snexec.orders.executor import TradeExecutor as TradeExecutor
from snexec.orders.outcomes import Outcomes as Outcomes
from snexec.orders.skips import SKIP_REASONS as SKIP_REASONS
from snexec.orders.skips import Skips as Skips
