"""One short run of the bench; no test of how fast anything is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from snexec.bench.row_floor import build
from tests.integration.harness import short_folder

ROOT = Path(__file__).parents[2]


def can_go_far() -> bool:
    """Return whether what ``bench far`` needs is here."""
    with tempfile.TemporaryDirectory() as folder:
        is_built = build(Path(folder), tls=True).language == "C"
    return is_built and shutil.which("openssl") is not None


def start_bench(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the command as a user of a configuration with unusual values does."""
    config = folder / "config.toml"
    config.write_text('mode = "live"\n[bot]\nenabled = false\n')
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "snexec", "--config", str(config), "bench", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(folder: Path) -> list[str]:
    names = {path.name for path in folder.iterdir()} - {"config.toml", "tmp"}
    return sorted(names | {path.name for path in (folder / "tmp").iterdir()})


def test_a_quick_run_measures_everything_and_leaves_nothing_behind() -> None:
    with short_folder() as folder:
        process = start_bench(folder, "--quick", "--json")
        out, err = process.communicate(timeout=120)

        assert process.returncode == 0, err
        assert err == ""
        found = json.loads(out)
        assert left_behind(folder) == []
    sizes = found["sizes"]
    assert sizes["rounds"] == len(found["rounds"]) == 1
    for place in (found["standIn"], found["exchange"], *found["rounds"]):
        assert place.keys() == {"snexec", "floor"}
        for figures in place.values():
            check_figures(figures, sizes)
    for figures in found["standIn"].values():
        assert isinstance(figures["burst"]["outOfOrder"], int)
    fills = found["standIn"]["snexec"]["fills"]
    assert min(fills["rowsPerSec"], fills["rowsPerSecAmongForeign"]) > 0
    assert found["standIn"]["floor"]["fills"] is None
    assert found["rowFirst"]["figures"].keys() == {"p50Us", "p99Us", "burstMs"}
    for figure in found["rowFirst"]["figures"].values():
        assert min(figure["value"], figure["beside"], figure["ratio"]) > 0
    check_percentiles(found["commitUs"])
    edges = found["histogramUs"].pop("edges")
    for counts in found["histogramUs"].values():
        assert sum(counts) == sizes["oneAtATime"]
        assert len(counts) == len(edges) - 1


def test_a_quick_run_of_exits_has_every_figure_and_leaves_nothing_behind() -> None:
    with short_folder() as folder:
        process = start_bench(folder, "exits", "--quick", "--json")
        out, err = process.communicate(timeout=240)

        assert process.returncode == 0, err
        assert err == ""
        found = json.loads(out)
        assert left_behind(folder) == []
    figures = found["figures"]
    assert (figures["lost"]["value"], figures["lost"]["met"]) == (0, True)
    for name, figure in figures.items():
        if name not in {"lost", "rowBytes"}:  # which a few rows are too few for
            assert figure["value"] > 0
        if figure["beside"] is not None:
            assert figure["beside"] > 0
    assert found["ticksPerSec"] > 0


@pytest.mark.skipif(not can_go_far(), reason="no C compiler with OpenSSL is here")
def test_a_quick_run_far_from_the_broker_has_every_figure() -> None:
    with short_folder() as folder:
        process = start_bench(folder, "far", "--quick", "--json")
        out, err = process.communicate(timeout=120)

        assert process.returncode == 0, err
        assert err == ""
        found = json.loads(out)
        assert left_behind(folder) == []
    figures = found["figures"]
    for name in ("firstMs", "burstMs"):
        # Half a round trip is in each.
        assert min(figures[name]["value"], figures[name]["beside"]) >= 10
    more = figures["firstMs"]["value"] - figures["firstMs"]["beside"]
    assert figures["firstMoreMs"]["value"] == pytest.approx(more, abs=0.01)


def check_figures(figures: dict[str, Any], sizes: dict[str, int]) -> None:
    check_percentiles(figures["signalToPostUs"])
    assert figures["burst"]["lastPostMs"] > 0
    assert figures["burst"]["signals"] == sizes["burst"]
    assert figures["burst"]["lost"] == 0
    assert min(figures["cpuSecPer1000"].values()) > 0
    assert figures["startToReadyMs"] > 0
    assert min(figures["memoryMb"].values()) > 1


def check_percentiles(values: dict[str, float]) -> None:
    assert 0 < values["p50"] <= values["p90"] <= values["p99"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_in_one_line_and_leaves_nothing_behind(
    number: signal.Signals,
) -> None:
    with short_folder() as folder:
        process = start_bench(folder)
        deadline = time.monotonic() + 60
        while not list((folder / "tmp").glob("*/daemon.sock")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

        assert (process.returncode, out, err) == (1, "", "snexec: aborted\n")
        assert left_behind(folder) == []
