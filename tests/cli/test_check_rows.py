"""Rows that outlive their position are seen by the preflight."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.clock import SystemClock
from snexec.exchange.faults import RestFault
from snexec.ledger.rows import OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.cli.conftest import running
from tests.fakes import FakeClock, make_trade
from tests.integration.harness import KEYS, alpaca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

    from snexec.exchange.server import Exchange
    from snexec.model import Mode
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

Lines = list[tuple[str, str, str, str]]


@pytest.fixture
def real_box(
    box: Box, broker: Exchange, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """Give a box that takes the exchange for Alpaca, which holds nothing afterwards."""
    del desk
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    box.configure(alpaca=alpaca(broker))
    yield box
    for account in (broker.paper, broker.live):
        account.rest_faults.clear()
        positions = account.book.positions
        for position in positions.all():
            positions.sell(position.symbol, position.qty)


@pytest.fixture
def rows(desk: Desk, real_box: Box) -> Callable[[], Lines]:
    """Give a function that checks, and returns what is said of open rows."""

    def check() -> Lines:
        done = desk.run(real_box.config, "check", "--json")
        assert done.status == 0, done.out
        return [
            (found["check"], found["result"], found["detail"], found["advice"])
            for found in done.json()
            if found["check"].endswith(" rows")
        ]

    return check


def fill(
    box: Box,
    trade_id: str,
    symbol: str,
    shares: str = "2",
    *,
    mode: Mode = "paper",
    seconds_ago: float = 60,
) -> None:
    clock = FakeClock()
    clock.moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    with closing(
        open_database(box.database, simulated=False, clock=clock)
    ) as connection:
        store = Store(connection, clock=clock)
        store.open_trade(make_trade(trade_id, symbol, mode=mode))
        ref = OrderRef(mode=mode, order_id=f"o-{trade_id}", client_order_id=trade_id)
        store.apply_fill(ref, price=Decimal(60), quantity=Decimal(shares))


def test_without_open_rows_there_is_nothing_to_say(
    rows: Callable[[], Lines], real_box: Box
) -> None:
    assert rows() == []
    fill(real_box, "sn-1", "KO")
    with closing(
        open_database(real_box.database, simulated=False, clock=SystemClock())
    ) as connection:
        Store(connection, clock=SystemClock()).settle("sn-1", "closed", None)
    assert rows() == []


def test_rows_that_the_account_holds_are_fine(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    fill(real_box, "sn-2", "GE", "0.5")
    broker.paper.book.positions.buy("KO", Decimal(2), Decimal(120))
    broker.paper.book.positions.buy("GE", Decimal(3), Decimal(180))
    assert rows() == [("paper rows", "OK", "2 open, and held by the account", "")]


def test_one_that_is_gone_and_one_that_is_smaller_are_named(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    fill(real_box, "sn-2", "GE", "0.5")
    fill(real_box, "sn-3", "F", "7")
    broker.paper.book.positions.buy("GE", Decimal("0.2"), Decimal(12))
    broker.paper.book.positions.buy("F", Decimal(7), Decimal(70))
    assert rows() == [
        (
            *("paper rows", "WARN", "sn-1: the row holds 2.0 KO, paper none"),
            "if it was sold: snexec settle sn-1 --as closed --price …",
        ),
        (
            *("paper rows", "WARN", "sn-2: the row holds 0.5 GE, paper only 0.2"),
            "look at the account's activities; once it holds none: snexec settle",
        ),
    ]


def test_each_mode_is_compared_with_its_own_account(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO", mode="live")
    broker.paper.book.positions.buy("KO", Decimal(2), Decimal(120))
    [(check, result, detail, _advice)] = rows()
    assert (check, result) == ("live rows", "WARN")
    assert detail == "sn-1: the row holds 2.0 KO, live none"


def test_a_list_alone_proves_nothing(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    broker.paper.book.positions.buy("KO", Decimal(2), Decimal(120))
    broker.paper.rest_faults.add(
        RestFault(status=200, body=[], path="/v2/positions", times=1)
    )
    assert rows() == [("paper rows", "OK", "1 open, and held by the account", "")]


@pytest.mark.parametrize("body", ["<html>", {"KO": 2}, ["KO"]])
def test_positions_that_cannot_be_read_accuse_no_row(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange, body: JsonValue
) -> None:
    fill(real_box, "sn-1", "KO")
    broker.paper.rest_faults.add(RestFault(status=200, body=body, path="/v2/positions"))
    assert rows() == [
        (
            *("paper rows", "WARN"),
            "1 open, not compared: the answer to /v2/positions cannot be read",
            "",
        )
    ]


def test_an_account_that_holds_very_much_is_compared_too(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    listed: list[JsonValue] = [{"symbol": "KO", "qty": "2", "name": "x" * 3_000_000}]
    broker.paper.rest_faults.add(
        RestFault(status=200, body=listed, path="/v2/positions")
    )
    assert rows() == [("paper rows", "OK", "1 open, and held by the account", "")]


def test_crypto_is_listed_by_its_compact_name(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "BTC/USD", "0.5")
    listed = [{"symbol": "BTCUSD", "qty": "0.5"}]
    broker.paper.rest_faults.add(
        RestFault(status=200, body=listed, path="/v2/positions")
    )
    assert rows() == [("paper rows", "OK", "1 open, and held by the account", "")]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("BTC/USD", "0.49875", "OK"), id="the fee of a coin"),
        pytest.param(("BTC/USD", "0.497", "WARN"), id="more than a coin's fee"),
        pytest.param(("KO", "0.49875", "WARN"), id="shares have none"),
    ],
)
def test_what_the_broker_kept_of_a_coin_as_its_fee_is_not_missed(
    rows: Callable[[], Lines],
    real_box: Box,
    broker: Exchange,
    case: tuple[str, str, str],
) -> None:
    symbol, held, result = case
    fill(real_box, "sn-1", symbol, "0.5")
    listed = [{"symbol": symbol.replace("/", ""), "qty": held}]
    broker.paper.rest_faults.add(
        RestFault(status=200, body=listed, path="/v2/positions")
    )
    assert [found[1] for found in rows()] == [result]


def test_an_order_that_has_bought_nothing_yet_is_no_row_to_compare(
    rows: Callable[[], Lines], real_box: Box
) -> None:
    with closing(
        open_database(real_box.database, simulated=False, clock=SystemClock())
    ) as connection:
        Store(connection, clock=SystemClock()).open_trade(make_trade("sn-1", "KO"))
    assert rows() == []


def test_a_row_that_has_bought_an_unknown_quantity_is_compared(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    with closing(sqlite3.connect(real_box.database)) as connection:
        connection.execute("UPDATE BotTrade SET shares = NULL")
        connection.commit()
    [(_check, result, detail, _advice)] = rows()
    assert (result, detail) == (
        "WARN",
        "sn-1: the row holds an unknown quantity of KO, paper none",
    )
    broker.paper.book.positions.buy("KO", Decimal(2), Decimal(120))
    assert [found[1] for found in rows()] == ["OK"]


def test_a_row_that_just_changed_is_not_compared(
    rows: Callable[[], Lines], real_box: Box
) -> None:
    fill(real_box, "sn-1", "KO", seconds_ago=5)
    assert rows() == []


@pytest.mark.parametrize(
    ("sold_ago", "said"),
    [
        (60, [("paper rows", "OK", "1 open, and held by the account", "")]),
        (5, []),
    ],
)
def test_what_was_sold_of_a_row_is_not_missed(
    rows: Callable[[], Lines],
    real_box: Box,
    broker: Exchange,
    sold_ago: float,
    said: Lines,
) -> None:
    fill(real_box, "sn-1", "KO", seconds_ago=120)
    clock = FakeClock(datetime.now(UTC) - timedelta(seconds=sold_ago))
    with closing(
        open_database(real_box.database, simulated=False, clock=clock)
    ) as connection:
        exits = Store(connection, clock=clock).exits
        exits.plan("sn-1", "manual", held=None, free=None)
        ref = OrderRef(mode="paper", order_id="o-x1", client_order_id="sn-1-x1")
        some, price = Decimal("0.5"), Decimal(61)
        exits.apply_sold(ref, quantity=some, price=price, final=False)
        assert rows() == [], "it is being sold"
        exits.apply_ended(ref, "canceled", quantity=some, price=price)
    broker.paper.book.positions.buy("KO", Decimal("1.5"), Decimal(90))
    assert rows() == said


GONE = (
    "WARN  paper rows      sn-1: the row holds 2.0 KO, paper none"
    " / if it was sold: snexec settle sn-1 --as closed --price …"
)


def test_trades_names_a_row_that_outlived_its_position(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    done = desk.run(real_box.config, "trades")
    assert done.status == 0
    assert done.out.splitlines()[-1] == GONE
    broker.paper.book.positions.buy("KO", Decimal(2), Decimal(120))
    assert "WARN" not in desk.run(real_box.config, "trades").out


def test_what_programs_read_of_trades_stays_the_rows(desk: Desk, real_box: Box) -> None:
    fill(real_box, "sn-1", "KO")
    [row] = desk.run(real_box.config, "trades", "--format", "json").json()
    assert row["id"] == "sn-1"


def test_trades_does_not_ask_where_no_listed_row_is_open(
    desk: Desk, real_box: Box
) -> None:
    fill(real_box, "sn-1", "KO")
    assert "WARN" not in desk.run(real_box.config, "trades", "--status", "closed").out


def test_status_names_a_row_that_outlived_its_position(
    desk: Desk, real_box: Box
) -> None:
    fill(real_box, "sn-1", "KO")
    with running(real_box):
        assert desk.run(real_box.config, "status").out.splitlines()[-1] == GONE
        assert desk.run(real_box.config, "status", "--json").json()["openTrades"] == 1


def test_an_account_that_cannot_be_asked_is_said_to_be_so(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    broker.paper.rest_faults.add(RestFault(status=500, body={}, path="/v2/positions"))
    said = desk.run(real_box.config, "trades").out.splitlines()[-1]
    assert said.startswith("WARN  paper rows      1 open, not compared:")


def test_without_keys_trades_asks_nobody(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(real_box, "sn-1", "KO")
    for name in KEYS:
        monkeypatch.delenv(name)
    assert "rows" not in desk.run(real_box.config, "trades").out


def test_more_rows_than_are_asked_for_one_by_one_are_not_accused(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    for number in range(22):
        fill(real_box, f"sn-{number}", f"A{number}")
        broker.paper.book.positions.buy(f"A{number}", Decimal(2), Decimal(120))
    broker.paper.rest_faults.add(
        RestFault(status=200, body=[], path="/v2/positions", times=1)
    )
    [(_check, result, detail, _advice)] = rows()
    assert result == "WARN"
    assert detail.startswith("2 not compared: ")


def test_a_short_position_is_not_held(
    rows: Callable[[], Lines], real_box: Box, broker: Exchange
) -> None:
    fill(real_box, "sn-1", "KO")
    broker.paper.rest_faults.add(
        RestFault(
            status=200, body=[{"symbol": "KO", "qty": "-5"}], path="/v2/positions"
        )
    )
    [(_check, result, _detail, _advice)] = rows()
    assert result == "WARN"
