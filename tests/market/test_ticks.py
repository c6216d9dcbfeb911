"""What market data says, read exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.market.ticks import Print, Quote, exact, moment, print_of, quote_of, word
from tests.market.data import AT, AT_TEXT, quote, trade


def test_a_trade_is_read_with_all_that_decides_whether_it_counts() -> None:
    assert print_of("AAPL", trade(price=Decimal("189.58"))) == Print(
        symbol="AAPL",
        price=Decimal("189.58"),
        at=AT,
        conditions=("@", "I"),
        trade_id="52983525029461",
        exchange="V",
    )


def test_a_trade_of_crypto_has_no_conditions() -> None:
    fields = {"i": 7, "p": 60_000, "s": Decimal("0.1209"), "t": AT_TEXT, "tks": "S"}
    assert print_of("BTC/USD", fields) == Print(
        *("BTC/USD", Decimal(60_000), AT, (), "7", "")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"p": None},
        {"p": 0},
        {"p": -1},
        {"p": True},
        {"p": "189.58"},
        {"p": 10**19},
        {"p": 10**5000},
        {"p": Decimal("1e-999")},
        {"p": Decimal("Infinity")},
        {"t": None},
        {"t": 1767623400},
        {"t": "2026-01-05T14:30:00"},  # of no zone
        {"t": "yesterday"},
        {"t": "0" * 10_000},
        {"c": "@"},
        {"c": [5]},
        {"c": ["\ud800"]},
    ],
)
def test_a_trade_that_cannot_be_read_is_none(changes: dict[str, object]) -> None:
    assert print_of("AAPL", trade(price=Decimal(5)) | changes) is None


def test_a_quote_of_0_is_nobodys() -> None:
    told = quote(bp=Decimal("189.57"), ap=0)
    assert quote_of("AAPL", told) == Quote("AAPL", Decimal("189.57"), AT)
    assert quote_of("AAPL", quote(t="soon")) is None


@pytest.mark.parametrize(
    "text", ["189.580000000000001", "0.1", "1E+2", "59999.12345678"]
)
def test_a_number_is_its_own_text(text: str) -> None:
    assert exact(text) == Decimal(text)


@pytest.mark.parametrize("text", ["1." + "0" * 40, "1e99999999999999999999"])
def test_a_number_that_nobody_means_is_none(text: str) -> None:
    assert exact(text) is None


def test_a_time_is_in_seconds_since_the_epoch_whatever_its_zone() -> None:
    assert moment("2026-01-05T09:30:00.250000123-05:00") == AT
    assert moment("2026-01-05T14:30:00.250000123Z") == AT


def test_an_id_is_text_that_a_log_line_may_hold() -> None:
    assert word(2**64 - 1) == "18446744073709551615"
    assert word("halt") == "halt"
    for bad in (None, True, 2**64, "x" * 41, "a\nb", "\ud800", ["2"], 1.5):
        assert word(bad) == ""
