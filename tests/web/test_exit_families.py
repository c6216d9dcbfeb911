"""The figures about positions that are read at a scrape."""

from __future__ import annotations

from snexec.exits import PositionStatus
from snexec.web.exit_families import about_exits
from tests.ops.selling import NOTHING, FakeExits


def samples(exits: FakeExits) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in about_exits(exits)
        for sample in family.samples
    }


def test_rows_are_counted_by_mode_and_state_and_prices_have_an_age() -> None:
    exits = FakeExits()
    exits.statuses = [
        PositionStatus("1", "paper", "watched"),
        PositionStatus("2", "paper", "watched"),
        PositionStatus("3", "live", "blocked"),
    ]
    exits.now = NOTHING._replace(
        source="snapshots",
        price_age_sec=2.5,
        blind=True,
        passed_over={"stale": 4, "jump": 1},
    )
    found = samples(exits)
    positions = {key[1:]: n for key, n in found.items() if key[0] == "snexec_positions"}
    assert positions == {
        ("paper", "watched"): 2,
        ("paper", "closing"): 0,
        ("paper", "blocked"): 0,
        ("live", "watched"): 0,
        ("live", "closing"): 0,
        ("live", "blocked"): 1,
    }
    assert found["snexec_price_age_seconds",] == 2.5
    assert found["snexec_price_source", "snapshots"] == 1
    assert found["snexec_price_source", "positions"] == 0
    assert found["snexec_exits_blind",] == 1
    assert found["snexec_prices_passed_over_total", "stale"] == 4
    assert found["snexec_prices_passed_over_total", "jump"] == 1


def test_without_a_price_there_is_no_age() -> None:
    found = samples(FakeExits())
    assert ("snexec_price_age_seconds",) not in found
    assert found["snexec_exits_blind",] == 0
    assert not any(n for key, n in found.items() if key[0] == "snexec_price_source")
