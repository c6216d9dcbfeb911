"""What somebody is told, in words."""

from __future__ import annotations

import json
from functools import partial
from typing import get_args

import pytest
import trio

from snexec.ops.notices import _PLURALS
from snexec.settings import NotifyKind
from tests.fakes import Rig
from tests.ops.delivery import Told

pytestmark = pytest.mark.jumping_time


async def test_each_thing_worth_telling_is_one_sentence(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    paper = {"mode": "paper"}
    for publish in (
        partial(told.fill, "AAPL"),
        partial(told.feed.publish, "rejected", paper, symbol="KO", reason="no shorts"),
        partial(told.feed.publish, "refused", paper, symbol="T", reason="no\npower"),
        partial(
            told.feed.publish, "settled", paper, symbol="F", reason="alpaca_expired"
        ),
        partial(told.feed.publish, "mode", {"mode": "live"}, reason="was paper"),
        partial(told.feed.publish, "halt", {"by": "me"}, reason="too wild"),
        partial(told.feed.publish, "resume"),
        partial(told.feed.publish, "start", paper),
        partial(
            told.feed.publish, "start", {"mode": "live"}, reason="there are no keys"
        ),
        partial(told.feed.publish, "stop", paper, reason="SIGTERM"),
    ):
        publish()
        await trio.sleep(10)

    assert told.texts() == [
        "snexec: Bought AAPL: 10 shares at 10, $100.00 (paper)",
        "snexec: KO rejected: no shorts (paper)",
        "snexec: T refused: no\\npower (paper)",
        "snexec: F: alpaca_expired (paper)",
        "snexec: mode is live now (was paper)",
        "snexec: HALTED, exits go on: too wild",
        "snexec: no longer halted",
        "snexec: started, takes signals (paper)",
        "snexec: started, takes signals (live); there are no keys",
        "snexec: stopping: SIGTERM",
    ]
    first = told.messages[0][1]
    assert first["event"] == "fill"
    assert first["count"] == 1
    assert first["events"][0]["tradeId"] == "sn-AAPL"
    nursery.cancel_scope.cancel()


async def test_a_burst_is_one_message_and_each_account_has_its_own_sum(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    for number in range(12):
        told.fill(f"S{number}", 50)
        await trio.sleep(0.07)
    told.fill("LIVE", 75, mode="live")
    await trio.sleep(20)

    assert told.texts() == [
        "snexec: 12 fills (paper): S0, S1, S2, S3, S4, …, $600.00 in 1 s;"
        " Bought LIVE: 7.5 shares at 10, $75.00 (live)"
    ]
    assert told.messages[0][1]["count"] == 13
    nursery.cancel_scope.cancel()


async def test_no_secret_and_no_line_break_is_in_a_message(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    reason = "key s3cr3t-value\n\x1b[2J" + "x" * 5000
    told.feed.publish("refused", {"mode": "paper"}, symbol="A", reason=reason)
    await trio.sleep(5)

    [(_, message)] = told.messages
    assert "s3cr3t-value" not in json.dumps(message)
    assert message["text"].isprintable()
    assert len(message["text"]) < 1100
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("place", range(965, 1001, 5))
async def test_a_secret_at_the_end_of_a_message_is_masked(
    rig: Rig, nursery: trio.Nursery, place: int
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    reason = "x" * place + "s3cr3t-value" + "y" * 50
    told.feed.publish("refused", {"mode": "paper"}, symbol="A", reason=reason)
    await trio.sleep(5)

    [(_, message)] = told.messages
    assert "s3cr" not in json.dumps(message)
    nursery.cancel_scope.cancel()


async def test_an_outage_is_told_after_a_minute_and_when_it_is_over(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    told.bench.set_stream("authorized")
    nursery.start_soon(told.run)
    told.bench.set_stream("waiting")
    await trio.sleep(50)
    assert told.messages == []
    await trio.sleep(30)
    told.bench.set_stream("authorized")
    await trio.sleep(30)

    assert told.texts() == [
        "snexec: no trading stream for 1.1 min: fills are confirmed by look-ups only",
        "snexec: the trading stream is back",
    ]
    nursery.cancel_scope.cancel()


async def test_a_database_that_cannot_be_written_is_told(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    told.bench.set_healthy(False)
    await trio.sleep(30)
    told.bench.set_healthy(True)
    await trio.sleep(30)

    assert told.texts() == [
        "snexec: unhealthy: writer: the database cannot be written, 0 changes wait",
        "snexec: healthy again",
    ]
    nursery.cancel_scope.cancel()


def test_every_kind_of_notice_has_a_plural() -> None:
    """Several of a kind are one sentence, and a fault there would end the daemon."""
    assert set(_PLURALS) == set(get_args(NotifyKind))


async def test_sells_are_told_in_words_and_a_burst_with_what_it_won(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    publish = told.feed.publish

    def close(symbol: str, pnl: float) -> None:
        more = {"mode": "paper", "exitPrice": 180.02, "pnl": pnl}
        publish("closed", more, symbol=symbol, reason="stop_loss")

    close("AAPL", -5.1)
    await trio.sleep(10)
    close("KO", -5.1)
    close("F", 7.25)
    await trio.sleep(10)
    publish("exit_blocked", {"mode": "paper"}, symbol="T", reason="HTTP 403: no")
    await trio.sleep(10)
    publish("exits_blind", {"mode": "paper", "rows": 3}, reason="positions")
    await trio.sleep(10)
    publish("exit_placed", {"mode": "paper"}, symbol="T", reason="stop_loss")
    publish("halt", {"by": "me", "all": True}, reason="too wild")
    await trio.sleep(10)

    assert told.texts() == [
        "snexec: AAPL: closed at 180.02 (stop_loss), P&L -$5.10 (paper)",
        "snexec: 2 positions closed (paper): KO, F, P&L +$2.15 in 1 s",
        "snexec: T: CANNOT BE SOLD: HTTP 403: no; see snexec positions (paper)",
        "snexec: BLIND, no price counts: 3 rows are not sold by price; time rules and"
        " snexec close go on",
        "snexec: HALTED, exits are halted too: too wild",
    ]
    nursery.cancel_scope.cancel()


async def test_what_is_bought_in_part_is_no_sum_of_what_the_account_holds(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig, events=["partial_fill"])
    nursery.start_soon(told.run)
    more = {"mode": "paper", "shares": 2.72, "entryPrice": 190.58}
    told.feed.publish("partial_fill", more, symbol="NVDA")
    await trio.sleep(10)

    assert told.texts() == [
        "snexec: Partly bought NVDA at 190.58, the account holds 2.72 shares (paper)"
    ]
    nursery.cancel_scope.cancel()
