"""Log lines: how they look, what is kept out of them, and how they leave.

A line is text or JSON; known secrets are masked in it, and foreign text cannot forge
another. The queue of lines is the drain's: any thread may add to it, and the drain
alone takes lines off and writes them. Logging never blocks the event loop, and never
raises where a log cannot be written: lines are dropped and counted instead. A fault
that comes again and again is logged once, and then summed up.
"""

from __future__ import annotations

from snexec.logs.drain import LogDrain as LogDrain
from snexec.logs.lines import JsonFormatter as JsonFormatter
from snexec.logs.lines import LineFormatter as LineFormatter
from snexec.logs.lines import about as about
from snexec.logs.lines import json_of_dropped as json_of_dropped
from snexec.logs.mask import SecretMask as SecretMask
from snexec.logs.order_log import NamesOrder as NamesOrder
from snexec.logs.order_log import OrderLog as OrderLog
from snexec.logs.order_log import about_order as about_order
from snexec.logs.printing import printable as printable
from snexec.logs.repeats import Repeats as Repeats
from snexec.logs.repeats import roughly as roughly
