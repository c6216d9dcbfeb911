"""What depends on what an asset is: one spelling each, and the rules of its class."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.assets import (
    asset_class,
    canonical_symbol,
    may_be,
    position_symbol,
)

# One asset, one spelling

SPELLINGS = {
    "A": ["a", "A"],
    "AAPL": ["aapl", "aApL"],
    "0": ["0"],
    "BRK.B": ["brk.b", "BRK/B", "BRK-B", "brk-b"],
    "BAC.PRB": ["BAC/PRB", "BAC-PRB"],
    "ABC.WS": ["ABC/WS", "ABC-WS"],
    "ABC.WS.A": ["ABC/WS/A", "ABC.WS-A"],
    "ABC.XYZ": ["ABC.XYZ"],
    "BTC.USD": ["BTC.USD"],
    "BTC/USD": ["btc/usd", "BTC-USD", "BTCUSD", "btcusd"],
    "ABC/USD": ["ABC-USD", "ABCUSD"],
    "BRKB/USD": ["BRKB-USD"],
    "1INCH/USD": ["1INCHUSD", "1inch-usd"],
    "USDT/USD": ["USDTUSD", "USDT-USD"],
    "X/USD": ["X-USD"],
    "XUSD": ["xusd"],
    "BUSD": ["BUSD"],
    "ABUSD": ["ABUSD"],
    "ABTC": ["ABTC"],
    "USD": ["USD"],
    "GOOGLE": ["GOOGLE"],
    "ABCDEFGHIJKLMNO": ["abcdefghijklmno"],
    "ABCDEFGHIJK/USD": ["ABCDEFGHIJK-USD", "ABCDEFGHIJKUSD"],
}


@pytest.mark.parametrize(
    ("written", "meant"),
    [(one, meant) for meant, all_of_it in SPELLINGS.items() for one in all_of_it],
)
def test_an_asset_has_one_spelling(written: str, meant: str) -> None:
    assert canonical_symbol(written) == meant
    assert canonical_symbol(meant) == meant


def test_a_symbol_that_is_spelled_so_already_is_not_copied() -> None:
    told = "".join(["AA", "PL"])
    assert canonical_symbol(told) is told


@pytest.mark.parametrize(
    "written",
    [
        *("ETH/BTC", "eth-btc", "ETHBTC", "ETH/USDT", "ETH-USDC", "ETHUSDT"),
        *("BTC/EUR", "BTCUSDC", "A/B/USD", "A-B-USD", "BRK.B/USD", "BTC/USD/A"),
    ],
)
def test_a_pair_that_dollars_cannot_be_ordered_in_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=f"quoted in USD.* in {written.upper()}$"):
        canonical_symbol(written)


def test_a_pair_is_no_longer_in_full_than_a_symbol_may_be() -> None:
    with pytest.raises(ValueError, match="at most 15 characters as BASE/USD"):
        canonical_symbol("ABCDEFGHIJKLUSD")


@pytest.mark.parametrize(
    "written",
    [
        *("", "ABCDEFGHIJKLMNOP", ".A", "A.", "A..B", "A./B", "..", "/", "A B", " A"),
        *(
            "A\n",
            "A_B",
            "A%2FB",
            "$A",
            "Ä",
            "ß",
            "\u212a",
            "\u0131",
            "\u0661",
            "\uff21",
        ),
    ],
)
def test_anything_else_is_no_symbol(written: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 15 characters: groups of A-Z"):
        canonical_symbol(written)


WRITTEN = st.text("AbUSDTC01./-", min_size=1, max_size=15) | st.text(max_size=20)


@given(WRITTEN)
def test_what_is_taken_for_a_symbol_is_fit_for_a_url_and_stays_itself(
    written: str,
) -> None:
    try:
        symbol = canonical_symbol(written)
    except ValueError:
        return
    assert canonical_symbol(symbol) == symbol
    assert len(symbol) <= 15
    assert set(symbol) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./")
    assert symbol.endswith("/USD") == ("/" in symbol)
    assert not symbol.startswith((".", "/"))


# What the class decides


SHARE = ("share", "day", False, Decimal(1), Decimal(0))


@pytest.mark.parametrize(
    ("symbol", "rules", "position"),
    [
        ("AAPL", SHARE, "AAPL"),
        ("BRK.B", SHARE, "BRK.B"),
        ("BUSD", SHARE, "BUSD"),
        ("BTC/USD", ("crypto", "gtc", True, Decimal(10), Decimal("0.005")), "BTCUSD"),
    ],
)
def test_the_class_of_an_asset_decides(
    symbol: str, rules: tuple[object, ...], position: str
) -> None:
    assert asset_class(symbol) == rules
    assert position_symbol(symbol) == position


# What the broker calls it


@pytest.mark.parametrize(
    ("symbol", "told"),
    [("AAPL", "AAPL"), ("BTC/USD", "BTC/USD"), ("BTC/USD", "BTCUSD"), ("KO", "ko")],
)
def test_an_asset_is_known_by_either_of_the_brokers_names(
    symbol: str, told: str
) -> None:
    assert may_be(symbol, told)


def test_what_the_broker_leaves_out_contradicts_nothing() -> None:
    assert may_be("AAPL", None)
    assert may_be("AAPL", "")


@pytest.mark.parametrize(
    "told", ["MSFT", "AAPL.B", "AAPL/USD", "ETHBTC", "A" * 99, 1, 0, False, ["AAPL"]]
)
def test_whatever_else_the_broker_says_is_another_asset(told: object) -> None:
    assert not may_be("AAPL", told)
