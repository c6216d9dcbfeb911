"""Log lines: their form, secrets masked, faults told once."""

from __future__ import annotations

from snexec.logs.drain import LogDrain as LogDrain
from snexec.logs.lines import JsonFormatter as JsonFormatter
from snexec.logs.lines import LineFormatter as LineFormatter
from snexec.logs.lines import about as about
from snexec.logs.lines import json_of_dropped as json_of_dropped
from snexec.logs.lines import printable as printable
from snexec.logs.mask import SecretMask as SecretMask
from snexec.logs.repeats import Repeats as Repeats
from snexec.logs.repeats import roughly as roughly
