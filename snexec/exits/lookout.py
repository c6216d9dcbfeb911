"""Looks at what others did to the positions of rows (SPEC 12.7): the task.

What a sight means is ``snexec.exits.external``'s; this asks what that wants to know, and
carries out what it says.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.errors import BrokerError
from snexec.exits.evidence import Evidence
from snexec.exits.external import APART_SECONDS, judge
from snexec.exits.questions import Questions
from snexec.exits.sights import sight_of
from snexec.exits.splits import days_of
from snexec.ledger import is_our_exit, row_of_exit
from snexec.model import ACCOUNTS
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snexec.broker import Accounts, Activity, BrokerOrder, PositionList
    from snexec.exits.external import Judgement
    from snexec.exits.findings import Findings
    from snexec.exits.position import Position
    from snexec.exits.sights import Case
    from snexec.exits.splits import SplitDay
    from snexec.ledger import Ledger, WatchedRow
    from snexec.model import Mode
    from snexec.reconciliation import ForeignSell
    from snexec.settings import LiveSettings

log = logging.getLogger("PositionMonitor")

_MOST_SELLERS = 20  # orders of which it is asked whose they are, in one look


class Rows(Protocol):
    """The rows that are watched."""

    def of_mode(self, mode: Mode) -> Sequence[Position]:
        """Return those of an account."""

    def position(self, symbol: str) -> Position | None:
        """Return the one in a symbol."""

    def of_row(self, row_id: str) -> object | None:
        """Return one of them; None if it is no more."""


class Lookout:
    """Judges each row by each list of positions, until cancelled.

    Args:
        live: Whether to, and how patient to be.
        accounts: Who is asked.
        ledger: Knows our sells, and the time.
        rows: Those that are watched.
        findings: Writes and says what was found.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        rows: Rows,
        findings: Findings,
    ) -> None:
        self._live = live
        self._ledger = ledger
        self._rows = rows
        self._findings = findings
        self._questions = Questions(accounts, ledger.clock)
        self._evidence: defaultdict[str, Evidence] = defaultdict(Evidence)
        self._known: dict[str, list[SplitDay]] = {}
        self._lists: dict[Mode, tuple[float, PositionList]] = {}
        self._wanted: set[Mode] = set()
        self._woken = {mode: trio.Event() for mode in ACCOUNTS}
        self._due = dict.fromkeys(ACCOUNTS, 0.0)
        self._happened: dict[Mode, tuple[datetime, list[Activity]]] = {}
        self._anew_at = -math.inf

    def load(self, rows: Iterable[WatchedRow]) -> None:
        """Take over what an earlier run has seen beside the rows."""
        for row in rows:
            if row.beside is not None:
                self._evidence[row.id] = Evidence(noted=row.beside)

    async def seen(self, mode: Mode, positions: PositionList) -> None:
        """Judge the rows of an account by a list that somebody has asked for.

        Its prices are heard next: where it shows a split they are of other shares than
        the row's, and its price rules rest from now on.
        """
        self._lists[mode] = (trio.current_time(), positions)
        if self._is_on():
            async for position in InTurns(self._rows.of_mode(mode), each_us=2):
                evidence = self._evidence[position.row_id]
                held = positions.get(position.symbol)
                if held and (rests := evidence.looks_split(position, held)):
                    self._findings.rests(position, evidence, rests)
        self._woken[mode].set()

    def look_now(self, mode: Mode) -> None:
        """Ask for a list at once, as where a sell has found nothing to sell."""
        self._wanted.add(mode)
        self._woken[mode].set()

    def foreign_sell(self, sell: ForeignSell) -> None:
        """Keep what the stream says that somebody else has sold, and look at once."""
        self._questions.hear(sell)
        self.look_now(sell.mode)

    def know_splits(self, splits: Iterable[SplitDay]) -> None:
        """Take these for all splits that are known; each rests until it shows."""
        known = defaultdict(list)
        for split in splits:
            known[split.symbol].append(split)
        self._known = dict(known)

    def begin_anew(self) -> None:
        """Let nothing that was seen before a time without a look conclude anything.

        Who sold had no time either to write the row.
        """
        for evidence in self._evidence.values():
            evidence.forget()
        self._anew_at = trio.current_time()
        self._lists.clear()
        for mode in ACCOUNTS:
            self.look_now(mode)

    async def run(self) -> None:
        """Look when there is something to see, and each interval anyway."""
        async with trio.open_nursery() as nursery:
            for mode in ACCOUNTS:
                nursery.start_soon(self._run_account, mode, name=f"lookout of {mode}")

    async def _run_account(self, mode: Mode) -> None:
        while True:
            with trio.move_on_at(self._due[mode]):
                await self._woken[mode].wait()
            self._woken[mode] = trio.Event()
            alpaca = self._live.now.alpaca
            self._due[mode] = trio.current_time() + alpaca.reconcile_interval_sec
            if not (self._is_on() and self._rows.of_mode(mode)):
                self._wanted.discard(mode)
                self._lists.pop(mode, None)
                continue
            if self._questions.can_ask(mode):
                await self._look(mode)

    async def _look(self, mode: Mode) -> None:
        """Judge every row of an account by the newest list, or by one asked for now."""
        at, positions = self._lists.pop(mode, (trio.current_time(), None))
        if positions is None or mode in self._wanted:
            self._wanted.discard(mode)
            at = trio.current_time()
            try:
                positions = await self._questions.positions(mode, self._rows.position)
            except BrokerError:
                self._ask_again(mode, at)
                return
        self._happened.pop(mode, None)
        ago = timedelta(seconds=trio.current_time() - at)  # it may have slept since
        moment, rows = self._ledger.clock.now() - ago, self._rows.of_mode(mode)
        async for position in InTurns(rows):
            evidence = self._evidence[position.row_id]
            try:
                await self._look_at(position, evidence, positions, at, moment)
            except BrokerError:
                evidence.ask_later(at)
            except sqlite3.Error as exc:
                log.warning(
                    "%s trade=%s: what others did to it cannot be recorded (%s); it is"
                    " looked at again",
                    *(position.symbol, position.row_id, exc),
                )
                evidence.ask_later(at)
            if evidence.is_troubled:
                self._ask_again(mode, evidence.ask_at)
        self._forget_ended()

    async def _look_at(
        self,
        position: Position,
        evidence: Evidence,
        positions: PositionList,
        at: float,
        moment: datetime,
    ) -> None:
        evidence.note(position)
        if not positions.speaks_of(position.symbol):
            if evidence.unreadable():
                log.warning(
                    "%s trade=%s: its position cannot be read; nothing is concluded"
                    " from that",
                    *(position.symbol, position.row_id),
                )
            return
        now = sight_of(position, positions, at, moment)
        exits = self._live.now.exits
        case = evidence.case(
            position,
            now,
            known=self._known.get(position.symbol, ()),
            grace_seconds=exits.external_grace_sec if exits is not None else 0.0,
        )
        while (judgement := judge(case)).kind.startswith("ask_"):
            if at < evidence.ask_at:
                return
            case = await self._asked(judgement, case, position, evidence)
        if judgement.kind in {"sold", "split"} and position.has_resting_stop:
            return  # it is being taken back, as what is held is in doubt
        await self._carry_out(judgement, case, position, evidence)
        position.is_doubted = evidence.is_troubled

    async def _asked(
        self, judgement: Judgement, case: Case, position: Position, evidence: Evidence
    ) -> Case:
        """Ask what a judgement wants to know, and return the case with the answer."""
        mode, symbol = position.mode, position.symbol
        match judgement.kind:
            case "ask_position":
                is_gone = await self._questions.is_gone(mode, symbol)
                return case.having(is_gone=is_gone)
            case "ask_buy":
                buy = await self._questions.buy(
                    *(mode, position.row_id, position.order_id, symbol)
                )
                evidence.bought = buy.bought or evidence.bought
                return case.having(buy=buy, bought=evidence.bought)
            case _:
                activities = await self._what_happened(mode, case.since)
                held, bought_on = case.now.quantity, case.claim.entry_day
                evidence.survey(days_of(activities, symbol, held, bought_on))
                case = case.having(activities=activities, is_surveyed=True)
                case = case.having(splits=evidence.splits_with(self._known, case))
                if case.is_smaller:
                    case = await self._with_sellers(case, position)
                return case

    async def _what_happened(self, mode: Mode, since: datetime) -> list[Activity]:
        """Return an account's activities, asked for once a look."""
        if mode in self._happened and self._happened[mode][0] <= since:
            return self._happened[mode][1]
        unsurveyed = [
            datetime.fromtimestamp(position.entry_at, UTC)
            for position in self._rows.of_mode(mode)
            if not self._evidence[position.row_id].is_surveyed
        ]
        since = min([since, *unsurveyed])
        found = await self._questions.activities(mode, since)
        self._happened[mode] = (since, found)
        return found

    async def _with_sellers(self, case: Case, position: Position) -> Case:
        """Find out which sells were orders of ours, and whether their rows know."""
        orders = dict.fromkeys(
            each.order_id
            for each in case.activities or ()
            if each.side == "sell"
            and each.order_id is not None
            and each.is_about(position.symbol)
            and each.at >= case.since
        )
        ours, is_unbooked = set(), False
        for order_id in list(orders)[:_MOST_SELLERS]:
            order = await self._questions.sell(
                position.mode, str(order_id), position.symbol
            )
            if order is None or not _is_ours(order, position):
                continue
            ours.add(order.id)
            is_unbooked = is_unbooked or not await self._is_booked(order)
        return case.having(ours=frozenset(ours), is_unbooked=is_unbooked)

    async def _is_booked(self, order: BrokerOrder) -> bool:
        """Return whether the row of a sell of ours knows what that has sold."""
        row_id = str(row_of_exit(order.client_order_id))
        sold = order.filled_qty or Decimal(0)
        records = await self._ledger.writer.write(lambda store: store.exits.of(row_id))
        return any(
            record.id == order.client_order_id
            and (record.state == "filled" or record.sold >= sold)
            for record in records
        )

    async def _carry_out(
        self, judgement: Judgement, case: Case, position: Position, evidence: Evidence
    ) -> None:
        match judgement.kind:
            case "forget":
                evidence.forget()
                if judgement.why and evidence.is_news(judgement.why):
                    log.warning(
                        "%s trade=%s: %s; nothing is concluded from that",
                        *(position.symbol, position.row_id, judgement.why),
                    )
            case "whole":
                # A rest that a newer list has begun is not this one's to end.
                if judgement.rests or position.mode not in self._lists:
                    self._findings.rests(position, evidence, judgement.rests)
                evidence.whole(case.now)
                await self._findings.note_beside(position, evidence, case.now)
            case "begin":
                if judgement.rests is not None:
                    self._findings.rests(position, evidence, judgement.rests)
                evidence.begin(case.now, anew_at=self._anew_at)
            case "wait":
                if case.activities is not None:
                    evidence.ask_later(case.now.at)
            case "stranger" | "ours":
                evidence.ask_later(case.now.at)
                self._findings.stands(judgement, position, evidence)
            case "rest":
                evidence.ask_later(case.now.at)
                self._findings.alarm(judgement, position, evidence)
            case "sold":
                await self._findings.sold(judgement, case, position, evidence)
            case _:
                await self._findings.split(judgement, case, position, evidence)

    def _is_on(self) -> bool:
        exits = self._live.now.exits
        return exits is not None and exits.enabled and exits.external

    def _ask_again(self, mode: Mode, ask_at: float) -> None:
        soon = max(trio.current_time() + APART_SECONDS, ask_at)
        self._due[mode] = min(self._due[mode], soon)

    def _forget_ended(self) -> None:
        for row_id in [x for x in self._evidence if self._rows.of_row(x) is None]:
            del self._evidence[row_id]


def _is_ours(order: BrokerOrder, position: Position) -> bool:
    name = order.client_order_id
    return is_our_exit(name) or row_of_exit(name) == position.row_id
