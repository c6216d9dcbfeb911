"""The preflight: what it finds, and that it shows no secret and orders nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from snexec.cli import account_client, check_stream
from snexec.clock import SystemClock
from snexec.exchange.faults import RestFault, StreamFaults
from snexec.ledger.schema import open_database
from tests.cli.conftest import running, until
from tests.integration.harness import alpaca
from tests.ledger.hands import add_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.exchange.server import Exchange
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

KEYS = {
    "APCA_PAPER_API_KEY_ID": "PKPAPERPAPERPAPER",
    "APCA_PAPER_API_SECRET_KEY": "paper/secret+of=mine",
    "APCA_LIVE_API_KEY_ID": "AKLIVELIVELIVELIVE",
    "APCA_LIVE_API_SECRET_KEY": "live/secret+of=mine",
}
Found = dict[str, dict[str, str]]


@pytest.fixture
def real_box(
    box: Box, broker: Exchange, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """Give a box that takes the exchange for Alpaca, with keys for both modes."""
    del desk
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    box.configure(alpaca=alpaca(broker))
    yield box
    for one in (broker.paper, broker.live):
        one.rest_faults.clear()
        one.feed.faults = StreamFaults()
        one.refused_keys = frozenset()


@pytest.fixture
def check(desk: Desk, box: Box) -> Callable[..., Found]:
    """Give a function that checks the box, and makes sure of what always holds."""

    def check(*, status: int = 0) -> Found:
        done = desk.run(box.config, "check", "--json")
        found = done.json()
        failed = any(finding["result"] == "FAIL" for finding in found)
        assert (done.status, done.err) == (int(failed), "")
        assert done.status == status, done.out
        secrets = {v for k, v in os.environ.items() if k.startswith("APCA_")}
        assert not any(secret in done.out for secret in secrets)
        for finding in found:
            assert set(finding) == {"check", "result", "detail", "advice"}
            assert finding["result"] == "OK" or finding["advice"] or finding["detail"]
        return {finding["check"]: finding for finding in found}

    return check


def results(found: Found) -> dict[str, str]:
    return {name: finding["result"] for name, finding in found.items()}


def test_a_simulated_desk_is_fine_and_asks_nobody(
    check: Callable[..., Found], box: Box
) -> None:
    found = check()

    assert set(results(found).values()) == {"OK"}
    assert found["endpoints"]["detail"] == "simulated: the endpoints are not asked"
    assert [path.name for path in box.folder.iterdir()] == ["config.toml"]


def test_a_size_that_the_broker_does_not_take_for_crypto_warns(
    check: Callable[..., Found], box: Box
) -> None:
    box.configure(bot={"trade_size_stars3": 9.99, "trade_size_stars4": 10.0})
    assert check()["sizes"] == {
        "check": "sizes",
        "result": "WARN",
        "detail": "trade_size_stars3 = 9.99: the broker refuses crypto orders of less"
        " than $10",
        "advice": "raise it, or name the shares that may trade in symbols_allowed",
    }
    box.configure(bot={"trade_size_stars3": 9.99, "symbols_allowed": ["BTCUSD"]})
    assert check()["sizes"]["result"] == "WARN"
    box.configure(bot={"trade_size_stars3": 9.99, "symbols_allowed": ["AAPL"]})
    assert "sizes" not in check()


def test_a_proxy_that_is_not_used_is_named_without_its_value(
    check: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:password@proxy.example:3128")

    found = check()

    assert found["proxy"] == {
        "check": "proxy",
        "result": "WARN",
        "detail": (
            "HTTPS_PROXY: set in the environment and not used; orders go direct, never"
            " through a proxy"
        ),
        "advice": "let this machine reach Alpaca without one",
    }


def test_lines_are_for_people(desk: Desk, box: Box) -> None:
    box.config.chmod(0o666)

    done = desk.run(box.config, "check")

    first = done.lines[0]
    assert done.status == 0
    assert first.startswith(f"WARN  config          {box.config} is valid, mode paper")
    assert first.endswith(f"; anybody may write it / chmod o-w {box.config}")
    assert all(line[:6] in {"OK    ", "WARN  "} for line in done.lines)
    assert "\x1b[" not in done.out
    assert "\x1b[" in desk.run(box.config, "check", terminal=True).out


def test_both_endpoints_are_asked_and_nothing_is_ordered(
    check: Callable[..., Found], real_box: Box, broker: Exchange
) -> None:
    del real_box

    found = check()

    for mode in ("paper", "live"):
        assert found[f"{mode} keys"]["detail"] == "in the environment, of this mode"
        assert found[f"{mode} account"]["detail"] == (
            "*****ATED: ACTIVE, buying power $400,000.00"
        )
        assert "; the market is open" in found[f"{mode} clock"]["detail"]
        assert "listens to trade_updates" in found[f"{mode} stream"]["detail"]
    assert set(results(found).values()) == {"OK"}
    accounts = (broker.paper, broker.live)
    until(lambda: not any(a.feed.connections for a in accounts), "streams are closed")
    assert not broker.paper.posts
    assert not broker.live.posts


def test_missing_keys_fail_the_current_mode_only(
    check: Callable[..., Found], real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    del real_box
    for name in KEYS:
        monkeypatch.delenv(name)

    found = check(status=1)

    assert results(found)["paper keys"] == "FAIL"
    assert results(found)["live keys"] == "WARN"
    assert "APCA_PAPER_API_KEY_ID" in found["paper keys"]["advice"]
    assert results(found)["paper endpoint"] == "WARN"


def test_half_a_pair_fails_whatever_the_mode(
    check: Callable[..., Found], real_box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    del real_box
    monkeypatch.delenv("APCA_LIVE_API_SECRET_KEY")

    found = check(status=1)

    assert found["live keys"]["result"] == "FAIL"
    assert "APCA_LIVE_API_SECRET_KEY: is not set" in found["live keys"]["detail"]


def test_keys_in_a_file_that_others_read_are_a_warning(
    check: Callable[..., Found], box: Box
) -> None:
    box.configure(alpaca={"api_key": "PKINTHEFILE", "api_secret": "secretinthefile"})

    found = check()

    assert found["config"]["result"] == "WARN"
    assert found["config"]["advice"] == f"chmod 600 {box.config}"


@pytest.mark.parametrize(("mode", "result"), [("paper", "FAIL"), ("live", "WARN")])
def test_keys_that_are_not_taken_are_told_and_masked(
    check: Callable[..., Found],
    real_box: Box,
    broker: Exchange,
    mode: str,
    result: str,
) -> None:
    del real_box
    one = broker.paper if mode == "paper" else broker.live
    one.refused_keys = frozenset({"*"})
    echo = {"message": f"who is {KEYS[f'APCA_{mode.upper()}_API_SECRET_KEY']}?"}
    one.rest_faults.add(RestFault(status=401, body=echo, path="/v2/account"))

    found = check(status=1 if result == "FAIL" else 0)

    assert found[f"{mode} account"]["result"] == result
    assert "HTTP 401: who is ***?" in found[f"{mode} account"]["detail"]
    assert "paper and live keys differ" in found[f"{mode} account"]["advice"]
    assert found[f"{mode} stream"]["result"] == result
    assert "the keys are not taken" in found[f"{mode} stream"]["detail"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "ACCOUNT_UPDATED"}, "status ACCOUNT_UPDATED"),
        ({"trading_blocked": True}, "status ACTIVE, trading_blocked"),
        ({"trade_suspended_by_user": True}, "trade_suspended_by_user"),
        ({"account_blocked": None}, "account_blocked"),
        ({"buying_power": "99.99"}, "buying power $99.99 is less than the largest"),
        ({"buying_power": None}, "buying power nothing is less than"),
    ],
)
def test_an_account_that_cannot_buy_fails(
    check: Callable[..., Found],
    real_box: Box,
    broker: Exchange,
    changes: dict[str, Any],
    told: str,
) -> None:
    del real_box
    good = {
        "account_number": "123456789",
        "status": "ACTIVE",
        "buying_power": "1000",
        "account_blocked": False,
        "trading_blocked": False,
        "trade_suspended_by_user": False,
    }
    broker.paper.rest_faults.add(
        RestFault(status=200, body=good | changes, path="/v2/account")
    )

    found = check(status=1)

    assert found["paper account"]["result"] == "FAIL"
    assert found["paper account"]["detail"].startswith("*****6789: ")
    assert told in found["paper account"]["detail"]


@pytest.mark.parametrize(
    ("seconds", "result", "told"),
    [
        (0.9, "OK", "behind the broker"),
        (5, "WARN", "behind the broker"),
        (-5, "WARN", "ahead of the broker"),
        (3600, "FAIL", "behind the broker"),
        (None, "WARN", "cannot be read"),
    ],
)
@pytest.mark.usefixtures("real_box")
def test_a_clock_that_is_off_is_told(
    check: Callable[..., Found],
    broker: Exchange,
    seconds: float | None,
    result: str,
    told: str,
) -> None:
    if seconds is None:
        body: dict[str, Any] = {"timestamp": "noon"}
    else:
        theirs = datetime.now(UTC) + timedelta(seconds=seconds)
        body = {"timestamp": theirs.isoformat(), "is_open": False, "next_open": "then"}
    broker.paper.rest_faults.add(RestFault(status=200, body=body, path="/v2/clock"))

    found = check(status=1 if result == "FAIL" else 0)

    assert found["paper clock"]["result"] == result
    assert told in found["paper clock"]["detail"]


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (StreamFaults(refuse_upgrade=429), "refused: HTTP 429"),
        (StreamFaults(refuse_upgrade=502), "refused: HTTP 502"),
        (StreamFaults(withhold_trade_updates=True), "trade_updates is not fed"),
        (StreamFaults(ignore_auth=True), "no answer within 0.3 s"),
    ],
)
@pytest.mark.usefixtures("real_box")
def test_a_stream_that_would_not_be_fed_fails(
    check: Callable[..., Found],
    broker: Exchange,
    faults: StreamFaults,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_stream, "_ANSWER_SECONDS", 0.3)
    broker.paper.feed.faults = faults

    found = check(status=1)

    assert found["paper stream"]["result"] == "FAIL"
    assert told in found["paper stream"]["detail"]


def test_a_broker_that_does_not_answer_is_not_waited_for_long(
    check: Callable[..., Found],
    real_box: Box,
    broker: Exchange,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del real_box
    monkeypatch.setattr(account_client, "_ANSWER_SECONDS", 0.3)
    broker.paper.rest_faults.add(RestFault(how="hang", path="/v2/account"))
    broker.live.rest_faults.add(
        RestFault(status=200, body="<html>", path="/v2/account")
    )

    found = check(status=1)

    assert "no answer within 0.3 s" in found["paper account"]["detail"]
    assert "cannot be read" in found["live account"]["detail"]
    assert results(found)["live account"] == "WARN"


def test_a_broker_that_is_not_there_fails(
    check: Callable[..., Found], real_box: Box
) -> None:
    nowhere = {"paper_url": "https://127.0.0.1:1", "live_url": "http://127.0.0.1:1"}
    real_box.configure(alpaca={"simulate": False, **nowhere})

    found = check(status=1)

    assert results(found)["paper account"] == results(found)["paper stream"] == "FAIL"
    assert results(found)["live account"] == "WARN"
    assert "check the network" in found["paper account"]["advice"]


def stream_state(box: Box) -> str:
    """Ask a daemon whether its stream is fed."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(box.socket))
        client.sendall(b'{"command":"status"}\n')
        with client.makefile("rb") as answers:
            return str(json.loads(answers.readline())["stream"])


def test_the_daemon_keeps_its_stream(
    check: Callable[..., Found], real_box: Box, broker: Exchange
) -> None:
    with running(real_box) as daemon:
        until(lambda: stream_state(real_box) == "authorized", "the stream is fed")
        held = broker.paper.feed.connections
        found = check()
        assert broker.paper.feed.connections == held == 1
        log = real_box.log()

    assert f"runs, pid {daemon.pid}, mode paper" in found["daemon"]["detail"]
    assert found["paper stream"]["detail"] == (
        "not opened, the daemon holds the account's one stream: authorized"
    )
    assert "listens to trade_updates" in found["live stream"]["detail"]
    assert "connection closed" not in log


def test_a_daemon_that_differs_from_the_file_is_a_warning(
    check: Callable[..., Found], desk: Desk, busy_box: Box, box: Box
) -> None:
    del desk
    box.configure(mode="live", intake={"socket": str(busy_box.socket)})

    found = check()

    assert found["daemon"]["result"] == "WARN"
    assert "its mode is paper, here it is live" in found["daemon"]["detail"]
    assert found["daemon"]["advice"] == "send it SIGHUP"


def test_what_stands_where_the_socket_should_fails(
    check: Callable[..., Found], box: Box
) -> None:
    box.socket.touch()

    found = check(status=1)

    assert found["daemon"]["result"] == "FAIL"
    assert "is no socket" in found["daemon"]["detail"]


def test_a_row_dated_ahead_of_the_clock_is_named(
    box: Box, check: Callable[..., Found]
) -> None:
    assert "dates" not in check()
    clock = SystemClock()
    with closing(open_database(box.database, simulated=True, clock=clock)) as database:
        database.execute(
            "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt) VALUES"
            " ('o-1', 'GE', 'closed', '2096-01-01T00:00:00.000Z', '')"
        )
    found = check()["dates"]
    assert found["result"] == "WARN"
    assert "GE trade=o-1 2096-01-01T00:00:00.000Z" in found["detail"]


def test_a_sound_database_is_told_with_its_rows(
    check: Callable[..., Found], box: Box
) -> None:
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    before = box.database.read_bytes()

    found = check()

    assert (
        "undamaged, 0 rows of simulated trades, schema" in found["database"]["detail"]
    )
    assert box.database.read_bytes() == before


def test_a_row_that_cannot_be_read_is_a_warning_that_names_it(
    check: Callable[..., Found], box: Box
) -> None:
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    add_row(box.database, shares="many")
    add_row(box.database, id="y", symbol="KO", pnl="a lot")

    found = check()["database"]

    assert found["result"] == "WARN"
    assert found["detail"].endswith(
        "; row 'x' ('GE') cannot be read in full: shares 'many' is no number, and counts"
        " as unknown, and 1 more"
    )


def test_what_others_may_do_with_the_rows_is_told(
    check: Callable[..., Found], box: Box
) -> None:
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    assert "files" not in check()
    box.database.chmod(0o644)
    box.folder.chmod(0o777)

    found = check()

    assert found["files"]["result"] == "WARN"
    assert found["files"]["advice"] == f"chmod 600 {box.database.resolve()}"
    assert found["folder"]["result"] == "WARN"
    assert found["folder"]["advice"] == f"chmod go-w {box.folder.resolve()}"


def break_by(statement: str) -> Callable[[Path], None]:
    def broken(database: Path) -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(statement)

    return broken


def damaged(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (
            break_by("PRAGMA user_version = 999"),
            "schema version 999, this snexec knows",
        ),
        (
            break_by("UPDATE SnexecMeta SET value = 'real'"),
            "holds Alpaca trades (paper or live)",
        ),
        (
            break_by(
                "DROP INDEX BotTrade_one_open_per_symbol;"
                "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt) VALUES"
                " ('a', 'KO', 'open', '', ''), ('b', 'KO', 'open', '', '')"
            ),
            "more than one open row of a symbol (KO: a, b)",
        ),
        (damaged, "damaged"),
        (lambda path: path.write_text("no database" * 500), "not a database"),
    ],
)
def test_a_database_that_cannot_be_used_fails(
    check: Callable[..., Found], box: Box, breaks: Callable[[Path], None], told: str
) -> None:
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    breaks(box.database)

    found = check(status=1)

    assert found["database"]["result"] == "FAIL"
    assert told in found["database"]["detail"].replace("malformed", "damaged")


def test_a_folder_that_is_missing_fails(check: Callable[..., Found], box: Box) -> None:
    config = box.config.read_text()
    box.config.write_text(config.replace('"t.db"', '"no/such/t.db"'))

    found = check(status=1)

    assert found["database"]["result"] == "FAIL"
    assert found["database"]["advice"].startswith("mkdir -p ")


@pytest.mark.parametrize(
    ("free", "result"), [(10**12, "OK"), (5 * 10**8, "WARN"), (10**6, "FAIL")]
)
def test_a_disk_that_fills_is_told(
    check: Callable[..., Found],
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    result: str,
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    found = check(status=1 if result == "FAIL" else 0)

    assert found["disk"]["result"] == result


def test_certificates_that_cannot_be_read_fail_before_anybody_is_asked(
    check: Callable[..., Found],
    real_box: Box,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    del real_box
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))

    found = check(status=1)

    assert found["certificates"]["result"] == "FAIL"
    assert "paper account" not in found


@pytest.mark.parametrize(
    ("mode", "bot", "result"),
    [
        ("paper", {}, "OK"),
        ("live", {}, "WARN"),
        ("live", {"max_share_price": 100.0}, "WARN"),
        ("live", {"daily_loss_limit_usd": 100.0}, "OK"),
        ("live", {"max_orders_per_day": 3}, "OK"),
    ],
)
def test_live_without_a_limit_is_a_warning(
    check: Callable[..., Found],
    box: Box,
    mode: str,
    bot: dict[str, object],
    result: str,
) -> None:
    box.configure(mode=mode, bot=bot)

    found = check()["guards"]

    assert found["result"] == result
    assert ("no limit on positions" in found["detail"]) is (result == "WARN")
