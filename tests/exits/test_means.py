"""What every way to closed asks: how patient to be, since when, and the guard (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.exits.means import Means

if TYPE_CHECKING:
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
