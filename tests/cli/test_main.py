"""The front door: help, mistakes in use, pipes that close, and what is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

COMMANDS = [
    "backup", "bench", "check", "close", "events", "exchange", "explain", "halt", "init",
    "mode", "notify", "page", "positions", "rebuild", "report", "resume", "send",
    "settle", "signals", "status", "trades", "unit",
]  # fmt: skip


def test_help_lists_every_command_with_one_line(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "--help")

    listed = done.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == COMMANDS
    assert all(line.endswith(".") for line in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example(
    desk: Desk, box: Box, command: str
) -> None:
    done = desk.run(box.config, command, "--help")

    assert done.status == 0
    assert f"snexec {command}" in done.out.partition("Examples:\n")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sned",), "No such command 'sned'"),
        (("send",), "nothing to send: give a JSON signal"),
        (("send", "nope"), "the signal is not JSON"),
        (("send", "[1]"), "the signal is no JSON object"),
        (("send", '{"command":"status"}'), "a command is no signal"),
        (("send", "{}", "--symbol", "KO"), "only one of them"),
        (("send", "-", "--file", "x"), "only one of them"),
        (("send", "--file", "x", "--id", "1"), "only one of them"),
        (("send", "--file", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        (("send", "--symbol", "KO", "--tier", "1"), "needs --category, --price too"),
        (("send", "--symbol", "KO", "--tier", "7"), "'--tier': 7 is not in the range"),
        (("send", "--confidence", "sure"), "'--confidence': 'sure' is not one of"),
        (("send", "--price", "-1"), "'--price': -1.0 is not in the range"),
        (("trades", "--since", "soon"), "--since: 'soon' is no time"),
        (("trades", "--until", "soon"), "--until: 'soon' is no time"),
        (("trades", "--limit", "0"), "'--limit': 0 is not in the range"),
        (("trades", "--format", "xml"), "'--format': 'xml' is not one of"),
        (("close",), "give the symbols to close, or --all, and not both"),
        (("close", "KO", "--all"), "give the symbols to close, or --all, and not both"),
        (("close", "KO", "--wait", "-1"), "'--wait': -1.0 is not in the range"),
        (("mode",), "Missing argument"),
        (("mode", "test"), "'test' is not one of"),
    ],
)
def test_a_mistake_in_use_is_one_line_and_exits_2(
    desk: Desk, box: Box, words: tuple[str, ...], told: str
) -> None:
    done = desk.run(box.config, *words)

    assert (done.status, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("send", "{}"),
        ("trades",),
        ("status",),
        ("events",),
        ("mode", "live"),
        ("check",),
    ],
)
def test_a_configuration_that_does_not_validate_exits_2(
    desk: Desk, box: Box, words: tuple[str, ...]
) -> None:
    box.config.write_text('mode = "papper"\n')

    done = desk.run(box.config, *words)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"snexec: {box.config}: mode: ")


def test_without_config_the_one_in_this_folder_is_used(
    box: Box, tmp_path: Path
) -> None:

    def trades(folder: Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "snexec", "trades"],
            cwd=folder,
            env=box.environment(),
            capture_output=True,
            check=False,
        )

    here, elsewhere = trades(box.folder), trades(tmp_path)

    assert (here.returncode, here.stdout) == (0, b"0 trades\n")
    assert elsewhere.returncode == 2
    assert b"Missing option '--config', and there is no config.toml" in elsewhere.stderr


def test_a_reader_that_has_enough_causes_no_traceback(box: Box) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            box.command("trades"),
            stdout=writing,
            stderr=subprocess.PIPE,
            env=box.environment(),
            check=False,
        )
    finally:
        os.close(writing)

    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.parametrize("words", [("trades",), ("trades", "--format", "json")])
def test_a_full_disk_is_told_in_one_line(box: Box, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            box.command(*words),
            stdout=full,
            stderr=subprocess.PIPE,
            env=box.environment(),
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == (
        b"snexec: standard output cannot be written: No space left on device\n"
    )


def test_closed_streams_are_nothing_to_stumble_over(busy_box: Box) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", *busy_box.command("send", "-")],
        stderr=subprocess.PIPE,
        env=busy_box.environment(),
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_daemon_without_standard_output_stops_well(box: Box) -> None:
    box.configure()
    words = box.command()
    with subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", *words],
        stderr=subprocess.PIPE,
        env=box.environment(),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"ready" in line:
                break
        process.terminate()
        rest = process.stderr.read()
    assert (process.returncode, b"Traceback" in rest) == (0, False)


def test_a_start_imports_nothing_that_it_does_not_need() -> None:
    program = (
        "import json, sys, snexec.__main__, snexec.cli.daemon, snexec.exchange.server;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    )

    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    commands = {"rich", "pygments", "tomlkit", "sqlite_utils"}
    later = {"httpx", "tabulate", "prometheus_client", "trio_websocket"}
    assert not imported & (commands | later)
    assert "trio" in imported
