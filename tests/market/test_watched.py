"""The symbols that are watched, those first that have been for longest."""

from __future__ import annotations

from snexec.market.watched import Watched


def test_a_symbol_that_stays_keeps_its_place() -> None:
    watched = Watched()
    watched.set(["A", "B", "C"])
    watched.set(["D", "C", "A"])
    assert list(watched) == ["A", "C", "D"]
    assert ("B" in watched, len(watched)) == (False, 3)


async def test_only_a_change_wakes_anybody_up() -> None:
    watched = Watched()
    watched.set(["A", "B"])
    changed = watched.changed
    watched.set(["B", "A", "A"])
    assert not changed.is_set()
    watched.set(["B"])
    assert changed.is_set()
    assert not watched.changed.is_set()
