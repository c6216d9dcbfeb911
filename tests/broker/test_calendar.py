"""The broker's trading days, read or not at all."""

from __future__ import annotations

import json
from datetime import date, time

import pytest
import respx

from snexec.broker.budget import RateBudget
from snexec.broker.calendar import TradingDay, read_trading_days
from snexec.broker.client import AlpacaClient
from snexec.broker.tls import tls_context
from snexec.errors import UnknownOutcomeError
from tests.broker.asking import BASE, RoutedLookUps
from tests.fakes import CREDENTIALS, FakeClock

HALF = {
    "date": "2026-11-27",
    "open": "09:30",
    "close": "13:00",
    "session_open": "0400",
    "session_close": "1700",
    "settlement_date": "2026-11-30",
}


def test_days_are_read_in_their_order_half_days_too() -> None:
    whole = HALF | {"date": "2026-11-25", "close": "16:00"}
    assert read_trading_days(json.dumps([HALF, whole]).encode()) == [
        TradingDay(date=date(2026, 11, 25), open=time(9, 30), close=time(16)),
        TradingDay(date=date(2026, 11, 27), open=time(9, 30), close=time(13)),
    ]
    assert read_trading_days(b"[]") == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[5]",
        json.dumps([HALF | {"date": "tomorrow"}]).encode(),
        json.dumps([HALF | {"open": None}]).encode(),
        json.dumps([HALF | {"open": "25:00"}]).encode(),
        json.dumps([HALF | {"close": 1600}]).encode(),
        json.dumps([{"date": "2026-11-27"}]).encode(),
    ],
)
def test_what_cannot_be_read_is_no_answer(answer: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        read_trading_days(answer)


async def test_days_are_asked_for_both_included() -> None:
    client = AlpacaClient(
        mode="paper",
        base_url=BASE,
        credentials=CREDENTIALS,
        budget=RateBudget(per_minute=200, clock=FakeClock()),
        timeout_seconds=5.0,
        clock=FakeClock(),
        ssl_context=tls_context({}),
    )
    client._look_ups = RoutedLookUps(client._look_ups)
    with respx.mock(base_url=BASE) as router:
        route = router.get("/v2/calendar").respond(json=[HALF])
        (day,) = await client.trading_days(date(2026, 11, 25), date(2026, 11, 27))
    assert day.close == time(13)
    query = route.calls.last.request.url.params
    assert dict(query) == {"start": "2026-11-25", "end": "2026-11-27"}
