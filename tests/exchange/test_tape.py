"""What the market prints, shaped as Alpaca's market data is (ALPACA-EXITS 2.1)."""

import random
from collections.abc import Mapping
from decimal import Decimal

import pytest

from snexec.exchange.prices import Prices
from snexec.exchange.spelling import Moment
from snexec.exchange.tape import Tape


class Market:
    """A tape over prices, and what its followers heard."""

    def __init__(self) -> None:
        self.ns = 1_000
        self.prices = Prices(random.Random(1))  # noqa: S311
        self.tape = Tape(self.prices, now_ns=lambda: self.ns)
        self.heard: list[tuple[str, str, Mapping[str, object]]] = []

    def follow(self) -> None:
        self.tape.followers.add(lambda *each: self.heard.append(each))

    @property
    def messages(self) -> list[Mapping[str, object]]:
        return [message for _channel, _symbol, message in self.heard]


@pytest.fixture
def market() -> Market:
    return Market()


def test_each_sale_is_a_trade_and_a_quote(market: Market) -> None:
    market.follow()
    market.ns = 2_000
    market.prices.quote("AAPL", Decimal(100))
    assert [each[:2] for each in market.heard] == [
        ("trades", "AAPL"),
        ("quotes", "AAPL"),
    ]
    trade, quote = market.messages
    assert {key: trade[key] for key in "TSpcxz"} == {
        "T": "t",
        "S": "AAPL",
        "p": 100.0,
        "c": ["@"],
        "x": "V",
        "z": "A",
    }
    assert (trade["t"], quote["t"]) == (Moment(2_000), Moment(2_000))
    assert (quote["T"], quote["bp"], quote["ap"]) == ("q", 99.99, 100.01)


def test_a_pair_has_no_exchange_and_no_conditions(market: Market) -> None:
    market.follow()
    market.prices.quote("BTCUSD", Decimal(64_000))
    trade, quote = market.messages
    assert (trade["S"], trade["tks"]) == ("BTC/USD", "B")
    assert not {"x", "c", "z"} & (trade.keys() | quote.keys())


def test_no_two_prints_have_the_same_id(market: Market) -> None:
    market.follow()
    for _ in range(3):
        market.prices.execute("AAPL")
    ids = [each["i"] for each in market.messages if each["T"] == "t"]
    assert len(set(ids)) == 3
    assert market.tape.trade("AAPL").id == ids[-1]


def test_a_symbol_has_a_last_sale_from_before_its_first_print(market: Market) -> None:
    market.ns = 9_000
    first = market.tape.trade("AAPL")
    assert (first.price, first.at_ns) == (market.prices.last("AAPL"), 1_000)
    assert market.tape.trade("AAPL") is first


def test_an_odd_print_moves_no_price(market: Market) -> None:
    market.prices.quote("AAPL", Decimal(100))
    market.follow()
    market.tape.print_odd("AAPL", Decimal(50), ("@", "I"), 3.0)
    [trade] = market.messages
    assert (trade["p"], trade["c"], trade["s"]) == (50.0, ["@", "I"], 3.0)
    assert market.prices.last("AAPL") == market.tape.trade("AAPL").price == 100


def test_the_last_print_is_canceled_by_its_id(market: Market) -> None:
    market.prices.quote("AAPL", Decimal(100))
    before = market.tape.trade("AAPL")
    market.follow()
    market.tape.take_back("AAPL", None)
    [message] = market.messages
    assert (message["T"], message["i"], message["p"]) == ("x", before.id, 100.0)


def test_or_corrected_by_another(market: Market) -> None:
    market.prices.quote("AAPL", Decimal(100))
    before = market.tape.trade("AAPL")
    market.follow()
    market.tape.take_back("AAPL", Decimal(99))
    [message] = market.messages
    assert (message["T"], message["oi"], message["op"], message["cp"]) == (
        *("c", before.id),
        *(100.0, 99.0),
    )
    assert message["ci"] != before.id


@pytest.mark.parametrize(("halted", "code"), [(True, "H"), (False, "T")])
def test_a_halt_and_its_end_are_told(
    market: Market, *, halted: bool, code: str
) -> None:
    market.follow()
    market.tape.halted("AAPL", halted=halted)
    [(channel, symbol, message)] = market.heard
    assert (channel, symbol, message["T"], message["sc"]) == (
        *("statuses", "AAPL"),
        *("s", code),
    )


def test_who_follows_no_more_hears_nothing(market: Market) -> None:
    market.follow()
    market.tape.followers.clear()
    market.prices.quote("AAPL", Decimal(100))
    assert market.heard == []
