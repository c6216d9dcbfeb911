"""The exchange by itself: no configuration, a price feed, and a log of requests."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from tests.integration.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start it in a folder that has no configuration."""
    return subprocess.Popen(
        [sys.executable, "-m", "snexec", "exchange", "--port", "0", *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_needs_no_configuration_and_logs_requests_when_asked(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("KO,62.10\n")
    with start(tmp_path, "--prices", str(prices), "--log-requests") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == "simulated exchange; nothing is traded\n"
        url = lines[1].split('"')[1]
        headers = {"APCA-API-KEY-ID": "PK", "APCA-API-SECRET-KEY": "hush-hush"}
        request = urllib.request.Request(f"{url}/v2/account", headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err.startswith("GET /v2/account 200 ")
    assert "hush" not in err


def test_prices_that_cannot_be_read_are_one_line(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "exchange", "--port", "0", "--prices", "no.csv")

    assert (done.status, done.out) == (1, "")
    assert "--prices: no.csv: No such file or directory" in done.err


def test_a_port_that_is_taken_is_one_line(desk: Desk, box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = desk.run(box.config, "exchange", "--port", str(port))

    assert (done.status, done.out) == (1, "")
    assert f"exchange: port {port}: " in done.err


def test_its_help_lists_the_controls(desk: Desk, box: Box) -> None:
    text = desk.run(box.config, "exchange", "--help").out

    for control in ("POST quote", "PUT clock", "PUT path", "POST reset", "rest-faults"):
        assert control in text
