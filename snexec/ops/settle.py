"""Ending a row by the operator's word: when it may be, and what that does (SPEC 12.8a)."""

from __future__ import annotations

import logging
import sqlite3
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from snexec.broker import FINAL_STATUSES
from snexec.errors import (
    BrokerError,
    NoAccountError,
    NotFoundError,
    RefusedError,
)
from snexec.logs import about, printable
from snexec.ops.asking import client_of

if TYPE_CHECKING:
    from snexec.broker import Accounts
    from snexec.ledger import End, Standing
    from snexec.model import Mode
    from snexec.ops.wings import Wings

log = logging.getLogger("Daemon")

_DUST = Decimal("1e-9")  # rows hold floats


class Settlement(NamedTuple):
    """What the operator says became of a row.

    Attributes:
        price: Dollars a share at which the position went; None if not known.
    """

    trade_id: str
    how: End
    price: Decimal | None = None


class Judged(NamedTuple):
    """Whether a row may be ended.

    Attributes:
        refusal: Why not; empty if it may.
        words: What ending it will do, for the operator to confirm.
    """

    refusal: str
    words: str = ""


class Broker(Protocol):
    """Answers what must be known before a row is ended.

    Both raise BrokerError or OSError where an account cannot be asked.
    """

    async def position(self, mode: Mode, symbol: str) -> Decimal:
        """Return what an account holds of a symbol, 0 without a position."""

    async def order_status(self, mode: Mode, trade_id: str, symbol: str) -> str:
        """Return the status of a row's order."""


async def judge(
    asked: Settlement, row: Standing | None, broker: Broker, *, before: float
) -> Judged:
    """Return whether a row may be ended, having asked the broker for its position.

    Only where asking again would not help is the operator's word enough.

    Args:
        asked: What the operator says.
        row: The row as it is; None if it is not there.
        broker: Is asked.
        before: A sell that was decided since, in seconds since 1970, may still arrive.
    """
    if row is None:
        return Judged(f"there is no row {asked.trade_id}")
    lacks_word = row.status == "closed" and row.is_settled and asked.price is None
    if row.mode is None or not row.may_end(asked.how) or lacks_word:
        return Judged(_why_it_may_not_end(row, asked.how))
    try:
        held = await broker.position(row.mode, row.symbol)
    except (BrokerError, OSError) as exc:
        unasked = (
            f"what {row.mode} holds of {row.symbol} could not be asked:"
            f" {str(exc) or type(exc).__name__}"
        )
        if _never_answers(exc):
            return Judged("", f"{_words(asked, row)}; NOT CHECKED, {unasked}")
        return Judged(f"{unasked}: try again later")
    return await _judge_by(asked, row, row.mode, held, broker, before)


async def _judge_by(  # noqa: PLR0917 - what is known
    asked: Settlement,
    row: Standing,
    mode: Mode,
    held: Decimal,
    broker: Broker,
    before: float,
) -> Judged:
    """Return whether a row may be ended while its account holds so much."""
    left = held - row.claimed
    # Less than others claim is none of this row's: a fee, or sold twice over.
    if left > _DUST:
        claims = (
            f", of which other open rows claim {row.claimed}" if row.claimed else ""
        )
        return Judged(
            f"{mode} holds {held} {row.symbol}{claims}: {left} are left, so"
            f" {row.trade_id} has not ended"
        )
    is_lost = row.live_since is not None and row.live_since < before
    if row.live_exit is not None and not (
        is_lost and await _is_unknown(row.live_exit, row, mode, broker)
    ):
        # What the broker says of it may close the row by itself, and truly.
        return Judged(
            f"a sell of {row.trade_id} is under way ({row.live_exit}): wait until it"
            " has ended, or cancel it at the broker"
        )
    words = f"{_words(asked, row)}; {mode} holds none of it"
    if not row.is_settled:
        words += await _order_words(row, mode, broker)
    return Judged("", words)


async def _is_unknown(exit_id: str, row: Standing, mode: Mode, broker: Broker) -> bool:
    """Return whether the broker says that it has no such sell of a row."""
    try:
        await broker.order_status(mode, exit_id, row.symbol)
    except NotFoundError:
        return True
    except (BrokerError, OSError):
        pass
    return False


async def _order_words(row: Standing, mode: Mode, broker: Broker) -> str:
    """Say whether a row's order may buy yet, which nobody would ask about any more."""
    try:
        status = await broker.order_status(mode, row.trade_id, row.symbol)
    except NotFoundError:
        return "; its order is not known there"
    except (BrokerError, OSError) as exc:
        problem = str(exc) or type(exc).__name__
        return f"; NOT CHECKED, its order could not be asked about: {problem}"
    if status in FINAL_STATUSES:
        return ""
    return f"; ITS ORDER STILL WORKS ({printable(status)}) and may buy: cancel it first"


async def settle(
    wings: Wings, asked: Settlement, *, dry_run: bool
) -> dict[str, object]:
    """End a row within the daemon, and return the fields of its answer."""
    try:
        row = await wings.ledger.ask(partial(_read, wings, asked.trade_id))
    except sqlite3.Error as exc:
        return _refused(f"the database cannot be read: {exc}")
    if not wings.ledger.healthy:
        judged = Judged("the database cannot be written")
    elif row is not None and _is_being_placed(wings, row):
        judged = Judged(f"the order of {row.trade_id} is being placed just now")
    else:
        grace = wings.live.now.alpaca.unknown_grace_sec
        before = wings.ledger.clock.now().timestamp() - grace
        judged = await judge(asked, row, _Accounts(wings.accounts), before=before)
    if judged.refusal:
        return _refused(judged.refusal)
    if dry_run:
        return {"settled": False, "words": judged.words}
    try:
        ended = await wings.ledger.writer.write(
            # What was judged may be bought by now.
            lambda store: (
                store.settle(asked.trade_id, asked.how, asked.price)
                if store.standing(asked.trade_id) == row
                else None
            )
        )
    except sqlite3.Error as exc:
        return _refused(f"the row cannot be changed: {exc}")
    if ended is None:
        return _refused(f"{asked.trade_id} has changed meanwhile: ask again")
    wings.reconciler.settled_by_operator(ended, asked.how)
    wings.exits.ended(ended.trade_id)
    log.warning(
        "%s trade=%s is settled as %s by the operator's word%s",
        ended.symbol,
        ended.trade_id,
        asked.how,
        "" if asked.price is None else f", at {asked.price}",
        extra=about(
            symbol=ended.symbol, trade_id=ended.trade_id, signal_id=ended.signal_id
        ),
    )
    return {"settled": True, "words": judged.words}


class _Accounts:
    """Asks the daemon's own accounts, within recovery's share of their budgets."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def position(self, mode: Mode, symbol: str) -> Decimal:
        """Return what an account holds of a symbol, 0 without a position."""
        try:
            async with client_of(self._accounts, mode) as client:
                return await client.position_quantity(symbol)
        except NotFoundError:
            return Decimal(0)

    async def order_status(self, mode: Mode, trade_id: str, symbol: str) -> str:
        """Return the status of a row's order."""
        async with client_of(self._accounts, mode) as client:
            order = await client.order(
                client_order_id=trade_id, order_id=None, symbol=symbol
            )
        return order.status


def _why_it_may_not_end(row: Standing, how: End) -> str:
    if row.mode is None:
        return f"{row.trade_id} is another program's row"
    if how == "missed" and row.has_bought and row.may_end("closed"):
        return (
            f"{row.trade_id} ({row.symbol}) has bought, so it was not missed: once the"
            " position is gone, settle it as closed"
        )
    if row.may_end(how):
        return (
            f"{row.trade_id} ({row.symbol}) is closed, and lacks the price of its sale"
            " alone: say it with --price"
        )
    settled = " and settled" if row.is_settled else ""
    return f"{row.trade_id} ({row.symbol}) is {row.status}{settled}"


def _never_answers(exc: Exception) -> bool:
    """Return whether an account stays closed to these keys, however often it is asked."""
    refused = isinstance(exc, RefusedError) and exc.status_code in {401, 403}
    return refused or isinstance(exc, NoAccountError)


def _is_being_placed(wings: Wings, row: Standing) -> bool:
    """Return whether a row's order may still be on its way: nobody asks about it yet."""
    waits = row.status == "open" and row.shares is None and not row.is_settled
    followed = wings.reconciler.unsettled.get(row.trade_id) is not None
    return waits and not followed and wings.orders.status().in_flight > 0


def _read(wings: Wings, trade_id: str) -> Standing | None:
    with wings.ledger.reader.open() as store:
        return store.standing(trade_id)


def _refused(why: str) -> dict[str, object]:
    return {"status": "refused", "settled": False, "error": why}


def _words(asked: Settlement, row: Standing) -> str:
    """Say what ending the row will do."""
    if row.status == "closed":
        text = f"{row.trade_id}: {row.symbol} ({row.mode}) stays closed"
        if row.lacks_price and asked.price is not None:
            text += f", with {_result(asked, row)}"
        else:
            text += " as it is"
        return text if row.is_settled else f"{text}; its order is asked about no more"
    bought = "nothing bought, as far as is known"
    if row.shares is not None:
        at = "" if row.entry_price is None else f" at {row.entry_price}"
        bought = f"bought {row.shares}{at}"
    text = (
        f"{row.trade_id}: {row.symbol} ({row.mode}), {row.status}, {bought}, becomes"
        f" {asked.how} with exitReason settled"
    )
    if asked.how == "closed":
        text += f", {_result(asked, row)}"
    if not row.is_settled:
        text += "; its order is asked about no more"
    if row.live_exit is not None:
        text += f"; its sell {row.live_exit} is asked about no more"
    return text


def _result(asked: Settlement, row: Standing) -> str:
    price, pnl = row.mean_price(asked.price), row.pnl(asked.price)
    return (
        f"exitPrice {'null' if price is None else price}, pnl"
        f" {'null' if pnl is None else pnl}"
    )
