"""What would become of a signal: with a daemon, and without one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.cli.conftest import configure_simulated, running
from tests.fakes import make_trade
from tests.integration.harness import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, Done, FakeDaemon
    from tests.integration.harness import Box

SIGNAL: dict[str, object] = {
    "symbol": "AAPL",
    "catalystCategory": "x",
    "catalystTier": 1,
    "priceAtSignal": 187.2,
    "id": "n-1",
}


@pytest.fixture
def explain(desk: Desk, box: Box) -> Callable[..., Done]:
    """Give a function that explains a signal as JSON."""

    def explain(**fields: object) -> Done:
        return desk.run(box.config, "explain", "--json", json.dumps(SIGNAL | fields))

    return explain


def gates(done: Done) -> dict[str, tuple[str, str | None]]:
    return {one["gate"]: (one["result"], one["reason"]) for one in done.json()["gates"]}


def details(done: Done) -> dict[str, str]:
    return {one["gate"]: one["detail"] for one in done.json()["gates"]}


def everything_else(done: Done) -> dict[str, Any]:
    return {name: value for name, value in done.json().items() if name != "gates"}


def fill(box: Box, *symbols: str) -> None:
    """Open rows, as an earlier daemon did with real money."""
    with closing(
        open_database(box.database, simulated=False, clock=SystemClock())
    ) as connection:
        store = Store(connection, clock=SystemClock())
        for symbol in symbols:
            store.open_trade(make_trade(f"sn-{symbol}", symbol))


def test_without_a_daemon_and_a_database(
    explain: Callable[..., Done], box: Box
) -> None:
    done = explain()
    assert (done.status, done.err) == (0, "")
    assert everything_else(done) == {
        "verdict": "order",
        "reason": None,
        "unknown": [],
        "daemon": False,
        "mode": "paper",
        "symbol": "AAPL",
        "stars": 5,
        "dollars": "100.00",
    }
    assert [*gates(done)] == [
        *("halt", "enabled", "state", "keys", "enabled_catalyst_tiers", "stars"),
        *("symbols_allowed, symbols_blocked", "max_share_price", "max_float_shares"),
        *("min_relative_volume", "require_market_open", "flatten_before_close_sec"),
        *("id", "open row"),
        *("max_concurrent_positions", "daily_loss_limit_usd", "min_win_rate"),
        *("symbol_cooldown_sec", "max_orders_per_minute", "max_orders_per_day"),
        "max_notional_per_day_usd",
    ]
    assert set(gates(done).values()) == {("pass", None), ("not set", None)}
    assert [path.name for path in box.folder.iterdir()] == ["config.toml"]


def test_without_a_daemon_the_rows_are_counted_and_nothing_is_written(
    explain: Callable[..., Done], box: Box
) -> None:
    box.configure(
        alpaca={"simulate": False},
        bot={
            "max_concurrent_positions": 3,
            "max_orders_per_minute": 2,
            "daily_loss_limit_usd": 50.0,
            "symbol_cooldown_sec": 60.0,
            "max_share_price": 100.0,
        },
    )
    fill(box, "KO", "AAPL")
    before = box.database.read_bytes()
    done = explain()
    assert done.status == 1
    assert (done.json()["verdict"], done.json()["reason"]) == ("skip", "share_price")
    found, said = gates(done), details(done)
    assert found["max_share_price"] == ("stop", "share_price")
    assert said["max_share_price"] == "$187.20; at most $100.00"
    assert found["open row"] == ("stop", "symbol_open")
    assert said["open row"] == "AAPL has one: sn-AAPL"
    assert found["max_concurrent_positions"] == ("pass", None)
    assert said["max_concurrent_positions"] == "2 of 3 positions open"
    assert found["max_orders_per_minute"] == ("stop", "brake_orders_per_minute")
    assert found["symbol_cooldown_sec"] == ("stop", "brake_symbol_cooldown")
    assert (
        said["daily_loss_limit_usd"]
        == "$0.00 realised today; stops at a loss of $50.00"
    )
    assert box.database.read_bytes() == before
    assert gates(explain(symbol="MSFT"))["symbol_cooldown_sec"] == ("pass", None)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_without_a_daemon_the_keys_are_looked_for_here(
    explain: Callable[..., Done], box: Box, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    box.configure(mode=mode, alpaca={"simulate": False})
    assert explain().json()["unknown"] == ["keys"]
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert gates(explain())["keys"] == ("pass", None)


def test_without_a_daemon_the_market_is_not_known(
    explain: Callable[..., Done], box: Box, desk: Desk
) -> None:
    box.configure(bot={"require_market_open": True})
    done = explain()
    assert done.status == 1
    assert (done.json()["verdict"], done.json()["unknown"]) == (
        "unknown",
        ["require_market_open"],
    )
    assert explain(symbol="BTC/USD").json()["verdict"] == "order"
    shown = desk.run(box.config, "explain", json.dumps(SIGNAL))
    assert shown.lines[-2:] == [
        "no daemon runs: this is what the configuration and the rows say",
        "not known: require_market_open",
    ]


def test_a_file_that_is_no_database_leaves_its_part_unknown(
    explain: Callable[..., Done], box: Box
) -> None:
    box.configure(bot={"max_orders_per_day": 3})
    box.database.write_bytes(b"x" * 4096)
    done = explain()
    assert done.status == 1
    assert done.json()["unknown"] == ["id", "open row", "max_orders_per_day"]
    assert details(done)["open row"].startswith("the database cannot be read: ")


def test_a_halt_is_told_first(explain: Callable[..., Done], box: Box) -> None:
    box.configure(bot={"enabled": False})
    (box.folder / "halt").touch()
    done = explain()
    assert (done.json()["verdict"], done.json()["reason"]) == ("skip", "halted")
    assert gates(done)["enabled"] == ("stop", "disabled")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "this is no signal, it would be invalid: not JSON: "),
        ("{}", "this is no signal, it would be invalid: symbol: Field required; "),
    ],
)
def test_what_is_no_signal_is_said_to_be_none(
    desk: Desk, box: Box, text: str, said: str
) -> None:
    done = desk.run(box.config, "explain", text)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"snexec: {said}")


def test_an_answer_of_another_daemon_is_an_error(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b'{"status":"invalid","error":"command: what?"}\n')
    done = desk.run(box.config, "explain", json.dumps(SIGNAL))
    assert (done.status, done.out) == (1, "")
    assert done.err == "snexec: the daemon does not explain it: command: what?\n"


def test_the_daemon_explains_what_it_knows(
    desk: Desk, box: Box, explain: Callable[..., Done]
) -> None:
    configure_simulated(box)
    with box.config.open("a") as file:
        file.write(
            "\n[bot]\nmax_concurrent_positions = 2\nmax_orders_per_day = 2\n"
            "require_market_open = true\n"
        )
    with running(box):
        done = explain()
        assert (done.status, done.err) == (0, "")
        assert everything_else(done)["verdict"] == "order"
        assert everything_else(done)["daemon"] is True
        assert details(done)["require_market_open"] == "open"

        words = ("send", "--wait", "--category", "x", "--tier", "1", "--price", "9")
        assert desk.run(box.config, *words, "--symbol", "KO", "--id", "n-1").status == 0
        # Refused, so that no row says so.
        assert desk.run(box.config, *words, "--symbol", "NOFRAC").status == 1

        done = explain(symbol="KO")
        assert done.status == 1
        assert done.json()["reason"] == "repeated"
        assert details(done)["id"] == "n-1 was taken already"
        assert gates(done)["open row"] == ("stop", "symbol_open")
        done = explain(id=None)
        assert done.json()["reason"] == "brake_orders_per_day"
        assert details(done)["max_orders_per_day"] == "2 of 2 orders today"
        assert details(done)["max_concurrent_positions"] == "1 of 2 positions open"
        shown = desk.run(box.config, "explain", json.dumps(SIGNAL | {"id": "n-2"}))
        assert shown.lines[-1] == "would be skipped: brake_orders_per_day"
        assert any(
            line.split() == ["pass", "open", "row", "AAPL", "has", "none"]
            for line in shown.lines
        )
        sent = desk.run(box.config, *words, "--symbol", "AAPL", "--id", "n-2")
        assert "skipped: brake_orders_per_day" in sent.out
        assert len(box.rows()) == 1
        with closing(sqlite3.connect(box.database)) as other:
            assert other.execute("PRAGMA quick_check").fetchone() == ("ok",)
