"""The exits as the rest of the daemon sees them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.positions import PositionList
from snexec.exits import Exits
from snexec.market import MarketHours
from snexec.reconciliation import ForeignSell
from tests.fakes import make_settings, warnings_of
from tests.orders.hearing import buy

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger import Applied, ExitApplied
    from snexec.settings import ExitSettings
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


def make_exits(rig: Rig) -> Exits:
    """Build the exits of a rig over the rows that it has."""
    exits = Exits(
        *(rig.settings, rig.accounts, rig.ledger, rig.reconciler, rig.orders),
        *(MarketHours(rig.settings, rig.accounts), rig.halt, rig.feed),
    )
    exits.load()
    return exits


async def test_a_foreign_sell_is_looked_at_if_it_may_be_of_what_is_held(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(exits={})
    buy(rig, symbol="BTC/USD")
    exits, looks = make_exits(rig), list[ForeignSell]()
    monkeypatch.setattr(exits._watching, "foreign_sell", looks.append)
    for _ in range(100):
        exits.foreign_sell(ForeignSell("paper", "MSFT"))
        exits.foreign_sell(ForeignSell("live", "BTC/USD"))
    assert looks == [], "a busy account would take recovery's requests"
    exits.foreign_sell(ForeignSell("paper", "BTCUSD"))
    exits.foreign_sell(ForeignSell("paper", ""))
    assert looks == [ForeignSell("paper", "BTCUSD"), ForeignSell("paper", "")]


async def test_the_book_hears_first_of_what_was_bought_and_sold(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, heard = make_rig(exits={}), list[str]()
    exits = make_exits(rig)
    assert exits._watching is not None
    for name, part, methods in (
        ("seller", exits._seller, ("bought", "sold")),
        ("stops", exits._watching.stops, ("look", "heard")),
        ("book", exits._book, ("bought", "sold")),
    ):
        for each in methods:
            said = f"{name} {each}"
            monkeypatch.setattr(part, each, lambda *_, said=said: heard.append(said))
    exits.bought(cast("Applied", None))
    assert heard == ["book bought", "stops look", "seller bought"]
    heard.clear()
    exits.sold(cast("ExitApplied", None))
    assert heard == ["book sold", "stops heard", "seller sold"]


async def test_rules_that_cannot_be_forgotten_end_nothing(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig()
    rig.store.held.note_rules("of an earlier run")
    rig.ledger.exit_rules = rig.store.held.rules()
    rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE DELETE ON SnexecMeta"
        " BEGIN SELECT RAISE(ABORT, 'no notes'); END"
    )
    nursery.start_soon(make_exits(rig).run)
    await wait_all_tasks_blocked()
    [line] = warnings_of(caplog)
    assert line.startswith("the rules of an earlier run cannot be forgotten (no notes)")


async def test_rows_that_nothing_watches_are_counted(
    make_rig: Callable[..., Rig],
) -> None:
    for sections, counts in (
        ({}, (0, 0)),  # it has no rules, so nothing is to be watched
        ({"exits": {"enabled": False}}, (0, 1)),
        ({"exits": {}}, (1, 0)),
    ):
        rig = make_rig(**sections)
        if not rig.rows():
            buy(rig)
        status = make_exits(rig).status()
        assert (status.watched, status.unwatched) == counts


async def test_without_exits_nothing_is_asked_and_with_them_watching_begins(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def positions(*_own: object) -> PositionList:
        await trio.lowlevel.checkpoint()
        return PositionList()

    rig = make_rig()
    monkeypatch.setattr(rig.paper, "positions", positions)
    buy(rig)
    exits = make_exits(rig)
    nursery.start_soon(exits.run)
    await trio.sleep(60)
    assert exits.explain("sn-1") is None
    assert rig.paper.requests == []
    section = make_settings(exits={"hard_stop_loss_pct": 5}).exits
    now = rig.settings.now
    rig.settings.now = now.model_copy(update={"exits": section})
    exits.settings_changed()
    while exits._watching is None:
        await wait_all_tasks_blocked(0.01)
    explained = exits.explain("sn-1")
    assert explained is not None
    assert [each.name for each in explained if each.is_on] == ["stop_loss"]


async def test_rules_wait_until_what_is_held_can_be_read(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> None:
    def fail(*_where: object) -> None:
        raise sqlite3.DatabaseError("no such table: SnexecMeta")

    rig = make_rig()
    buy(rig)
    exits = make_exits(rig)
    section = make_settings(exits={}).exits
    rig.settings.now = rig.settings.now.model_copy(update={"exits": section})
    with monkeypatch.context() as patch:
        patch.setattr(rig.store.held, "page", fail)
        nursery.start_soon(exits.run)
        while not (said := logged_errors.take()):
            await wait_all_tasks_blocked(0.01)
    assert said[0].startswith("what is held cannot be read, so no rule watches it (no")
    assert exits.explain("sn-1") is None
    await trio.sleep(11)
    assert exits.explain("sn-1") is not None


async def test_rules_that_are_removed_meanwhile_are_waited_for_no_more(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> None:
    def fail(*_where: object) -> None:
        raise sqlite3.DatabaseError("no such table: SnexecMeta")

    def set_exits(section: ExitSettings | None) -> None:
        rig.settings.now = rig.settings.now.model_copy(update={"exits": section})
        exits.settings_changed()

    rig = make_rig()
    buy(rig)
    exits = make_exits(rig)
    section = make_settings(exits={}).exits
    set_exits(section)
    with monkeypatch.context() as patch:
        patch.setattr(rig.store.held, "page", fail)
        nursery.start_soon(exits.run)
        while not logged_errors.take():
            await wait_all_tasks_blocked(0.01)
        set_exits(None)
        await trio.sleep(60)
    assert logged_errors.take() == []
    assert exits._book.missed is None, "it would grow for ever"
    set_exits(section)
    while exits.explain("sn-1") is None:
        await wait_all_tasks_blocked(0.01)


async def test_a_start_without_exits_forgets_the_rules_that_were_applied(
    make_rig: Callable[..., Rig], nursery: trio.Nursery
) -> None:
    rig = make_rig()
    rig.store.held.note_rules("the rules of an earlier run")
    rig.ledger.exit_rules = rig.store.held.rules()
    exits = make_exits(rig)
    nursery.start_soon(exits.run)
    await wait_all_tasks_blocked()
    assert rig.store.held.rules() is None
    assert rig.ledger.exit_rules is None, "those that SIGHUP brings are new"
