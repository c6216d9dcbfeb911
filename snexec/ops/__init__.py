"""OPERATIONS: what the person who runs the daemon sees and does.

Status, positions, halt, close and explain, health and metrics, notifications, reloads, and
reports to systemd. It owns only what it reports of: when the stream was away, what the
watchdog saw last, which messages wait. It reads what each wing says of itself, mostly in a
``status()``, and changes nothing of theirs but by the kill switch, by a reload, by the
operator's word (``close``, which the exits carry out, ``settle`` and ``rebuild``), and after
a gap, when it has them ask anew; it places no order.
"""

from __future__ import annotations

from snexec.ops.commands import Commands as Commands
from snexec.ops.health import Health as Health
from snexec.ops.operations import Operations as Operations
from snexec.ops.sources import Sources as Sources
from snexec.ops.sources import Web as Web
from snexec.ops.systemd import Systemd as Systemd
from snexec.ops.wings import Wings as Wings
