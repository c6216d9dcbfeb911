"""What the writer counts in the transaction that opens a row, on a real file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from snexec.clock import timestamp
from snexec.ledger import counting
from snexec.ledger.rows import NewTrade, OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.ledger.writer import Writer
from snexec.model import MODES
from snexec.risk.gates import ActiveGates
from snexec.risk.limits import Counts, Limits
from snexec.risk.tally import Recently
from snexec.trading_days import day_began
from tests.fakes import (
    FakeClock,
    make_settings,
    make_signal,
    make_trade,
    open_store,
    rows_of,
    warnings_of,
)
from tests.ledger.writing import ChangeOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.ledger.rows import Opening
    from snexec.model import Mode

NOON = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)  # in New York
MIDNIGHT = "2026-01-05T05:00:00.000Z"


def limits(symbol: str = "AAPL", **bot: object) -> Limits:
    found = ActiveGates().limits(make_signal(symbol), make_settings(bot=bot).bot)
    assert found is not None
    return found


def open_one(
    store: Store, number: int, *, mode: Mode = "paper", symbol: str = "", **bot: object
) -> Opening:
    """Open the row of one order in a transaction of its own, as a lone signal does."""
    symbol = symbol or f"S{number}"
    store.begin()
    trade = make_trade(f"sn-{number}", symbol, mode=mode)
    opening = store.open_trade(trade, limits(symbol, **bot) if bot else None)
    store.commit()
    return opening


class Other:
    """Another program on the same file."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self._number = 0

    def closes(
        self,
        pnl: object,
        exit_at: object,
        *,
        mode: str | None = "paper",
        status: str = "closed",
    ) -> None:
        self._number += 1
        self.connection.execute(
            "INSERT INTO BotTrade (id, symbol, status, pnl, exitAt, mode, createdAt,"
            " updatedAt) VALUES (?, ?, ?, ?, ?, ?, '2026-01-01T00:00:00.000Z', '')",
            [f"o-{self._number}", "GE", status, pnl, exit_at, mode],
        )

    def ends(self, trade_id: str, pnl: float, exit_at: str = MIDNIGHT) -> None:
        self.connection.execute(
            "UPDATE BotTrade SET status = 'closed', pnl = ?, exitAt = ? WHERE id = ?",
            [pnl, exit_at, trade_id],
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def other(store: Store, database: Path) -> Iterator[Other]:
    del store  # which makes the file
    program = Other(database)
    yield program
    program.connection.close()


# Positions ---------------------------------------------------------------------------


def test_a_row_is_opened_up_to_the_limit_and_no_further(store: Store) -> None:
    told = [open_one(store, n, max_concurrent_positions=3) for n in range(5)]
    assert told == ["opened"] * 3 + ["max_positions"] * 2
    assert len(rows_of(store)) == 3


def test_rows_of_one_transaction_are_counted(store: Store) -> None:
    store.begin()
    told = [
        store.open_trade(
            make_trade(f"sn-{n}", f"S{n}"), limits(f"S{n}", max_concurrent_positions=2)
        )
        for n in range(4)
    ]
    store.commit()
    assert told == ["opened", "opened", "max_positions", "max_positions"]


def test_each_mode_counts_its_own_rows(store: Store) -> None:
    bot: dict[str, Any] = {"max_concurrent_positions": 2}
    assert [open_one(store, n, **bot) for n in (1, 2)] == ["opened"] * 2
    assert [open_one(store, n, mode="live", **bot) for n in (3, 4)] == ["opened"] * 2
    assert open_one(store, 5, **bot) == "max_positions"
    assert open_one(store, 6, mode="live", **bot) == "max_positions"
    assert store.count_open() == 4


def test_a_row_that_names_no_mode_counts_for_both(store: Store, other: Other) -> None:
    other.closes(None, None, mode=None, status="open")
    bot: dict[str, Any] = {"max_concurrent_positions": 2}
    assert open_one(store, 1, mode="live", **bot) == "opened"
    assert open_one(store, 2, mode="live", **bot) == "max_positions"
    assert open_one(store, 3, **bot) == "opened"
    assert open_one(store, 4, **bot) == "max_positions"


def test_a_symbol_has_one_open_row_whatever_its_mode(store: Store) -> None:
    assert open_one(store, 1, symbol="AAPL") == "opened"
    assert open_one(store, 2, symbol="AAPL", mode="live") == "symbol_open"


def test_a_row_that_is_open_again_counts_for_its_own_mode(store: Store) -> None:
    bot: dict[str, Any] = {"max_concurrent_positions": 2}
    assert open_one(store, 1, mode="live", **bot) == "opened"
    assert store.mark_not_found("sn-1") is not None
    assert [open_one(store, n, mode="live", **bot) for n in (2, 3)] == ["opened"] * 2
    assert open_one(store, 4, **bot) == "opened"
    ref = OrderRef(mode="live", order_id="o-1", client_order_id="sn-1")
    assert store.apply_working(ref) is not None
    assert open_one(store, 5, **bot) == "opened", "it is the other mode's"
    assert open_one(store, 6, mode="live", max_concurrent_positions=3) == (
        "max_positions"
    )


def test_a_row_that_is_discarded_or_closed_frees_its_place(
    store: Store, other: Other
) -> None:
    bot: dict[str, Any] = {"max_concurrent_positions": 1}
    assert open_one(store, 1, **bot) == "opened"
    assert store.discard_trade("sn-1")
    assert open_one(store, 2, **bot) == "opened"
    other.ends("sn-2", 1.0)
    assert open_one(store, 3, **bot) == "opened"
    assert open_one(store, 4, **bot) == "max_positions"


def test_open_rows_are_counted_only_where_the_limit_may_be_reached(
    store: Store, other: Other
) -> None:
    said: list[str] = []
    store._db.set_trace_callback(said.append)

    def counts() -> int:
        return sum("count(*)" in text for text in said)

    bot: dict[str, Any] = {"max_concurrent_positions": 4}
    assert [open_one(store, n, **bot) for n in range(3)] == ["opened"] * 3
    assert counts() == 1
    other.closes(None, None, status="open")
    assert open_one(store, 5, **bot) == "max_positions"
    assert counts() == 2, "another program has written"
    assert store.discard_trade("sn-0")
    assert open_one(store, 6, **bot) == "opened", "one was given back"
    assert counts() == 3, "the limit was near"


def test_a_row_that_is_open_again_takes_its_place(store: Store) -> None:
    assert open_one(store, 1, max_concurrent_positions=1) == "opened"
    assert store.mark_not_found("sn-1") is not None
    assert open_one(store, 2, max_concurrent_positions=1) == "opened"
    found = store.apply_working(
        OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    )
    assert found is not None
    assert found.status == "open"
    assert open_one(store, 3, max_concurrent_positions=2) == "max_positions"


@pytest.mark.parametrize("undo", [["rollback"], ["undo_to_savepoint", "commit"]])
def test_what_is_undone_frees_no_place(store: Store, undo: list[str]) -> None:
    for number in (1, 2):
        assert open_one(store, number, max_concurrent_positions=9) == "opened"
    store.begin()
    store.savepoint()
    assert store.discard_trade("sn-1")
    assert store.discard_trade("sn-2")
    limit = limits("S3", max_concurrent_positions=1)
    assert store.open_trade(make_trade("sn-3", "S3"), limit) == "opened"
    for step in undo:
        getattr(store, step)()
    assert open_one(store, 4, max_concurrent_positions=2) == "max_positions"


def test_a_repeated_id_and_an_open_symbol_say_so_at_a_limit_too(store: Store) -> None:
    bot: dict[str, Any] = {"max_concurrent_positions": 1, "max_orders_per_day": 1}
    assert open_one(store, 1, **bot) == "opened"
    assert open_one(store, 1, **bot) == "repeated"
    assert open_one(store, 2, symbol="S1", **bot) == "symbol_open"
    assert open_one(store, 3, **bot) == "max_positions"


def test_what_is_stopped_writes_nothing(store: Store, database: Path) -> None:
    open_one(store, 1)
    log = database.with_name(f"{database.name}-wal")
    before = log.stat().st_size
    for number in range(2, 50):
        assert open_one(store, number, max_concurrent_positions=1) == "max_positions"
    assert log.stat().st_size == before


# Results -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_at", "counts"),
    [
        (MIDNIGHT, True),
        ("2026-01-05T04:59:59.999Z", False),
        ("2026-01-05T00:00:00-05:00", True),  # of any zone
        ("2026-01-04T23:59:59.999-05:00", False),
        ("2026-01-05T14:59:00+10:00", False),
        ("2026-01-05T15:00:00+10:00", True),
        ("2026-01-05 05:00:00", True),  # as SQLite's CURRENT_TIMESTAMP
        ("2026-01-05 04:59:59", False),
        (1767589200000, True),  # milliseconds, as Prisma writes them
        (1767589199999, False),
        (None, False),
        (1767589200, True),  # seconds
        (1767589199, False),
        ("yesterday", True),  # what is no time counts by when the row was changed
        ("11/29/2025", True),
    ],
)
def test_a_loss_counts_from_midnight_in_new_york(
    store: Store, other: Other, exit_at: object, *, counts: bool
) -> None:
    other.closes(-50.0, exit_at)
    expected = "daily_loss" if counts else "opened"
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == expected


def test_the_sum_of_the_day_counts(store: Store, other: Other) -> None:
    bot: dict[str, Any] = {"daily_loss_limit_usd": 50.0}
    other.closes(-60.0, "2026-01-05T12:00:00.000Z")
    other.closes(30.0, "2026-01-05T13:00:00.000Z")
    assert open_one(store, 1, **bot) == "opened"
    other.closes(-20.0, "2026-01-05T14:00:00.000Z")
    assert open_one(store, 2, **bot) == "daily_loss"
    other.closes(0.01, "2026-01-05T14:00:01.000Z")
    assert open_one(store, 3, **bot) == "opened"


def test_a_new_day_begins_at_nothing(
    store: Store, other: Other, clock: FakeClock
) -> None:
    other.closes(-60.0, "2026-01-05T12:00:00.000Z")
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == "daily_loss"
    clock.moment = datetime(2026, 1, 6, 4, 59, 59, tzinfo=UTC)
    assert open_one(store, 2, daily_loss_limit_usd=50.0) == "daily_loss"
    clock.moment = datetime(2026, 1, 6, 5, 0, tzinfo=UTC)
    assert open_one(store, 3, daily_loss_limit_usd=50.0) == "opened"


@pytest.mark.parametrize(
    ("loss_at", "now", "reason"),
    [
        ("2026-03-08T05:00:00.000Z", "2026-03-09T03:59:00+00:00", "daily_loss"),
        ("2026-03-08T05:00:00.000Z", "2026-03-09T04:00:00+00:00", "opened"),
        ("2026-11-01T04:00:00.000Z", "2026-11-02T04:59:00+00:00", "daily_loss"),
        ("2026-11-01T04:00:00.000Z", "2026-11-02T05:00:00+00:00", "opened"),
    ],
)
def test_a_loss_counts_for_23_hours_in_spring_and_25_in_autumn(
    store: Store, other: Other, *, loss_at: str, now: str, reason: str
) -> None:
    other.closes(-50.0, loss_at)
    moved = Store(store._db, clock=FakeClock(datetime.fromisoformat(now)))
    assert open_one(moved, 1, daily_loss_limit_usd=50.0) == reason


def test_the_other_accounts_results_do_not_count(store: Store, other: Other) -> None:
    bot: dict[str, Any] = {"daily_loss_limit_usd": 50.0}
    other.closes(-60.0, MIDNIGHT, mode="live")
    other.closes(+900.0, MIDNIGHT, mode="paper")
    assert open_one(store, 1, mode="live", **bot) == "daily_loss"
    assert open_one(store, 2, mode="paper", **bot) == "opened"
    other.closes(-900.0, MIDNIGHT, mode=None)  # whose, nobody knows
    assert open_one(store, 3, mode="paper", **bot) == "opened"
    other.closes(-50.0, MIDNIGHT, mode=None)
    assert open_one(store, 4, mode="paper", **bot) == "daily_loss"


def test_a_result_without_a_readable_time_counts_by_when_its_row_was_changed(
    store: Store, other: Other
) -> None:
    other.closes(-60.0, "11/29/2025")
    other.connection.execute("UPDATE BotTrade SET updatedAt = '2026-01-04T12:00:00Z'")
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == "opened"
    other.connection.execute("UPDATE BotTrade SET updatedAt = '2026-01-05T12:00:00Z'")
    assert open_one(store, 2, daily_loss_limit_usd=50.0) == "daily_loss"


@pytest.mark.parametrize("pnl", [float("inf"), "a lot", b"\xff"])
def test_a_result_that_is_no_number_wins_nothing(
    store: Store, other: Other, pnl: object
) -> None:
    other.closes(pnl, MIDNIGHT)
    other.closes(-60.0, MIDNIGHT)
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == "daily_loss"
    won: dict[str, Any] = {"min_win_rate": 0.5, "min_win_rate_trades": 2}
    assert open_one(store, 2, **won) == "win_rate"


def test_a_row_of_a_mode_that_there_is_not_counts_in_both(
    store: Store, other: Other
) -> None:
    other.closes(-60.0, MIDNIGHT, mode="Paper")
    for number, mode in enumerate(MODES):
        found = open_one(store, number, mode=mode, daily_loss_limit_usd=50.0)
        assert found == "daily_loss"
    other.closes(None, None, mode="LIVE", status="open")
    for number, mode in enumerate(MODES):
        found = open_one(store, number, mode=mode, max_concurrent_positions=1)
        assert found == "max_positions"


def test_infinite_results_stop_everything(store: Store, other: Other) -> None:
    other.closes(float("inf"), MIDNIGHT)
    other.closes(float("-inf"), MIDNIGHT)
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == "daily_loss"


def test_the_last_closed_rows_make_the_win_rate(store: Store, other: Other) -> None:
    bot: dict[str, Any] = {"min_win_rate": 0.5, "min_win_rate_trades": 4}
    for number, pnl in enumerate([9.0, 9.0, 9.0, -1.0, -1.0]):
        other.closes(pnl, f"2026-01-0{number + 1}T12:00:00.000Z")
    other.closes(None, "2026-01-05T16:00:00.000Z")  # nobody knows what it won
    assert open_one(store, 1, **bot) == "opened"
    other.closes(0.0, "2026-01-05T15:00:00.000Z")  # nothing won is no win
    assert open_one(store, 2, **bot) == "win_rate"
    other.closes(1.0, "2026-01-05T15:30:00.000Z")
    assert open_one(store, 3, **bot) == "win_rate"
    other.closes(1.0, "2026-01-05T15:40:00.000Z")
    assert open_one(store, 4, **bot) == "opened"


def test_results_are_read_again_only_when_another_program_has_written(
    store: Store, other: Other
) -> None:
    said: list[str] = []
    store._db.set_trace_callback(said.append)
    for number in range(5):
        open_one(store, number, daily_loss_limit_usd=50.0)
    assert sum("coalesce(julianday(exitAt)" in text for text in said) == 1
    other.closes(-1.0, MIDNIGHT)
    open_one(store, 6, daily_loss_limit_usd=50.0)
    assert sum("coalesce(julianday(exitAt)" in text for text in said) == 2


def test_without_a_limit_a_row_costs_no_statement_more(store: Store) -> None:
    said: list[str] = []
    store._db.set_trace_callback(said.append)
    open_one(store, 1)
    assert [text.partition(" ")[0] for text in said] == ["BEGIN", "INSERT", "COMMIT"]


# Brakes ------------------------------------------------------------------------------

BRAKES: list[tuple[dict[str, Any], str]] = [
    ({"max_orders_per_minute": 3}, "brake_orders_per_minute"),
    ({"max_orders_per_day": 3}, "brake_orders_per_day"),
    ({"max_notional_per_day_usd": 399.99}, "brake_notional_per_day"),
]


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_a_brake_holds_after_so_many_orders(
    store: Store, bot: dict[str, Any], reason: str
) -> None:
    told = [open_one(store, n, **bot) for n in range(5)]
    assert told == ["opened"] * 3 + [reason] * 2


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_a_brake_holds_within_one_transaction(
    store: Store, bot: dict[str, Any], reason: str
) -> None:
    store.begin()
    told = [
        store.open_trade(make_trade(f"sn-{n}", f"S{n}"), limits(f"S{n}", **bot))
        for n in range(5)
    ]
    store.commit()
    assert told == ["opened"] * 3 + [reason] * 2


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_a_brake_holds_over_a_restart(
    store: Store, database: Path, clock: FakeClock, bot: dict[str, Any], reason: str
) -> None:
    for number in range(3):
        assert open_one(store, number) == "opened"
    with closing(open_store(database, clock)._db) as connection:
        again = Store(connection, clock=clock)
        assert open_one(again, 3, **bot) == reason
        assert open_one(again, 4, mode="live", **bot) == "opened"


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_an_order_that_was_refused_counts_in_this_run(
    store: Store, bot: dict[str, Any], reason: str
) -> None:
    for number in range(3):
        assert open_one(store, number, **bot) == "opened"
        assert store.discard_trade(f"sn-{number}")
    assert open_one(store, 3, **bot) == reason


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_what_was_rolled_back_does_not_count(
    store: Store, bot: dict[str, Any], reason: str
) -> None:
    for _ in range(4):
        store.begin()
        for number in range(3):
            trade = make_trade(f"sn-{number}", f"S{number}")
            assert store.open_trade(trade, limits(f"S{number}", **bot)) == "opened"
        store.rollback()
    store.begin()
    store.savepoint()
    assert store.open_trade(make_trade("x", "X"), limits("X", **bot)) == "opened"
    store.undo_to_savepoint()
    store.commit()
    told = [open_one(store, n, **bot) for n in range(4)]
    assert told == ["opened"] * 3 + [reason]


# Dates ahead of the clock


def date_rows(store: Store, moment: datetime) -> None:
    """Have another program date every row."""
    store._db.execute("UPDATE BotTrade SET createdAt = ?", [timestamp(moment)])


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_rows_dated_later_than_tomorrow_hold_no_brake_after_a_start(
    store: Store, clock: FakeClock, bot: dict[str, Any], reason: str
) -> None:
    del reason
    for number in range(3):
        assert open_one(store, number) == "opened"
    date_rows(store, datetime(2036, 1, 1, tzinfo=UTC))
    again = Store(store._db, clock=clock)
    assert open_one(again, 3, **bot) == "opened"


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(hours=30)])
def test_rows_dated_up_to_tomorrow_hold_a_brake_as_the_clock_may_be_set_back(
    store: Store,
    clock: FakeClock,
    bot: dict[str, Any],
    reason: str,
    ahead: timedelta,
) -> None:
    for number in range(3):
        assert open_one(store, number) == "opened"
    date_rows(store, clock.moment + ahead)
    again = Store(store._db, clock=clock)
    assert open_one(again, 3, **bot) == reason
    clock.advance(3 * 86_400)
    assert open_one(again, 4, **bot) == "opened", "and not for ever"


@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_a_clock_that_was_years_ahead_in_this_run_holds_no_brake_for_years(
    store: Store, clock: FakeClock, bot: dict[str, Any], reason: str
) -> None:
    clock.moment = NOON + timedelta(days=3650)
    for number in range(3):
        assert open_one(store, number, **bot) == "opened"
    clock.moment = NOON
    assert open_one(store, 3, **bot) == reason, "they were ordered a moment ago"
    clock.advance(86_400)
    assert open_one(store, 4, **bot) == "opened"


@pytest.mark.parametrize(
    ("exit_at", "counts"),
    [
        ("2026-01-05T23:00:00.000Z", True),
        ("2026-01-07T04:59:59.999Z", True),  # tomorrow, in New York
        ("2026-01-07T05:00:00.000Z", False),
        ("2026-01-07T14:59:00+10:00", True),
        ("2036-01-01T00:00:00.000Z", False),
        (1767762000000 - 1, True),
        (1767762000000, False),
        (2082758400000, False),
    ],
)
def test_a_loss_dated_later_than_tomorrow_is_none_of_today(
    store: Store, other: Other, exit_at: object, *, counts: bool
) -> None:
    other.closes(-50.0, exit_at)
    expected = "daily_loss" if counts else "opened"
    assert open_one(store, 1, daily_loss_limit_usd=50.0) == expected


@pytest.mark.parametrize("exit_at", ["2036-01-01T00:00:00.000Z", 2082758400000, "soon"])
def test_a_row_dated_later_than_tomorrow_is_not_among_the_last_for_good(
    store: Store, other: Other, exit_at: object
) -> None:
    bot: dict[str, Any] = {"min_win_rate": 0.5, "min_win_rate_trades": 2}
    for _ in range(2):
        other.closes(-1.0, exit_at)
        other.closes(1.0, "2026-01-05T12:00:00.000Z")
    assert open_one(store, 1, **bot) == "opened"


def test_a_row_dated_ahead_that_another_program_writes_is_named_once(
    store: Store, other: Other, caplog: pytest.LogCaptureFixture
) -> None:
    bot: dict[str, Any] = {"daily_loss_limit_usd": 50.0}
    store.name_dates_ahead()
    assert open_one(store, 1, **bot) == "opened"
    other.closes(-60.0, "2036-01-01T00:00:00.000Z")
    assert open_one(store, 2, **bot) == "opened"
    other.closes(-1.0, MIDNIGHT)
    assert open_one(store, 3, **bot) == "opened"
    [line] = warnings_of(caplog)
    assert "(GE trade=o-1 2036-01-01T00:00:00.000Z)" in line


# The minute and the day


def test_the_minute_slides(store: Store, clock: FakeClock) -> None:
    bot: dict[str, Any] = {"max_orders_per_minute": 2}
    assert open_one(store, 1, **bot) == "opened"
    clock.advance(30)
    assert open_one(store, 2, **bot) == "opened"
    clock.advance(29.9)
    assert open_one(store, 3, **bot) == "brake_orders_per_minute"
    clock.advance(0.1)
    assert open_one(store, 4, **bot) == "opened"
    clock.advance(29)
    assert open_one(store, 5, **bot) == "brake_orders_per_minute"


@pytest.mark.parametrize("restart", [False, True])
def test_the_day_begins_anew_in_new_york(
    store: Store, clock: FakeClock, *, restart: bool
) -> None:
    bot: dict[str, Any] = {"max_orders_per_day": 1}
    clock.moment = datetime(2026, 1, 6, 4, 59, 59, tzinfo=UTC)
    assert open_one(store, 1, **bot) == "opened"
    assert open_one(store, 2, **bot) == "brake_orders_per_day"
    clock.advance(1)
    again = Store(store._db, clock=clock) if restart else store
    assert open_one(again, 3, **bot) == "opened"
    assert open_one(again, 4, **bot) == "brake_orders_per_day"


def test_a_clock_that_is_set_back_begins_no_new_day(
    store: Store, clock: FakeClock
) -> None:
    bot: dict[str, Any] = {"max_orders_per_day": 2}
    assert open_one(store, 1, **bot) == "opened"
    clock.moment -= timedelta(days=1)
    assert open_one(store, 2, **bot) == "opened"
    assert open_one(store, 3, **bot) == "brake_orders_per_day"


@pytest.mark.parametrize("restart", [False, True])
def test_a_symbol_rests(
    store: Store, other: Other, clock: FakeClock, *, restart: bool
) -> None:
    bot: dict[str, Any] = {"symbol_cooldown_sec": 86_400.0}
    assert open_one(store, 1, symbol="KO", **bot) == "opened"
    other.ends("sn-1", 1.0)
    clock.advance(86_399)
    again = Store(store._db, clock=clock) if restart else store
    assert open_one(again, 2, symbol="KO", **bot) == "brake_symbol_cooldown"
    assert open_one(again, 3, symbol="MSFT", **bot) == "opened"
    assert open_one(again, 4, symbol="KO", mode="live", **bot) == "opened"
    clock.advance(1)
    other.ends("sn-4", 1.0)
    assert open_one(again, 5, symbol="KO", **bot) == "opened"


def test_other_programs_rows_are_no_orders_of_ours(store: Store, other: Other) -> None:
    for _ in range(5):
        other.closes(1.0, MIDNIGHT, mode=None)
    assert open_one(store, 1, max_orders_per_day=1) == "opened"


def test_orders_are_found_behind_other_programs_rows(
    store: Store, other: Other, clock: FakeClock
) -> None:
    open_one(store, 1)
    for _ in range(2000):
        other.closes(1.0, MIDNIGHT, mode=None)
    again = Store(store._db, clock=clock)
    assert open_one(again, 2, max_orders_per_day=1) == "brake_orders_per_day"


def test_a_new_simulation_has_ordered_nothing(store: Store, clock: FakeClock) -> None:
    open_one(store, 1)
    again = Store(store._db, clock=clock)
    again.end_simulation()
    bot: dict[str, Any] = {"max_orders_per_day": 1, "symbol_cooldown_sec": 60.0}
    assert open_one(again, 2, symbol="S1", **bot) == "opened"
    assert open_one(again, 3, **bot) == "brake_orders_per_day"


def test_what_is_known_in_memory_can_be_seen_from_another_thread(store: Store) -> None:
    assert store.tallied("S1", "paper") is None
    open_one(store, 1, max_orders_per_day=9)
    assert store.tallied("S1", "paper") == Recently(0.0, 1, 1, 10_000)
    assert store.tallied("S1", "live") == Recently(None, 0, 0, 0)


# Plans -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (counting.REALISED, "BotTrade_closed"),
        (counting.WINS, "BotTrade_closed"),
        (counting.COUNT_OPEN, "BotTrade_one_open_per_symbol"),
        (counting.COUNT_OPEN_OF_MODE, "BotTrade_one_open_per_symbol"),
    ],
)
def test_what_counts_reads_no_more_than_it_must(
    store: Store, statement: str, index: str
) -> None:
    texts = dict.fromkeys(("day", "day_before", "day_after", "late"), "")
    values = texts | {"mode": "paper", "day_ms": 0, "late_ms": 0, "trades": 1}
    plan = [
        row["detail"]
        for row in store._db.execute(f"EXPLAIN QUERY PLAN {statement}", values)
    ]
    read = [line for line in plan if "BotTrade" in line]
    assert read
    assert all(index in line for line in read), plan
    assert not any("TEMP B-TREE" in line for line in plan)


# No interleaving ---------------------------------------------------------------------

_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("open"), st.integers(0, 7), st.sampled_from(["paper", "live"])
        ),
        st.tuples(
            st.just("batch"), st.integers(1, 5), st.sampled_from(["paper", "live"])
        ),
        st.tuples(st.just("roll back"), st.integers(1, 4), st.just("paper")),
        st.tuples(st.just("close"), st.integers(0, 20), st.sampled_from([-40.0, 15.0])),
        st.tuples(st.just("refuse"), st.integers(0, 20), st.just("")),
        st.tuples(st.just("wait"), st.sampled_from([1, 20, 61, 40_000]), st.just("")),
        st.tuples(st.just("restart"), st.just(0), st.just("")),
    ),
    max_size=30,
)
_BOT: dict[str, Any] = {
    "max_concurrent_positions": 4,
    "daily_loss_limit_usd": 100.0,
    "symbol_cooldown_sec": 30.0,
    "max_orders_per_minute": 3,
    "max_orders_per_day": 8,
    "max_notional_per_day_usd": 650.0,
}


@given(steps=_steps)
def test_no_interleaving_exceeds_a_limit(
    steps: list[tuple[str, int, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("x") / "t.db"
    clock = FakeClock(NOON)
    numbers = iter(range(10_000))
    with closing(sqlite3.connect(":memory:")):
        store = open_store(path, clock)
        other = Other(path)
        try:
            for kind, number, more in steps:
                _do(
                    kind, number, more, store=store, other=other, clock=clock, n=numbers
                )
                if kind == "restart":
                    store._db.close()
                    store = open_store(path, clock)
        finally:
            other.connection.close()
            store._db.close()


def _do(
    kind: str,
    number: int,
    more: Any,  # noqa: ANN401 - as drawn
    *,
    store: Store,
    other: Other,
    clock: FakeClock,
    n: Iterator[int],
) -> None:
    rows = list(rows_of(store).values())
    match kind:
        case "open" | "batch" | "roll back":
            opened: list[NewTrade] = []
            store.begin()
            for _ in range(1 if kind == "open" else number):
                new = next(n)
                symbol = f"S{number if kind == 'open' else new % 8}"
                trade = make_trade(f"sn-{new}", symbol, mode=more)
                before = list(rows_of(store).values())
                if store.open_trade(trade, limits(symbol, **_BOT)) == "opened":
                    _may_open(before, trade, clock)
                    opened.append(trade)
            if kind == "roll back":
                store.rollback()
            else:
                store.commit()
        case "close" if rows:
            row = rows[number % len(rows)]
            if row["status"] == "open":
                other.ends(row["id"], more, clock.moment.isoformat())
        case "refuse" if rows:
            store.discard_trade(rows[number % len(rows)]["id"])
        case "wait":
            clock.advance(number)
        case _:
            pass


def _may_open(rows: list[dict[str, Any]], trade: NewTrade, clock: FakeClock) -> None:
    """Count by hand, from all rows that are there at the moment."""
    now = clock.moment
    began = day_began(now)

    def at(row: dict[str, Any], name: str) -> datetime:
        return datetime.fromisoformat(row[name])

    mine = [row for row in rows if row["mode"] == trade.mode]
    assert sum(row["status"] == "open" for row in mine) < 4
    today = [row for row in mine if at(row, "createdAt") >= began]
    assert len(today) < 8
    assert sum(row["notional"] for row in today) + 100 <= 650
    minute = [r for r in mine if now - at(r, "createdAt") < timedelta(seconds=60)]
    assert len(minute) < 3
    lost = sum(
        row["pnl"] for row in mine if row["exitAt"] and at(row, "exitAt") >= began
    )
    assert lost > -100
    same = [row for row in mine if row["symbol"] == trade.symbol]
    assert all(now - at(row, "createdAt") >= timedelta(seconds=30) for row in same)


async def test_the_real_writer_opens_no_more_than_may_be(
    database: Path, clock: FakeClock
) -> None:
    """A burst, fills, another program's closes, all through the writer's own task."""
    connection = open_database(database, simulated=False, clock=clock)
    connection.execute("PRAGMA synchronous = OFF")
    store = Store(connection, clock=clock)
    writer = Writer(store)
    told: list[Opening] = []
    most = 0

    def opens(number: int) -> Callable[[Store], Opening]:
        symbol = f"S{number}"

        def change(store: Store) -> Opening:
            nonlocal most
            bot = {"max_concurrent_positions": 5, "max_orders_per_day": 40}
            opening = store.open_trade(
                make_trade(f"sn-{number}", symbol), limits(symbol, **bot)
            )
            most = max(most, store.count_open())
            return opening

        return change

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        with closing(Other(database).connection) as other:
            for number in range(300):
                writer.open(ChangeOf(opens(number), told.append))
                if number % 7 == 0:
                    await trio.sleep(0.001)
                    other.execute(
                        "UPDATE BotTrade SET status = 'closed' WHERE status = 'open'"
                        " AND rowid % 2 = 0"
                    )
        while len(told) < 300:  # noqa: ASYNC110 - the writer's own task does it
            await trio.sleep(0.01)
        writer.close()
    opened = told.count("opened")
    rows = rows_of(store)
    connection.close()
    assert most <= 5
    assert opened == len(rows)
    assert 5 <= opened <= 40
    assert {"max_positions"} <= set(told) - {"opened"}


def test_counts_are_exact_decimals_of_cents(store: Store) -> None:
    asked = limits(max_notional_per_day_usd=1.1)
    for number in range(3):
        trade = make_trade(f"sn-{number}", f"S{number}")
        cheap = NewTrade(
            **{
                name: getattr(trade, name)
                for name in NewTrade._fields
                if name != "notional"
            },
            notional=Decimal("0.10"),
        )
        store.open_trade(cheap, limits(max_orders_per_day=99))
    assert store.count("S1", "paper", Decimal("1.10"), asked) == Counts(
        *(0, 0.0, 0, 0), *(0.0, 3, 3, 30), 110
    )


# Rows of ours that another program has spoilt


@pytest.mark.parametrize(
    "column", ["createdAt = 'junk'", "createdAt = x'ff'", "mode = 'Paper'"]
)
@pytest.mark.parametrize(("bot", "reason"), BRAKES)
def test_an_order_of_which_something_cannot_be_read_counts(
    store: Store, clock: FakeClock, bot: dict[str, Any], reason: str, column: str
) -> None:
    for number in range(3):
        open_one(store, number)
    store._db.execute(f"UPDATE BotTrade SET {column} WHERE id = 'sn-1'")  # noqa: S608
    assert open_one(Store(store._db, clock=clock), 3, **bot) == reason


@pytest.mark.parametrize("notional", ["much", b"\xff", float("inf"), -1e9, 1e308])
def test_an_order_of_unreadable_worth_is_worth_more_than_any_limit(
    store: Store, clock: FakeClock, notional: object
) -> None:
    open_one(store, 1)
    store._db.execute("UPDATE BotTrade SET notional = ?", [notional])
    again = Store(store._db, clock=clock)
    again.begin_tallies()
    assert (
        open_one(again, 2, max_notional_per_day_usd=1_000_000.0)
        == "brake_notional_per_day"
    )


def test_an_order_dated_in_milliseconds_counts_when_it_was(
    store: Store, clock: FakeClock
) -> None:
    open_one(store, 1)
    milliseconds = round(clock.now().timestamp() * 1000) - 59_000
    store._db.execute("UPDATE BotTrade SET createdAt = ?", [milliseconds])
    again = Store(store._db, clock=clock)
    bot: dict[str, Any] = {"max_orders_per_minute": 1}
    assert open_one(again, 2, **bot) == "brake_orders_per_minute"
    clock.advance(1)
    assert open_one(again, 3, **bot) == "opened"
