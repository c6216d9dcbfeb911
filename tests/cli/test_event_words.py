"""Events in words."""

from __future__ import annotations

from typing import Any

import pytest

from snexec.cli.event_words import describe, line_of, outcome_of


def settled(**fields: object) -> dict[str, Any]:
    return {"event": "settled", "status": "open", "reason": None, **fields}


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (
            settled(shares=0.53, entryPrice=187.17),
            "filled",
            "filled 0.53 shares at 187.17",
        ),
        (settled(shares=1, status="closed"), "filled", "filled 1 share"),
        (
            settled(status="missed", reason="alpaca_rejected"),
            "rejected",
            "rejected by the broker",
        ),
        (
            settled(status="missed", reason="alpaca_canceled"),
            "missed",
            "missed: alpaca_canceled",
        ),
        (
            settled(
                status="missed", reason="order_found_late", shares=2, entryPrice=5.0
            ),
            "missed",
            "missed: order_found_late, and yet 2 shares at 5.00 were bought: look at"
            " the account",
        ),
        (
            {"event": "skipped", "reason": "symbol_open"},
            "skipped",
            "skipped: symbol_open",
        ),
        (
            {"event": "refused", "reason": "no\nmoney"},
            "refused",
            "refused: no\\nmoney",
        ),
    ],
)
def test_a_story_has_one_end(event: dict[str, Any], kind: str, text: str) -> None:
    outcome = outcome_of(event)

    assert outcome is not None
    assert (outcome.kind, outcome.text) == (kind, text)


@pytest.mark.parametrize("name", ["placed", "partial_fill", "fill", "rejected", "new"])
def test_the_story_goes_on_after_these(name: str) -> None:
    assert outcome_of({"event": name, "shares": 1}) is None


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event": "placed", "notional": "100.00"}, "$100.00 order taken by"),
        ({"event": "refused", "reason": "no", "httpStatus": 403}, "no (HTTP 403)"),
        ({"event": "partial_fill", "shares": None}, "in part, shares not known yet"),
        ({"event": "mode", "mode": "live", "reason": "was paper"}, "live now (was"),
        ({"event": "stream", "state": "waiting", "mode": "paper"}, "waiting (paper)"),
        (
            {"event": "lease", "lease": "active", "by": "a"},
            "a has the lease: it is active from now on",
        ),
        ({"event": "halt", "reason": "fire"}, "exits go on: fire"),
        (
            {"event": "halt", "reason": "fire", "all": True},
            "exits are halted too: fire",
        ),
        (
            {"event": "exit", "shares": 0.5, "reason": "manual"},
            "selling 0.5 shares: man",
        ),
        ({"event": "closed", "exitPrice": 9, "reason": "manual"}, "closed at 9 (manua"),
        ({"event": "of tomorrow", "reason": "why"}, "why"),
        ({"event": 7}, "-"),
    ],
)
def test_each_event_is_told_also_one_that_is_not_known(
    event: dict[str, Any], words: str
) -> None:
    assert words in describe(event)


def test_a_line_names_time_event_symbol_signal_and_row() -> None:
    event = {"event": "fill", "at": "2026-01-05T14:30:00.123Z", "symbol": "AAPL"}
    told = {"shares": 0.5, "entryPrice": 10, "signalId": "n-1", "tradeId": "sn-1"}

    assert line_of(event | told).plain == (
        "2026-01-05T14:30:00.123Z  fill          AAPL      0.5 shares at 10.00"
        "  signal=n-1  trade=sn-1"
    )
