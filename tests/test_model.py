"""The words that all parts share: modes, stars, sides, symbols, cents."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.model import MODES, to_cents, valid_symbol


def test_an_account_is_paper_or_live() -> None:
    assert MODES == ("paper", "live")


# Symbols


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a", "A"),
        ("aApL", "AAPL"),
        ("brk.b", "BRK.B"),
        ("btc/usd", "BTC/USD"),
        ("a.b-c/d", "A.B-C/D"),
        ("0", "0"),
        ("abcdefghijklmno", "ABCDEFGHIJKLMNO"),
    ],
)
def test_a_symbol_is_written_in_upper_case(written: str, meant: str) -> None:
    assert valid_symbol(written) == meant
    assert valid_symbol(meant) == meant


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
        valid_symbol(written)


@given(st.text(max_size=20))
def test_what_is_taken_for_a_symbol_is_fit_for_a_url_and_stays_itself(
    written: str,
) -> None:
    try:
        symbol = valid_symbol(written)
    except ValueError:
        return
    assert symbol.isascii()
    assert symbol == written.upper()
    assert set(symbol) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-")
    assert not symbol.startswith((".", "/", "-"))


# Cents


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        ("100", "100.00"),
        ("100.0", "100.00"),
        ("50.1", "50.10"),
        ("1", "1.00"),
        ("1.005", "1.00"),
        ("1.009", "1.00"),
        ("1.019999", "1.01"),
        ("99.995", "99.99"),
        ("99.999999999999999", "99.99"),
        ("33.333333", "33.33"),
        ("1E+3", "1000.00"),
        ("1000000000", "1000000000.00"),
        ("1000000000.999", "1000000000.99"),
    ],
)
def test_a_notional_is_rounded_down_to_cents(dollars: str, text: str) -> None:
    assert str(to_cents(Decimal(dollars))) == text


@given(st.decimals(min_value=1, max_value=1_000_000_000, allow_nan=False))
def test_a_notional_is_never_more_and_less_than_a_cent_less(dollars: Decimal) -> None:
    text = str(to_cents(dollars))

    assert 0 <= dollars - Decimal(text) < Decimal("0.01")
    assert text[-3] == "."
    assert text.replace(".", "").isdigit()
