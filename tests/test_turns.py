"""Long work lets others have their turn."""

from __future__ import annotations

import itertools

import trio

from snexec.turns import InTurns


async def test_everything_comes_in_its_order() -> None:
    assert [each async for each in InTurns(range(50))] == list(range(50))
    assert [each async for each in InTurns("")] == []


async def test_another_task_does_not_wait_for_all_of_it(nursery: trio.Nursery) -> None:
    done, seen = 0, list[int]()

    async def look() -> None:
        while done < 100:
            seen.append(done)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(look)
    async for _ in InTurns(range(100)):
        done += 1
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert len(steps) > 5
    assert max(steps) <= 16, "two parts, as ready tasks run in any order"
