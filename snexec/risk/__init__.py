"""RISK: what keeps a signal from becoming an order.

It owns the limits of ``[bot]``, the order in which they are asked, and the kill switch
with its file. A gate is a pure function and keeps no state: orders asks the early ones, the
ledger those that count. A tally of recent orders is made and written only by the ledger;
the halt file by the operator, the command line and the switch. It never reads the database,
never talks to the broker and never places an order: it only says no, and why.
"""

from __future__ import annotations

from snexec.risk.active import Active as Active
from snexec.risk.gates import COUNTED as COUNTED
from snexec.risk.gates import EARLY as EARLY
from snexec.risk.gates import ActiveGates as ActiveGates
from snexec.risk.gates import counts_orders as counts_orders
from snexec.risk.gates import is_unlimited as is_unlimited
from snexec.risk.gates import limits_set as limits_set
from snexec.risk.gates import order_dollars as order_dollars
from snexec.risk.gates import unlimited_words as unlimited_words
from snexec.risk.halt import HaltSwitch as HaltSwitch
from snexec.risk.halt_file import ALL_FILE_NAME as ALL_FILE_NAME
from snexec.risk.halt_file import FILE_NAME as FILE_NAME
from snexec.risk.halt_file import Halt as Halt
from snexec.risk.halt_file import exits_words as exits_words
from snexec.risk.halt_file import halt_files as halt_files
from snexec.risk.halt_file import mended as mended
from snexec.risk.halt_file import read_both as read_both
from snexec.risk.halt_file import read_halt as read_halt
from snexec.risk.halt_file import remove_halt as remove_halt
from snexec.risk.halt_file import write_halt as write_halt
from snexec.risk.limits import COUNTED_REASONS as COUNTED_REASONS
from snexec.risk.limits import Counts as Counts
from snexec.risk.limits import Gate as Gate
from snexec.risk.limits import Limits as Limits
from snexec.risk.limits import Reason as Reason
from snexec.risk.limits import Snapshot as Snapshot
from snexec.risk.tally import OpenedOrder as OpenedOrder
from snexec.risk.tally import Recently as Recently
from snexec.risk.tally import Tally as Tally
from snexec.risk.tally import day_start as day_start
from snexec.risk.tally import too_late as too_late
