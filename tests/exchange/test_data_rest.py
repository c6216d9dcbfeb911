"""Prices over REST, as Alpaca's market data answers."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from .conftest import KEYS, Start, new_client, within


@within(5)
async def test_a_snapshot_has_the_last_sale_and_the_quote(start: Start) -> None:
    bench = await start()
    bench.exchange.quote("KO", Decimal("60.5"))
    async with new_client(bench.exchange.data_url, KEYS) as client:
        reply = await client.get("/v2/stocks/snapshots?symbols=KO,PEP,../X")
    assert reply.status_code == 200
    found = reply.json()
    assert list(found) == ["KO", "PEP"], "what does not exist is left out"
    trade, quote = found["KO"]["latestTrade"], found["KO"]["latestQuote"]
    assert trade["p"] == 60.5
    assert quote["bp"] < 60.5 < quote["ap"]
    age = datetime.now(UTC) - datetime.fromisoformat(trade["t"])
    assert 0 <= age.total_seconds() < 5
    assert "x-ratelimit-remaining" in reply.headers


@pytest.mark.parametrize(
    ("path", "head", "price"),
    [
        ("/v2/stocks/trades/latest?symbols=KO", "trades", "p"),
        ("/v2/stocks/quotes/latest?symbols=KO", "quotes", "bp"),
        ("/v1beta3/crypto/us/snapshots?symbols=BTC/USD", "snapshots", None),
        ("/v1beta3/crypto/us/latest/trades?symbols=BTC/USD", "trades", "p"),
        ("/v1beta3/crypto/us/latest/quotes?symbols=BTC/USD", "quotes", "bp"),
    ],
)
@within(5)
async def test_latest_prices_are_listed_by_symbol(
    start: Start, path: str, head: str, price: str | None
) -> None:
    bench = await start()
    async with new_client(bench.exchange.data_url, KEYS) as client:
        found = (await client.get(path)).json()
    assert list(found) == [head]
    ((symbol, fields),) = found[head].items()
    assert symbol in {"KO", "BTC/USD"}
    assert (fields if price is None else fields[price]) is not None


@within(5)
async def test_a_wrong_key_a_missing_list_and_too_many_requests_are_refused(
    start: Start,
) -> None:
    bench = await start(rate_limit_per_min=2)
    for account in (bench.exchange.paper, bench.exchange.live):
        account.refused_keys = frozenset({"WRONG"})
    wrong = KEYS | {"APCA-API-KEY-ID": "WRONG"}
    async with new_client(bench.exchange.data_url) as client:
        url = "/v2/stocks/snapshots?symbols=KO"
        assert (await client.get(url)).status_code == 401
        assert (await client.get(url, headers=wrong)).status_code == 401
        empty = await client.get("/v2/stocks/snapshots", headers=KEYS)
        assert empty.status_code == 422
        assert (await client.get(url, headers=KEYS)).status_code == 200
        assert (await client.get(url, headers=KEYS)).status_code == 429
    assert (await bench.rest.get("/v2/account")).status_code == 200, (
        "a limit of its own"
    )
