"""The day in figures to be drawn."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from snexec.web.charts import distribution, thinned
from tests.web.test_trades import add

if TYPE_CHECKING:
    from tests.web.site import Site

DAY = "2026-01-05T"


async def test_what_was_earned_adds_up_over_the_day(site: Site) -> None:
    store = site.rig.store
    for number, (at, pnl, mode) in enumerate(
        [("15:00", 5.0, "paper"), ("14:00", -1.25, "paper"), ("15:30", 0.1, "paper"),
         ("15:10", 99.0, "live"), ("04:59", 7.0, "paper")],  # the last was yesterday
    ):  # fmt: skip
        add(
            store, f"sn-{number}", status="closed", pnl=pnl, mode=mode,
            exitAt=f"{DAY}{at}:00.000Z",
        )  # fmt: skip
    found = await site.json("/api/charts")
    assert found["pnl"] == [
        [1767621600.0, "-1.25"],
        [1767625200.0, "3.75"],
        [1767627000.0, "3.85"],
    ]
    assert found["day"] == "2026-01-05"
    today = (await site.json("/api/snapshot"))["today"]
    assert (today["realised"], today["closed"], today["won"]) == ("3.85", 3, 2)


async def test_orders_and_skips_are_counted_in_bins_of_five_minutes(site: Site) -> None:
    store = site.rig.store
    for number in range(3):
        add(store, f"sn-{number}", createdAt=f"{DAY}14:3{number * 3}:59.000Z",
            status="closed")  # fmt: skip
    add(store, "sn-missed", status="missed")
    add(store, "sn-yesterday", status="closed", createdAt="2026-01-04T14:30:00.000Z")
    for _ in range(4):
        site.rig.feed.publish("skipped", reason="symbol_open")
    found = await site.json("/api/charts")
    assert found["orders"] == [[1767623400, 2], [1767623700, 1]]
    assert found["skips"] == [[1767623400, 4]]
    today = (await site.json("/api/snapshot"))["today"]
    assert (today["orders"], today["dollars"]) == (3, "300.00")


async def test_times_of_orders_are_distributions(site: Site) -> None:
    for number in range(100):
        add(site.rig.store, f"sn-{number}", status="closed", wireMs=1.0 + number / 100,
            replyMs=4.0)  # fmt: skip
    latency = (await site.json("/api/charts"))["latency"]
    assert (latency["wire"]["p50"], latency["wire"]["p99"]) == (1.49, 1.98)
    assert latency["wire"]["n"] == sum(n for _, _, n in latency["wire"]["bins"]) == 100
    assert [n for _, _, n in latency["reply"]["bins"]] == [100]
    assert latency["fill"] == {"bins": [], "p50": None, "p99": None, "n": 0}


async def test_charts_are_made_once_for_all_who_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await site.get("/api/charts")
    monkeypatch.setattr("snexec.web.charts._read", None)
    assert (await site.get("/api/charts")).text == first.text


def test_bins_touch_one_another_and_hold_all() -> None:
    values = [0.0, 0.0004, 0.9, 1.0, 1.5, 12.0, 12.1, 4000.0]
    found = distribution(values)
    bins = found["bins"]
    assert isinstance(bins, list)
    for (_, end, _), (begin, _, _) in itertools.pairwise(bins):
        assert end == begin
    assert sum(n for _, _, n in bins) == len(values)
    assert bins[0][2]
    assert bins[-1][2]


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    points = [(float(n), str(n)) for n in range(9001)]
    thin = thinned(points)
    assert len(thin) <= 2000
    assert thin[-1] == points[-1]
    assert thinned(points[:3]) == points[:3]
    assert thinned([]) == []
