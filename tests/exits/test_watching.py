"""What watches is built with ``[exits]``, and each part hears what concerns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.positions import PositionList
from snexec.errors import NotSentError
from snexec.exits import watching as watching_module
from tests.exits.test_exits import make_exits
from tests.orders.hearing import buy

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.exits.watching import Watching
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


class Built:
    """What watches a row of shares and one of coins, and who heard of what.

    Attributes:
        heard: The calls that were noted, by the part and its method.
    """

    def __init__(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
    ) -> None:
        buy(rig)
        buy(rig, "sn-2", "BTC/USD", shares="0.1", price="60000")
        self.rig = rig
        self.exits = make_exits(rig)
        assert self.exits._watching is not None
        self.watching: Watching = self.exits._watching
        self.heard: list[str] = []
        self.lists = 0
        self.splits: list[list[str]] = []
        self._patch = monkeypatch
        self._nursery = nursery

    def note(self, part: str, method: str) -> None:
        """Note the calls of a part's method instead of making them."""
        found: Any = getattr(self.watching, part)
        name = f"{part}.{method}"
        self._patch.setattr(found, method, lambda *_: self.heard.append(name))

    async def run(self) -> None:
        """Watch for a while, over an account that answers with nothing."""

        async def positions(*_own: object) -> PositionList:
            await trio.lowlevel.checkpoint()
            self.lists += 1
            return PositionList()

        async def splits(_client: object, symbols: object, *_days: object) -> list[Any]:
            await trio.lowlevel.checkpoint()
            assert isinstance(symbols, list)
            self.splits.append(symbols)
            return []

        async def unanswered(*_: object, **__: object) -> None:
            await trio.lowlevel.checkpoint()
            raise NotSentError("no route")

        self._patch.setattr(self.rig.paper, "positions", positions)
        self._patch.setattr(self.rig.paper, "position", unanswered)
        self._patch.setattr(watching_module, "known_splits", splits)
        self._nursery.start_soon(self.watching.run)
        await trio.sleep(20)


@pytest.fixture
def make(
    make_rig: Callable[..., Rig],
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
) -> Callable[..., Built]:
    def built(**keys: object) -> Built:
        rig = make_rig(exits={"max_hold_duration_sec": 1e6, **keys})
        return Built(rig, monkeypatch, nursery)

    return built


async def test_new_settings_are_heard_by_all_that_go_by_them(
    make: Callable[..., Built],
) -> None:
    built = make()
    built.note("monitor", "settings_changed")
    built.note("stops", "look")
    built.note("_stream", "settings_changed")
    built.exits.settings_changed()
    assert sorted(built.heard) == [
        "_stream.settings_changed",
        "monitor.settings_changed",
        "stops.look",
    ]


async def test_what_is_bought_is_looked_at_and_gets_its_stop(
    make: Callable[..., Built],
) -> None:
    built = make()
    built.note("_prices", "look")
    built.note("stops", "look")
    built.watching.bought()
    assert sorted(built.heard) == ["_prices.look", "stops.look"]


async def test_after_a_time_that_nobody_has_seen_all_is_looked_at_anew(
    make: Callable[..., Built],
) -> None:
    built = make()
    built.note("_stream", "restart")
    built.note("_lookout", "begin_anew")
    built.exits.time_passed()
    assert sorted(built.heard) == ["_lookout.begin_anew", "_stream.restart"]


async def test_what_others_sold_is_looked_for_at_once(
    make: Callable[..., Built],
) -> None:
    built = make()
    await built.run()
    before = built.lists
    built.watching.look_now("paper")
    await wait_all_tasks_blocked()
    assert built.lists == before + 1


@pytest.mark.parametrize("keys", [{"enabled": False}, {"external": False}])
async def test_splits_are_asked_for_while_what_others_do_is_looked_for(
    make: Callable[..., Built], keys: dict[str, object]
) -> None:
    built = make(**keys)
    await built.run()
    assert built.splits == []


async def test_splits_of_shares_are_asked_for_and_coins_have_none(
    make: Callable[..., Built],
) -> None:
    built = make()
    await built.run()
    assert built.splits == [["AAPL"]]


async def test_while_it_is_off_no_account_is_asked_for_what_it_holds(
    make: Callable[..., Built],
) -> None:
    built = make(enabled=False)
    await built.run()
    assert built.lists == 0
