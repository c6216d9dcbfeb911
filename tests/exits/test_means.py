"""What every way to closed asks: how patient to be, since when, and the guard (SPEC 12.5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.exits.means import Means

if TYPE_CHECKING:
    from snexec.ledger import Applied
    from snexec.model import Mode
    from snexec.reconciliation import Fate
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def means(rig: Rig) -> Means:
    return Means(
        *(rig.settings, rig.accounts, rig.ledger, rig.reconciler),
        *(rig.orders, rig.market, rig.feed),
    )


class Bought:
    """What a fill did to a row."""

    def __init__(self, row_id: str = "sn-1", **changes: Any) -> None:  # noqa: ANN401 - by name
        self.trade_id = row_id
        self.outcome = "fill"
        self.changed = True
        self.settled = False
        self.__dict__.update(changes)


def bought(means: Means, row_id: str = "sn-1", **changes: Any) -> None:  # noqa: ANN401 - likewise
    means.bought(cast("Applied", Bought(row_id, **changes)))


# Patience


async def test_without_exits_close_is_as_patient_as_their_defaults(
    rig: Rig, means: Means
) -> None:
    assert means.settings.retry_max_sec == 300
    rig.set_exits(retry_max_sec=7)
    assert means.settings.retry_max_sec == 7


# The kill switch


async def test_who_waits_for_orders_goes_on_once_halt_all_is_off(
    rig: Rig, means: Means, nursery: trio.Nursery
) -> None:
    assert means.orders is rig.orders
    rig.halt.all_on = rig.halt.on = True
    over = trio.Event()

    async def wait() -> None:
        await means.wait_for_orders()
        over.set()

    nursery.start_soon(wait)
    await trio.sleep(100)
    assert not over.is_set()
    rig.halt.all_on = False
    await trio.sleep(1.5)
    assert over.is_set(), "`halt` lets sells out"


# Fills


@pytest.mark.parametrize("outcome", ["fill", "partial_fill"])
async def test_a_row_was_bought_when_its_buy_was_filled_last(
    means: Means, outcome: str
) -> None:
    assert means.since_bought("sn-1") == math.inf
    for _ in range(2):
        await trio.sleep(10)
        bought(means, outcome=outcome)
    await trio.sleep(3)
    assert means.since_bought("sn-1") == 3
    assert means.since_bought("sn-2") == math.inf


@pytest.mark.parametrize("changes", [{"outcome": "canceled"}, {"changed": False}])
async def test_what_bought_nothing_new_is_no_fill(
    means: Means, changes: dict[str, Any]
) -> None:
    bought(means, **changes)
    assert means.since_bought("sn-1") == math.inf


async def test_of_very_many_fills_the_latest_are_remembered(means: Means) -> None:
    bought(means, "first")
    bought(means, "second")
    bought(means, "first")
    for number in range(2047):
        bought(means, f"sn-{number}")
    assert means.since_bought("second") == math.inf
    assert means.since_bought("first") == 0
    bought(means, "sn-2047")
    assert means.since_bought("first") == math.inf


async def test_whoever_waits_for_the_buy_to_end_hears_of_it(
    means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(means.way, "heard_of_buy", heard.append)
    bought(means, outcome="canceled", changed=False)
    assert len(heard) == 1


async def test_a_row_that_is_closed_is_forgotten(means: Means) -> None:
    bought(means)
    means.tries.add_sell("sn-1")
    means.closed("sn-1")
    assert means.tries.sells("sn-1") == 0
    assert means.since_bought("sn-1") == math.inf
    means.closed("sn-1")


class Guard:
    """Knows one rule that is set, and is asked about one stop."""

    def __init__(self) -> None:
        self.looks: list[Mode] = []

    def is_set(self, reason: str) -> bool:
        return reason == "stop_loss"

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        return reason == "stop_loss" and row_id == "sn-1"

    def fate(self, exit_id: str) -> Fate:
        return "send" if exit_id == "sn-1-s1" else "wait"

    def look_now(self, mode: Mode) -> None:
        self.looks.append(mode)


async def test_a_reason_is_set_while_its_rule_is_or_nobody_has_rules(
    means: Means,
) -> None:
    assert means.is_set("max_hold")
    means.guard_by(Guard())
    assert (means.is_set("stop_loss"), means.is_set("max_hold")) == (True, False)


async def test_without_a_guard_no_rule_holds_no_stop_is_sent_and_nobody_looks(
    means: Means,
) -> None:
    assert means.still_holds("sn-1", "manual")
    assert not means.still_holds("sn-1", "stop_loss")
    assert means.fate_of_stop("sn-1-s1") == "drop"
    means.look_outside("paper")
    means.guard_by(guard := Guard())
    assert means.still_holds("sn-1", "stop_loss")
    assert not means.still_holds("sn-1", "max_hold")
    assert means.still_holds("sn-2", "manual")
    assert (means.fate_of_stop("sn-1-s1"), means.fate_of_stop("sn-1-s2")) == (
        *("send", "wait"),
    )
    means.look_outside("live")
    assert guard.looks == ["live"]
