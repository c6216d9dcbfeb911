"""Rules and a dashboard that Prometheus and Grafana take, and the README's own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from snexec.cli.observability import (
    ALERTS,
    GRAPHS,
    grafana_dashboard,
    prometheus_rules,
)
from tests.integration.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

README = (ROOT / "README.md").read_text()


def test_the_alerts_are_those_of_the_readme() -> None:
    table = README.partition("| alert | rule | for |\n")[2].partition("\n\n")[0]
    rows = [re.split(r" \| ?", line.strip("| ")) for line in table.splitlines()[1:]]

    assert [(a.says, f"`{a.rule}`", a.lasts) for a in ALERTS] == [
        (row[0], row[1].removesuffix(" |"), row[2] if len(row) > 2 else "")
        for row in rows
    ]


def test_the_graphs_are_those_of_the_readme() -> None:
    block = README.partition("Worth a graph:\n\n```promql\n")[2].partition("```")[0]

    assert [rule for _title, _unit, rule in GRAPHS] == block.splitlines()


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    text = prometheus_rules()
    assert text.count("- alert: Snexec") == len({a.name for a in ALERTS}) == len(ALERTS)
    assert text.count("severity: critical") == sum(a.critical for a in ALERTS)
    if (tool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool here")
    path = tmp_path / "rules.yml"
    path.write_text(text)
    done = subprocess.run(
        [tool, "check", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_has_a_panel_for_each_graph_and_none_lies_on_another() -> None:
    dashboard = json.loads(grafana_dashboard())

    panels = dashboard["panels"]
    assert [panel["targets"][0]["expr"] for panel in panels] == [g[2] for g in GRAPHS]
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_unit_prints_either_in_place_of_the_unit(desk: Desk, box: Box) -> None:
    rules = desk.run(box.config, "unit", "--prometheus-rules").out
    dashboard = desk.run(box.config, "unit", "--grafana").out
    both = desk.run(box.config, "unit", "--grafana", "--prometheus-rules")

    assert (rules, dashboard) == (prometheus_rules(), grafana_dashboard())
    assert both.status == 2
