"""What a way to closed hears, and waits for."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from snexec.exits.heard import Answers, Heard, IsNotPlanned, IsPlanned


async def test_what_is_heard_is_followed_in_the_order_in_which_it_came() -> None:
    answers = Answers()
    answers.put(IsPlanned())
    answers.put(IsNotPlanned("halted"))
    assert await answers.next() == IsPlanned()
    assert await answers.next() == IsNotPlanned("halted")


async def test_whoever_waits_is_woken_by_the_next(nursery: trio.Nursery) -> None:
    answers, followed = Answers(), list[Heard]()

    async def follow() -> None:
        while True:
            followed.append(await answers.next())

    nursery.start_soon(follow)
    for heard in (IsPlanned(), IsNotPlanned("over")):
        await wait_all_tasks_blocked()
        answers.put(heard)
    await wait_all_tasks_blocked()
    assert followed == [IsPlanned(), IsNotPlanned("over")]
    nursery.cancel_scope.cancel()
