"""Keys, the rate limit, and the headers of every reply."""

import base64
from email.utils import parsedate_to_datetime

from .conftest import KEYS, Start, new_client, within


@within(5)
async def test_a_request_without_a_key_is_unauthorized(start: Start) -> None:
    bench = await start()
    async with new_client(bench.exchange.paper_url) as anonymous:
        reply = await anonymous.get("/v2/account")
        assert reply.status_code == 401
        assert reply.json() == {"message": "unauthorized."}
        assert "WWW-Authenticate" in reply.headers
        clock = await anonymous.get("/v2/clock")
        assert clock.status_code == 401
        assert clock.headers["Content-Type"].startswith("text/html")


@within(5)
async def test_any_key_opens_the_account_however_it_is_sent(start: Start) -> None:
    bench = await start()
    basic = base64.b64encode(b"key:secret").decode()
    async with new_client(bench.exchange.paper_url) as anonymous:
        for headers in (
            {"APCA-API-KEY-ID": "any", "APCA-API-SECRET-KEY": "any"},
            {"Authorization": "Bearer token"},
            {"Authorization": f"Basic {basic}"},
        ):
            reply = await anonymous.get("/v2/account", headers=headers)
            assert reply.status_code == 200


@within(5)
async def test_a_refused_key_is_unauthorized_until_it_is_known_again(
    start: Start,
) -> None:
    bench = await start()
    for refused in ({"PKTEST"}, {"*"}):
        bench.exchange.paper.refused_keys = frozenset(refused)
        reply = await bench.rest.get("/v2/account")
        assert reply.status_code == 401
        assert reply.json() == {
            "code": 40110000,
            "message": "request is not authorized",
        }
    bench.exchange.paper.refused_keys = frozenset()
    assert (await bench.rest.get("/v2/account")).status_code == 200


@within(5)
async def test_every_reply_tells_of_the_limit_and_has_an_id(start: Start) -> None:
    bench = await start(rate_limit_per_min=3)
    first = await bench.rest.get("/v2/positions/NONE")
    second = await bench.rest.get("/v2/account")
    assert first.headers["X-RateLimit-Limit"] == "3"
    assert first.headers["X-RateLimit-Remaining"] == "2"
    assert second.headers["X-RateLimit-Remaining"] == "1"
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert len(first.headers["X-Request-ID"]) == 32
    now = parsedate_to_datetime(first.headers["Date"]).timestamp()
    assert 58 <= int(first.headers["X-RateLimit-Reset"]) - now <= 62


@within(5)
async def test_the_request_over_the_limit_is_refused_and_not_carried_out(
    start: Start,
) -> None:
    bench = await start(rate_limit_per_min=1)
    assert (await bench.rest.get("/v2/account")).status_code == 200
    reply = await bench.order()
    assert reply.status_code == 429
    assert reply.json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert reply.headers["X-RateLimit-Remaining"] == "0"
    assert list(bench.exchange.paper.book.orders()) == []
    async with new_client(bench.exchange.live_url, KEYS) as live:
        assert (await live.get("/v2/account")).status_code == 200
    bench.exchange.paper.rate.restart()
    assert (await bench.rest.get("/v2/account")).status_code == 200
