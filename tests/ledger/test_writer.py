"""The writer: in order, in batches, and nothing lost, whatever the disk does."""

from __future__ import annotations

import itertools
import logging
import math
import sqlite3
from contextlib import closing
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from snexec.ledger import commits as commits_module
from snexec.ledger import writer as writer_module
from snexec.ledger.rows import OrderRef
from snexec.ledger.writer import Writer
from tests.fakes import rows_of
from tests.ledger.writing import (
    ChangeOf,
    CountingStore,
    breaks_a_rule,
    opening,
    opens,
    quick,
    reports_nothing,
    settled,
)

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors


async def test_a_change_is_durable_when_its_result_comes(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
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

        await writer.submit(ChangeOf(change, lambda _: order.append(f"report {name}")))

    names = [f"s{n}" for n in range(20)]
    with trio.fail_after(30):
        for name in names:
            await put(name)
        assert writer.status().pending == 20
        writer.close()
        await writer.run()
    assert order == [f"apply {n}" for n in names] + [f"report {n}" for n in names]
    assert counting.commits == 1
    assert list(rows_of(counting)) == names
    assert writer.status().applied == 20


async def test_a_batch_is_bounded(counting: CountingStore) -> None:
    writer = Writer(counting)
    with trio.fail_after(30):
        for n in range(600):
            await writer.submit(ChangeOf(opens(f"s{n}")))
        writer.close()
        await writer.run()
    assert len(rows_of(counting)) == 600
    assert counting.commits == math.ceil(600 / writer_module._MAX_BATCH)


async def test_an_orders_row_goes_before_all_that_waits(
    counting: CountingStore, logged_errors: LoggedErrors
) -> None:
    writer = Writer(counting)
    reported: list[str] = []
    for n in range(100):
        await writer.submit(
            ChangeOf(opens(f"s{n}"), lambda _: reported.append("other"))
        )
    writer.open(ChangeOf(opens("order"), reported.append))
    writer.open(ChangeOf(breaks_a_rule, failed=lambda _: reported.append("failed")))
    with trio.fail_after(30):
        writer.close()
        await writer.run()
    assert reported[:2] == ["opened", "failed"]
    assert len(reported) == 102
    assert logged_errors.take() == []


async def test_a_batch_that_takes_long_is_cut_short_and_loses_nothing(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits_module, "_BATCH_SECONDS", 0.0)
    writer = Writer(counting)
    reported: list[str] = []
    with trio.fail_after(30):
        for n in range(20):
            await writer.submit(opening(f"s{n}", reported))
        writer.close()
        await writer.run()
    assert counting.commits == 20, "one at a time, the least there is"
    assert list(rows_of(counting)) == reported == [f"s{n}" for n in range(20)]
    status = writer.status()
    assert (status.pending, status.applied, status.healthy) == (0, 20, True)


async def test_an_orders_row_that_comes_while_others_are_reported_is_written_between(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    reported: list[str] = []

    def report(_: str) -> None:
        reported.append("other")
        if len(reported) == 3:
            writer.open(ChangeOf(opens("order"), reported.append))

    with trio.fail_after(30):
        for n in range(30):
            await writer.submit(ChangeOf(opens(f"s{n}"), report))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await settled(lambda: len(reported) == 31)
            writer.close()
    assert reported.index("opened") == 16, "at the next pause for breath"


async def test_an_orders_row_that_came_during_a_commit_goes_before_what_that_reports(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    reported: list[str] = []

    def order_comes() -> None:
        writer.open(ChangeOf(opens("order"), reported.append))

    counting.committed = order_comes
    for n in range(3):
        await writer.submit(
            ChangeOf(opens(f"s{n}"), lambda _: reported.append("other"))
        )
    with trio.fail_after(30):
        await settled(lambda: len(reported) == 4)
    assert reported[0] == "opened"
    writer.close()


async def test_an_orders_row_is_written_in_the_step_that_asks_for_it(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    reported: list[str] = []
    for name in ("a", "b"):
        writer.open(opening(name, reported))
    await writer.submit(opening("c", reported))
    writer.open_now()
    assert reported == ["a", "b"], (
        "and what is no order's waits for the writer's own turn"
    )
    with closing(sqlite3.connect(database)) as other:
        ids = other.execute("SELECT id FROM BotTrade ORDER BY id").fetchall()
    assert ids == [("a",), ("b",)]
    with trio.fail_after(30):
        await settled(lambda: reported == ["a", "b", "c"])
    writer.open_now()
    assert counting.commits == 3
    writer.close()


@pytest.fixture
async def sharing(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> tuple[Writer, list[str]]:
    """Give a writer that lets a, b and whatever comes share a commit for a minute.

    And a list of what it has reported.
    """
    monkeypatch.setattr(writer_module, "_SHARE_SECONDS", 60.0)
    writer, reported = Writer(counting), list[str]()
    nursery.start_soon(writer.run)
    await quick(writer)
    checkpoint = trio.lowlevel.checkpoint

    async def grow() -> None:
        monkeypatch.setattr(trio.lowlevel, "checkpoint", checkpoint)
        writer.put(opening("b", reported))
        await checkpoint()

    monkeypatch.setattr(trio.lowlevel, "checkpoint", grow)
    writer.put(opening("a", reported))
    await wait_all_tasks_blocked()
    assert writer.status().pending == 2
    return writer, reported


async def test_a_flood_shares_a_commit_that_an_orders_row_does_not_wait_for(
    counting: CountingStore, sharing: tuple[Writer, list[str]]
) -> None:
    writer, reported = sharing
    writer.put(opening("c", reported))
    await wait_all_tasks_blocked()
    assert (reported, counting.commits) == ([], 1)
    writer.open(opening("order", reported))
    with trio.fail_after(30):
        await settled(lambda: len(reported) == 4)
    assert reported == ["order", "a", "b", "c"]
    assert counting.commits == 3
    writer.close()


async def test_a_flood_waits_no_longer_once_there_is_enough_for_a_commit(
    counting: CountingStore, sharing: tuple[Writer, list[str]]
) -> None:
    writer, reported = sharing
    enough = writer_module._MAX_BATCH
    for n in range(enough - 2):
        writer.put(opening(f"s{n}", reported))
    with trio.fail_after(30):
        await settled(lambda: len(reported) == enough)
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
    reported: list[str] = []
    for name in "abcdef":
        writer.open(opening(name, reported))
        writer.open_now()
    assert reported == ["a"]
    with trio.fail_after(30):
        await settled(lambda: reported == list("abcdef"))
    assert counting.commits == before + 2
    writer.close()


async def test_a_row_after_a_pause_does_not_part_those_that_wait(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_ALONE_SECONDS", 60.0)
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    reported: list[str] = []
    for name in "ab":
        writer.open(opening(name, reported))
        writer.open_now()
    monkeypatch.setattr(writer_module, "_ALONE_SECONDS", 0.0)
    writer.open(opening("c", reported))
    writer.open_now()
    assert reported == ["a"], "b waits for the writer's task, and c goes with it"
    with trio.fail_after(30):
        await settled(lambda: reported == ["a", "b", "c"])
    writer.open(opening("d", reported))
    writer.open_now()
    assert reported[-1] == "d"
    writer.close()


async def test_a_disk_that_is_not_known_to_be_quick_is_left_to_the_writers_own_turn(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    reported: list[str] = []
    writer.open(ChangeOf(opens("a"), reported.append))
    writer.open_now()
    assert reported == []
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        await settled(lambda: reported == ["opened"])
    writer.close()


async def test_what_a_thread_writes_is_not_disturbed(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    reported: list[str] = []
    counting.may_commit.clear()
    await writer.submit(opening("a", reported))
    await settled(lambda: writer.status().tries == 1)
    writer._committer.disk_is_quick = True  # as the thread finds before its end
    writer.open(opening("b", reported))
    writer.open_now()
    assert reported == []
    counting.may_commit.set()
    with trio.fail_after(30):
        await settled(lambda: sorted(reported) == ["a", "b"])
    assert counting.commits == 2, "each in a transaction of its own"
    writer.close()


async def test_a_lock_met_in_that_step_is_waited_for_by_the_writer(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    await quick(writer)
    reported: list[str] = []
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.open(ChangeOf(opens("a"), reported.append))
        writer.open_now()
        assert reported == []
    with trio.fail_after(30):
        await settled(lambda: reported == ["opened"])
    writer.close()


async def test_a_fault_in_that_step_ends_the_writer_and_keeps_nothing_back(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    reported: list[str] = []

    with (
        trio.fail_after(30),
        pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await quick(writer)
            writer.open(ChangeOf(opens("a"), reports_nothing))
            writer.open(opening("b", reported))
            writer.open_now()
            assert reported == ["b"]
            await trio.sleep_forever()


async def test_a_writer_that_has_ended_takes_nothing_and_says_so(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    writer.close()
    await writer.run()
    with pytest.raises(trio.ClosedResourceError):
        writer.open(ChangeOf(opens("a")))


async def test_a_lock_that_is_met_between_holds_back_nothing_that_is_durable(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    reported: list[str] = []
    with closing(sqlite3.connect(database)) as other:

        def report(name: str, _: object) -> None:
            reported.append(name)
            if name == "s0":
                other.execute("BEGIN IMMEDIATE")
                writer.open(ChangeOf(opens("order"), reported.append))

        nursery.start_soon(writer.run)
        with trio.fail_after(30):
            await writer.write(opens("first"))
            for n in range(30):
                await writer.submit(ChangeOf(opens(f"s{n}"), partial(report, f"s{n}")))
            await settled(lambda: len(reported) == 30)
            assert reported == [f"s{n}" for n in range(30)]
            other.execute("ROLLBACK")
            await settled(lambda: reported[-1] == "opened")
    writer.close()


async def test_a_writer_whose_time_is_up_reports_what_is_durable(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    reported: list[str] = []
    async with trio.open_nursery() as nursery:

        def report(name: str, _: object) -> None:
            reported.append(name)
            nursery.cancel_scope.cancel()

        for n in range(30):
            await writer.submit(ChangeOf(opens(f"s{n}"), partial(report, f"s{n}")))
        nursery.start_soon(writer.run)
    assert list(rows_of(counting)) == reported == [f"s{n}" for n in range(30)]


async def test_a_flood_of_orders_does_not_starve_other_changes(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    numbers = itertools.count()
    opened: list[str] = []

    def open_another(_: str) -> None:
        name = f"order{next(numbers)}"
        opened.append(name)
        writer.open(ChangeOf(opens(name), open_another))

    open_another("")
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        await writer.write(opens("fill"))
    assert len(opened) < 10
    nursery.cancel_scope.cancel()


async def test_changes_that_come_during_a_commit_are_the_next_batch(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_commit.clear()
    reported: list[str] = []
    await writer.submit(ChangeOf(opens("a"), reported.append))
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        await wait_all_tasks_blocked()
        for name in "bcd":
            await writer.submit(ChangeOf(opens(name), reported.append))
        assert (writer.status().pending, reported) == (4, [])
        counting.may_commit.set()
        await settled(lambda: len(reported) == 4)
    assert counting.commits == 2
    assert list(rows_of(counting)) == ["a", "b", "c", "d"]
    writer.close()


async def test_a_locked_database_is_waited_for_and_nothing_is_lost(
    counting: CountingStore,
    database: Path,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(counting)
    reported: list[str] = []
    nursery.start_soon(writer.run)
    with (
        trio.fail_after(30),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        await writer.submit(ChangeOf(opens("a"), reported.append))
        await settled(lambda: not writer.healthy)
        await writer.submit(ChangeOf(opens("b"), reported.append))
        assert not writer.status().healthy
        assert (writer.status().pending, reported) == (2, [])
        other.execute("COMMIT")
        await settled(lambda: len(reported) == 2)
    assert writer.status().healthy
    assert writer.status().pending == 0
    assert list(rows_of(counting)) == ["a", "b"]
    (message,) = logged_errors.take()
    assert message.startswith(
        "cannot write the database: database is locked; no order is placed"
    )
    assert "writes the database again" in caplog.messages[-1]
    writer.close()


async def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    counting: CountingStore, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    db = counting._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    writer = Writer(counting)
    reported: list[str] = []
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        for n in range(300):
            await writer.submit(ChangeOf(opens(f"s{n}"), reported.append))
        await settled(lambda: not writer.healthy)
        assert writer.status().pending == 300
        assert reported == []
        counting.has_room.set()
        await settled(lambda: len(reported) == 300)
    assert reported == ["opened"] * 300
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
        trio.fail_after(30),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        nursery.start_soon(writer.run)
        began = trio.current_time()
        await writer.submit(ChangeOf(opens("a")))
        while len(messages) < 3:
            messages += logged_errors.take()
            await trio.sleep(0.005)
        assert trio.current_time() - began >= 0.3
        other.execute("COMMIT")
        await settled(lambda: writer.healthy)
    assert len(messages) == 3
    writer.close()


async def test_close_drains_what_waits_and_ends_the_run(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_commit.clear()
    ended = trio.Event()

    async def run() -> None:
        await writer.run()
        ended.set()

    nursery.start_soon(run)
    with trio.fail_after(30):
        for n in range(400):
            await writer.submit(ChangeOf(opens(f"s{n}")))
        await wait_all_tasks_blocked()
        writer.close()
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        counting.may_commit.set()
        await ended.wait()
    assert len(rows_of(counting)) == 400
    assert writer.status().pending == 0


async def test_nothing_is_taken_after_close(counting: CountingStore) -> None:
    writer = Writer(counting)
    writer.close()
    with pytest.raises(trio.ClosedResourceError):
        await writer.submit(ChangeOf(opens("a")))


async def test_a_batch_under_way_is_finished_and_reported_when_the_writer_is_cancelled(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    counting.may_commit.clear()
    reported: list[str] = []
    await writer.submit(ChangeOf(opens("a"), reported.append))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            counting.may_commit.set()
    assert reported == ["opened"]
    assert list(rows_of(counting)) == ["a"]


async def test_what_a_cancelled_writer_could_not_write_is_counted(
    counting: CountingStore, database: Path, logged_errors: LoggedErrors
) -> None:
    writer = Writer(counting)
    with (
        trio.fail_after(30),
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        for name in "abc":
            await writer.submit(ChangeOf(opens(name)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await settled(lambda: not writer.healthy)
            nursery.cancel_scope.cancel()
        other.execute("COMMIT")
    assert writer.status().pending == 3
    assert rows_of(counting) == {}
    assert len(logged_errors.take()) == 1


async def test_the_stream_of_changes_keeps_one_orders_words_in_order(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    nursery.start_soon(writer.run)
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="a")
    outcomes: list[str] = []
    with trio.fail_after(30):
        await writer.write(opens("a"))
        for change in (
            lambda store: store.apply_working(ref),
            lambda store: store.apply_partial_fill(ref, price=None, shares=None),
            lambda store: store.apply_ended(
                ref, "rejected", price=None, quantity=Decimal(0)
            ),
            lambda store: store.apply_ended(
                ref, "rejected", price=None, quantity=Decimal(0)
            ),
        ):
            await writer.submit(
                ChangeOf(change, lambda applied: outcomes.append(applied.outcome))
            )
        await settled(lambda: len(outcomes) == 4)
    assert outcomes == ["unchanged", "partial_fill", "rejected", "unchanged"]
    writer.close()


async def test_who_outruns_the_disk_is_held_back_until_there_is_room(
    counting: CountingStore, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_MAX_WAITING", 2)
    writer, queued = Writer(counting), list[str]()
    counting.may_commit.clear()
    nursery.start_soon(writer.run)

    async def flood() -> None:
        for name in "abcd":
            await writer.submit(ChangeOf(opens(name)))
            queued.append(name)

    with trio.fail_after(30):
        nursery.start_soon(flood)
        await wait_all_tasks_blocked()
        assert (queued, writer.status().pending) == (["a", "b"], 3)
        counting.may_commit.set()
        await settled(lambda: writer.status().applied == 4)
    assert queued == list("abcd")
    writer.close()


async def test_a_writer_is_behind_while_more_waits_than_it_should(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_BEHIND", 2)
    writer = Writer(counting)
    behind = []
    for name in "abc":
        writer.put(ChangeOf(opens(name)))
        behind.append(writer.is_behind)
    writer.close()
    with trio.fail_after(30):
        await writer.run()
    assert (behind, writer.is_behind) == ([False, False, True], False)


@pytest.fixture(autouse=True)
def _warnings_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
