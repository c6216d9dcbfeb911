"""What is noted of a day, and forgotten at midnight in New York."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from snexec.signals import TakenSignal
from snexec.web.day import Day
from tests.fakes import make_signal

if TYPE_CHECKING:
    from tests.fakes import Rig
    from tests.ops.bench import Bench

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def day(bench: Bench, rig: Rig) -> Day:
    found = Day(bench.wings, rig.clock)
    rig.feed.follow(found.skipped, "skipped")
    return found


async def test_signals_are_counted_by_what_became_of_them(day: Day, rig: Rig) -> None:
    taken = TakenSignal(make_signal("KO"), 0.0, 1, rig.settings.term)
    rig.skips.skip(taken, "symbol_open")
    rig.intake.take(b"nonsense", read_at=0.0)
    found = day.signals()
    assert found.outcomes["skipped"] == 1
    assert found.outcomes["invalid"] == 1
    assert found.outcomes["placed"] == 0
    assert found.reasons == {"symbol_open": 1}
    assert [count for _, count in day.skips()] == [1]


async def test_a_new_day_begins_with_nothing(
    day: Day, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.intake.take(b"nonsense", read_at=0.0)
    rig.feed.publish("skipped", reason="symbol_open")
    before, now = day.begins, rig.clock.now()
    monkeypatch.setattr(rig.clock, "now", lambda: now + timedelta(days=1))
    assert day.signals().outcomes["invalid"] == 0
    assert day.begins > before
    assert day.skips() == []
    rig.intake.take(b"nonsense", read_at=0.0)
    assert day.signals().outcomes["invalid"] == 1
