"""A line for each request: what was asked, and how it was answered."""

import trio

from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings

from .conftest import KEYS, Bench, new_client, order_body, within


@within(10)
async def test_each_request_is_a_line_without_a_key(nursery: trio.Nursery) -> None:
    lines: list[str] = []
    exchange = Exchange(ExchangeSettings(), log_request=lines.append)
    await nursery.start(exchange.run)
    async with new_client(exchange.paper_url, KEYS) as rest:
        await rest.get("/v2/orders?status=all&limit=5")
        await rest.post("/v2/orders", json=order_body())
        await rest.get("/no/such")
        async with Bench(exchange, rest, nursery).subscribed():
            pass

    await trio.sleep(0.1)
    assert lines[0].startswith("GET /v2/orders?status=all&limit=5 200 ")
    assert lines[1].startswith("POST /v2/orders 200 ")
    assert '"notional":"5.00"' in lines[1]
    assert lines[2].startswith("GET /no/such 404 ")
    assert lines[3:] == ["WS /stream opened", "WS /stream closed"]
    assert not any(value in "".join(lines) for value in KEYS.values())
    nursery.cancel_scope.cancel()
