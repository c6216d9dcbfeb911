"""A client of the REST API, and the route that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import respx

from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from tests.broker.asking import BASE, RoutedLookUps, RoutedPool
from tests.fakes import CREDENTIALS, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio


@pytest.fixture
async def make_client(nursery: trio.Nursery) -> Callable[..., AlpacaClient]:
    """Give a function that makes clients; the test's end closes them."""

    def make(url: str = BASE, **changes: Any) -> AlpacaClient:  # noqa: ANN401
        clock = FakeClock()
        values: dict[str, Any] = {
            "mode": "paper",
            "base_url": url,
            "credentials": CREDENTIALS,
            "budget": RateBudget(per_minute=200, clock=clock),
            "timeout_seconds": 5.0,
            "clock": clock,
            "ssl_context": None,
        }
        client = AlpacaClient(**values | changes)
        if url == BASE:
            client._pool = RoutedPool(nursery)
            client._look_ups = RoutedLookUps(client._look_ups)
        nursery.start_soon(client.run)
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., AlpacaClient]) -> AlpacaClient:
    """Give a client whose requests a respx route answers."""
    return make_client()


@pytest.fixture
def route(respx_mock: respx.MockRouter) -> respx.Route:
    """Give the route that answers every request."""
    return respx_mock.route()
