"""An order on its way: what its answer may say, and of which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.broker.budget import Purpose
from snexec.errors import RefusedError, UnknownOutcomeError
from tests.broker.asking import REPLY, place, send

if TYPE_CHECKING:
    import respx

    from snexec.broker.client import AlpacaClient
    from snexec.broker.sent import SentOrder


async def answered(client: AlpacaClient) -> SentOrder:
    """Send the order of row sn-1, and return it once it is answered."""
    assert client.budget.try_take(Purpose.START)
    sent, done = send(client)
    assert not sent.is_taken
    await done.wait()
    return sent


@pytest.mark.parametrize(
    ("status", "is_taken"), [(200, True), (403, False), (429, False), (500, False)]
)
async def test_an_order_is_taken_by_a_200_alone(
    client: AlpacaClient, route: respx.Route, status: int, is_taken: bool
) -> None:
    route.respond(status, json=REPLY)
    sent = await answered(client)
    assert sent.is_taken is is_taken


@pytest.mark.parametrize(
    ("field", "told"),
    [
        *(("client_order_id", "sn-2"), ("symbol", "MSFT"), ("side", "sell")),
        *(("symbol", 5), ("symbol", ["AAPL"]), ("symbol", "x" * 100_000)),
        *(("side", "BUY"), ("side", 1), ("client_order_id", "sn-1" * 40)),
    ],
)
async def test_an_acceptance_of_another_order_is_no_answer(
    client: AlpacaClient, route: respx.Route, field: str, told: object
) -> None:
    route.respond(json=REPLY | {"symbol": "AAPL", "side": "buy", field: told})
    with pytest.raises(UnknownOutcomeError) as caught:
        await place(client)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 200, "whatever the broker has put there"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        *(("AAPL", "AAPL"), ("BTC/USD", "BTC/USD"), ("BTC/USD", "BTCUSD")),
        *(("BRK.B", "BRK.B"), ("AAPL", None), ("AAPL", "")),
    ],
)
async def test_an_acceptance_may_spell_the_symbol_as_the_broker_does(
    client: AlpacaClient, route: respx.Route, asked: str, told: str | None
) -> None:
    route.respond(json=REPLY | {"symbol": told, "side": "buy"})
    assert (await place(client, symbol=asked)).id == REPLY["id"]


async def test_an_acceptance_may_leave_symbol_and_side_out(
    client: AlpacaClient, route: respx.Route
) -> None:
    assert not REPLY.keys() & {"symbol", "side"}
    route.respond(json=REPLY)
    assert (await place(client)).id == REPLY["id"]


async def test_a_refusal_that_may_be_anothers_leaves_the_outcome_unknown(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(403, json={"message": "insufficient buying power"})
    sent = await answered(client)
    with pytest.raises(RefusedError):
        sent.outcome()
    sent._request.doubt()
    assert sent.is_doubtful
    with pytest.raises(UnknownOutcomeError, match="another order's"):
        sent.outcome()


async def test_who_relies_on_an_answer_hears_of_doubts_that_come_later(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(403, json={})
    sent = await answered(client)
    heard: list[str] = []
    sent.if_doubted(lambda: heard.append("doubted"))
    sent._request.doubt()
    assert heard == ["doubted"]
    sent.if_doubted(lambda: heard.append("at once"))
    assert heard == ["doubted", "at once"]


async def test_an_acceptance_names_its_order_whatever_came_behind_it(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    sent = await answered(client)
    sent._request.doubt()
    assert sent.outcome().id == REPLY["id"]
