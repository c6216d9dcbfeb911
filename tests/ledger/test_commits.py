"""Commits: short beside orders, at once where the disk is quick, else with patience."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from snexec.ledger import commits as commits_module
from snexec.ledger.changes import Batch
from snexec.ledger.commits import Committer
from snexec.ledger.store import Store
from snexec.ledger.writer import Writer
from tests.fakes import make_trade, rows_of
from tests.ledger.hands import TRIGGERS, trigger
from tests.ledger.writing import (
    ADD,
    ChangeOf,
    CountingStore,
    breaks_a_rule,
    opening,
    opens,
    quick,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snexec.ledger.changes import Report
    from tests.conftest import LoggedErrors


@pytest.fixture
def committer(counting: CountingStore) -> Iterator[Committer]:
    """Give what commits to a store that can be watched."""
    committer = Committer(counting)
    yield committer
    committer.close()


@pytest.fixture
def other(counting: CountingStore, database: Path) -> Iterator[sqlite3.Connection]:
    """Give another program's connection."""
    del counting  # which makes the file
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        yield connection


def batch(*names: str, openings: int = 0, reported: list[str] | None = None) -> Batch:
    """Make a batch of rows to be opened, the first of them those of orders."""
    told = [] if reported is None else reported
    return Batch([opening(name, told) for name in names], openings)


def report(reports: list[Report] | None) -> None:
    assert reports is not None
    for call, result in reports:
        call(result)


def lock_patience(store: CountingStore) -> int:
    """Return how many milliseconds the store waits for a lock."""
    found: int = store._db.execute("PRAGMA busy_timeout").fetchone()[0]
    return found


# A batch


async def test_a_batch_is_one_transaction_and_reported_in_its_order(
    counting: CountingStore,
    committer: Committer,
) -> None:
    reported: list[str] = []
    reports = committer.at_once(batch("a", "b", "c", reported=reported))
    assert (counting.commits, committer.tries) == (1, 1)
    assert reported == [], "that is for the writer"
    report(reports)
    assert reported == list(rows_of(counting)) == ["a", "b", "c"]


async def test_what_takes_long_is_cut_off_but_no_order_is(
    counting: CountingStore, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits_module, "_BATCH_SECONDS", 0.0)
    reported: list[str] = []
    report(committer.at_once(batch("a", "b", reported=reported)))
    assert reported == ["a"], "one at least"
    report(
        committer.at_once(batch("c", "d", "e", "f", openings=3, reported=reported)),
    )
    assert reported == list(rows_of(counting)) == ["a", "c", "d", "e"]


async def test_a_commit_is_shorter_for_a_while_once_an_order_was_there(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits_module, "_BATCH_SECONDS_BESIDE_ORDERS", 0.0)
    reported: list[str] = []
    report(committer.at_once(batch("a", "b", reported=reported)))
    assert reported == ["a", "b"]
    committer.note_order()
    report(committer.at_once(batch("c", "d", reported=reported)))
    assert reported == ["a", "b", "c"]
    monkeypatch.setattr(commits_module, "_BESIDE_ORDERS_SECONDS", 0.0)
    report(committer.at_once(batch("e", "f", reported=reported)))
    assert reported == ["a", "b", "c", "e", "f"]


async def test_one_change_at_fault_costs_the_others_nothing_but_time(
    counting: CountingStore,
    committer: Committer,
) -> None:
    reported, heard = list[str](), list[Exception]()
    changes = batch("x", "y", reported=reported).changes
    changes.insert(1, ChangeOf(breaks_a_rule, failed=heard.append))
    report(committer.at_once(Batch(changes, 0)))
    assert reported == list(rows_of(counting)) == ["x", "y"]
    assert [type(error) for error in heard] == [sqlite3.IntegrityError]
    assert counting.commits == 1
    assert committer.disk_is_quick


async def test_what_ends_the_program_leaves_no_transaction_behind(
    counting: CountingStore,
    committer: Committer,
) -> None:
    def interrupted(_store: Store) -> None:
        raise KeyboardInterrupt

    changes = [*batch("a").changes, ChangeOf(interrupted)]
    with pytest.raises(KeyboardInterrupt):
        committer.at_once(Batch(changes, 0))
    assert not counting._db.in_transaction
    assert rows_of(counting) == {}


# Figures


async def test_commits_are_timed_and_tries_are_counted(
    committer: Committer, other: sqlite3.Connection
) -> None:
    committer.at_once(batch("a"))
    other.execute("BEGIN IMMEDIATE")
    assert committer.at_once(batch("b")) is None
    other.execute("ROLLBACK")
    committer.at_once(batch("b"))
    assert (committer.tries, sum(committer.times.counts)) == (3, 2)
    assert 0 < committer.times.total < 10


async def test_the_rows_of_orders_are_dated(committer: Committer) -> None:
    committer.at_once(batch("a"))
    assert committer.seconds_since_rows == float("inf")
    committer.at_once(batch("b", openings=1))
    first = committer.seconds_since_rows
    assert 0 <= first < 10
    committer.at_once(batch("c"))
    assert committer.seconds_since_rows > first


# The disk's pace


async def test_a_disk_is_quick_once_it_has_shown_it_and_until_it_is_slow(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [committer.disk_is_quick]
    for number, slow_seconds in enumerate((60.0, 0.0, 60.0)):
        monkeypatch.setattr(commits_module, "_SLOW_SECONDS", slow_seconds)
        committer.at_once(batch(f"s{number}"))
        shown.append(committer.disk_is_quick)
    assert shown == [False, True, False, True]


async def test_a_lock_is_waited_for_only_where_that_holds_nothing_up(
    counting: CountingStore, committer: Committer, other: sqlite3.Connection
) -> None:
    reported: list[str] = []
    committer.at_once(batch("a"))
    assert lock_patience(counting) == 0, "the event loop waits for none"
    other.execute("BEGIN IMMEDIATE")
    assert committer.at_once(batch("b", reported=reported)) is None
    assert not committer.disk_is_quick
    assert lock_patience(counting) == 2000, "the thread does"
    assert (reported, list(rows_of(counting))) == ([], ["a"])
    other.execute("ROLLBACK")
    report(await committer.with_patience(batch("b", reported=reported)))
    assert reported == ["b"]
    assert committer.disk_is_quick


async def test_a_lock_that_outlasts_all_patience_is_an_error(
    counting: CountingStore, committer: Committer, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await committer.with_patience(batch("a"))
    assert not committer.in_thread
    assert not committer.disk_is_quick
    other.execute("ROLLBACK")
    report(await committer.with_patience(batch("a")))
    assert list(rows_of(counting)) == ["a"]


async def test_a_thread_that_has_the_connection_says_so(
    counting: CountingStore, committer: Committer, nursery: trio.Nursery
) -> None:
    counting.may_commit.clear()
    nursery.start_soon(committer.with_patience, batch("a"))
    await wait_all_tasks_blocked()
    assert committer.in_thread
    counting.may_commit.set()
    with trio.fail_after(30):
        await settled(lambda: not committer.in_thread)
    assert list(rows_of(counting)) == ["a"]


# As the writer has them


async def test_one_kept_thread_makes_every_commit(
    patient: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    commit = patient.commit

    def note() -> None:
        threads.append(threading.current_thread())
        commit()

    monkeypatch.setattr(patient, "commit", note)
    writer = Writer(patient)
    with trio.fail_after(30):
        async with trio.open_nursery() as writing:
            writing.start_soon(writer.run)
            for number, slow_seconds in enumerate((60.0, 60.0, 0.0, 0.0, 60.0, 60.0)):
                monkeypatch.setattr(commits_module, "_SLOW_SECONDS", slow_seconds)
                await writer.write(opens(f"s{number}"))
            writer.close()
    assert len(threads) == 6
    assert {thread.name for thread in threads} == {"commits"}
    assert len(set(threads)) == 1
    assert not threads[0].is_alive(), "it ends with the writer"


@pytest.fixture
async def quick_writer(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> Writer:
    """Give a writer whose disk was quick so far, and may now be held up."""
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        await quick(writer)
    monkeypatch.setattr(commits_module, "_LOOP_SECONDS", 0.001)
    counting.may_commit.clear()
    return writer


async def test_the_first_slow_commit_holds_up_an_orders_row_and_nothing_else(
    counting: CountingStore, quick_writer: Writer
) -> None:
    reported: list[str] = []
    with trio.fail_after(30):
        quick_writer.open(opening("a", reported))
        quick_writer.open_now()
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        for name in "bc":
            quick_writer.open(opening(name, reported))
            quick_writer.open_now()
        await trio.sleep(0.05)
        assert (reported, quick_writer.pending) == ([], 3)
        counting.may_commit.set()
        await settled(lambda: len(reported) == 3)
    assert reported == list(rows_of(counting)) == ["a", "b", "c"]
    assert (quick_writer.pending, quick_writer.healthy) == (0, True)
    quick_writer.close()


async def test_the_first_slow_commit_holds_up_a_fill_and_nothing_else(
    counting: CountingStore, quick_writer: Writer
) -> None:
    reported: list[str] = []
    with trio.fail_after(30):
        quick_writer.put(opening("a", reported))
        await settled(lambda: quick_writer._committer.late is not None)
        quick_writer.open(opening("b", reported))
        quick_writer.open_now()
        assert reported == []
        counting.may_commit.set()
        await settled(lambda: len(reported) == 2)
    assert list(rows_of(counting)) == ["a", "b"]
    assert sorted(reported) == ["a", "b"], "an order's row may be told first"
    quick_writer.close()


async def test_a_late_commit_that_fails_is_made_again(
    counting: CountingStore, quick_writer: Writer, logged_errors: LoggedErrors
) -> None:
    reported: list[str] = []
    with trio.fail_after(30):
        quick_writer.open(opening("a", reported))
        quick_writer.open_now()
        counting.fault = sqlite3.OperationalError("disk I/O error")
        tries = quick_writer.status().tries
        counting.may_commit.set()
        await settled(lambda: quick_writer.status().tries > tries + 1)
        counting.fault = None
        await settled(lambda: reported == ["a"])
    assert list(rows_of(counting)) == ["a"]
    assert quick_writer.pending == 0
    assert "disk I/O error" in "".join(logged_errors.take())
    quick_writer.close()


async def test_a_writer_that_is_stopped_waits_for_what_the_thread_has(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reported = Writer(counting), list[str]()
    with trio.fail_after(30):
        async with trio.open_nursery() as writing:
            writing.start_soon(writer.run)
            await quick(writer)
            monkeypatch.setattr(commits_module, "_LOOP_SECONDS", 0.001)
            counting.may_commit.clear()
            writer.open(opening("a", reported))
            writer.open_now()
            writing.cancel_scope.cancel()
            threading.Timer(0.05, counting.may_commit.set).start()
    assert reported == list(rows_of(counting)) == ["a"]
    assert writer.status().abandoned == 0


async def test_a_writer_without_a_thread_is_unhealthy_and_tries_again(
    counting: CountingStore,
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
) -> None:
    def no_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer, reported = Writer(counting), list[str]()
    with monkeypatch.context() as limited, trio.fail_after(30):
        limited.setattr(threading.Thread, "start", no_start)
        nursery.start_soon(writer.run)
        writer.open(opening("a", reported))
        await settled(lambda: not writer.healthy)
        assert reported == []
    with trio.fail_after(30):
        await settled(lambda: reported == ["a"])
    assert writer.healthy
    [error] = logged_errors.take()
    assert "cannot write the database: can't start new thread: raise the limit" in error
    writer.close()


async def test_a_lock_that_the_event_loop_meets_is_waited_for_in_the_thread(
    patient: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(patient)
    nursery.start_soon(writer.run)
    with trio.fail_after(30), closing(sqlite3.connect(database)) as other:
        await writer.write(opens("a"))
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as waiting:
            waiting.start_soon(writer.write, opens("b"))
            longest = 0.0
            for _ in range(20):
                before = trio.current_time()
                await trio.sleep(0.005)
                longest = max(longest, trio.current_time() - before)
            assert writer.status().pending == 1
            other.execute("ROLLBACK")
        assert longest < 1.0, "nothing else was held up"
    assert rows_of(patient).keys() == {"a", "b"}
    assert writer.healthy
    writer.close()


async def test_a_lock_that_ends_soon_is_no_fault(
    patient: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(patient)
    nursery.start_soon(writer.run)
    with (
        trio.fail_after(30),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        reported: list[str] = []
        await writer.submit(ChangeOf(opens("a"), reported.append))
        await trio.sleep(0.1)  # real time, in which the thread waits for the lock
        other.execute("COMMIT")
        await settled(lambda: reported == ["opened"])
    assert writer.healthy
    writer.close()


async def test_the_event_loop_goes_on_while_the_disk_is_slow(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_commit.clear()
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        await writer.submit(ChangeOf(opens("a")))
        await wait_all_tasks_blocked()
        for _ in range(1000):
            await trio.lowlevel.checkpoint()
        assert rows_of_elsewhere(counting) == 0
        counting.may_commit.set()
        await settled(lambda: writer.status().applied == 1)
    writer.close()


def rows_of_elsewhere(store: CountingStore) -> int:
    """Count rows on a connection of their own."""
    path = store._db.execute("PRAGMA database_list").fetchone()["file"]
    with closing(sqlite3.connect(path)) as other:
        count: int = other.execute("SELECT count(*) FROM BotTrade").fetchone()[0]
    return count


async def test_another_program_writes_beside_the_daemon(
    patient: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(patient)
    nursery.start_soon(writer.run)

    def other_program() -> None:
        with closing(sqlite3.connect(database, timeout=10)) as other:
            for n in range(40):
                with other:
                    other.execute(ADD + f"('x{n}', 'X{n}', 'open', 'x', 'x')")
                    other.execute(
                        "UPDATE BotTrade SET status = 'closed' WHERE id = ?", [f"x{n}"]
                    )

    with trio.fail_after(20):
        async with trio.open_nursery() as both:
            both.start_soon(trio.to_thread.run_sync, other_program)
            results = [await writer.write(opens(f"s{n}")) for n in range(40)]
    assert results == ["opened"] * 40
    assert len(rows_of(patient)) == 80
    writer.close()


# Another program's triggers


@pytest.mark.parametrize("kind", TRIGGERS)
async def test_a_trigger_ends_the_changes_it_speaks_of_and_no_others(
    committer: Committer, counting: CountingStore, database: Path, kind: str
) -> None:
    trigger(database, kind, "INSERT")
    reported, heard = list[str](), list[Exception]()
    changes = batch("x", "y", "z", reported=reported).changes
    for place in (1, 3):
        doomed = make_trade(f"sn-{place}", "DOOM")
        changes.insert(
            place,
            ChangeOf(partial(Store.open_trade, trade=doomed), failed=heard.append),
        )
    report(committer.at_once(Batch(changes, 5)))
    assert reported == list(rows_of(counting)) == ["x", "y", "z"]
    assert [str(error) for error in heard] == [TRIGGERS[kind][1]] * 2
    assert committer.disk_is_quick, "nothing is wrong with it"
    assert not counting._db.in_transaction


async def test_a_fault_of_the_file_among_faults_of_changes_is_tried_again(
    committer: Committer, counting: CountingStore, database: Path
) -> None:
    trigger(database, "undoes all", "INSERT")
    reported, heard = list[str](), list[Exception]()
    tries = 0

    def fails_once(_store: Store) -> str:
        nonlocal tries
        tries += 1
        if tries == 3:
            raise full
        return "written"

    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    doomed = partial(Store.open_trade, trade=make_trade("sn-1", "DOOM"))
    changes = [
        *batch("x", reported=reported).changes,
        ChangeOf(fails_once, reported.append),
        ChangeOf(doomed, failed=heard.append),
    ]
    assert committer.at_once(Batch(changes, 0)) is None
    assert (reported, heard, rows_of(counting)) == ([], [], {})
    report(await committer.with_patience(Batch(changes, 0)))
    assert reported == ["x", "written"]
    assert len(heard) == 1


async def test_a_wait_for_a_file_to_come_back_is_seen_as_tries(
    committer: Committer,
    counting: CountingStore,
    database: Path,
    logged_errors: LoggedErrors,
) -> None:
    counting.unsettled()
    counting.watch.begin()
    await trio.Path(database).unlink()
    counting.watch.look()
    for tries in (1, 2):
        with pytest.raises(sqlite3.OperationalError, match="removed or replaced"):
            await committer.with_patience(batch("a"))
        assert committer.tries == tries
    assert committer.at_once(batch("a")) is None
    assert len(logged_errors.take()) == 1
