"""Operations: what the person who runs the daemon sees and does.

Status, halt and explain, health and metrics, notifications, and reports to systemd. It
reads the state of the other wings and changes none of it but the kill switch; it places
no order and writes no row.
"""

from __future__ import annotations

from snexec.ops.control import Controls as Controls
from snexec.ops.control import account_name as account_name
from snexec.ops.health import Health as Health
from snexec.ops.outages import Outages as Outages
from snexec.ops.systemd import Systemd as Systemd
from snexec.ops.watchdog import Watchdog as Watchdog
from snexec.ops.watchdog import knock_at as knock_at
