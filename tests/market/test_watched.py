"""The symbols that are watched, those first that have been for longest."""

from __future__ import annotations

from snexec.market.watched import Watched


def test_a_symbol_that_stays_keeps_its_place() -> None:
    watched = Watched()
    watched.set(["A", "B", "C"])
    watched.set(["D", "C", "A"])
    assert list(watched) == ["A", "C", "D"]
    assert ("B" in watched, len(watched)) == (False, 3)


def test_whoever_keeps_a_symbol_gets_the_one_object_of_it() -> None:
    watched, first = Watched(), "".join(["A", "B"])
    watched.set([first])
    again = "".join(["A", "B"])
    watched.set([again, "C"])
    assert watched.own(again) is first
    assert watched.own("D") is None


async def test_only_a_change_wakes_anybody_up() -> None:
    watched = Watched()
    watched.set(["A", "B"])
    changed = watched.changed
    watched.set(["B", "A", "A"])
    assert not changed.is_set()
    watched.set(["B"])
    assert changed.is_set()
    assert not watched.changed.is_set()
