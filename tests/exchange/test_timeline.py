"""What happens later happens at its time, in its order."""

from itertools import pairwise

import pytest
import trio

from snexec.exchange.timeline import Timeline

pytestmark = pytest.mark.jumping_time


async def test_each_call_comes_at_its_time(nursery: trio.Nursery) -> None:
    timeline, calls = Timeline(), list[tuple[str, float]]()
    nursery.start_soon(timeline.run)

    def note(name: str) -> None:
        calls.append((name, trio.current_time()))

    timeline.after(5, lambda: note("last"))
    timeline.after(2, lambda: note("first"))
    timeline.after(2, lambda: note("second"))
    await trio.sleep(1)
    timeline.after(0.5, lambda: note("sooner than all"))
    await trio.sleep(10)
    assert calls == [
        ("sooner than all", 1.5),
        ("first", 2),
        ("second", 2),
        ("last", 5),
    ]


async def test_what_is_due_before_it_runs_comes_when_it_does(
    nursery: trio.Nursery,
) -> None:
    timeline, calls = Timeline(), list[float]()
    timeline.after(1, lambda: calls.append(trio.current_time()))
    await trio.sleep(3)
    nursery.start_soon(timeline.run)
    await trio.lowlevel.checkpoint()
    await trio.sleep(1)
    assert calls == [3]


async def test_a_call_may_ask_for_the_next_one(nursery: trio.Nursery) -> None:
    timeline, calls = Timeline(), list[float]()
    nursery.start_soon(timeline.run)

    def again() -> None:
        calls.append(trio.current_time())
        timeline.after(1, again)

    timeline.after(0, again)
    await trio.sleep(2.5)
    assert calls == [0, 1, 2]


async def test_others_have_a_turn_between_many_that_are_due_at_once(
    nursery: trio.Nursery,
) -> None:
    timeline, done, seen = Timeline(), list[int](), list[int]()
    for number in range(100):
        timeline.after(0, lambda number=number: done.append(number))  # type: ignore[misc]

    async def watch() -> None:
        while len(done) < 100:
            seen.append(len(done))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(watch)
    nursery.start_soon(timeline.run)
    await trio.sleep(1)
    # Trio has both take their turns in either order.
    assert all(later - each <= 40 for each, later in pairwise([*seen, 100]))


async def test_a_call_that_fails_ends_it() -> None:
    timeline = Timeline()
    timeline.after(1, lambda: 1 / 0)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await timeline.run()
