"""What would become of a signal typed in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from snexec.exits import Explained
from tests.ops.selling import hold

if TYPE_CHECKING:
    from tests.web.site import Site

SIGNAL = {
    "symbol": "AAPL",
    "catalystCategory": "fda",
    "catalystTier": 1,
    "priceAtSignal": 187.2,
}


async def test_a_signal_is_explained_gate_by_gate_and_nothing_is_ordered(
    site: Site,
) -> None:
    found = await site.json("/api/explain", signal=json.dumps(SIGNAL))
    assert (found["about"], found["verdict"]) == ("signal", "order")
    assert found["words"] == "would be ordered: $100.00 of AAPL (5 stars, paper)"
    assert {"name", "result", "reason", "detail"} == found["lines"][0].keys()
    hold(site.rig.store)
    found = await site.json("/api/explain", signal=f" {json.dumps(SIGNAL)} ")
    assert (found["verdict"], found["words"]) == (
        "skip",
        "would be skipped: symbol_open",
    )
    assert site.rig.events == []


async def test_a_position_is_explained_rule_by_rule(site: Site) -> None:
    hold(site.rig.store)
    site.exits.rules = [
        Explained("stop_loss", True, "95.00", "-5.0 %"),
        Explained("max_hold", False, "", ""),
    ]
    found = await site.json("/api/explain", signal="aapl")
    assert (found["about"], found["symbol"], found["mode"]) == (
        "position",
        "AAPL",
        "paper",
    )
    assert [
        (line["name"], line["result"], line["detail"]) for line in found["lines"]
    ] == [
        ("stop_loss", "on", "95.00; -5.0 %"),
        ("max_hold", "off", ""),
    ]


@pytest.mark.parametrize(
    ("signal", "status"),
    [("", 400), ("{", 400), ("{}", 400), ('{"symbol": 5}', 400), ("KO", 404),
     ("[1]", 404), ("x" * 500, 400), ("{" + '"a":{' * 900, 400)],
)  # fmt: skip
async def test_what_cannot_be_explained_is_said(
    site: Site, signal: str, status: int
) -> None:
    answer = await site.get("/api/explain", signal=signal)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_a_script_in_a_signal_is_text(site: Site) -> None:
    script = "<script>alert(1)</script>"
    answer = await site.get(
        "/api/explain", signal=json.dumps({**SIGNAL, "symbol": script})
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == 400
