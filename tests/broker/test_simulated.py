"""The simulated exchange, where it answers for the broker."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.broker.simulated import BuiltInExchange
from tests.fakes import make_trade


@pytest.mark.parametrize(
    ("price", "quoted"),
    [
        (187.2, "187.2"),
        (0.1, "0.1"),
        (86.878, "86.878"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (5.0, "5"),
    ],
)
def test_an_order_that_leaves_finds_the_price_of_its_signal(
    price: float, quoted: str
) -> None:
    quotes: list[tuple[str, Decimal]] = []
    exchange = BuiltInExchange(
        urls={"paper": "http://127.0.0.1:7", "live": "http://127.0.0.1:8"},
        quote=lambda symbol, price: quotes.append((symbol, price)),
        id_salt="s",
    )
    trade = make_trade(symbol="KO")._replace(price_at_signal=price)
    exchange.leaving(trade, 7)
    exchange.leaving(trade, None)
    assert quotes == [("KO", Decimal(quoted))] * 2, "as it is written, not in binary"
