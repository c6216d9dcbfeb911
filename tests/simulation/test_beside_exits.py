"""The buy side keeps its promises while five hundred rows are watched (SPEC 12.10)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.rows import OrderRef
from tests.fakes import make_trade
from tests.simulation.checks import problems
from tests.simulation.exit_world import ExitWorld
from tests.simulation.steps import MonitorSells
from tests.simulation.test_simulation import STORIES

if TYPE_CHECKING:
    import trio

    from tests.simulation.sells import SellingBroker
    from tests.simulation.steps import Step
    from tests.simulation.world import Row, World

_WATCHED = 500
_PRICE = Decimal(100)
_NAMES = (
    "all is well",
    "killed between the POST and its reply",
    "found late, symbol free",
)


class BesideExits(ExitWorld):
    """A world in which many rows are held, and none of them moves."""

    def _make_broker(self, nursery: trio.Nursery) -> SellingBroker:
        broker = super()._make_broker(nursery)
        for number in range(_WATCHED):
            row_id, symbol = f"held-{number}", f"W{number}"
            self.store.open_trade(make_trade(row_id, symbol))
            self.store.apply_fill(
                OrderRef("paper", f"paper-w{number}", row_id),
                price=_PRICE,
                quantity=Decimal(1),
            )
            broker.holding("paper", symbol).add(Decimal(1), _PRICE)
        return broker

    def rows(self) -> dict[str, Row]:
        found = super().rows()
        return {name: row for name, row in found.items() if name[:5] != "held-"}


def _problems(world: World) -> list[str]:
    assert world.daemon is not None
    watched = world.daemon.wings.exits.status().watched
    few = [f"{watched} rows are watched"] if watched < _WATCHED else []
    return [*few, *problems(world)]


def play_beside(story: list[Step]) -> None:
    world = BesideExits(story, max_hold=1e6)
    world.play(_problems)
    assert world.sells == {}, "none of them was touched"
    held = [world.broker.holding("paper", f"W{n}").qty for n in range(_WATCHED)]
    assert held == [1] * _WATCHED


@pytest.mark.parametrize("name", _NAMES)
def test_buys_keep_their_promises_beside_five_hundred_watched_rows(name: str) -> None:
    play_beside(STORIES[name])


@pytest.mark.soak
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_story_of_buys_ends_well_beside_five_hundred_watched_rows(
    story: list[Step],
) -> None:
    play_beside([step for step in story if not isinstance(step, MonitorSells)])
