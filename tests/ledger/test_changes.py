"""Changes: applied together or alone, and what their askers hear."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.ledger.changes import AwaitedChange, apply, apply_alone
from snexec.ledger.writer import Writer
from tests.fakes import rows_of
from tests.ledger.writing import (
    ChangeOf,
    CountingStore,
    breaks_a_rule,
    change_nothing,
    divides_by_zero,
    opening,
    opens,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors


# Applied


def test_a_change_that_is_applied_is_reported_later(store: Store) -> None:
    reported: list[str] = []
    store.begin()
    call, result = apply(ChangeOf(opens("a"), reported.append), store)
    store.commit()
    assert (reported, list(rows_of(store))) == ([], ["a"])
    call(result)
    assert reported == ["opened"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (breaks_a_rule, sqlite3.IntegrityError),
        (divides_by_zero, ZeroDivisionError),
        (lambda store: store._db.execute("SELECT ?"), sqlite3.ProgrammingError),
    ],
)
def test_a_change_at_fault_is_undone_alone_and_hears_why(
    store: Store, fault: Callable[[Store], object], kind: type[Exception]
) -> None:
    heard: list[Exception] = []
    reported: list[str] = []
    store.begin()
    calls = [
        apply_alone(opening("x", reported), store, {}),
        apply_alone(ChangeOf(fault, failed=heard.append), store, {}),
        apply_alone(opening("y", reported), store, {}),
    ]
    store.commit()
    for call, result in calls:
        call(result)
    assert reported == list(rows_of(store)) == ["x", "y"]
    assert [type(error) for error in heard] == [kind]


def test_a_fault_of_the_file_is_nobodys_change(store: Store) -> None:
    def full(_store: Store) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    store.begin()
    with pytest.raises(sqlite3.OperationalError, match="full"):
        apply_alone(ChangeOf(full), store, {})
    store.rollback()


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

    with trio.fail_after(30):
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
    assert results["bug"] is ZeroDivisionError
    assert rows_of(counting).keys() == {"x", "y"}
    assert counting.commits == 1
    assert writer.healthy


# Awaited


async def test_who_waits_has_the_result_once_it_is_durable(
    nursery: trio.Nursery,
) -> None:
    change = AwaitedChange(opens("a"))
    results: list[str] = []

    async def wait() -> None:
        results.append(await change.result())

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    assert results == []
    change.done("opened")
    await wait_all_tasks_blocked()
    assert results == ["opened"]
    assert await change.result() == "opened", "and whoever asks later"


async def test_nothing_is_a_result_too() -> None:
    change = AwaitedChange(change_nothing)
    change.done(None)
    with trio.fail_after(30):
        await change.result()


async def test_who_waits_hears_what_was_wrong_with_the_change() -> None:
    change = AwaitedChange(opens("a"))
    error = sqlite3.IntegrityError("UNIQUE constraint failed")
    change.failed(error)
    with trio.fail_after(30), pytest.raises(sqlite3.IntegrityError) as caught:
        await change.result()
    assert caught.value is error


async def test_a_cancelled_caller_leaves_its_change_applied(
    counting: CountingStore, nursery: trio.Nursery
) -> None:
    writer = Writer(counting)
    counting.may_commit.clear()
    nursery.start_soon(writer.run)
    with trio.fail_after(30):
        with trio.move_on_after(0.02) as scope:
            await writer.write(opens("a"))
        assert scope.cancelled_caught
        counting.may_commit.set()
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
    with trio.fail_after(30):
        await writer.run()
    assert list(rows_of(counting)) == ["a"]


# Probes


async def test_a_probe_is_a_sign_of_life_and_no_change(
    counting: CountingStore, database: Path, nursery: trio.Nursery
) -> None:
    log = database.with_name(f"{database.name}-wal")
    writer = Writer(counting)
    with trio.fail_after(30):
        nursery.start_soon(writer.run)
        await writer.write(opens("a"))
        before, size = writer.status(), log.stat().st_size
        counting.may_commit.clear()
        writer._committer.disk_is_quick = False  # the thread can be held up
        writer.probe()
        await settled(lambda: writer.status().tries == before.tries + 1)
        assert (writer.pending, writer.status().pending) == (1, 0), "while it waits"
        counting.may_commit.set()
        await settled(lambda: writer.pending == 0)
        await wait_all_tasks_blocked()
    status = writer.status()
    assert (
        (status.applied, writer.applied) == (before.applied, before.applied) == (1, 1)
    )
    assert (counting.commits, list(rows_of(counting))) == (2, ["a"])
    assert log.stat().st_size == size > 0
    writer.close()


async def test_a_probe_that_is_given_up_is_no_change_that_was_lost(
    counting: CountingStore,
    logged_errors: LoggedErrors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(counting, "begin", refuse)
    writer = Writer(counting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.probe()
        with trio.fail_after(30):
            await settled(lambda: not writer.healthy)
        assert writer.status().pending == 0
        nursery.cancel_scope.cancel()
    [line] = logged_errors.take()
    assert "changes that wait: 0" in line
    assert (writer.pending, writer.status().abandoned) == (1, 0)


async def test_probes_among_changes_are_not_counted_with_them(
    counting: CountingStore,
) -> None:
    writer = Writer(counting)
    heard: list[Exception] = []
    for name in "abc":
        writer.probe()
        writer.put(ChangeOf(opens(name)))
    writer.put(ChangeOf(breaks_a_rule, failed=heard.append))
    writer.close()
    with trio.fail_after(30):
        await writer.run()
    assert len(heard) == 1
    assert (writer.applied, writer.status().applied) == (4, 4)
