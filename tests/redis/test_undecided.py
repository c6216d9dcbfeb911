"""Entries are decided by what is heard of their signals, and not before."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.events import Event, EventName
from snexec.redis.entries import Entry
from snexec.redis.undecided import Undecided
from tests.fakes import MOMENT


def event(name: EventName, **fields: object) -> Event:
    return Event(name, MOMENT, **fields)  # type: ignore[arg-type]


def one_taken() -> Undecided:
    undecided = Undecided()
    undecided.taken("5-0", 7, "n-1")
    return undecided


@pytest.mark.parametrize("name", ["placed", "refused", "skipped"])
def test_what_is_heard_of_its_place_in_the_run_decides(name: EventName) -> None:
    undecided = one_taken()
    undecided.happened(event(name, sequence=7, reason="symbol_open"))
    assert list(undecided.decided) == ["5-0"]
    assert len(undecided) == 0
    assert undecided.knows("5-0"), "until that is acknowledged"


@pytest.mark.parametrize("name", ["fill", "partial_fill", "rejected", "settled"])
def test_an_order_whose_answer_was_lost_is_decided_once_it_is_heard_of(
    name: EventName,
) -> None:
    undecided = one_taken()
    undecided.happened(event(name, signal_id="n-1"))
    assert list(undecided.decided) == ["5-0"]


@pytest.mark.parametrize("reason", ["stopping", "standby"])
def test_a_signal_that_may_still_be_traded_stays_pending(reason: str) -> None:
    undecided = one_taken()
    undecided.happened(event("skipped", sequence=7, reason=reason))
    assert len(undecided) == 0
    assert not undecided.decided
    # Its id was taken here: delivered again here, it would count as repeated.
    assert undecided.knows("5-0"), "it is for the next one that is active"


@pytest.mark.parametrize("name", ["closed", "exit_placed", "halt", "stream", "mode"])
def test_what_is_about_no_buy_decides_nothing(name: EventName) -> None:
    undecided = one_taken()
    undecided.happened(event(name, signal_id="n-1", sequence=7))
    assert not undecided.decided


def test_other_signals_decide_nothing() -> None:
    undecided = one_taken()
    undecided.happened(event("placed", sequence=8, signal_id="n-2"))
    undecided.happened(event("settled"))
    assert not undecided.decided
    assert len(undecided) == 1


def test_it_is_decided_once() -> None:
    undecided = one_taken()
    for name in ("placed", "fill", "settled"):
        undecided.happened(event(name, sequence=7, signal_id="n-1"))
    assert list(undecided.decided) == ["5-0"]
    undecided.acknowledged(["5-0"])
    assert not undecided.knows("5-0")


async def test_who_waits_for_news_wakes_with_the_first() -> None:
    undecided = one_taken()
    woken = []

    async def wait() -> None:
        await undecided.wait_news()
        woken.append(list(undecided.decided) + list(undecided.dead))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not woken
        undecided.bury(Entry("6-0", []), "why")
    assert woken == [["6-0"]]
    assert undecided.knows("6-0")


async def test_all_who_wait_for_fewer_are_woken() -> None:
    undecided = one_taken()
    undecided.taken("5-1", 8, "n-2")
    woken: list[int] = []

    async def wait(count: int) -> None:
        await undecided.wait_fewer_than(count)
        woken.append(count)

    async with trio.open_nursery() as nursery:
        for count in (1, 2, 2):
            nursery.start_soon(wait, count)
        await wait_all_tasks_blocked()
        assert not woken
        undecided.decide("5-0")
        await wait_all_tasks_blocked()
        assert woken == [2, 2]
        undecided.decide("5-1")
    assert woken == [2, 2, 1]
