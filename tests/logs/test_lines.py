"""Log lines: their form, as text and as JSON."""

import json
import logging
import urllib.parse

import pytest

from snexec.logs.lines import JsonFormatter, LineFormatter, about
from snexec.logs.mask import SecretMask
from tests.integration.harness import Box, short_folder, signal_line
from tests.logs.records import HEAD, SECRET, formatted, mask_of, raised, record

# Text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.DEBUG, "DEBUG"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARNING"),
        (logging.ERROR, "ERROR"),
    ],
)
def test_a_line_is_time_level_component_and_text(level: int, name: str) -> None:
    line = LineFormatter(SecretMask()).format(
        record("No API key — trading stream %s", "disabled", level=level)
    )

    assert line == (
        f"2026-01-05T14:30:00.123Z {name} [TradingWs] No API key — trading stream"
        " disabled"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("a\rb", "a\\rb"),
        ("a\tb", "a\\tb"),
        ("a\0b", "a\\x00b"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x85b", "a\\x85b"),
        ("a\u2028b", "a\\u2028b"),
        ("a\u202eb", "a\\u202eb"),  # right to left from here
        ("a\ud800b", "a\\ud800b"),
        ("\n" * 3, "\\n\\n\\n"),
        ("ä€\U0001f600", "ä€\U0001f600"),
    ],
)
def test_foreign_text_is_one_line_and_forges_none(text: str, shown: str) -> None:
    head = "2026-01-05T14:30:00.123Z INFO [TradingWs] "

    assert formatted("%s", text) == head + shown
    assert formatted(text) == head + shown


def test_a_traceback_is_indented_below_its_line() -> None:
    first, *others = formatted("failed", error=raised("boom")).split("\n")

    assert first == "2026-01-05T14:30:00.123Z INFO [TradingWs] failed"
    assert others[0] == "    Traceback (most recent call last):"
    assert others[-1] == "    ValueError: boom"
    assert all(line.startswith("    ") for line in others)


def test_foreign_text_in_a_traceback_forges_no_line() -> None:
    forged = "2026-01-05T14:30:00.123Z ERROR [Daemon] forged"
    text = formatted(f"a\n{forged}", error=raised(f"b\n{forged}\r{forged}\x1b[2J"))

    first, *others = text.split("\n")
    assert HEAD.match(first)
    assert all(line.startswith("    ") for line in others)
    assert all(line.isprintable() for line in [first, *others])


# JSON -------------------------------------------------------------------------------


def json_line(text: str, *args: object, **more: object) -> dict[str, object]:
    made = record(text, *args)
    vars(made).update(more)
    line = JsonFormatter(mask_of(SECRET)).format(made)
    assert line.isascii()
    assert line.isprintable(), "no control character can end a line or a terminal"
    values: dict[str, object] = json.loads(line)
    return values


def test_a_json_line_is_time_level_component_and_message() -> None:
    assert json_line("No API key — trading stream %s", "disabled") == {
        "time": "2026-01-05T14:30:00.123Z",
        "level": "INFO",
        "component": "TradingWs",
        "message": "No API key — trading stream disabled",
    }


def test_a_json_line_about_an_order_names_it() -> None:
    order = about(symbol="AAPL", trade_id="sn-1", signal_id="n-1", order_id="o-1")

    values = json_line("Order rejected: %s", "AAPL", **order)

    assert values["symbol"] == "AAPL"
    assert values["tradeId"] == "sn-1"
    assert values["signalId"] == "n-1"
    assert values["orderId"] == "o-1"
    assert "signalId" not in json_line("x", **about(symbol="AAPL"))


@pytest.mark.parametrize(
    "text", ['a\n{"level":"ERROR"}', "\x1b[2J", "\u2028", "\u202e", "\ud800", "\0"]
)
def test_foreign_text_is_one_json_line_and_comes_through_whole(text: str) -> None:
    values = json_line("%s", text, **about(symbol=text))

    assert values["message"] == text
    assert values["symbol"] == text


def test_no_secret_is_in_a_json_line() -> None:
    error = raised(f"with {SECRET}", cause=SECRET)

    for form in (SECRET, urllib.parse.quote(SECRET), json.dumps(SECRET)):
        values = json_line(
            "told %s", form, exc_info=(type(error), error, error.__traceback__),
            **about(symbol=form, trade_id=form, signal_id=form, order_id=form),
        )  # fmt: skip
        shown = json.dumps(values) + "".join(map(str, values.values()))
        assert SECRET not in shown
        assert json.dumps(SECRET)[1:-1] not in shown
        assert urllib.parse.quote(SECRET) not in shown
        assert "ValueError: with ***" in str(values["traceback"])


async def test_every_line_of_a_daemon_is_json_where_that_is_asked_for() -> None:
    with short_folder() as folder:
        box = Box(folder)
        box.configure()
        ended = await box.run(
            "--log-format", "json", "--stdin", stdin=signal_line("AAPL", id="n-1")
        )

    assert ended.returncode == 0
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    [placed] = [x for x in lines if x["message"].startswith("Order placed: AAPL")]
    assert placed["signalId"] == "n-1"
    assert placed["tradeId"].startswith("sn-")
    assert placed["orderId"] in placed["message"]


@pytest.mark.parametrize(
    ("text", "args"),
    [
        (f"known {SECRET}", ()),
        (f"known {SECRET} %s", ("x",)),
        ("known %s", (SECRET,)),
        ("known %s", (ValueError(SECRET),)),
        ("known %s", ([SECRET],)),
        ("known %(it)s", ({"it": SECRET},)),
        ("known %s %s", ("clean as can be", SECRET)),
    ],
)
def test_a_secret_is_masked_however_it_came_into_the_line(
    text: str, args: tuple[object, ...]
) -> None:
    for formatter in (LineFormatter, JsonFormatter):
        line = formatter(mask_of(SECRET)).format(record(text, *args))
        assert "***" in line
        assert "aB3" not in line
