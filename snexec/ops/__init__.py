"""What whoever runs the daemon sees and does."""

from __future__ import annotations

from snexec.ops.control import Controls as Controls
from snexec.ops.control import account_name as account_name
from snexec.ops.health import Health as Health
from snexec.ops.outages import Outages as Outages
from snexec.ops.systemd import Systemd as Systemd
from snexec.ops.watchdog import Watchdog as Watchdog
from snexec.ops.watchdog import knock_at as knock_at
