"""What is done about what others did: the row, the log, the feed (SPEC 12.7, 12.8)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from snexec.ledger import ExitApplied, HeldBeside, Split
from snexec.logs import about
from snexec.model import plain

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.events import EventFeed
    from snexec.exits.evidence import Evidence
    from snexec.exits.external import Judgement
    from snexec.exits.position import Position
    from snexec.exits.sights import Case, Sight
    from snexec.ledger import Unplanned, Writer

log = logging.getLogger("PositionMonitor")

_GONE = frozenset({"not_found", "not_ours", "not_open"})


class Heirs(Protocol):
    """Who keeps the watched rows, and hears what became of them.

    Each call changes the row's ``Position`` before it returns.
    """

    def sold_by_others(self, applied: ExitApplied) -> None:
        """Take note that something of a row was sold."""

    def split(self, split: Split) -> None:
        """Take note that a row was restated."""

    def ended(self, row_id: str) -> None:
        """Watch a row no more: somebody else has ended it."""


class Findings:
    """Writes what was found through the ledger, and says it.

    Args:
        writer: Writes it.
        heirs: Hear of it.
        feed: Where it is published.
    """

    def __init__(self, writer: Writer, heirs: Heirs, feed: EventFeed) -> None:
        self._writer = writer
        self._heirs = heirs
        self._feed = feed

    async def sold(
        self, judgement: Judgement, case: Case, position: Position, evidence: Evidence
    ) -> None:
        """Write what others sold of a row."""
        result = await self._writer.write(
            lambda store: store.exits.external(
                position.row_id,
                quantity=judgement.quantity,
                price=judgement.price,
                remaining=case.claim.remaining,
                reason=judgement.reason,
                at=judgement.at,
            )
        )
        if not isinstance(result, ExitApplied):
            self._not_written(result, position, evidence)
            return
        evidence.used |= judgement.used
        self._say_sold(judgement, result)
        self._heirs.sold_by_others(result)
        evidence.restated(position, case.now)

    async def split(
        self, judgement: Judgement, case: Case, position: Position, evidence: Evidence
    ) -> None:
        """Restate a row in new shares."""
        ratio = judgement.ratio
        result = await self._writer.write(
            lambda store: store.exits.split(
                position.row_id, ratio, remaining=case.claim.remaining
            )
        )
        if not isinstance(result, Split):
            self._not_written(result, position, evidence)
            return
        self._heirs.split(result)
        self.rests(position, evidence, None)
        evidence.restated(position, case.now)
        log.warning(
            "%s trade=%s: split %s for 1; %s shares at %s are %s at %s",
            *(position.symbol, position.row_id, ratio),
            *(_shown(case.claim.shares), _shown(case.claim.entry_price)),
            *(_shown(result.shares), _shown(result.entry_price)),
            extra=about(symbol=position.symbol, trade_id=position.row_id),
        )
        self._feed.publish(
            "split",
            {
                "mode": result.mode,
                "ratio": str(ratio),
                "shares": _number(result.shares),
                "remaining": _number(result.remaining),
                "entryPrice": _number(result.entry_price),
            },
            signal_id=result.signal_id,
            trade_id=result.row_id,
            symbol=result.symbol,
        )

    async def note_beside(
        self, position: Position, evidence: Evidence, now: Sight
    ) -> None:
        """Keep what is held beside shares of others: a start knows a split by it."""
        if now.average is None or now.quantity <= position.remaining:
            return
        beside = HeldBeside(now.quantity, now.average)
        if beside != evidence.noted:
            await self._writer.write(
                lambda store: store.held.note_beside(position.row_id, beside)
            )
            evidence.noted = beside

    def alarm(
        self, judgement: Judgement, position: Position, evidence: Evidence
    ) -> None:
        """Have the price rules of a row rest until somebody has looked."""
        self._set_rests(position, evidence, judgement.rests)
        if not evidence.is_news(judgement.why):
            return
        log.error(
            "%s trade=%s (%s): %s; its price rules rest until its position is as it was:"
            " look at the account",
            *(position.symbol, position.row_id, position.mode, judgement.why),
            extra=about(symbol=position.symbol, trade_id=position.row_id),
        )
        self._feed.publish(
            "external",
            {"mode": position.mode, "rests": judgement.why, "closed": False},
            trade_id=position.row_id,
            symbol=position.symbol,
            reason="corporate_action",
        )

    def stands(
        self, judgement: Judgement, position: Position, evidence: Evidence
    ) -> None:
        """Say, once a day, why a row is left as it is though its shares are not there."""
        if not evidence.is_news(judgement.why):
            return
        if judgement.kind == "ours":
            level, remedy = logging.ERROR, "the look-ups of that order decide"
        else:
            level = logging.WARNING
            remedy = (
                "put the keys of its account back, or end it by"
                f" `snexec settle {position.row_id} --as closed`"
            )
        log.log(
            level,
            "%s trade=%s (%s): less of it is held than the row has, and %s; the row"
            " stays as it is: %s",
            *(position.symbol, position.row_id, position.mode, judgement.why, remedy),
            extra=about(symbol=position.symbol, trade_id=position.row_id),
        )

    def rests(self, position: Position, evidence: Evidence, rests: str | None) -> None:
        """Have the price rules of a row rest for a while, or go on."""
        if rests != evidence.rests and (rests or evidence.rests):
            log.warning(
                "%s trade=%s: %s",
                *(position.symbol, position.row_id),
                "its price rules go on"
                if rests is None
                else f"its price rules rest: {rests}",
                extra=about(symbol=position.symbol, trade_id=position.row_id),
            )
        self._set_rests(position, evidence, rests)

    def _set_rests(
        self, position: Position, evidence: Evidence, rests: str | None
    ) -> None:
        # Others may have it rest too, for reasons of theirs.
        if position.rests in (None, evidence.rests):
            position.rests = rests
        evidence.rest(rests)

    def _not_written(
        self, why: Unplanned, position: Position, evidence: Evidence
    ) -> None:
        """Leave a row that has changed meanwhile, perhaps by the program that sold."""
        evidence.forget()
        if why in _GONE:
            log.info(
                "%s trade=%s: another program has ended its row",
                *(position.symbol, position.row_id),
            )
            self._heirs.ended(position.row_id)

    def _say_sold(self, judgement: Judgement, applied: ExitApplied) -> None:
        if judgement.price is not None:
            level, remedy = logging.WARNING, ""
        else:
            level = logging.ERROR
            remedy = "; at what price is not known: look at the account"
            if applied.closed:
                remedy += (
                    f", then `snexec settle {applied.row_id} --as closed --price PRICE`"
                )
        log.log(
            level,
            "%s trade=%s (%s): %s shares are gone by no order of ours (%s)%s, %s%s",
            *(applied.symbol, applied.row_id, applied.mode, plain(applied.sold)),
            judgement.why,
            ""
            if judgement.price is None
            else f" at {plain(round(judgement.price, 6))}",
            "its row is closed"
            if applied.closed
            else f"{plain(applied.remaining)} are left",
            remedy,
            extra=about(
                symbol=applied.symbol,
                trade_id=applied.row_id,
                signal_id=applied.signal_id,
            ),
        )
        self._feed.publish(
            "external",
            {
                "exitId": applied.id,
                "mode": applied.mode,
                "shares": _number(applied.sold),
                "exitPrice": _number(judgement.price),
                "remaining": _number(applied.remaining),
                "closed": applied.closed,
                "pnl": _number(applied.pnl),
            },
            signal_id=applied.signal_id,
            trade_id=applied.row_id,
            symbol=applied.symbol,
            reason=applied.reason,
        )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _shown(number: Decimal | None) -> str:
    return "a price that is not known" if number is None else plain(number)
