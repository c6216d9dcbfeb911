"""INTAKE: how signals come in; one answer to each line, and nobody waits.

It owns what is known of lines: whether signals are taken at the moment, which ids were
taken, how many lines were answered what. Its state is written by the feeders, through
``Intake.take``, and by whoever opens and closes it. The socket also carries requests and
the feed of events, which it only passes on. It never waits for an order, but that a file's
lines wait for room, and never decides whether a valid signal is worth trading: what is
taken goes to the ``Orders`` that it was given.
"""

from __future__ import annotations

from snexec.intake.admission import LINES_PER_TURN as LINES_PER_TURN
from snexec.intake.admission import Answer as Answer
from snexec.intake.admission import Intake as Intake
from snexec.intake.admission import IntakeStatus as IntakeStatus
from snexec.intake.admission import Phase as Phase
from snexec.intake.admission import Status as Status
from snexec.intake.feeder import Feeder as Feeder
from snexec.intake.listener import Entrance as Entrance
from snexec.intake.listener import UnixListener as UnixListener
from snexec.intake.socket_server import SocketServer as SocketServer
from snexec.intake.stdin import InputOwner as InputOwner
from snexec.intake.stdin import Kind as Kind
from snexec.intake.stdin import StandardInput as StandardInput
from snexec.intake.stdin import kind_of_stdin as kind_of_stdin
