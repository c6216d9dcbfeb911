"""Rows against the broker's word, until they agree."""

from __future__ import annotations

from snexec.reconciliation.confirmations import Confirmations as Confirmations
from snexec.reconciliation.fills import Fills as Fills
from snexec.reconciliation.recovery import Recovery as Recovery
from snexec.reconciliation.unsettled import UnsettledOrders as UnsettledOrders
