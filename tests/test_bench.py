"""The bench: one short run of it, and its sums; no test of how fast anything is."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.bench.measure import Burst, FillRun, Singles, out_of_order
from snexec.bench.programs import Program
from snexec.bench.report import report
from snexec.bench.rounds import QUICK, Figures, Round, Run
from snexec.bench.stand_in_orders import take_order
from snexec.bench.stats import bar, bucket_counts, bucket_edges
from snexec.bench.summary import RunSummary
from snexec.bench.websocket import PING, frame, take_frame, upgrade
from snexec.errors import StartError
from snexec.latency import percentile
from tests.integration.harness import short_folder

ROOT = Path(__file__).parents[1]


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
    assert found["standIn"]["snexec"]["fills"]["rowsPerSec"] > 0
    assert found["standIn"]["floor"]["fills"] is None
    check_percentiles(found["commitUs"])
    edges = found["histogramUs"].pop("edges")
    for counts in found["histogramUs"].values():
        assert sum(counts) == sizes["oneAtATime"]
        assert len(counts) == len(edges) - 1


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


def made_up_figures(latency_us: float, out_of_order: int | None) -> Figures:
    return Figures(
        ready_ms=400.0,
        singles=Singles(
            latencies_us=[latency_us, 2 * latency_us], cpu_sec_per_1000=0.5
        ),
        burst=Burst(
            signals=50,
            last_post_ms=25.0,
            lost=1,
            out_of_order=out_of_order,
            cpu_sec_per_1000=0.25,
        ),
        fills=FillRun(events=100, rows_per_sec=2000.0, lookups=3),
        memory_ready_mb=40.0,
        memory_end_mb=48.5,
    )


def made_up_run(*latencies_us: float) -> RunSummary:
    rounds = [
        Round(
            at_stand_in={
                "snexec": made_up_figures(latency_us, 2),
                "floor": made_up_figures(100.0, 0),
            },
            at_exchange={
                "snexec": made_up_figures(latency_us, None),
                "floor": made_up_figures(100.0, None),
            },
            commits_us=[250.0],
        )
        for latency_us in latencies_us
    ]
    return RunSummary(
        Run(load=0.5, sizes=QUICK, connections=64, disk=Path("/data"), rounds=rounds)
    )


def test_rounds_come_to_their_medians_and_losses_to_their_sum() -> None:
    summary = made_up_run(800.0, 5000.0, 900.0)

    snexec = summary.stand_in["snexec"]
    assert snexec.latency_us == {50: 900.0, 90: 1800.0, 99: 1800.0}
    assert (snexec.signals, snexec.lost, snexec.out_of_order) == (150, 3, 6)
    assert snexec.lookups == 9
    assert summary.exchange["snexec"].out_of_order is None
    assert summary.commit_us[50] == 250.0
    assert sum(summary.counts["snexec"]) == 6


def test_the_table_shows_snexec_next_to_the_floor() -> None:
    lines = report(made_up_run(800.0)).splitlines()

    cells = [line.split() for line in lines]
    p50 = ["signal", "to", "POST,", "p50,", "µs"]
    assert [*p50, "800", "100", "8", "800", "100"] in cells
    assert ["POSTs", "out", "of", "order", "2", "0"] in cells
    assert ["800", "to", "1,000", "1", "#" * 30] in cells
    assert any("the floor's p50 would be 350 µs" in line for line in lines)
    assert "look-ups of them slowed the fills" in lines[-1]
    assert all(len(line) <= 88 for line in lines)


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


def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    words = ["snexec", "--config", "/nowhere/config.toml"]
    with (
        Program("the daemon", words, tmp_path / "log") as program,
        pytest.raises(StartError, match="the daemon has ended: snexec: /nowhere"),
    ):
        program.expect("ready")


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (90, 90.0), (99, 99.0), (100, 100.0)]
)
def test_a_percentile_is_a_sample(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_percentiles_of_few_samples() -> None:
    assert percentile([3.0], 50) == percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 51) == 2.0
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_buckets_have_round_edges() -> None:
    edges = bucket_edges([95.0, 310.0])

    assert edges == [80.0, 100.0, 150.0, 200.0, 300.0, 400.0]
    assert bucket_counts([95.0, 100.0, 310.0], edges) == [1, 1, 0, 0, 1]
    assert bucket_edges([]) == []
    assert bucket_counts([], []) == []


@given(st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=1))
def test_every_sample_is_in_one_bucket(samples: list[float]) -> None:
    edges = bucket_edges(samples)
    counts = bucket_counts(samples, edges)

    assert edges == sorted(set(edges))
    assert edges[0] <= min(samples) < edges[1]
    assert edges[-2] <= max(samples) < edges[-1]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        assert count == sum(low <= sample < high for sample in samples)


def test_what_is_there_can_be_seen_in_a_bar() -> None:
    assert bar(0, 1000, 30) == ""
    assert bar(1, 1000, 30) == "#"
    assert bar(1000, 1000, 30) == "#" * 30


@given(st.permutations(list("abcdef")))
def test_out_of_order_is_the_fewest_that_must_go(arrived: list[str]) -> None:
    longest = max(
        size
        for size in range(7)
        for kept in combinations(arrived, size)
        if list(kept) == sorted(kept)
    )

    assert out_of_order(arrived, "abcdef") == len(arrived) - longest


def test_one_that_comes_early_is_one_out_of_order() -> None:
    assert out_of_order(["d", "a", "b", "c"], "abcd") == 1
    assert out_of_order(["a", "c"], "abc") == 0


def test_an_upgrade_is_answered_as_the_standard_says() -> None:
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in upgrade(b"dGhlIHNhbXBsZSBub25jZQ==")


@given(st.binary(max_size=1000), st.binary(min_size=4, max_size=4))
def test_a_clients_frame_is_taken_once_it_is_complete(
    payload: bytes, mask: bytes
) -> None:
    plain = frame(payload, PING)
    head = len(plain) - len(payload)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    sent = plain[:1] + bytes([plain[1] | 0x80]) + plain[2:head] + mask + masked
    buffer = bytearray(sent[:-1])

    assert take_frame(buffer) is None
    buffer += sent[-1:] + b"next"
    assert take_frame(buffer) == (PING, payload)
    assert buffer == b"next"


def test_the_stand_ins_orders_are_json_with_the_posts_own_values() -> None:
    body = {"symbol": "AAPL", "notional": "100.00", "client_order_id": "sn-1"}
    order = take_order(json.dumps(body).encode(), 5, 7)

    reply = json.loads(order.reply())
    assert body.items() <= reply.items()
    assert (reply["status"], reply["filled_avg_price"]) == ("pending_new", None)
    order.filled = True
    event = json.loads(order.fill_event())["data"]
    assert event["event"] == "fill"
    assert event["order"] == json.loads(order.reply())
    assert event["order"]["id"] == reply["id"]
    assert math.isclose(float(event["order"]["filled_qty"]), 0.533386947)
