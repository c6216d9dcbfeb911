"""Rows as an operator reads them, whoever wrote them."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from snexec.clock import SystemClock
from snexec.ledger.schema import column_names, open_database
from snexec.ledger.store import Store
from snexec.logs import printable
from tests.fakes import make_trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, Done
    from tests.integration.harness import Box

DEFAULTS: dict[str, Any] = {
    "symbol": "AAPL",
    "status": "open",
    "mode": "paper",
    "notional": 100.0,
    "starRating": 5,
    "priceAtSignal": 100.0,
    "entryPrice": 101.0,
    "shares": 0.5,
    "createdAt": "2026-01-05T14:30:00.000Z",
    "updatedAt": "2026-01-05T14:30:00.000Z",
}


def insert(box: Box, *rows: dict[str, Any]) -> None:
    """Write rows as another program would."""
    if not box.database.exists():
        open_database(box.database, simulated=True, clock=SystemClock()).close()
    with closing(sqlite3.connect(box.database)) as connection:
        for number, row in enumerate(rows):
            values = DEFAULTS | {"id": f"row-{number}"} | row
            names = ", ".join(f'"{name}"' for name in values)
            marks = ", ".join("?" for _ in values)
            connection.execute(
                f"INSERT INTO BotTrade ({names}) VALUES ({marks})",  # noqa: S608
                list(values.values()),
            )
        connection.commit()


@pytest.fixture
def trades(desk: Desk, box: Box) -> Callable[..., Done]:
    """Give a function that lists the box's rows."""

    def trades(*words: str, terminal: bool = False) -> Done:
        done = desk.run(box.config, "trades", *words, terminal=terminal)
        assert (done.status, done.err) == (0, "")
        return done

    return trades


def ids(done: Done) -> list[str]:
    return [row["id"] for row in done.json()]


def test_no_database_is_an_empty_list_and_none_is_made(
    trades: Callable[..., Done], box: Box
) -> None:
    assert trades().out == "0 trades\n"
    assert trades("--format", "json").json() == []
    assert trades("--format", "csv").out == ",".join(column_names()) + "\n"
    assert not box.database.exists()


def test_a_file_without_the_table_is_an_empty_list(
    trades: Callable[..., Done], box: Box
) -> None:
    box.database.touch()

    assert trades().out == "0 trades\n"
    assert box.database.stat().st_size == 0


def test_the_table_shows_each_order_and_the_totals(
    trades: Callable[..., Done], box: Box
) -> None:
    insert(
        box,
        {"mode": "live", "entryPrice": 187.177, "priceAtSignal": 187.2},
        {
            "symbol": "HALT",
            "status": "missed",
            "exitReason": "alpaca_rejected",
            "entryPrice": None,
            "shares": None,
            "createdAt": "2026-01-06T14:30:00.000Z",
        },
    )

    head, _, first, second, _, totals = trades().lines

    assert head.split() == (
        [
            "age",
            "symbol",
            "mode",
            "star",
            "dollars",
            "shares",
            "entry",
            "slip",
            "status",
            "reason",
        ]
    )
    assert first.split()[1:] == (
        ["AAPL", "live", "5", "$100.00", "0.5", "187.177", "-0.01%", "open"]
    )
    assert second.split()[1:] == (
        ["HALT", "paper", "5", "$100.00", "-", "-", "-", "missed", "alpaca_rejected"]
    )
    assert first.split()[0].endswith("d")
    assert totals == (
        "2 simulated trades: $200.00 ordered, $93.59 bought, slippage -0.01% on average"
    )


CLOSED: dict[str, Any] = {
    "status": "closed",
    "entryPrice": 187.177,
    "priceAtSignal": 187.2,
    "shares": 0.533386947,
    "exitPrice": 180.02,
    "pnl": -3.817,
    "exitReason": "trailing_stop",
}


def test_what_was_sold_has_its_price_its_result_and_its_reason(
    trades: Callable[..., Done], box: Box
) -> None:
    won = {"symbol": "KO", "pnl": 5.0, "exitReason": "profit_target"}
    lost_sight = {"symbol": "GE", "pnl": None, "exitPrice": None}
    insert(box, CLOSED, CLOSED | won, CLOSED | lost_sight, {"symbol": "F"})
    head, _, first, second, third, fourth, _, _, result = trades().lines
    heads = "age symbol mode star dollars shares entry slip exit P&L status reason"
    assert head.split() == heads.split()
    cells = "AAPL paper 5 $100.00 0.533387 187.177 -0.01% 180.02 -$3.82 closed"
    assert first.split()[1:] == [*cells.split(), "trailing_stop"]
    assert second.split()[-3:] == ["+$5.00", "closed", "profit_target"]
    assert third.split()[-4:-2] == ["-", "-"]
    assert fourth.split()[-3:] == ["-", "-", "open"]
    assert result == "3 closed: P&L +$1.18 before fees, 1 won, 1 not known"


def test_closed_rows_without_a_result_say_so(
    trades: Callable[..., Done], box: Box
) -> None:
    insert(box, CLOSED | {"pnl": None, "exitPrice": None})
    assert trades().lines[-1] == "1 closed, P&L not known"


LARGE: dict[str, Any] = CLOSED | {
    "symbol": "BTC/USD",
    "mode": "paper",
    "starRating": 5,
    "notional": 25_000.0,
    "shares": 1234.533386947,
    "entryPrice": 64_017.8265,
    "exitPrice": 63_995.1234,
    "pnl": -12_345.67,
    "exitReason": "corporate_action",
    "wireMs": 1234.5,
    "replyMs": 1234.5,
    "fillMs": 12_345.67,
}


@pytest.mark.parametrize("latency", [False, True])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_each_row_has_one_line_no_wider_than_the_screen(
    trades: Callable[..., Done],
    box: Box,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    latency: bool,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    insert(box, LARGE, CLOSED | {"exitReason": "trailing_stop"})
    words = ["--latency"] if latency else []
    shown = trades(*words, terminal=True).out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    end = plain.index("") if "" in plain else len(plain)
    table = [line.rstrip() for line in plain[:end] if line.strip()]
    assert len(table) == 4, "a head, a rule, and a line for each row"
    assert max(map(len, plain)) <= width
    heads = plain[0].split()
    assert {"symbol", "mode", "P&L", "status", "reason"} <= set(heads)
    assert ("star" in heads) == (width == 200)


def test_a_reason_that_is_too_long_is_folded_alone(
    trades: Callable[..., Done], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    insert(box, LARGE, LARGE | {"exitReason": "a reason of another program " * 4})
    shown = re.sub(r"\x1b\[[0-9;]*m", "", trades(terminal=True).out).splitlines()
    table = shown[: shown.index("")]
    assert max(map(len, table)) <= 80
    assert len([line for line in table if "BTC/USD" in line]) == 2
    assert len([line for line in table if "another" in line]) > 1


def test_the_rows_of_a_running_daemon_are_read_beside_it(
    desk: Desk, busy_box: Box
) -> None:
    sent = desk.run(
        busy_box.config,
        *("send", "--symbol", "LISTED", "--category", "fda", "--tier", "1"),
        *("--price", "100", "--id", "listed", "--wait"),
    )

    done = desk.run(busy_box.config, "trades", "--signal", "listed", "--format", "json")

    (row,) = done.json()
    assert sent.status == 0
    assert set(row) >= set(column_names())
    assert (row["symbol"], row["catalystType"], row["status"]) == (
        "LISTED",
        "fda",
        "open",
    )
    assert row["shares"] > 0


def test_filters_narrow_the_list(trades: Callable[..., Done], box: Box) -> None:
    insert(
        box,
        {"signalId": "n-1"},
        {"symbol": "KO", "mode": "live", "status": "closed"},
        {"symbol": "BRK.B", "status": "missed", "exitReason": "alpaca_expired"},
    )

    def listed(*words: str) -> list[str]:
        return ids(trades("--format", "json", *words))

    assert listed() == ["row-0", "row-1", "row-2"]
    assert listed("--status", "closed") == ["row-1"]
    assert listed("--symbol", "brk.b") == ["row-2"]
    assert listed("--mode", "live") == ["row-1"]
    assert listed("--reason", "alpaca_expired") == ["row-2"]
    assert listed("--signal", "n-1") == ["row-0"]
    assert listed("--limit", "2") == ["row-1", "row-2"]
    assert listed("--status", "open", "--mode", "live") == []


def test_a_symbol_is_found_in_whatever_spelling(
    trades: Callable[..., Done], box: Box
) -> None:
    insert(
        box,
        {"symbol": "BRK.B", "status": "closed"},
        {"symbol": "BRK/B", "status": "closed", "mode": None},
        {"symbol": "BTC/USD", "status": "closed"},
        {"symbol": "btcusd", "status": "closed", "mode": None},
        {"symbol": "ETH/BTC", "status": "closed"},
    )

    def listed(*words: str) -> list[str]:
        return ids(trades("--format", "json", *words))

    for symbol in ("brk.b", "BRK/B", "brk-b"):
        assert listed("--symbol", symbol) == ["row-0", "row-1"]
    for symbol in ("BTCUSD", "btc/usd", "BTC-USD"):
        assert listed("--status", "closed", "--symbol", symbol) == ["row-2", "row-3"]
    assert listed("--symbol", "ETH/BTC", "--mode", "paper") == ["row-4"]
    assert listed("--symbol", "BTC/USD", "--since", "2020-01-01") == ["row-2", "row-3"]
    assert listed("--symbol", "nothing like it") == []


def test_since_is_inclusive_until_is_not_and_zones_are_understood(
    trades: Callable[..., Done], box: Box
) -> None:
    moments = [
        "2026-01-05T14:29:59.999Z",
        "2026-01-05T14:30:00.000Z",
        "2026-01-05 14:30:01",
        "2026-01-05T09:30:02.500-05:00",
        1_767_623_403_000,
        "2026-01-05T14:30:04.000Z",
        "whenever",
    ]
    insert(
        box,
        *({"createdAt": m, "symbol": f"S{n}"} for n, m in enumerate(moments)),
    )

    done = trades(
        *("--since", "2026-01-05T14:30", "--until", "2026-01-05T15:30:04+01:00"),
        *("--format", "json"),
    )

    assert ids(done) == ["row-1", "row-2", "row-3", "row-4"]
    assert ids(trades("--since", "1h", "--format", "json")) == []
    assert len(ids(trades("--until", "today", "--format", "json"))) == 6


def test_the_newest_comes_last_whatever_the_form(
    trades: Callable[..., Done], box: Box
) -> None:
    insert(
        box,
        {"symbol": "NEW", "createdAt": "2026-01-07T00:00:00.000Z"},
        {"symbol": "OLD", "createdAt": "2026-01-05T00:00:00.000Z"},
        {"symbol": "MIDDLE", "createdAt": "2026-01-06T00:00:00.000Z"},
    )

    assert ids(trades("--format", "json")) == ["row-1", "row-2", "row-0"]
    assert ids(trades("--format", "json", "--limit", "2")) == ["row-2", "row-0"]
    listed = csv.DictReader(io.StringIO(trades("--format", "csv").out))
    assert [row["symbol"] for row in listed] == ["OLD", "MIDDLE", "NEW"]
    assert trades().lines[-3].split()[1] == "NEW"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_odd_rows_of_other_programs_are_shown_as_they_are(
    trades: Callable[..., Done], box: Box, form: str
) -> None:
    odd = {
        "mode": None,
        "signalId": None,
        "starRating": "many",
        "notional": "a lot",
        "shares": b"\xff\x00",
        "entryPrice": float("inf"),
        "priceAtSignal": 0.0,
        "createdAt": "whenever",
    }
    insert(box, odd, {"symbol": "X\x1b[2J", "status": "odd [red]\n"})
    with closing(sqlite3.connect(box.database)) as connection:
        connection.execute(
            "UPDATE BotTrade SET exitReason = CAST(X'ff41' AS TEXT) WHERE id = 'row-0'"
        )
        connection.commit()

    done = trades("--format", form, "--latency")

    if form == "table":
        assert "\x1b" not in done.out
        assert "X\\x1b[2J" in done.out
        assert "odd [red]\\n" in done.out
        assert "a lot" in done.out
        assert "2 simulated trades: $100.00 ordered, $50.50 bought" in done.out
    elif form == "json":
        row = done.json()[0]
        assert (row["shares"], row["entryPrice"]) == ("ff00", None)
        assert (row["notional"], row["exitReason"]) == ("a lot", "\ufffdA")


FORMULAS = [
    "=HYPERLINK(A1)",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\uff1d1",
    "\t=1",
    "\r=1",
    "\n=1",
    "\x1b[2J",
    "a\x07\x9b",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_sheet_steers_a_terminal_or_is_a_formula(
    trades: Callable[..., Done], box: Box, text: str
) -> None:
    insert(box, {"signalId": text, "exitReason": text, "shares": -1.5, "starRating": 5})

    out = trades("--format", "csv").out

    assert all(line.isprintable() for line in out.splitlines())
    [row] = csv.DictReader(io.StringIO(out))
    for cell in (row["signalId"], row["exitReason"]):
        assert not cell.startswith(("=", "+", "-", "@", "\uff1d", "\t", "\r"))
        assert cell.removeprefix("'") == printable(text)
    assert (row["shares"], row["starRating"]) == ("-1.5", "5"), "numbers stay numbers"
    assert trades("--format", "json").json()[0]["signalId"] == text
    for form in ("json", "table"):
        shown = trades("--format", form).out
        assert all(line.isprintable() for line in shown.splitlines())


def test_a_column_of_another_program_is_no_formula_either(
    trades: Callable[..., Done], box: Box
) -> None:
    with closing(sqlite3.connect(box.database)) as connection:
        connection.execute(
            'CREATE TABLE BotTrade (id TEXT, symbol TEXT, "=1\x1b" TEXT)'
        )
        connection.commit()

    assert trades("--format", "csv").out == "id,symbol,'=1\\x1b\n"


def test_an_old_file_with_other_columns_is_read(
    trades: Callable[..., Done], box: Box
) -> None:
    with closing(sqlite3.connect(box.database)) as connection:
        connection.execute("CREATE TABLE BotTrade (id TEXT, symbol TEXT, mine TEXT)")
        connection.execute("INSERT INTO BotTrade VALUES ('a', 'KO', 'kept')")
        connection.commit()

    assert trades("--format", "json").json() == [
        {"id": "a", "symbol": "KO", "mine": "kept"}
    ]
    assert trades("--mode", "paper", "--since", "2020-01-01").out == "0 trades\n"
    assert trades().lines[-1].startswith("1 trade: $0.00 ordered")


def test_latency_has_percentiles_and_survives_a_file_that_lacks_it(
    trades: Callable[..., Done], box: Box
) -> None:
    insert(box, *({"symbol": f"S{n}"} for n in range(100)))
    row = trades("--latency", "--format", "json", "--limit", "1").json()[0]
    assert {row["wireMs"], row["replyMs"], row["fillMs"]} == {None}
    with closing(sqlite3.connect(box.database)) as connection:
        present = {r[1] for r in connection.execute("PRAGMA table_info(BotTrade)")}
        for name in ("wireMs", "replyMs", "fillMs"):
            if name not in present:
                connection.execute(f"ALTER TABLE BotTrade ADD COLUMN {name} REAL")
        connection.execute("UPDATE BotTrade SET wireMs = substr(symbol, 2) + 1")
        connection.execute("UPDATE BotTrade SET replyMs = 'soon'")
        connection.commit()

    done = trades("--latency", "--all")

    assert done.lines[0].split()[8:14] == ["wire", "ms", "reply", "ms", "fill", "ms"]
    assert done.lines[-3:] == [
        "wire ms   p50 50.00  p90 90.00  p99 99.00  of 100",
        "reply ms  nothing measured",
        "fill ms   nothing measured",
    ]


def test_a_file_that_is_no_database_is_refused_in_one_line(
    desk: Desk, box: Box
) -> None:
    box.database.write_text("no database, whatever its name may be" * 100)

    done = desk.run(box.config, "trades")

    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"snexec: database: {box.database} cannot be read: file is not a database\n"
    )


def test_a_read_only_folder_can_be_read(trades: Callable[..., Done], box: Box) -> None:
    insert(box, {})
    assert not list(box.folder.glob("*-wal"))
    box.database.chmod(stat.S_IRUSR)
    box.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert ids(trades("--format", "json")) == ["row-0"]
    finally:
        box.folder.chmod(stat.S_IRWXU)


def test_reading_keeps_no_lock_and_changes_nothing(
    trades: Callable[..., Done], box: Box
) -> None:
    clock = SystemClock()
    with closing(open_database(box.database, simulated=True, clock=clock)) as writing:
        store = Store(writing, clock=clock)
        store.open_trade(make_trade("sn-1", "KO"))
        writing.execute("BEGIN IMMEDIATE")
        before = box.database.read_bytes()

        assert ids(trades("--format", "json")) == ["sn-1"]

        assert box.database.read_bytes() == before
        writing.execute("COMMIT")


def test_colour_is_for_a_terminal_only(
    trades: Callable[..., Done], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(box, {})

    assert "\x1b[" in trades(terminal=True).out
    assert "\x1b[" not in trades().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in trades(terminal=True).out


# Many rows


@pytest.fixture
def many(box: Box) -> int:
    """Fill the database with more rows than a screen takes; return how many."""
    count, moment = 120, "2026-01-05T14:30:{:02}.{:03}Z"
    with closing(
        open_database(box.database, simulated=True, clock=SystemClock())
    ) as connection:
        connection.executemany(
            "INSERT INTO BotTrade (id, symbol, status, mode, createdAt, updatedAt)"
            " VALUES (?, ?, 'missed', 'paper', ?, ?)",
            [
                (
                    f"sn-{n}",
                    f"S{n}",
                    moment.format(n // 60, n),
                    moment.format(n // 60, n),
                )
                for n in range(count)
            ],
        )
    return count


@pytest.mark.parametrize(
    ("words", "listed"),
    [((), 50), (("--limit", "7"), 7), (("--all",), 120), (("--limit", "200"), 120)],
)
def test_a_table_has_the_newest_50_unless_more_are_asked_for(
    desk: Desk, box: Box, many: int, words: tuple[str, ...], listed: int
) -> None:
    done = desk.run(box.config, "trades", *words)

    symbols = [word for line in done.lines for word in line.split() if word[0] == "S"]
    assert symbols == [f"S{n}" for n in range(many - listed, many)]
    more = f"the newest {listed} of {many}; all of them: --all"
    assert (done.lines[-1] == more) is (listed < many)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_programs_get_all_of_them_by_default(
    desk: Desk, box: Box, many: int, form: str
) -> None:
    assert desk.run(box.config, "trades", "--format", form).out.count("sn-") == many


def test_all_and_a_limit_contradict_each_other(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "trades", "--all", "--limit", "3")

    assert (done.status, done.out) == (2, "")
