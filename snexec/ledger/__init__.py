"""LEDGER: the BotTrade rows, their file, and the one writer.

It owns the database's connection, what is queued to be written, and the counts that the
limits are asked with. Once it runs, the writer alone writes rows, whoever asks for a
change: the rows of new orders go first, all else in the order of the calls; changes are
committed together, and reported once they are durable. It never talks to the broker, and
never decides what is bought.
"""

from __future__ import annotations

from snexec.ledger.ahead import find_ahead as find_ahead
from snexec.ledger.ahead import named as named
from snexec.ledger.changes import AwaitedChange as AwaitedChange
from snexec.ledger.changes import Change as Change
from snexec.ledger.commit_times import CommitTimes as CommitTimes
from snexec.ledger.exit_rows import ExitApplied as ExitApplied
from snexec.ledger.exit_rows import ExitKind as ExitKind
from snexec.ledger.exit_rows import ExitReason as ExitReason
from snexec.ledger.exit_rows import ExitRecord as ExitRecord
from snexec.ledger.exit_rows import ExitState as ExitState
from snexec.ledger.exit_rows import FoundExit as FoundExit
from snexec.ledger.exit_rows import NewExit as NewExit
from snexec.ledger.exit_rows import NotAdopted as NotAdopted
from snexec.ledger.exit_rows import Unplanned as Unplanned
from snexec.ledger.exit_rows import UnsettledExit as UnsettledExit
from snexec.ledger.exit_rows import exit_id as exit_id
from snexec.ledger.exit_rows import is_our_exit as is_our_exit
from snexec.ledger.exit_rows import kind_of_exit as kind_of_exit
from snexec.ledger.exit_rows import row_of_exit as row_of_exit
from snexec.ledger.file import check_large as check_large
from snexec.ledger.file import checkpoint as checkpoint
from snexec.ledger.file import connect as connect
from snexec.ledger.file import refuse_damaged as refuse_damaged
from snexec.ledger.found import FoundOrder as FoundOrder
from snexec.ledger.found import FoundRow as FoundRow
from snexec.ledger.found import FoundRows as FoundRows
from snexec.ledger.held_rows import HeldBeside as HeldBeside
from snexec.ledger.held_rows import HighPrice as HighPrice
from snexec.ledger.held_rows import Split as Split
from snexec.ledger.held_rows import WatchedRow as WatchedRow
from snexec.ledger.ledger import Ledger as Ledger
from snexec.ledger.oddities import describe_oddities as describe_oddities
from snexec.ledger.open_rows import OpenRow as OpenRow
from snexec.ledger.open_rows import read_open_rows as read_open_rows
from snexec.ledger.reader import Reader as Reader
from snexec.ledger.rows import Applied as Applied
from snexec.ledger.rows import Ending as Ending
from snexec.ledger.rows import NewTrade as NewTrade
from snexec.ledger.rows import Opening as Opening
from snexec.ledger.rows import OrderRef as OrderRef
from snexec.ledger.rows import Unsettled as Unsettled
from snexec.ledger.rows import is_foreign as is_foreign
from snexec.ledger.rows import is_ours as is_ours
from snexec.ledger.rows import trade_id as trade_id
from snexec.ledger.schema import SCHEMA_VERSION as SCHEMA_VERSION
from snexec.ledger.schema import check_kind as check_kind
from snexec.ledger.schema import check_rows as check_rows
from snexec.ledger.schema import column_names as column_names
from snexec.ledger.schema import kind_words as kind_words
from snexec.ledger.schema import open_database as open_database
from snexec.ledger.schema import open_unmigrated as open_unmigrated
from snexec.ledger.signal_log import Decision as Decision
from snexec.ledger.standing import End as End
from snexec.ledger.standing import Standing as Standing
from snexec.ledger.standing import has_exits as has_exits
from snexec.ledger.standing import sold_shares as sold_shares
from snexec.ledger.store import Store as Store
from snexec.ledger.symbols import symbol_key as symbol_key
from snexec.ledger.writer import Writer as Writer
from snexec.ledger.writer import WriterStatus as WriterStatus
