"""Rebuilding rows at the command line, with and without a daemon (SPEC 2, 13)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.cli.formats import shares
from snexec.exchange.validation import OrderRequest
from snexec.ledger.rows import trade_id
from snexec.locks import lock_file
from tests.cli.conftest import configure_simulated, running
from tests.integration.harness import KEYS, alpaca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snexec.exchange.server import Exchange
    from tests.cli.conftest import Desk, FakeDaemon
    from tests.conftest import LoggedErrors
    from tests.integration.harness import Box

N_1 = trade_id("paper", "n-1")


def buy(broker: Exchange, name: str, symbol: str) -> str:
    """Have the account buy, and return the broker's id of the order."""
    book = broker.paper.book
    order = book.submit(
        OrderRequest(
            symbol=symbol,
            side="buy",
            notional=Decimal(50),
            qty=None,
            time_in_force="day",
            extended_hours=False,
            client_order_id=name,
        )
    )
    book.execute(order)
    return order.id


@pytest.fixture
def real_box(
    box: Box,
    broker: Exchange,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> Iterator[Box]:
    """Give a box without a database, whose account has bought KO for signal n-1."""
    del desk
    monkeypatch.setattr("snexec.reconciliation.holdings._LAG_SECONDS", 0.1)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    box.configure(alpaca=alpaca(broker))
    buy(broker, N_1, "KO")
    yield box
    book = broker.paper.book
    book._orders.clear()
    book._by_client_id.clear()
    for held in list(book.positions.all()):
        book.positions.sell(held.symbol, held.qty)
    logged_errors.take()  # a process of its own says it by its answer alone


def order_id(broker: Exchange) -> str:
    [order] = broker.paper.book.orders()
    return order.id


def bought(broker: Exchange) -> str:
    [order] = broker.paper.book.orders()
    return f"bought {shares(float(order.filled_qty))} at "


def test_without_a_daemon_a_lost_database_is_made_again(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    done = desk.run(real_box.config, "rebuild")
    assert (done.status, done.err) == (0, "")
    line, summary = done.lines
    begin = f"{N_1}: KO (paper), order {order_id(broker)}: open, {bought(broker)}"
    assert line.startswith(begin)
    assert summary.startswith("paper and live since 20")
    assert summary.endswith("Z: 1 row written (1 open)")
    [row] = real_box.rows()
    assert (row["id"], row["status"], row["mode"]) == (N_1, "open", "paper")
    assert row["settledAt"] is not None
    again = desk.run(real_box.config, "rebuild")
    assert again.status == 0
    assert [line.endswith("no row was missing") for line in again.lines] == [True]


def test_a_secret_that_the_broker_echoes_is_masked(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    [order] = broker.paper.book.orders()
    order.id = KEYS["APCA_API_SECRET_KEY"]
    done = desk.run(real_box.config, "rebuild")
    assert (done.status, done.err) == (0, "")
    assert done.lines[0].startswith(f"{N_1}: KO (paper), order ***: open")


def test_what_rebuilds_nothing_may_be_among_the_daemons_credentials(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    http = {"enabled": True, "listen": "127.0.0.1:1"}  # whose tokens are not here
    real_box.configure(alpaca=alpaca(broker), http=http)
    done = desk.run(real_box.config, "rebuild")
    assert (done.status, done.err) == (0, "")
    assert done.lines[0].startswith(N_1)


def test_what_was_sold_is_closed(desk: Desk, real_box: Box, broker: Exchange) -> None:
    positions = broker.paper.book.positions
    positions.sell("KO", positions.qty("KO"))
    done = desk.run(real_box.config, "rebuild")
    assert ": closed (rebuilt), bought " in done.lines[0]
    assert done.lines[1].endswith("1 row written (1 closed)")
    [row] = real_box.rows()
    assert (row["status"], row["exitReason"], row["exitPrice"], row["pnl"]) == (
        *("closed", "rebuilt", None, None),
    )


def test_through_a_daemon_it_is_the_same(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    [order] = broker.paper.book.orders()
    order.submitted_ns -= 30 * 86_400 * 10**9  # further back than a start looks
    with running(real_box):
        done = desk.run(real_box.config, "rebuild", "--since", "60d")
        [row] = real_box.rows()
        assert (done.status, done.err) == (0, "")
        assert done.lines[0].startswith(f"{N_1}: KO (paper), order {order.id}: open")
        assert row["status"] == "open"
        assert f"KO trade={N_1} signal=None: the broker has order" in real_box.log()


def test_json_is_what_the_daemon_would_answer(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, "rebuild", "--json")
    answer = done.json()
    assert (answer["asked"], answer["problems"]) == (["paper", "live"], {})
    [row] = answer["rows"]
    assert (row["tradeId"], row["status"], row["settled"]) == (N_1, "open", True)


def test_what_was_ordered_before_is_left(desk: Desk, real_box: Box) -> None:
    done = desk.run(real_box.config, "rebuild", "--since", "2100-01-01")
    assert done.status == 0
    assert real_box.rows() == []


def test_an_account_that_cannot_be_asked_is_told(
    desk: Desk, real_box: Box, broker: Exchange
) -> None:
    section = alpaca(broker, live_url="http://127.0.0.1:9")
    real_box.configure(alpaca=section)
    done = desk.run(real_box.config, "rebuild")
    assert done.status == 1
    assert done.lines[1].startswith("live: not complete: ")
    assert [row["id"] for row in real_box.rows()] == [N_1], "the other one is done"


def test_a_database_in_use_is_left_alone(desk: Desk, real_box: Box) -> None:
    with lock_file(real_box.database, owner="database"):
        done = desk.run(real_box.config, "rebuild")
    assert done.status == 1
    assert "is in use by another snexec daemon" in done.err
    assert real_box.rows() == []


def test_without_keys_nobody_is_asked(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    done = desk.run(real_box.config, "rebuild")
    assert (done.status, done.out) == (1, "")
    assert done.err == "snexec: not rebuilt: there are no keys for any account\n"


def test_half_a_pair_of_keys_is_refused(
    desk: Desk, real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APCA_API_SECRET_KEY")
    done = desk.run(real_box.config, "rebuild")
    assert (done.status, done.out) == (2, "")
    assert "APCA_API_SECRET_KEY" in done.err


def test_a_simulation_has_an_account_within_its_daemon_only(
    desk: Desk, box: Box
) -> None:
    configure_simulated(box)
    done = desk.run(box.config, "rebuild")
    assert done.status == 1
    assert "not rebuilt: the simulated exchange runs within the daemon" in done.err
    assert not box.database.exists()
    with running(box):
        done = desk.run(box.config, "rebuild")
        assert done.status == 0
        assert done.lines[0].endswith("no row was missing")


@pytest.mark.parametrize("since", ["soon", "", "2026-13-01"])
def test_what_is_no_time_is_refused(desk: Desk, real_box: Box, since: str) -> None:
    done = desk.run(real_box.config, "rebuild", "--since", since)
    assert (done.status, done.out) == (2, "")
    assert "--since: " in done.err
    assert not real_box.database.exists()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b'{"status":"refused","error":"the database cannot be written"}\n',
         "not rebuilt: the database cannot be written"),
        (b'{"status":"invalid","error":"command: must be \'status\'"}\n',
         "not rebuilt: command: must be 'status'"),
        (b'{"status":"ok"}\n', "not rebuilt: "),
        (b"what?\n", "not rebuilt: None"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_told(
    desk: Desk,
    real_box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    answer: bytes,
    told: str,
) -> None:
    fake_daemon(lambda _line: answer)
    done = desk.run(real_box.config, "rebuild")
    assert done.status == 1
    assert done.err.startswith(f"snexec: {told}")
