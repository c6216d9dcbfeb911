"""What a symbol's market does once it is bought: its price moves, a hand sells it."""

from decimal import Decimal

import pytest
import trio
from pydantic import ValidationError

from snexec.exchange.server import Exchange
from snexec.exchange.settings import Behaviour, ExchangeSettings

from .conftest import Bench, Start, within

QUICK = ((0.02, 4.0), (0.04, 11.0))


async def bought(bench: Bench) -> Decimal:
    """Buy KO at 100 dollars, and return what was paid for a share."""
    bench.exchange.quote("KO", Decimal(100))
    order = await bench.settled((await bench.order()).json()["id"])
    return Decimal(order["filled_avg_price"])


def held(bench: Bench) -> Decimal:
    """Return how many shares are held."""
    return bench.exchange.paper.book.positions.qty("KO")


@within(5)
async def test_a_price_moves_by_percents_of_what_was_paid(start: Start) -> None:
    bench = await start(symbols={"KO": Behaviour(path=QUICK)})
    seen: list[tuple[str, Decimal]] = []
    bench.exchange.tape.followers.add(
        lambda channel, symbol, message: (
            seen.append((symbol, Decimal(str(message["p"]))))
            if channel == "trades"
            else None
        )
    )
    paid = await bought(bench)
    await trio.sleep(0.1)
    moved = [price for _symbol, price in seen if price > Decimal(102)]
    assert moved == [round(paid * Decimal(x), 3) for x in ("1.04", "1.11")]


@within(5)
async def test_a_hand_sells_what_is_held_by_an_order_of_its_own(start: Start) -> None:
    bench = await start(symbols={"KO": Behaviour(sold_by_hand_sec=0.02)})
    await bought(bench)
    while held(bench):  # noqa: ASYNC110
        await trio.sleep(0.005)
    buy, sell = bench.exchange.paper.book.orders()
    assert (buy.side, sell.side) == ("buy", "sell")
    assert (sell.qty, sell.status) == (buy.filled_qty, "filled")


@within(5)
async def test_a_hand_that_finds_nothing_sells_nothing(start: Start) -> None:
    bench = await start(symbols={"KO": Behaviour(sold_by_hand_sec=0.05)})
    await bought(bench)
    bench.exchange.paper.close_position("KO")
    await trio.sleep(0.15)
    assert not held(bench)
    assert len(list(bench.exchange.paper.book.orders())) == 2


@within(5)
async def test_nothing_follows_a_buy_that_bought_nothing(start: Start) -> None:
    story = Behaviour(path=QUICK, sold_by_hand_sec=0.02, reject=True)
    bench = await start(symbols={"KO": story})
    bench.exchange.quote("KO", Decimal(100))
    await bench.settled((await bench.order()).json()["id"], "rejected")
    await trio.sleep(0.1)
    assert bench.exchange.tape.trade("KO").price == Decimal(100)


def test_it_is_known_how_long_each_story_takes() -> None:
    exchange = Exchange(
        ExchangeSettings(
            symbols={
                "KO": Behaviour(path=QUICK, sold_by_hand_sec=3),
                "BTCUSD": Behaviour(path=((7, -6),)),
                "HALT": Behaviour(reject=True),
            }
        )
    )
    assert exchange.stories == {"KO": 3, "BTC/USD": 7}


def test_a_path_is_written_as_lists() -> None:
    path = Behaviour.model_validate({"path": [[1, 4.0], [2.5, -11]]}).path
    assert path == ((1, 4), (2.5, -11))


@pytest.mark.parametrize("path", [[(1, -100)], [(-1, 4)], [(1,)], [(1, float("nan"))]])
def test_a_path_that_makes_no_sense_is_refused(path: list[tuple[float, ...]]) -> None:
    with pytest.raises(ValidationError):
        Behaviour.model_validate({"path": path})
