"""The writer: in order, in batches, and nothing lost, whatever the disk does."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from snexec.ledger import writer as writer_module
from snexec.ledger.rows import OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.ledger.writer import Writer, WriterStatus, _log_failure
from tests.fakes import FakeClock, make_trade, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import LoggedErrors

ADD = "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt) VALUES "


class CountingStore(Store):
    """A real store that counts its transactions, and may hold one up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection, clock=FakeClock())
        self.commits = 0
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.has_room = threading.Event()

    def begin(self) -> None:
        assert self.may_begin.wait(10)
        if self.has_room.is_set():
            self._db.execute("PRAGMA max_page_count = 1000000")
        super().begin()

    def commit(self) -> None:
        super().commit()
        self.commits += 1


@pytest.fixture
def patient(database: Path) -> Iterator[CountingStore]:
    """Give a store that waits for locks as long as the daemon's does."""
    store = CountingStore(open_database(database, simulated=False, clock=FakeClock()))
    yield store
    store.may_begin.set()
    store._db.close()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, patient: CountingStore) -> CountingStore:
    """Give a store with short time-outs and retries, and batches cut by number only."""
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", (0.01,))
    for name in ("_BATCH_SECONDS", "_BATCH_SECONDS_BESIDE_ORDERS"):
        monkeypatch.setattr(writer_module, name, 60.0)
    patient._db.execute("PRAGMA busy_timeout = 20")
    return patient


def opens(trade_id: str, symbol: str | None = None) -> Callable[[Store], str]:
    """Make the change that opens a row."""
    return lambda store: store.open_trade(make_trade(trade_id, symbol or trade_id))


def _append(told: list[str], name: str, _: object) -> None:
    told.append(name)


def breaks_a_rule(store: Store) -> None:
    """Add a second row of an id."""
    store._db.execute(ADD + "('a', 'first', 'open', 'x', 'x')")
    store._db.execute(ADD + "('a', 'second', 'open', 'x', 'x')")


def divides_by_zero(store: Store) -> None:
    """Add a row, and then do what no change should."""
    opens("z")(store)
    raise ZeroDivisionError


async def settled(condition: Callable[[], bool]) -> None:
    """Wait for what a thread brings about."""
    while not condition():  # noqa: ASYNC110 - a thread sets no Trio event
        await trio.sleep(0.002)


async def test_a_change_is_durable_when_its_result_comes(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        assert await writer.write(opens("a")) == "opened"
        with closing(sqlite3.connect(database)) as other:
            assert other.execute("SELECT id FROM BotTrade").fetchall() == [("a",)]
        assert await writer.write(opens("a")) == "repeated"
    assert (writer.status().applied, writer.status().pending) == (2, 0)
    writer.close()


async def test_what_waits_is_one_transaction_in_the_order_of_its_coming(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    order: list[str] = []

    async def put(name: str) -> None:
        def change(store: Store) -> None:
            order.append(f"apply {name}")
            opens(name)(store)

        await writer.submit(change, lambda _: order.append(f"tell {name}"))

    names = [f"s{n}" for n in range(20)]
    with trio.fail_after(5):
        for name in names:
            await put(name)
        assert writer.status().pending == 20
        writer.close()
        await writer.run()
    assert order == [f"apply {n}" for n in names] + [f"tell {n}" for n in names]
    assert counting.commits == 1
    assert list(rows_of(counting)) == names
    assert writer.status().applied == 20


async def test_a_batch_is_bounded(counting: CountingStore) -> None:
    writer = Writer(counting)
    with trio.fail_after(10):
        for n in range(600):
            await writer.submit(opens(f"s{n}"), lambda _: None)
        writer.close()
        await writer.run()
    assert len(rows_of(counting)) == 600
    assert counting.commits == 19


async def test_an_orders_row_goes_before_all_that_waits(
    counting: CountingStore, logged_errors: LoggedErrors
) -> None:
    writer = Writer(counting)
    told: list[str] = []
    for n in range(100):
        await writer.submit(opens(f"s{n}"), lambda _: told.append("other"))
    writer.open(opens("order"), told.append, _log_failure)
    writer.open(breaks_a_rule, lambda _: None, lambda _: told.append("failed"))
    with trio.fail_after(5):
        writer.close()
        await writer.run()
    assert told[:2] == ["opened", "failed"]
    assert len(told) == 102
    assert logged_errors.take() == []


async def test_a_batch_that_takes_long_is_cut_short_and_loses_nothing(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_BATCH_SECONDS", 0.0)
    writer = Writer(counting)
    told: list[str] = []
    with trio.fail_after(10):
        for n in range(20):
            name = f"s{n}"
            await writer.submit(opens(name), partial(_append, told, name))
        writer.close()
        await writer.run()
    assert counting.commits == 20, "one at a time, the least there is"
    assert list(rows_of(counting)) == told == [f"s{n}" for n in range(20)]
    assert writer.status() == WriterStatus(pending=0, applied=20, healthy=True)


async def test_an_orders_row_that_comes_while_others_are_told_is_written_between(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    told: list[str] = []

    def tell(_: str) -> None:
        told.append("other")
        if len(told) == 3:
            writer.open(opens("order"), told.append, _log_failure)

    with trio.fail_after(5):
        for n in range(30):
            await writer.submit(opens(f"s{n}"), tell)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await settled(lambda: len(told) == 31)
            writer.close()
    assert told.index("opened") == 16, "at the next pause for breath"


async def quick(writer: Writer) -> None:
    """Have a writer find out that its disk is quick."""
    await writer.write(lambda _store: None)


async def test_an_orders_row_that_came_during_a_commit_goes_before_what_that_tells(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    told: list[str] = []

    def ask(_seconds: float) -> None:
        writer.timed = None
        writer.open(opens("order"), told.append, _log_failure)

    writer.timed = ask
    for n in range(3):
        await writer.submit(opens(f"s{n}"), lambda _: told.append("other"))
    with trio.fail_after(5):
        await settled(lambda: len(told) == 4)
    assert told[0] == "opened"
    writer.close()


async def test_an_orders_row_is_written_in_the_step_that_asks_for_it(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    told: list[str] = []
    for name in ("a", "b"):
        writer.open(opens(name), partial(_append, told, name), _log_failure)
    await writer.submit(opens("c"), partial(_append, told, "c"))
    writer.open_now()
    assert told == ["a", "b"], "and what is no order's waits for the writer's own turn"
    with closing(sqlite3.connect(database)) as other:
        ids = other.execute("SELECT id FROM BotTrade ORDER BY id").fetchall()
    assert ids == [("a",), ("b",)]
    with trio.fail_after(5):
        await settled(lambda: told == ["a", "b", "c"])
    writer.open_now()
    assert counting.commits == 3
    writer.close()


@pytest.fixture
async def sharing(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> tuple[Writer, list[str]]:
    """Give a writer that lets a, b and whatever comes share a commit for a minute.

    And a list of what it has told of.
    """
    monkeypatch.setattr(writer_module, "_SHARE_SECONDS", 60.0)
    writer, told = Writer(counting), list[str]()
    nursery.start_soon(writer.run)
    await quick(writer)
    checkpoint = trio.lowlevel.checkpoint

    async def grow() -> None:
        monkeypatch.setattr(trio.lowlevel, "checkpoint", checkpoint)
        writer.put(opens("b"), partial(_append, told, "b"), _log_failure)
        await checkpoint()

    monkeypatch.setattr(trio.lowlevel, "checkpoint", grow)
    writer.put(opens("a"), partial(_append, told, "a"), _log_failure)
    await wait_all_tasks_blocked()
    assert writer.status().pending == 2
    return writer, told


async def test_a_flood_shares_a_commit_that_an_orders_row_does_not_wait_for(
    counting: CountingStore, sharing: tuple[Writer, list[str]]
) -> None:
    writer, told = sharing
    writer.put(opens("c"), partial(_append, told, "c"), _log_failure)
    await wait_all_tasks_blocked()
    assert (told, counting.commits) == ([], 1)
    writer.open(opens("order"), partial(_append, told, "order"), _log_failure)
    with trio.fail_after(5):
        await settled(lambda: len(told) == 4)
    assert told == ["order", "a", "b", "c"]
    assert counting.commits == 3
    writer.close()


async def test_a_flood_waits_no_longer_once_there_is_enough_for_a_commit(
    counting: CountingStore, sharing: tuple[Writer, list[str]]
) -> None:
    writer, told = sharing
    for n in range(30):
        writer.put(opens(f"s{n}"), partial(_append, told, f"s{n}"), _log_failure)
    with trio.fail_after(5):
        await settled(lambda: len(told) == 32)
    assert counting.commits == 2
    writer.close()


async def test_rows_that_are_asked_for_at_once_by_many_are_written_together(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_ALONE_SECONDS", 60.0)
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    before = counting.commits
    told: list[str] = []
    for name in "abcdef":
        writer.open(opens(name), partial(_append, told, name), _log_failure)
        writer.open_now()
    assert told == ["a"]
    with trio.fail_after(5):
        await settled(lambda: told == list("abcdef"))
    assert counting.commits == before + 2
    writer.close()


async def test_a_row_after_a_pause_does_not_part_those_that_wait(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_ALONE_SECONDS", 60.0)
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    told: list[str] = []
    for name in "ab":
        writer.open(opens(name), partial(_append, told, name), _log_failure)
        writer.open_now()
    monkeypatch.setattr(writer_module, "_ALONE_SECONDS", 0.0)
    writer.open(opens("c"), partial(_append, told, "c"), _log_failure)
    writer.open_now()
    assert told == ["a"], "b waits for the writer's task, and c goes with it"
    with trio.fail_after(5):
        await settled(lambda: told == ["a", "b", "c"])
    writer.open(opens("d"), partial(_append, told, "d"), _log_failure)
    writer.open_now()
    assert told[-1] == "d"
    writer.close()


async def test_a_disk_that_is_not_known_to_be_quick_is_left_to_the_writers_own_turn(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    told: list[str] = []
    writer.open(opens("a"), told.append, _log_failure)
    writer.open_now()
    assert told == []
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        await settled(lambda: told == ["opened"])
    writer.close()


async def test_what_a_thread_writes_is_not_disturbed(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    told: list[str] = []
    counting.may_begin.clear()
    await writer.submit(opens("a"), partial(_append, told, "a"))
    await settled(lambda: writer.tries == 1)
    writer._disk_is_quick = True  # as the thread finds before its end
    writer.open(opens("b"), partial(_append, told, "b"), _log_failure)
    writer.open_now()
    assert told == []
    counting.may_begin.set()
    with trio.fail_after(5):
        await settled(lambda: sorted(told) == ["a", "b"])
    assert counting.commits == 2, "each in a transaction of its own"
    writer.close()


async def test_a_lock_met_in_that_step_is_waited_for_by_the_writer(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    told: list[str] = []
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.open(opens("a"), told.append, _log_failure)
        writer.open_now()
        assert told == []
    with trio.fail_after(5):
        await settled(lambda: told == ["opened"])
    writer.close()


async def test_a_fault_in_that_step_ends_the_writer_and_keeps_nothing_back(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    told: list[str] = []

    def fail(_: str) -> None:
        raise ZeroDivisionError

    with (
        trio.fail_after(5),
        pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await quick(writer)
            writer.open(opens("a"), fail, _log_failure)
            writer.open(opens("b"), partial(_append, told, "b"), _log_failure)
            writer.open_now()
            assert told == ["b"]
            await trio.sleep_forever()


async def test_a_writer_that_has_ended_takes_nothing_and_says_so(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    writer.close()
    await writer.run()
    with pytest.raises(trio.ClosedResourceError):
        writer.open(opens("a"), lambda _: None, _log_failure)


async def test_a_lock_that_is_met_between_holds_back_nothing_that_is_durable(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    told: list[str] = []
    with closing(sqlite3.connect(database)) as other:

        def tell(name: str, _: object) -> None:
            told.append(name)
            if name == "s0":
                other.execute("BEGIN IMMEDIATE")
                writer.open(opens("order"), told.append, _log_failure)

        nursery.start_soon(writer.run)
        with trio.fail_after(5):
            await writer.write(opens("first"))
            for n in range(30):
                await writer.submit(opens(f"s{n}"), partial(tell, f"s{n}"))
            await settled(lambda: len(told) == 30)
            assert told == [f"s{n}" for n in range(30)]
            other.execute("ROLLBACK")
            await settled(lambda: told[-1] == "opened")
    writer.close()


async def test_a_writer_whose_time_is_up_tells_what_is_durable(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    told: list[str] = []
    async with trio.open_nursery() as nursery:

        def tell(name: str, _: object) -> None:
            told.append(name)
            nursery.cancel_scope.cancel()

        for n in range(30):
            await writer.submit(opens(f"s{n}"), partial(tell, f"s{n}"))
        nursery.start_soon(writer.run)
    assert list(rows_of(counting)) == told == [f"s{n}" for n in range(30)]


async def test_a_flood_of_orders_does_not_starve_other_changes(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    numbers = itertools.count()
    opened: list[str] = []

    def open_another(_: str) -> None:
        name = f"order{next(numbers)}"
        opened.append(name)
        writer.open(opens(name), open_another, _log_failure)

    open_another("")
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        await writer.write(opens("fill"))
    assert len(opened) < 10
    nursery.cancel_scope.cancel()


async def test_a_quick_disk_is_written_from_the_event_loop_and_a_slow_one_is_not(
    patient: CountingStore, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    threads: list[bool] = []

    def note(store: Store) -> None:
        threads.append(threading.current_thread() is not threading.main_thread())
        opens(f"s{len(threads)}")(store)

    writer = Writer(patient)
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        for slow_seconds in (60.0, 60.0, 0.0, 0.0, 60.0, 60.0):
            monkeypatch.setattr(writer_module, "_SLOW_SECONDS", slow_seconds)
            await writer.write(note)
    # The first commit, and the one after each slow one, find out.
    assert threads == [True, False, False, True, True, False]
    writer.close()


async def test_a_lock_that_the_event_loop_meets_is_waited_for_in_the_thread(
    patient: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(patient)
    nursery.start_soon(writer.run)
    with trio.fail_after(5), closing(sqlite3.connect(database)) as other:
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


async def test_the_log_is_kept_short_now_and_then_and_a_failure_of_that_is_no_fault(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    calls: list[int] = []

    def checkpoint() -> None:
        calls.append(writer.status().applied)
        raise sqlite3.OperationalError("database or disk is full")

    writer = Writer(counting, checkpoint=checkpoint)
    nursery.start_soon(writer.run)
    with trio.fail_after(10):
        for due in (1, 2):
            for _ in range(120):
                await writer.submit(lambda _store: None, lambda _: None)
            await settled(partial(lambda due: len(calls) == due, due))
    assert calls == [120, 240], "once nothing more was to be written"
    writer.close()


async def test_a_checkpoint_waits_for_a_lull_but_not_for_ever(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_LONGEST_LULL_WAIT_SECONDS", 0.05)
    calls: list[int] = []
    writer = Writer(counting, checkpoint=lambda: calls.append(1))
    nursery.start_soon(writer.run)

    async def flood() -> None:
        while True:
            await writer.write(lambda _store: None)
            await trio.lowlevel.checkpoint()

    with trio.fail_after(10):
        nursery.start_soon(flood)
        await settled(lambda: len(calls) > 0)
    nursery.cancel_scope.cancel()


async def test_changes_that_come_during_a_commit_are_the_next_batch(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_begin.clear()
    told: list[str] = []
    await writer.submit(opens("a"), told.append)
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        await wait_all_tasks_blocked()
        for name in "bcd":
            await writer.submit(opens(name), told.append)
        assert (writer.status().pending, told) == (4, [])
        counting.may_begin.set()
        await settled(lambda: len(told) == 4)
    assert counting.commits == 2
    assert list(rows_of(counting)) == ["a", "b", "c", "d"]
    writer.close()


async def test_a_change_that_breaks_a_rule_fails_alone(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    results: dict[str, object] = {}

    async def write(name: str, change: Callable[[Store], object]) -> None:
        try:
            results[name] = await writer.write(change)
        except (sqlite3.IntegrityError, ZeroDivisionError) as exc:
            results[name] = type(exc)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, "before", opens("x"))
            nursery.start_soon(write, "rule", breaks_a_rule)
            nursery.start_soon(write, "bug", divides_by_zero)
            nursery.start_soon(write, "after", opens("y"))
            await wait_all_tasks_blocked()
            writer.close()
            await writer.run()
    assert results["before"] == results["after"] == "opened"
    assert results["rule"] is sqlite3.IntegrityError
    assert rows_of(counting).keys() == {"x", "y"}
    assert counting.commits == 1
    assert writer.healthy


async def test_a_change_nobody_waits_for_is_logged_when_it_fails(
    counting: CountingStore, logged_errors: LoggedErrors
) -> None:
    writer = Writer(counting)
    told: list[object] = []
    with trio.fail_after(5):
        await writer.submit(breaks_a_rule, told.append)
        await writer.submit(opens("y"), told.append)
        writer.close()
        await writer.run()
    assert told == ["opened"]
    assert logged_errors.take() == ["a change of a row failed, recovery will ask again"]


async def test_a_locked_database_is_waited_for_and_nothing_is_lost(
    counting: CountingStore,
    database: Path,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(counting)
    told: list[str] = []
    nursery.start_soon(writer.run)
    with (
        trio.fail_after(10),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        await writer.submit(opens("a"), told.append)
        await settled(lambda: not writer.healthy)
        await writer.submit(opens("b"), told.append)
        assert not writer.status().healthy
        assert (writer.status().pending, told) == (2, [])
        other.execute("COMMIT")
        await settled(lambda: len(told) == 2)
    assert writer.status().healthy
    assert writer.status().pending == 0
    assert list(rows_of(counting)) == ["a", "b"]
    (message,) = logged_errors.take()
    assert message.startswith(
        "cannot write the database: database is locked; no order is placed"
    )
    assert "writes the database again" in caplog.messages[-1]
    writer.close()


async def test_a_lock_that_ends_soon_is_no_fault(
    patient: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(patient)
    nursery.start_soon(writer.run)
    with (
        trio.fail_after(10),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        told: list[str] = []
        await writer.submit(opens("a"), told.append)
        await trio.sleep(0.1)  # real time, in which the thread waits for the lock
        other.execute("COMMIT")
        await settled(lambda: told == ["opened"])
    assert writer.healthy
    writer.close()


async def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    counting: CountingStore, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    db = counting._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    writer = Writer(counting)
    told: list[str] = []
    nursery.start_soon(writer.run)
    with trio.fail_after(10):
        for n in range(300):
            await writer.submit(opens(f"s{n}"), told.append)
        await settled(lambda: not writer.healthy)
        assert writer.status().pending == 300
        assert told == []
        counting.has_room.set()
        await settled(lambda: len(told) == 300)
    assert told == ["opened"] * 300
    assert list(rows_of(counting)) == [f"s{n}" for n in range(300)]
    (message,) = logged_errors.take()
    assert "database or disk is full" in message
    writer.close()


async def test_an_unhealthy_writer_reminds_once_a_minute(
    counting: CountingStore,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
    nursery: trio.Nursery,
    database: Path,
) -> None:
    monkeypatch.setattr(writer_module, "_REMIND_SECONDS", 0.15)
    writer = Writer(counting)
    messages: list[str] = []
    with (
        trio.fail_after(10),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        nursery.start_soon(writer.run)
        began = trio.current_time()
        await writer.submit(opens("a"), lambda _: None)
        while len(messages) < 3:
            messages += logged_errors.take()
            await trio.sleep(0.005)
        assert trio.current_time() - began >= 0.3
        other.execute("COMMIT")
        await settled(lambda: writer.healthy)
    assert len(messages) == 3
    writer.close()


async def test_a_cancelled_caller_leaves_its_change_applied(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_begin.clear()
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        with trio.move_on_after(0.02) as scope:
            await writer.write(opens("a"))
        assert scope.cancelled_caught
        counting.may_begin.set()
        assert await writer.write(opens("b")) == "opened"
    assert list(rows_of(counting)) == ["a", "b"]
    writer.close()


async def test_a_caller_that_is_cancelled_already_leaves_its_change_too(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.write(opens("a"))
    writer.close()
    with trio.fail_after(5):
        await writer.run()
    assert list(rows_of(counting)) == ["a"]


async def test_close_drains_what_waits_and_ends_the_run(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_begin.clear()
    ended = trio.Event()

    async def run() -> None:
        await writer.run()
        ended.set()

    nursery.start_soon(run)
    with trio.fail_after(5):
        for n in range(400):
            await writer.submit(opens(f"s{n}"), lambda _: None)
        await wait_all_tasks_blocked()
        writer.close()
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        counting.may_begin.set()
        await ended.wait()
    assert len(rows_of(counting)) == 400
    assert writer.status().pending == 0


async def test_nothing_is_taken_after_close(counting: CountingStore) -> None:
    writer = Writer(counting)
    writer.close()
    with pytest.raises(trio.ClosedResourceError):
        await writer.submit(opens("a"), lambda _: None)


async def test_a_batch_under_way_is_finished_and_told_when_the_writer_is_cancelled(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    counting.may_begin.clear()
    told: list[str] = []
    await writer.submit(opens("a"), told.append)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            counting.may_begin.set()
    assert told == ["opened"]
    assert list(rows_of(counting)) == ["a"]


async def test_what_a_cancelled_writer_could_not_write_is_counted(
    counting: CountingStore, database: Path, logged_errors: LoggedErrors
) -> None:
    writer = Writer(counting)
    with (
        trio.fail_after(5),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        for name in "abc":
            await writer.submit(opens(name), lambda _: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await settled(lambda: not writer.healthy)
            nursery.cancel_scope.cancel()
        other.execute("COMMIT")
    assert writer.status().pending == 3
    assert rows_of(counting) == {}
    assert len(logged_errors.take()) == 1


async def test_the_event_loop_goes_on_while_the_disk_is_slow(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_begin.clear()
    nursery.start_soon(writer.run)
    with trio.fail_after(5):
        await writer.submit(opens("a"), lambda _: None)
        await wait_all_tasks_blocked()
        for _ in range(1000):
            await trio.lowlevel.checkpoint()
        assert rows_of_elsewhere(counting) == 0
        counting.may_begin.set()
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


async def test_the_stream_of_changes_keeps_one_orders_words_in_order(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="a")
    outcomes: list[str] = []
    with trio.fail_after(5):
        await writer.write(opens("a"))
        for change in (
            lambda store: store.apply_working(ref),
            lambda store: store.apply_partial_fill(ref, price=None, shares=None),
            lambda store: store.apply_rejected(ref),
            lambda store: store.apply_rejected(ref),
        ):
            await writer.submit(
                change, lambda applied: outcomes.append(applied.outcome)
            )
        await settled(lambda: len(outcomes) == 4)
    assert outcomes == ["unchanged", "partial_fill", "rejected", "unchanged"]
    writer.close()


@pytest.fixture(autouse=True)
def _warnings_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
