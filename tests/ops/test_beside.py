"""What accounts hold beside the open rows, and how that differs, in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.broker import PositionList
from snexec.errors import UnknownOutcomeError
from snexec.ledger import OpenRow
from snexec.model import Mode
from snexec.ops.beside import Beside, look_beside
from tests.ops.selling import holding


def open_row(
    symbol: str = "AAPL", left: str | None = "0.5", mode: Mode | None = "paper"
) -> OpenRow:
    shares = None if left is None else Decimal(left)
    return OpenRow(
        f"sn-{symbol}", symbol, mode, shares, Decimal(0), Decimal(100), None, True
    )


async def looked(*rows: OpenRow, paper: PositionList) -> Beside:
    async def ask(mode: Mode) -> PositionList:
        if mode == "live":
            raise UnknownOutcomeError("HTTP 500")
        return paper

    return await look_beside(rows, ask)


@pytest.mark.parametrize(
    ("symbol", "left", "held", "words"),
    [
        ("AAPL", "0.5", "0.5", ""),
        ("AAPL", "0.533386947", "0.5333869471", ""),
        ("AAPL", "0.5", "0.3", "paper holds 0.3, 0.2 less than the row"),
        ("AAPL", "0.5", "30.5", "paper holds 30.5, 30.0 more than the row"),
        ("AAPL", "0.5", "-2", "paper owes 2 of it"),
        ("AAPL", None, "0.2", ""),
        (
            "BTC/USD",
            "0.1",
            "0.09975",
            "paper holds 0.09975, 0.00025 less than the row: the fee of the buy",
        ),
        ("BTC/USD", "0.1", "0.09", "paper holds 0.09, 0.01 less than the row"),
    ],
)
async def test_a_difference_is_said_in_words(
    symbol: str, left: str | None, held: str, words: str
) -> None:
    row = open_row(symbol, left)
    beside = await looked(row, paper=PositionList([holding(symbol, held)]))
    found = beside.held[row.trade_id]
    assert (found.shares, found.difference) == (Decimal(held), words)
    assert found.price == Decimal(101)
    assert beside.notes == []


async def test_what_is_not_listed_is_not_held() -> None:
    beside = await looked(open_row(), open_row("KO", None), paper=PositionList())
    assert beside.held["sn-AAPL"].difference == "paper holds none of it"
    assert beside.held["sn-AAPL"].shares == 0
    assert beside.held["sn-KO"].difference == ""  # its buy may not have filled


async def test_what_cannot_be_read_is_not_said_to_be_gone() -> None:
    unread = PositionList(unreadable=["AAPL"])
    found = (await looked(open_row(), paper=unread)).held["sn-AAPL"]
    assert found.shares is None
    assert found.difference == "what paper holds of it cannot be read"


async def test_what_no_open_row_has_is_named_shortly() -> None:
    rows = open_row(), open_row("KO", mode=None)
    names = ["AAPL", "KO", *(f"A{letter}" for letter in "JIHGFEDCBA")]
    held = PositionList(holding(name, "0.5") for name in names)
    beside = await looked(*rows, paper=held)
    assert beside.notes == [
        "paper also holds AA, AB, AC, AD, AE, AF, AG, AH and 2 more, which no open row"
        " has"
    ]
    assert "sn-KO" not in beside.held  # another program's: of no account that is known


async def test_an_account_that_does_not_answer_is_named() -> None:
    rows = open_row(), open_row("KO", mode="live")
    beside = await looked(*rows, paper=PositionList([holding("AAPL", "0.5")]))
    assert beside.notes == ["what live holds could not be asked: HTTP 500"]
    assert set(beside.held) == {"sn-AAPL"}


async def test_where_no_row_is_open_nobody_is_asked() -> None:
    async def ask(_mode: Mode) -> PositionList:
        raise AssertionError

    assert await look_beside([], ask) == Beside({}, [])
