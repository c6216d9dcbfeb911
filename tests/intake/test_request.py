"""Which lines are requests; and that a halt halts, however it came."""

from __future__ import annotations

import json

import pytest

from snexec.intake.request import read_broken_halt, read_request
from tests.input_helpers import signal_line

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("command", ["status", "halt", "resume", "nonsense", 5, None])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (BOM, b"\r"), (b" ", b"\t")])
def test_an_object_with_a_command_is_a_request(
    command: object, before: bytes, after: bytes
) -> None:
    request = {"command": command, "more": [1]}
    assert read_request(before + json.dumps(request).encode() + after) == request


@pytest.mark.parametrize(
    "line",
    [
        signal_line(),
        signal_line(catalystCategory='{"command":"halt"}'),
        signal_line(more={"command": "halt"}),
        b'["command"]',
        b'"command"',
        b'{"x":{"command":"halt"}}',
        b'{"command',
        b'{"command"',
        b'{"command":"halted"}x',
        b'x{"command":"halt"}',
        b"command halt",
    ],
)
def test_another_line_is_none(line: bytes) -> None:
    assert read_request(line) is None


@pytest.mark.parametrize(
    "reason",
    [
        b'"' + b"x" * 60_000 + b'"',
        b"5",
        b"9" * 5000,
        b"-1e999",
        b"NaN",
        b"null",
        b"true",
        b'["fire"]',
        b"[" * 900 + b"]" * 900,
        b'{"a":"b"}',
        b'"half \\ud83d"',
        b'"\\u0000"',
        b'"caf\xe9"',  # Latin-1
        b'"\xff\xfe"',
        b'"a\tb"',
        b'"fire',  # cut
        b"fire}",
        b"",
    ],
    ids=lambda reason: reason[:12].decode(errors="replace"),
)
@pytest.mark.parametrize("before", [b"", BOM, b" "])
def test_a_halt_is_a_halt_whatever_its_reason_looks_like(
    before: bytes, reason: bytes
) -> None:
    line = before + b'{"command":"halt","reason":' + reason
    for end in (b"}", b"}\r", b""):
        request = read_request(line + end)
        assert request is not None
        assert request["command"] == "halt"


@pytest.mark.parametrize(
    "line",
    [
        b'{"reason":"caf\xe9","command":"halt"}',
        b'{"reason":"a\tb","command":"halt"}',
        BOM + b'{"reason":"\\ud83d","command":"halt"}',
    ],
)
def test_a_halt_may_say_its_reason_first(line: bytes) -> None:
    request = read_request(line)
    assert request is not None
    assert request["command"] == "halt"


@pytest.mark.parametrize(
    "line",
    [
        b'{"by":"me","command":"halt","reason":"cut',
        b'{"id":"a\\"b", "n":-1.5e3,"x":null , "command":"halt","reason":"caf" x"}',
        b'{"reason":"a "quote"","command":"halt"}',
        b'{"reason":"' + b"x" * 60_000 + b'"x", "command" : "halt" }\r',
    ],
)
def test_a_broken_halt_may_say_more_before_it_says_so(line: bytes) -> None:
    request = read_request(line)
    assert request is not None
    assert request["command"] == "halt"


@pytest.mark.parametrize(
    "line",
    [
        b'{"x":{"command":"halt"},"cut',
        b'{"x":"a\\","command":"halt","cut',
        b'{"x":{"y":1,"command":"halt"}}x',
        b'{"x":["command","halt","command":"halt"]',
    ],
)
def test_what_only_holds_the_words_of_a_halt_is_none(line: bytes) -> None:
    assert read_request(line) is None


def test_what_a_broken_halt_says_is_its_reason() -> None:
    line = b'{"command":"halt","reason":"caf\xe9'
    assert read_request(line) == {
        "command": "halt",
        "reason": '{"command":"halt","reason":"caf\ufffd',
    }


@pytest.mark.parametrize("command", ["resume", "status", "settle"])
@pytest.mark.parametrize("more", [b'"caf\xe9"', b'"a\tb"', b'"cut', b"["])
def test_what_only_asks_or_loosens_must_be_json(command: str, more: bytes) -> None:
    line = b'{"command":"' + command.encode() + b'","x":' + more + b"}"
    assert read_request(line) is None


def test_the_beginning_of_a_halt_is_enough() -> None:
    line = b'{"command": "halt", "reason": "' + b"x" * 1000
    found = read_broken_halt(line)
    assert found is not None
    assert found["command"] == "halt"
    assert read_broken_halt(line.replace(b"halt", b"resume")) is None
    assert read_broken_halt(signal_line()[:40]) is None


@pytest.mark.parametrize(
    ("line", "for_all"),
    [
        (b'{"command":"halt","all":true,"reason":"cut', True),
        (b'{"all" : true, "command":"halt","reason":"cut', True),
        (b'{"command":"halt","all":false,"reason":"cut', False),
        (b'{"command":"halt","reason":"cut all', False),
    ],
)
def test_a_broken_halt_for_all_halts_exits_too(line: bytes, for_all: bool) -> None:
    found = read_broken_halt(line)
    assert found is not None
    assert found["command"] == "halt"
    assert found.get("all", False) is for_all
