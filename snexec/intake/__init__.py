"""How signals come in: lines, one answer each, a bounded queue."""

from __future__ import annotations

from snexec.intake.admission import Answer as Answer
from snexec.intake.admission import Intake as Intake
from snexec.intake.admission import Phase as Phase
from snexec.intake.admission import Status as Status
from snexec.intake.admission import TakenSignal as TakenSignal
from snexec.intake.socket_server import SocketServer as SocketServer
from snexec.intake.socket_server import open_listener as open_listener
from snexec.intake.stdin import Kind as Kind
from snexec.intake.stdin import kind_of_stdin as kind_of_stdin
from snexec.intake.stdin import read_signals as read_signals
