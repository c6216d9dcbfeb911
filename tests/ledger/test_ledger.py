"""The ledger: loaded before it is written, and drained within its time."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import StartError
from snexec.ledger import checkpoints as checkpoints_module
from snexec.ledger import file as file_module
from snexec.ledger import ledger as ledger_module
from snexec.ledger.ledger import Ledger
from snexec.locks import lock_file
from snexec.risk.tally import Recently
from tests.fakes import FakeClock, make_trade, row_of, rows_of, warnings_of
from tests.ledger.files import contents, make_foreign
from tests.ledger.hands import add_row
from tests.ledger.writing import (
    ChangeOf,
    change_nothing,
    opening,
    opens,
    reports_nothing,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors


@pytest.fixture
def ledger(store: Store, database: Path, clock: FakeClock) -> Ledger:
    store._db.execute("PRAGMA busy_timeout = 20")
    return Ledger(store, path=database, clock=clock)


@pytest.fixture
def other(store: Store, database: Path) -> Iterator[sqlite3.Connection]:
    """Give another program's connection."""
    del store  # which makes the file
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        yield connection


def in_time() -> float:
    """Return a deadline that nothing here needs."""
    return trio.current_time() + 10


def test_a_file_that_goes_during_a_start_refuses_the_start(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise FileNotFoundError(2, "No such file", "snexec.db-wal")

    monkeypatch.setattr(ledger._store.watch, "begin", gone)
    with pytest.raises(StartError, match="cannot be used"):
        ledger.load(simulated=False, tally=False)


def at_once() -> float:
    """Return a deadline that has passed."""
    return trio.current_time()


# Loading


@pytest.mark.parametrize("tally", [False, True])
def test_rows_dated_ahead_of_the_clock_are_named_at_the_start(
    ledger: Ledger,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    *,
    tally: bool,
) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    store._db.execute("UPDATE BotTrade SET createdAt = '2036-01-01T00:00:00.000Z'")
    ledger.load(simulated=False, tally=tally)
    [line] = warnings_of(caplog)
    assert "(AAPL trade=sn-1 2036-01-01T00:00:00.000Z)" in line


def test_what_an_earlier_run_left_unsettled_is_loaded(
    ledger: Ledger, store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    assert store.discard_trade("sn-1")
    clock.advance(1)
    store.open_trade(make_trade("sn-3", "KO"))
    rows = ledger.load(simulated=False, tally=False)
    assert [(row.trade_id, row.mode) for row in rows] == [
        ("sn-2", "live"),
        ("sn-3", "paper"),
    ]
    assert row_of(store, "sn-3")["status"] == "open"


def test_it_is_known_when_the_last_row_was_written_that_was_there(
    ledger: Ledger, store: Store, clock: FakeClock
) -> None:
    ledger.load(simulated=False, tally=False)
    assert ledger.newest_row_at is None
    store.open_trade(make_trade("sn-1", "AAPL"))
    clock.advance(5)
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    ledger.load(simulated=False, tally=False)
    assert ledger.newest_row_at == pytest.approx(clock.now().timestamp())


def test_what_an_earlier_simulation_left_open_is_ended_and_not_loaded(
    ledger: Ledger, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in (1, 2):
        store.open_trade(make_trade(f"sn-{number}", f"S{number}"))
    assert ledger.load(simulated=True, tally=False) == []
    assert {row["exitReason"] for row in rows_of(store).values()} == {
        "simulation_ended"
    }
    assert caplog.messages == ["ended 2 rows that an earlier simulation left open"]
    assert ledger.load(simulated=True, tally=False) == []
    assert len(caplog.messages) == 1, "nothing to be said of none"


def test_recent_orders_are_counted_while_loading_only_if_they_will_be_asked_for(
    ledger: Ledger, store: Store
) -> None:
    store.open_trade(make_trade())
    ledger.load(simulated=False, tally=False)
    assert ledger.tallied("AAPL", "paper") is None
    ledger.load(simulated=False, tally=True)
    assert ledger.tallied("AAPL", "paper") == Recently(0.0, 1, 1, 10_000)


def test_a_simulation_counts_no_orders_of_the_one_before(
    ledger: Ledger, store: Store
) -> None:
    store.open_trade(make_trade())
    ledger.load(simulated=True, tally=True)
    assert ledger.tallied("AAPL", "paper") == Recently(None, 0, 0, 0)


@pytest.mark.parametrize("simulated", [False, True])
def test_a_file_that_cannot_be_used_ends_the_start_and_is_named(
    ledger: Ledger, other: sqlite3.Connection, database: Path, *, simulated: bool
) -> None:
    other.execute("DROP TABLE BotTrade")
    with pytest.raises(StartError) as caught:
        ledger.load(simulated=simulated, tally=False)
    assert (
        str(caught.value)
        == f"database: {database} cannot be used: no such table: BotTrade"
    )


# Writing


async def leave(how: str) -> None:
    """End a block."""
    if how == "an error":
        raise ZeroDivisionError
    if how == "a cancellation":
        await trio.sleep_forever()


async def write_and_leave(
    ledger: Ledger, how: str, until: Callable[[], float], reported: list[str]
) -> None:
    """Queue three rows in a block that ends as it is told."""
    with trio.CancelScope() as scope:
        async with ledger.writing(until=until):
            await wait_all_tasks_blocked()
            for name in "abc":
                ledger.writer.put(opening(name, reported))
            if how == "a cancellation":
                scope.cancel()
            await leave(how)


async def write_and_leave_somehow(
    ledger: Ledger, how: str, until: Callable[[], float], reported: list[str]
) -> None:
    with trio.fail_after(10):
        if how == "an error":
            with pytest.RaisesGroup(ZeroDivisionError):
                await write_and_leave(ledger, how, until, reported)
        else:
            await write_and_leave(ledger, how, until, reported)


ENDINGS = pytest.mark.parametrize("how", ["its end", "an error", "a cancellation"])


@ENDINGS
async def test_what_was_decided_in_the_block_is_written_whatever_ends_it(
    ledger: Ledger, store: Store, how: str
) -> None:
    reported: list[str] = []
    await write_and_leave_somehow(ledger, how, in_time, reported)
    assert reported == list(rows_of(store)) == ["a", "b", "c"]
    status = ledger.status()
    assert (status.pending, status.applied, status.abandoned) == (0, 3, 0)


@ENDINGS
async def test_what_cannot_be_written_in_time_is_abandoned_whatever_ends_the_block(
    ledger: Ledger,
    store: Store,
    other: sqlite3.Connection,
    logged_errors: LoggedErrors,
    how: str,
) -> None:
    reported: list[str] = []
    other.execute("BEGIN IMMEDIATE")

    async def release_late() -> None:
        await trio.sleep(5)
        other.execute("ROLLBACK")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release_late)
        await write_and_leave_somehow(
            ledger, how, lambda: trio.current_time() + 0.1, reported
        )
        nursery.cancel_scope.cancel()
    assert other.in_transaction, "long before the lock ends"
    other.execute("ROLLBACK")
    assert (reported, rows_of(store)) == ([], {})
    assert ledger.status().abandoned == 3
    [error] = logged_errors.take()
    assert error.startswith("cannot write the database: database is locked")


@ENDINGS
async def test_a_lock_that_ends_within_the_time_loses_nothing(
    ledger: Ledger,
    store: Store,
    other: sqlite3.Connection,
    logged_errors: LoggedErrors,
    how: str,
) -> None:
    reported: list[str] = []
    other.execute("BEGIN IMMEDIATE")

    async def release() -> None:
        await settled(lambda: not ledger.healthy)
        other.execute("ROLLBACK")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        await write_and_leave_somehow(ledger, how, in_time, reported)
    assert reported == list(rows_of(store)) == ["a", "b", "c"]
    assert ledger.status().abandoned == 0
    assert ledger.healthy
    assert len(logged_errors.take()) == 1


async def test_the_deadline_is_asked_for_once_and_when_the_block_is_left(
    ledger: Ledger,
) -> None:
    asked: list[str] = []

    def until() -> float:
        asked.append("until")
        return in_time()

    async with ledger.writing(until=until):
        await ledger.writer.write(opens("a"))
        asked.append("block")
    assert asked == ["block", "until"]


async def test_nothing_is_taken_once_the_block_is_left(ledger: Ledger) -> None:
    async with ledger.writing(until=in_time):
        pass
    with pytest.raises(trio.ClosedResourceError):
        ledger.writer.put(ChangeOf(change_nothing))


async def test_a_fault_of_the_writer_ends_the_block(ledger: Ledger) -> None:
    left = []
    with (
        trio.fail_after(5),
        pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True),
    ):
        async with ledger.writing(until=at_once):
            ledger.writer.put(ChangeOf(opens("a"), reports_nothing))
            try:
                await trio.sleep_forever()
            finally:
                left.append("block")
    assert left == ["block"]


async def test_the_files_log_is_kept_short_while_it_is_written(
    ledger: Ledger, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "_CHECKPOINT_EVERY", 1)
    notes = "SELECT count(*) FROM SnexecMeta WHERE key = 'checkpoint'"

    def noted() -> bool:
        return bool(other.execute(notes).fetchone()[0])

    assert not noted()
    with trio.fail_after(5):
        async with ledger.writing(until=in_time):
            await ledger.writer.write(opens("a"))
            await settled(noted)


# Reading


async def test_open_rows_are_counted(ledger: Ledger, store: Store) -> None:
    store.open_trade(make_trade())
    assert await ledger.count_open() == 1


async def test_open_rows_that_cannot_be_counted_are_none(
    store: Store, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(store, path=tmp_path / "gone.db", clock=clock)
    assert await ledger.count_open() is None
    assert warnings_of(caplog) == [
        "status: cannot count the open rows: unable to open database file"
    ]


async def test_nobody_waits_for_a_count_that_was_given_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, ended = threading.Event(), threading.Event()

    def count_open() -> int:
        assert may_end.wait(10)
        ended.set()
        return 7

    monkeypatch.setattr(ledger.reader, "count_open", count_open)
    with trio.move_on_after(0.02) as scope:
        await ledger.count_open()
    assert scope.cancelled_caught
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(10)


async def test_a_count_that_is_not_there_in_time_is_none(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(ledger_module, "_READ_SECONDS", 0.02)
    monkeypatch.setattr(ledger.reader, "count_open", lambda: may_end.wait(10))
    try:
        with trio.fail_after(5):
            for _ in range(5):
                assert await ledger.count_open() is None
    finally:
        may_end.set()
    assert (
        warnings_of(caplog)
        == ["status: cannot count the open rows: no answer within 0.02 s"] * 5
    )


def no_start(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_rows_are_read_where_no_thread_can_be_started_any_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger.writing(until=in_time):
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", no_start)
            assert await ledger.ask(ledger.reader.count_open) == 0


async def test_what_cannot_be_read_for_want_of_a_thread_is_an_error_of_the_rows(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", no_start)
        with pytest.raises(sqlite3.Error, match="can't start new thread"):
            await ledger.ask(ledger.reader.count_open)
        assert await ledger.count_open() is None
        await ledger.check()
    assert [line.partition(":")[0] for line in warnings_of(caplog)] == [
        "status",
        "the database could not be checked",
    ]


# Checking


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    path = tmp_path / "damaged.db"
    make_foreign(path, *((f"id-{n}" * 9, f"S{n}", "open") for n in range(2000)))
    damage = bytearray(contents(path))
    damage[8192:12288] = b"\xff" * 4096
    path.write_bytes(damage)
    return path


async def test_a_large_file_that_is_damaged_is_refused(
    store: Store, damaged: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_QUICKLY_CHECKED_BYTES", 0)
    ledger = Ledger(store, path=damaged, clock=clock)
    with pytest.raises(StartError, match=r"damaged\.db is damaged: "):
        await ledger.check()


async def test_a_small_file_was_checked_at_the_start(
    store: Store, damaged: Path, clock: FakeClock
) -> None:
    await Ledger(store, path=damaged, clock=clock).check()


async def test_a_large_file_that_is_sound_is_left_alone(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_module, "_QUICKLY_CHECKED_BYTES", 0)
    await ledger.check()
    assert warnings_of(caplog) == []


async def test_a_file_that_cannot_be_checked_is_a_warning_and_no_more(
    store: Store, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    await Ledger(store, path=tmp_path / "gone.db", clock=clock).check()
    assert warnings_of(caplog) == [
        "the database could not be checked: unable to open database file"
    ]


async def test_rows_that_hold_what_cannot_be_read_are_named(
    ledger: Ledger, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_row(database, shares="many")
    await ledger.check()
    assert warnings_of(caplog) == [
        "the database: row 'x' ('GE') cannot be read in full: shares 'many' is no"
        " number, and counts as unknown"
    ]


# The files


def take_away(database: Path) -> Path:
    return database.rename(database.with_name("elsewhere.db"))


@pytest.mark.jumping_time
async def test_what_is_done_to_a_file_is_noticed_within_a_second(
    ledger: Ledger, database: Path, logged_errors: LoggedErrors
) -> None:
    ledger.load(simulated=False, tally=False)
    async with ledger.writing(until=in_time):
        await trio.sleep(10)
        assert ledger.status()[:3] == (0, 0, True), "a look writes nothing"
        take_away(database)
        await trio.sleep(1.1)
        assert (ledger.healthy, ledger.status().healthy) == (False, False)
        assert ledger.damage == f"{database} was removed or replaced"
        with pytest.raises(sqlite3.OperationalError, match="removed or replaced"):
            ledger.reader.open().__enter__()
        assert await ledger.count_open() is None
        database.with_name("elsewhere.db").rename(database)
    logged_errors.take()  # time jumps over what the writer's thread does meanwhile


@pytest.mark.jumping_time
async def test_a_stop_waits_for_no_probe_of_a_file_that_is_gone(
    ledger: Ledger, database: Path, logged_errors: LoggedErrors
) -> None:
    ledger.load(simulated=False, tally=False)
    async with ledger.writing(until=in_time):
        take_away(database)
        await trio.sleep(5)
        assert not ledger.healthy
        began = trio.current_time()
    assert trio.current_time() - began <= 2, "until the try that is under way"
    assert not any("could not be written" in line for line in logged_errors.take())


async def test_what_waits_for_a_file_is_written_once_it_is_put_back(
    ledger: Ledger, store: Store, database: Path, logged_errors: LoggedErrors
) -> None:
    reported: list[str] = []
    ledger.load(simulated=False, tally=False)
    async with ledger.writing(until=in_time):
        elsewhere = take_away(database)
        ledger.look()
        ledger.writer.open(opening("a", reported))
        await settled(lambda: not ledger.writer.healthy)
        assert reported == []
        elsewhere.rename(database)
        await settled(lambda: ledger.healthy)
    assert reported == list(rows_of(store)) == ["a"]
    saved, refused = logged_errors.take()
    assert "every row that was in it up to now is in" in saved
    assert "put back the file that was there" in refused


@pytest.mark.jumping_time
async def test_a_daemon_that_took_the_lock_meanwhile_stops_orders_while_it_has_it(
    store: Store, database: Path, clock: FakeClock, logged_errors: LoggedErrors
) -> None:
    beside = database.with_name(f"{database.name}.lock")
    with lock_file(database, owner="database") as lock:
        ledger = Ledger(store, path=database, clock=clock, lock=lock)
        async with ledger.writing(until=in_time):
            await trio.sleep(3)
            health = [ledger.healthy]
            beside.unlink()
            with lock_file(database, owner="database"):
                await trio.sleep(3)
                health.append(ledger.healthy)
                assert "in use by another snexec" in (ledger.damage or "")
            await trio.sleep(3)
            health.append(ledger.healthy)
    assert health == [True, False, True]
    assert len(logged_errors.take()) == 1
