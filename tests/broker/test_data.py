"""Market data over REST: its own budget, and what each answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import respx

from snexec.broker.data import REQUESTS_A_MINUTE, DataClient
from snexec.broker.endpoint import DataEndpoint
from snexec.broker.tls import tls_context
from snexec.errors import (
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from tests.broker.asking import RoutedLookUps
from tests.fakes import CREDENTIALS, KEY, SECRET, FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "https://data.alpaca.markets"
PATH = "/v2/stocks/snapshots?symbols=KO"


def make_client() -> DataClient:
    """Make a client of the real host, as which a route answers."""
    client = DataClient(
        DataEndpoint(BASE, "wss://stream.data.alpaca.markets", CREDENTIALS),
        timeout_seconds=5.0,
        clock=FakeClock(),
        tls=lambda: tls_context({}),
    )
    client._look_ups = RoutedLookUps(client._look_ups)
    return client


@pytest.fixture
def route() -> Iterator[respx.Route]:
    """Give what answers the question."""
    with respx.mock(base_url=BASE) as router:
        yield router.get("/v2/stocks/snapshots")


async def test_a_question_carries_the_keys_and_is_answered_with_the_body(
    route: respx.Route,
) -> None:
    route.respond(content=b'{"KO":{}}')
    assert await make_client().get(PATH) == b'{"KO":{}}'
    request = route.calls.last.request
    assert str(request.url) == BASE + PATH
    assert request.headers["APCA-API-KEY-ID"] == KEY
    assert request.headers["APCA-API-SECRET-KEY"] == SECRET


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401), RefusedError),
        (httpx.Response(403, text=f"not for {SECRET}"), RefusedError),
        (httpx.Response(429, headers={"retry-after": "7"}), RateLimitedError),
        (httpx.Response(500), UnknownOutcomeError),
        (httpx.ConnectError("no route"), NotSentError),
    ],
)
async def test_all_but_a_200_is_an_error_that_shows_no_secret(
    route: respx.Route, answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    route.mock(
        side_effect=answer if isinstance(answer, Exception) else None,
        return_value=answer if isinstance(answer, httpx.Response) else None,
    )
    with pytest.raises(error) as caught:
        await make_client().get(PATH)
    assert SECRET not in str(caught.value)


async def test_nothing_leaves_once_the_minutes_requests_are_used(
    route: respx.Route,
) -> None:
    route.respond(content=b"{}")
    client = make_client()
    for _ in range(REQUESTS_A_MINUTE):
        await client.get(PATH)
    with pytest.raises(RateLimitedError) as caught:
        await client.get(PATH)
    assert 0 < caught.value.wait_seconds <= 60
    assert route.call_count == REQUESTS_A_MINUTE


async def test_the_brokers_own_word_on_the_limit_counts(route: respx.Route) -> None:
    route.respond(
        content=b"{}",
        headers={
            "x-ratelimit-limit": "10000",
            "x-ratelimit-remaining": "9999",
            "x-ratelimit-reset": str(int(FakeClock().now().timestamp()) + 30),
        },
    )
    client = make_client()
    await client.get(PATH)
    assert client.budget.limit == 10_000


@pytest.mark.jumping_time
async def test_a_429_keeps_the_next_questions_back(route: respx.Route) -> None:
    route.respond(429, headers={"retry-after": "7"})
    client = make_client()
    for _ in range(3):
        with pytest.raises(RateLimitedError):
            await client.get(PATH)
    assert route.call_count == 1
