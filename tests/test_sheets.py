"""Values for the cells of a sheet: foreign text is no formula and steers nothing."""

from __future__ import annotations

import math

import pytest

from snexec.sheets import cell


@pytest.mark.parametrize(
    "sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_a_text_that_a_sheet_would_calculate_stays_text(sign: str) -> None:
    assert cell(f"{sign}1+1") == f"'{sign}1+1"
    assert cell(f"a{sign}1") == f"a{sign}1"


def test_a_text_steers_no_terminal() -> None:
    assert "\x1b" not in str(cell("\x1b[2J"))
    assert "\n" not in str(cell("one\ntwo"))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_an_empty_cell(value: float) -> None:
    assert cell(value) is None


@pytest.mark.parametrize("value", [-1.5, 0, None, "AAPL"])
def test_everything_else_stays_as_it_is(value: object) -> None:
    assert cell(value) == value


def test_bytes_are_shown_in_digits() -> None:
    assert cell(b"\x00\xff") == "00ff"
