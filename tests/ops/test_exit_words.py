"""Events about sells in plain words."""

from __future__ import annotations

from typing import get_args

import pytest

from snexec.events import EventName
from snexec.model import EXIT_EVENTS
from snexec.ops.exit_words import exit_words, signed_dollars
from snexec.settings import NotifyKind, NotifySettings

SAID: list[tuple[dict[str, object], str | None]] = [
    (
        {"event": "exit", "shares": 0.5, "reason": "stop_loss"},
        "selling 0.5 shares: stop_loss",
    ),
    (
        {"event": "exit", "shares": "1", "reason": "stop_loss", "text": "180 <= 180.1"},
        "selling 1 share: 180 <= 180.1",
    ),
    (
        {"event": "exit_placed", "reason": "max_hold"},
        "the broker has taken the sell (max_hold)",
    ),
    (
        {"event": "exit_refused", "reason": "stop_loss", "message": "no\x1b[31m"},
        "the broker refused to sell it: no\\x1b[31m",
    ),
    (
        {"event": "exit_unknown", "problem": "no answer within 10 s"},
        "whether its sell has arrived is not known (no answer within 10 s): the broker"
        " is asked",
    ),
    (
        {"event": "exit_fill", "shares": 0.2, "exitPrice": 180.02, "remaining": 0.3},
        "sold 0.2 shares at 180.02 so far",
    ),
    (
        {
            "event": "exit_fill",
            "shares": "1234.5",
            "exitPrice": "0.00002",
            "remaining": 0.0,
        },
        "sold 1,234.5 shares at 0.00002",
    ),
    ({"event": "exit_fill"}, "sold an unknown number of shares"),
    (
        {"event": "closed", "reason": "stop_loss", "exitPrice": 180.02, "pnl": -5.1},
        "closed at 180.02 (stop_loss), P&L -$5.10",
    ),
    (
        {"event": "closed", "reason": "external", "exitPrice": None, "pnl": None},
        "closed at an unknown price (external)",
    ),
    (
        {"event": "exit_blocked", "reason": "stop_loss", "problem": "HTTP 403"},
        "CANNOT BE SOLD: HTTP 403; see snexec positions",
    ),
    (
        {"event": "exits_blind", "rows": 3, "reason": "positions"},
        "BLIND, no price counts: 3 rows are not sold by price; time rules and snexec"
        " close go on",
    ),
    (
        {"event": "external", "shares": 0.5, "exitPrice": 181.0, "tradeId": "sn-1"},
        "others have sold 0.5 shares at 181",
    ),
    (
        {"event": "external", "shares": 0.5, "exitPrice": None, "tradeId": "sn-1"},
        "others have sold 0.5 shares at an unknown price: snexec settle sn-1 --as"
        " closed --price",
    ),
    (
        {"event": "split", "ratio": 10, "shares": 5.0, "entryPrice": 18.9},
        "split 10 for 1: 5 shares at 18.9 now",
    ),
    (
        {"event": "oversold", "oversold": 0.1},
        "OVERSOLD by 0.1 shares: look at the account, and buy them back",
    ),
    ({"event": "fill", "shares": 1}, None),
]


@pytest.mark.parametrize(("event", "words"), SAID)
def test_an_event_is_said_in_plain_words(
    event: dict[str, object], words: str | None
) -> None:
    assert exit_words(event) == words


def test_every_event_of_a_sell_has_words_and_may_be_notified() -> None:
    assert {event["event"] for event, words in SAID if words} == set(EXIT_EVENTS)
    assert set(EXIT_EVENTS) <= set(get_args(EventName)) & set(get_args(NotifyKind))


def test_all_but_what_is_usual_is_told_by_default() -> None:
    untold = set(EXIT_EVENTS) - set(NotifySettings().events)
    assert untold == {"exit", "exit_placed", "exit_fill"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.234, "+$1.23"),
        (-4.5, "-$4.50"),
        (0, "+$0.00"),
        ("1234.5", "+$1,234.50"),
        (None, "-"),
        (True, "-"),
        ("much", "-"),
        (float("nan"), "-"),
    ],
)
def test_what_was_won_has_its_sign(value: object, shown: str) -> None:
    assert signed_dollars(value) == shown
