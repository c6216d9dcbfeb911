"""Signals from an operator's hand or file, and what becomes of them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Desk, Done, configure_simulated, running
from tests.integration.harness import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import FakeDaemon
    from tests.integration.harness import Box

_numbers = itertools.count(1)


@pytest.fixture
def send_to(desk: Desk, busy_box: Box) -> Callable[..., Done]:
    """Give a function that sends to the busy daemon."""

    def send_to(*words: str, **how: Any) -> Done:  # noqa: ANN401 - as Desk.run
        return desk.run(busy_box.config, "send", *words, **how)

    return send_to


def fresh() -> str:
    """Return a symbol that no other test has traded."""
    return f"SYM{next(_numbers)}"


def options(symbol: str, **more: str) -> list[str]:
    given = {"symbol": symbol, "category": "test", "tier": "1", "price": "100"} | more
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def text(symbol: str, **fields: object) -> str:
    return signal_line(symbol, **fields).decode().strip()


def test_a_signal_from_options_is_answered_as_the_daemon_answers(
    send_to: Callable[..., Done],
) -> None:
    done = send_to(*options(fresh(), id="by-hand", confidence="high"))

    assert (done.status, done.err) == (0, "")
    assert done.out == '{"status":"accepted","id":"by-hand"}\n'


def test_a_json_signal_may_span_lines(send_to: Callable[..., Done]) -> None:
    signal = json.dumps(json.loads(text(fresh(), id="spans")), indent=1)

    done = send_to(signal.replace("\n", "\r\n"))

    assert done.out == '{"status":"accepted","id":"spans"}\n'


def test_a_signal_that_is_not_accepted_exits_1(send_to: Callable[..., Done]) -> None:
    done = send_to('{"symbol":"../X","id":"bad"}')

    answer = done.json()
    assert done.status == 1
    assert (answer["status"], answer["id"]) == ("invalid", "bad")
    assert "symbol: must be" in answer["error"]


@pytest.mark.parametrize(
    ("symbol", "status", "words"),
    [
        ("WAITED", 0, r"filled 1\.?\d* shares at |filled 0\.\d+ shares at "),
        ("HALT", 1, "rejected by the broker$"),
        ("NOFRAC", 1, "refused: not fractionable$"),
    ],
)
def test_wait_says_what_became_of_the_order(
    send_to: Callable[..., Done], symbol: str, status: int, words: str
) -> None:
    done = send_to(*options(symbol, id=f"waited-{symbol}"), "--wait")

    answer, outcome = done.lines
    assert done.status == status
    assert answer == f'{{"status":"accepted","id":"waited-{symbol}"}}'
    assert outcome.startswith(f"{symbol} waited-{symbol}: ")
    assert re.search(words, outcome)


def test_wait_names_the_reason_of_a_skip(send_to: Callable[..., Done]) -> None:
    done = send_to(*options(fresh(), tier="4", id="starless"), "--wait")

    assert done.status == 1
    assert done.lines[1].endswith(" starless: skipped: no_stars")


def test_the_answer_comes_before_the_outcome_whichever_was_first(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    skip = b'{"event":"skipped","signalId":"n-1","symbol":"KO","reason":"paused"}\n'

    def answer(line: bytes) -> bytes:
        if b"command" in line:
            return b'{"status":"ok"}\n' + skip
        time.sleep(0.1)  # the feed has it by now
        return b'{"status":"accepted","id":"n-1"}\n'

    fake_daemon(answer)

    for words in (("send", text("KO", id="n-1")), ("send", "-")):
        done = desk.run(
            *(box.config, *words, "--wait", "--json"),
            stdin=signal_line("KO", id="n-1"),
        )

        assert done.lines == ['{"status":"accepted","id":"n-1"}', skip.decode().strip()]


def test_wait_ends_when_its_time_is_up(send_to: Callable[..., Done]) -> None:
    done = send_to(*options("NEVER", id="never"), "--wait", "--timeout", "0.3")

    assert done.status == 1
    assert done.lines[1] == "NEVER never: still open after 0.3 s"


def test_a_signal_is_told_of_by_its_symbols_one_spelling(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(
        lambda line: (
            b'{"status":"%b"}\n' % (b"ok" if b"events" in line else b"accepted")
        )
    )

    done = desk.run(
        box.config,
        *("send", *options("BRK/B", id="n-1"), "--wait", "--timeout", "0.1"),
    )

    assert done.lines[1] == "BRK.B n-1: still open after 0.1 s"


@pytest.mark.parametrize("none", [None, ""])
def test_wait_gives_an_id_to_a_signal_that_has_none(
    send_to: Callable[..., Done], none: str | None
) -> None:
    symbol = fresh()

    done = send_to(text(symbol, id=none), "--wait")

    signal_id = json.loads(done.lines[0])["id"]
    assert done.status == 0
    assert str(uuid.UUID(signal_id)) == signal_id
    assert done.lines[1].startswith(f"{symbol} {signal_id}: filled ")


def test_wait_with_json_gives_the_event_itself(send_to: Callable[..., Done]) -> None:
    symbol = fresh()

    done = send_to(*options(symbol, id="as-json"), "--wait", "--json")

    answer, event = map(json.loads, done.lines)
    assert answer == {"status": "accepted", "id": "as-json"}
    assert event["event"] == "settled"
    assert (event["signalId"], event["symbol"]) == ("as-json", symbol)


def test_a_repeated_signal_is_not_waited_for(send_to: Callable[..., Done]) -> None:
    words = (*options(fresh(), id="once"), "--wait")
    send_to(*words)

    done = send_to(*words)

    assert done.status == 1
    assert done.out == '{"status":"repeated","id":"once"}\n'


def test_a_file_larger_than_the_queue_is_taken_whole(
    send_to: Callable[..., Done], busy_box: Box, tmp_path: Path
) -> None:
    symbols = [fresh() for _ in range(40)]
    file = tmp_path / "signals.jsonl"
    file.write_bytes(b"".join(signal_line(s, id=f"file-{s}") for s in symbols))

    done = send_to("--file", str(file), "--wait")

    assert (done.status, done.err) == (0, "")
    assert done.lines[-1] == "40 signals: 40 accepted; 40 filled"
    assert len(done.lines) == 41
    rows = busy_box.rows("signalId LIKE 'file-%'")
    assert [row["symbol"] for row in rows] == symbols


def test_lines_of_a_pipe_that_are_no_signals_are_told_by_their_number(
    send_to: Callable[..., Done],
) -> None:
    good = signal_line(fresh(), id="piped")
    long = b'{"symbol":"' + b"x" * 200_000 + b'"}\n'
    lines = [good, b"\n", b"no json\n", b"  \r\n", long, good]
    last = signal_line(fresh(), id="last").strip()

    done = send_to("-", stdin=b"".join(lines) + b'{"command":"status"}\n' + last)

    told = done.err.splitlines()
    assert done.status == 1
    assert [line.split(":")[0] for line in told] == [
        "line 3",
        "line 5",
        "line 6",
        "line 7",
    ]
    assert "not JSON" in told[0]
    assert "longer than 65536 bytes" in told[1]
    assert told[2] == "line 6: repeated"
    assert "command: is for control" in told[3]
    assert done.out == "6 signals: 3 invalid, 2 accepted, 1 repeated\n"


def test_json_prints_every_answer_in_order(send_to: Callable[..., Done]) -> None:
    lines = [signal_line(fresh(), id=f"order-{n}") for n in range(3)]

    done = send_to("-", "--json", stdin=b"".join([lines[0], b"{}\n", *lines[1:]]))

    answers = [json.loads(line) for line in done.lines]
    assert [answer.get("id") for answer in answers] == [
        "order-0",
        None,
        "order-1",
        "order-2",
    ]
    assert done.err == "4 signals: 3 accepted, 1 invalid\n"


def test_an_empty_file_is_no_failure(send_to: Callable[..., Done]) -> None:
    done = send_to("-", stdin=b"\n\n")

    assert (done.status, done.out) == (0, "0 signals: nothing was sent\n")


def test_a_terminal_shows_progress_and_ends_with_the_totals(
    send_to: Callable[..., Done], tmp_path: Path
) -> None:
    file = tmp_path / "signals.jsonl"
    file.write_bytes(b"".join(signal_line(fresh()) for _ in range(3)))

    done = send_to("--file", str(file), "--wait", terminal=True)

    assert done.status == 0
    assert "\x1b[" in done.err
    assert done.lines[-1].endswith("3 signals: 3 accepted; 3 filled")


def test_a_daemon_that_goes_away_midway_leaves_the_totals(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    answers = iter([b'{"status":"accepted","id":null}\n', None])
    fake_daemon(lambda _line: next(answers))

    done = desk.run(box.config, "send", "-", stdin=signal_line("KO") * 3)

    assert done.status == 1
    assert done.out == "1 signal: 1 accepted\n"
    assert done.err == f"snexec: the daemon at {box.socket} went away\n"


def test_a_daemon_that_dies_while_it_is_waited_for_is_told(box: Box) -> None:
    configure_simulated(box)
    with running(box) as daemon:
        waiting = subprocess.Popen(
            box.command("send", *options("NEVER", id="orphan"), "--wait"),
            env=box.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert waiting.stdout is not None
        answer = waiting.stdout.readline()
        daemon.kill()
        out, err = waiting.communicate(timeout=20)

    assert answer == b'{"status":"accepted","id":"orphan"}\n'
    assert (waiting.returncode, out) == (1, b"")
    assert err == (
        b"snexec: the daemon went away; 1 signal without an outcome yet (orphan): the"
        b" next start settles their orders, see: snexec trades --signal ID\n"
    )
