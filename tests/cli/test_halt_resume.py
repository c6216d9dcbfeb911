"""The kill switch's commands, with a daemon and without."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from snexec.cli import halt_resume
from tests.cli.conftest import configure_simulated, running
from tests.fakes import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box


def test_without_a_daemon_the_file_is_the_switch(desk: Desk, box: Box) -> None:
    file = box.folder.resolve() / "halt"

    done = desk.run(box.config, "halt", "--reason", "fire")
    assert (done.status, done.err) == (0, "")
    assert done.lines == [
        f"halted, exits go on: {file} is made; it stays over restarts, until: snexec"
        " resume",
        "no daemon runs; the next start looks at the file",
    ]
    assert json.loads(file.read_text())["reason"] == "fire"
    assert json.loads(file.read_text())["by"].endswith(" (snexec halt)")

    again = desk.run(box.config, "halt")
    assert again.status == 0
    assert again.lines[0].startswith("halted already, exits go on: fire (since 20")

    over = desk.run(box.config, "resume")
    assert (over.status, over.err) == (0, "")
    assert over.lines[0] == f"{file} is removed"
    assert not file.exists()
    assert desk.run(box.config, "resume").lines[0] == f"there is no {file}"


@pytest.mark.parametrize(
    "reason", ["x" * 100_000, "\n\0", "half \ud83d", "\udcff\udcfe", "5", ""]
)
def test_it_halts_whatever_the_reason_looks_like(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    reason: str,
) -> None:
    daemon = fake_daemon(lambda _line: b'{"status":"ok","halted":true}\n')
    done = desk.run(box.config, "halt", "--reason", reason)
    assert (done.status, done.err) == (0, "")
    kept = json.loads((box.folder / "halt").read_text())["reason"]
    assert kept.isprintable()
    assert 1 <= len(kept) <= 500
    assert json.loads(daemon.lines[0])["reason"] == kept


def test_the_file_that_others_may_read_holds_no_secret(
    desk: Desk, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    assert desk.run(box.config, "halt", "--reason", f"{SECRET} leaked").status == 0
    assert json.loads((box.folder / "halt").read_text())["reason"] == "*** leaked"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("the", "feed\trepeats", "itself"), "the feed\\trepeats itself"),
        (("",), "by hand"),
        (("--reason", "stop", "it", "now"), "stop it now"),
    ],
)
def test_a_reason_without_its_option_halts_as_well(
    desk: Desk, box: Box, words: tuple[str, ...], kept: str
) -> None:
    done = desk.run(box.config, "halt", *words)
    assert (done.status, done.err) == (0, "")
    assert json.loads((box.folder / "halt").read_text())["reason"] == kept


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_it_works_with_a_pipe_in_the_configurations_place(
    desk: Desk, box: Box, command: str
) -> None:
    box.config.unlink()
    os.mkfifo(box.config)
    done = desk.run(box.config, command)
    assert done.status == 0
    assert done.err.endswith("config.toml: is not a regular file)\n")
    assert (box.folder / "halt").exists() is (command == "halt")


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_it_works_with_a_configuration_that_is_broken(
    desk: Desk, box: Box, command: str
) -> None:
    box.config.write_text("mode = ")
    done = desk.run(box.config, command)
    assert done.status == 0
    assert done.err.startswith(
        "the daemon was not told, it looks at the file by itself ("
    )
    assert (box.folder / "halt").exists() is (command == "halt")


@pytest.mark.parametrize("command", ["halt", "resume"])
def test_a_configuration_that_is_not_there_is_a_word_misspelt(
    desk: Desk, box: Box, command: str
) -> None:
    box.config.unlink()
    done = desk.run(box.config, command)
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("config.toml: No such file or directory\n")
    assert not (box.folder / "halt").exists()


def test_the_daemon_is_told_where_the_file_cannot_be_made(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(halt_resume, "write_halt", denied)
    alone = desk.run(box.config, "halt")
    assert alone.status == 1
    assert "halt cannot be made: Permission denied" in alone.err

    daemon = fake_daemon(lambda _line: b'{"status":"ok","halted":true}\n')
    done = desk.run(box.config, "halt", "--reason", "fire")
    assert done.status == 0
    assert done.lines == [
        "the daemon says: halted, nothing is bought any more, exits go on"
    ]
    asked = json.loads(daemon.lines[0])
    assert (asked["command"], asked["reason"]) == ("halt", "fire")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"status":"ok","halted":false}\n', 0),
        (b'{"status":"ok","halted":true,"error":"cannot be removed"}\n', 1),
        (b"[]\n", 1),
    ],
)
def test_a_resume_is_done_when_the_daemon_says_so(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    answer: bytes,
    status: int,
) -> None:
    fake_daemon(lambda _line: answer)
    assert desk.run(box.config, "resume").status == status


def test_a_file_that_cannot_be_removed_is_no_resume(
    desk: Desk, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_files: object) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    desk.run(box.config, "halt")
    monkeypatch.setattr(halt_resume, "remove_halt", denied)
    done = desk.run(box.config, "resume")
    assert done.status == 1
    assert done.err.endswith("halt cannot be removed: Permission denied\n")


def test_a_halt_is_loud_wherever_one_looks(desk: Desk, box: Box) -> None:
    configure_simulated(box)
    with running(box):
        assert "HALT" not in desk.run(box.config, "status").out
        done = desk.run(box.config, "halt", "--reason", "fire")
        assert (done.status, done.err) == (0, "")
        assert (
            done.lines[1]
            == "the daemon says: halted, nothing is bought any more, exits go on"
        )

        page = desk.run(box.config, "status")
        [line] = [line for line in page.lines if line.startswith("HALT")]
        assert re.fullmatch(
            r"HALT +HALTED: nothing is bought, exits go on; fire \(since \S+Z, by .+ \(snexec halt\)\);"
            r" to go on: snexec resume",
            line,
        )
        assert "\x1b[" in desk.run(box.config, "status", terminal=True).out
        status = desk.run(box.config, "status", "--json").json()
        assert status["halted"]["reason"] == "fire"
        checked = desk.run(box.config, "check", "--json").json()
        found = {one["check"]: one for one in checked}
        assert found["guards"]["result"] == found["daemon"]["result"] == "WARN"
        assert found["guards"]["detail"].startswith("HALTED, exits go on: fire (since ")
        assert found["daemon"]["detail"].endswith("; HALTED, exits go on: fire")
        sent = desk.run(
            box.config, "send", "--wait", "--symbol", "KO", "--category", "x",
            "--tier", "1", "--price", "62",
        )  # fmt: skip
        assert sent.status == 1
        assert "skipped: halted" in sent.out

        done = desk.run(box.config, "resume")
        assert (done.status, done.err) == (0, "")
        assert done.lines[1] == "the daemon says: orders are placed again"
        assert desk.run(box.config, "status", "--json").json()["halted"] is None


@pytest.mark.parametrize(
    ("bot", "result", "detail"),
    [
        ({}, "OK", "no limit is set"),
        (
            {"max_concurrent_positions": 3, "symbols_allowed": ["KO"]},
            "OK",
            "symbols_allowed 1, max_concurrent_positions 3",
        ),
        (
            {"state": "stopped"},
            "WARN",
            "stopped, nothing is bought; no limit is set",
        ),
        ({"state": "paused"}, "WARN", "paused, nothing is bought; no limit is set"),
        (
            {"enabled": False, "max_orders_per_day": 9},
            "WARN",
            "enabled = false, nothing is traded; max_orders_per_day 9",
        ),
    ],
)
def test_check_says_what_stops_all_trading_and_what_limits_it(
    desk: Desk, box: Box, bot: dict[str, object], result: str, detail: str
) -> None:
    box.configure(bot=bot)
    found = {
        one["check"]: one for one in desk.run(box.config, "check", "--json").json()
    }
    assert (found["guards"]["result"], found["guards"]["detail"]) == (result, detail)


@pytest.mark.parametrize(
    ("bot", "more"), [({}, ""), ({"max_share_price": 50.0}, "; max_share_price 50")]
)
def test_check_warns_of_real_money_without_a_limit(
    desk: Desk, box: Box, bot: dict[str, object], more: str
) -> None:
    box.configure(mode="live", bot=bot)
    found = {
        one["check"]: one for one in desk.run(box.config, "check", "--json").json()
    }
    assert found["guards"]["result"] == "WARN"
    assert found["guards"]["detail"] == (
        "live, and no limit on positions, loss, orders or dollars a day is set: nothing"
        f" bounds what signals buy{more}"
    )


def test_a_halt_for_all_has_a_file_of_its_own_and_resume_ends_both(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    folder = box.folder.resolve()
    done = desk.run(box.config, "halt", "--all", "fire")
    assert (done.status, done.err) == (0, "")
    assert done.lines[0] == (
        f"halted, exits are halted too: {folder / 'halt-all'} is made; it stays over"
        " restarts, until: snexec resume"
    )
    checked = desk.run(box.config, "check", "--json").json()
    found = {one["check"]: one["detail"] for one in checked}
    assert found["guards"].startswith("HALTED, exits are halted too: fire (since ")
    assert desk.run(box.config, "halt").status == 0
    over = desk.run(box.config, "resume")
    assert (over.status, over.err) == (0, "")
    assert over.lines[0] == f"{folder / 'halt'}, {folder / 'halt-all'} is removed"
    assert not (folder / "halt-all").exists()

    daemon = fake_daemon(lambda _: b'{"status":"ok","halted":true,"all":true}\n')
    told = desk.run(box.config, "halt", "--all")
    assert told.lines[1] == (
        "the daemon says: halted, no order leaves any more, exits are halted too"
    )
    assert json.loads(daemon.lines[0])["all"] is True


def test_a_daemon_that_halts_entries_alone_is_no_halt_for_all(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b'{"status":"ok","halted":true}\n')
    done = desk.run(box.config, "halt", "--all")
    assert done.status == 1
    assert done.lines[1] == (
        "the daemon says: halted, nothing is bought any more, exits go on"
    )
