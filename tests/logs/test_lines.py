"""Log lines: their form, their secrets, and a way out that never blocks."""

import errno
import json
import logging
import os
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.logs import lines as logs
from snexec.logs.lines import (
    JsonFormatter,
    LineFormatter,
    LogDrain,
    SecretMask,
    about,
    json_of_dropped,
)
from tests.input_helpers import NOW, open_pipe, within
from tests.integration.harness import Box, short_folder, signal_line

SECRET = 'aB3"c/d+e\\f'
HEAD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \[\w+\] ")


def mask_of(*secrets: str) -> SecretMask:
    mask = SecretMask()
    mask.learn(secrets)
    return mask


def record(
    text: str, *args: object, level: int = logging.INFO, error: Exception | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("TradingWs", level, __file__, 1, text, args, exc_info)
    made.created = NOW.timestamp()
    return made


def formatted(
    text: str, *args: object, error: Exception | None = None, secret: str = SECRET
) -> str:
    return LineFormatter(mask_of(secret)).format(record(text, *args, error=error))


def raised(text: str, cause: str | None = None) -> Exception:
    """Give an error with a traceback, and perhaps another behind it."""
    try:
        try:
            if cause is not None:
                raise KeyError(cause)
        finally:
            raise ValueError(text)
    except ValueError as exc:
        return exc


# The form ---------------------------------------------------------------------------


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


def test_what_was_dropped_is_told_as_json_among_json_lines() -> None:
    with open_pipe() as (reader, writer):
        drain = LogDrain(JsonFormatter(SecretMask()), fd=writer, notice=json_of_dropped)
        logger = logger_of(drain)
        for number in range(10_005):
            logger.info("%d", number)
        os.set_blocking(reader, False)
        drain.flush_now()
        first = json.loads(os.read(reader, 65_536).splitlines()[0])

    assert drain.dropped == 5
    assert first["message"].startswith("5 log lines were dropped")
    assert first["component"] == "Log"
    assert first["level"] == "WARNING"


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


# Secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps({"secret": SECRET}),
        repr(SECRET),
        repr(SECRET.encode()),
        f"APCA-API-SECRET-KEY: {SECRET}\r\n",
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote(SECRET),
        urllib.parse.quote_plus(SECRET),
        urllib.parse.urlencode({"secret": SECRET}),
        re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(SECRET, safe="")),
        SECRET * 3,
        f"x{SECRET}x",
    ],
    ids=[
        "raw",
        "JSON",
        "repr",
        "repr of bytes",
        "header",
        "quoted",
        "quoted but for slashes",
        "quoted for a form",
        "form",
        "quoted in lower case",
        "thrice",
        "within a word",
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    for shown in (formatted("got %s", form), formatted(form)):
        assert "***" in shown
        assert "aB3" not in shown


def test_a_secret_is_masked_in_a_traceback_and_in_what_caused_it() -> None:
    shown = formatted("failed", error=raised(f"bad {SECRET}", cause=f"{SECRET}!"))

    assert "ValueError: bad ***" in shown
    assert "KeyError: '***!'" in shown
    assert "During handling of the above exception" in shown
    assert "aB3" not in shown


def test_what_surrounds_a_secret_stays() -> None:
    assert mask_of("s3cret").apply("a s3cret, b") == "a ***, b"
    assert mask_of("s3cret").apply("nothing here") == "nothing here"
    assert SecretMask().apply("s3cret") == "s3cret"


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    for secrets in (("abcd", "abcdefgh"), ("abcdefgh", "abcd")):
        assert mask_of(*secrets).apply("abcdefgh abcd") == "*** ***"


def test_a_word_of_three_letters_is_no_secret() -> None:
    assert mask_of("the", "").apply("the order") == "the order"


def test_an_old_secret_stays_masked_once_a_new_one_is_learnt() -> None:
    mask = mask_of("old-secret")
    mask.learn(["new-secret"])
    mask.learn([])

    assert mask.apply("old-secret new-secret") == "*** ***"


# The way out ------------------------------------------------------------------------


def logger_of(drain: LogDrain) -> logging.Logger:
    """Give a logger that stands alone and writes to the drain."""
    logger = logging.getLogger("Test")
    logger.setLevel(logging.DEBUG)
    logger.propagate, logger.handlers = False, [drain]
    return logger


def drain_to(fd: int, *secrets: str) -> tuple[LogDrain, logging.Logger]:
    drain = LogDrain(LineFormatter(mask_of(*secrets)), fd=fd)
    return drain, logger_of(drain)


def fill(fd: int) -> None:
    """Write to a pipe until it is full."""
    os.set_blocking(fd, False)
    for size in (65_536, 4_096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(fd, b"-" * size)
    os.set_blocking(fd, True)


def read_now(fd: int) -> list[str]:
    """Read the lines that lie in a pipe, without their heads."""
    os.set_blocking(fd, False)
    data = b""
    with suppress(BlockingIOError):
        while piece := os.read(fd, 65_536):
            data += piece
    return texts_of(data)


def texts_of(data: bytes) -> list[str]:
    lines = data.lstrip(b"-").decode().splitlines()
    return [HEAD.sub("", line) for line in lines]


def account(lines: list[str]) -> tuple[list[str], int]:
    """Tell lines from what is said of dropped ones; give their sum."""
    said = [re.fullmatch(r"\((\d+) log lines were dropped: .*\)", x) for x in lines]
    kept = [line for line, dropped in zip(lines, said, strict=True) if not dropped]
    return kept, sum(int(dropped[1]) for dropped in said if dropped)


def accounts_for(count: int) -> Callable[[bytes], bool]:
    """Tell whether so many lines were read or are said to be dropped."""

    def enough(data: bytes) -> bool:
        if not data.endswith(b"\n"):
            return False
        kept, dropped = account(texts_of(data))
        return len(kept) + dropped >= count

    return enough


async def read_until(fd: int, enough: Callable[[bytes], bool]) -> list[str]:
    """Read a pipe until there is enough, without the filling."""
    data = b""
    async with trio.lowlevel.FdStream(os.dup(fd)) as stream:
        while not enough(data):
            data += await stream.receive_some(65_536)
    return texts_of(data)


@within(5)
async def test_lines_are_written_in_order_and_masked() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end, "s3cret")
        logger.info("before the loop")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(500):
                logger.info("line %d %s", number, "s3cret")
                if number % 100 == 0:
                    await wait_all_tasks_blocked()
            lines = await read_until(read_end, lambda data: data.count(b"\n") == 501)
            nursery.cancel_scope.cancel()

    assert lines == ["before the loop"] + [f"line {n} ***" for n in range(500)]


@within(5)
async def test_a_line_comes_without_waiting_for_the_next() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(5):
                await wait_all_tasks_blocked()
                logger.info("line %d", number)
                lines = await read_until(read_end, lambda data: data.endswith(b"\n"))
                assert lines == [f"line {number}"]
            nursery.cancel_scope.cancel()


@within(5)
async def test_a_line_that_a_thread_logs_is_written_too() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(logger.info, "from a thread")
            lines = await read_until(read_end, lambda data: data.endswith(b"\n"))
            assert lines == ["from a thread"]
            nursery.cancel_scope.cancel()


@within(10)
async def test_a_full_pipe_never_blocks_the_loop_and_what_is_lost_is_counted() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(12_000):
                logger.info("line %d", number)
                if number % 1_000 == 0:
                    await trio.lowlevel.checkpoint()

            lines = await read_until(read_end, accounts_for(12_000))
            nursery.cancel_scope.cancel()

    kept, dropped = account(lines)
    assert len(kept) >= 10_000
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert len(kept) + dropped == 12_000


@within(10)
async def test_after_a_full_pipe_was_read_lines_come_again() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(11_000):
                logger.info("line %d", number)
            await read_until(read_end, accounts_for(11_000))
            logger.info("again")

            again = await read_until(read_end, lambda data: data.endswith(b"\n"))
            assert again == ["again"]
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("milliseconds", [0, 0.1, 0.2, 0.3, 0.5, 1, 2, 12])
@within(5)
async def test_no_line_is_lost_or_doubled_at_cancellation(milliseconds: float) -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(300):
                logger.info("line %d", number)
            await trio.sleep(milliseconds / 1000)
            nursery.cancel_scope.cancel()
        drain.flush_now()
        lines = read_now(read_end)

    assert lines == [f"line {number}" for number in range(300)]


@within(5)
async def test_no_line_is_lost_when_the_reader_comes_back_after_cancellation() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as draining:
            draining.start_soon(drain.run)
            for number in range(500):
                logger.info("line %d", number)
            await trio.sleep(0.05)  # the thread waits for its reader now
            draining.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                lines = await read_until(
                    read_end, lambda data: data.count(b"\n") >= 500
                )

    assert lines == [f"line {number}" for number in range(500)]


@within(5)
async def test_a_reader_that_never_comes_back_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_FLUSH_SECONDS", 0.05)
    with open_pipe() as (_, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain.run)
                for number in range(500):
                    logger.info("line %d", number)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()


@contextmanager
def full_disk() -> Iterator[int]:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    with open_pipe() as (read_end, write_end):
        os.close(read_end)
        yield write_end


@contextmanager
def full_pipe_that_does_not_block() -> Iterator[int]:
    with open_pipe() as (_, write_end):
        fill(write_end)
        os.set_blocking(write_end, False)
        yield write_end


@contextmanager
def closed_descriptor() -> Iterator[int]:
    with open_pipe() as (_, write_end):
        os.close(write_end)
        yield write_end


BROKEN = pytest.mark.parametrize(
    ("broken", "number"),
    [
        (full_disk, errno.ENOSPC),
        (pipe_without_reader, errno.EPIPE),
        (full_pipe_that_does_not_block, errno.EAGAIN),
        (closed_descriptor, errno.EBADF),
    ],
    ids=lambda value: value.__name__ if callable(value) else errno.errorcode[value],
)
Broken = Callable[[], AbstractContextManager[int]]


@BROKEN
@within(5)
async def test_a_log_that_cannot_be_written_ends_nothing(
    broken: Broken, number: int
) -> None:
    with broken() as fd:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number says which
            os.write(fd, b"x")
        assert caught.value.errno == number

        drain, logger = drain_to(fd)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for text in ("first", "second"):
                logger.info(text)
                await wait_all_tasks_blocked(0.05)
            logger.info("last")
            nursery.cancel_scope.cancel()


@within(5)
async def test_lines_that_could_not_be_written_are_counted_once_they_can() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        os.set_blocking(write_end, False)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(8):
                logger.info("line %d", number)
                if number in {4, 7}:
                    await wait_all_tasks_blocked(0.05)
            assert read_now(read_end) == []

            logger.info("again")
            kept, dropped = account(
                await read_until(
                    read_end, lambda data: b"again" in data and data.endswith(b"\n")
                )
            )
            nursery.cancel_scope.cancel()

    assert kept[-1] == "again"
    assert len(kept) + dropped == 9


@BROKEN
def test_a_log_that_cannot_be_flushed_is_no_error(broken: Broken, number: int) -> None:
    del number
    with broken() as fd:
        drain, logger = drain_to(fd)
        logger.info("nobody reads this")

        drain.flush_now()


def test_what_waits_is_flushed_before_and_after_the_loop() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        for number in range(300):
            logger.info("line %d", number)

        drain.flush_now()
        drain.flush_now()

        assert read_now(read_end) == [f"line {number}" for number in range(300)]
        assert os.get_blocking(write_end)


def test_a_flush_never_waits_for_a_reader() -> None:
    with open_pipe() as (_, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        logger.info("lost")

        drain.flush_now()

        assert os.get_blocking(write_end)


def test_no_write_is_longer_than_what_a_pipe_takes_whole() -> None:
    drain, logger = drain_to(-1)
    for number in range(200):
        logger.info("%d %s", number, "€" * (number % 50))

    chunks = []
    while chunk := drain._next_chunk():
        chunks.append(chunk)

    assert max(map(len, chunks)) <= 4_096
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert len(texts_of(b"".join(chunks))) == 200


def test_what_is_said_of_dropped_lines_is_never_within_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_MAX_WAITING_LINES", 2)
    drain, logger = drain_to(-1)
    logger.info("x" * 10_000)
    logger.info("kept")

    written = drain._next_chunk()
    for _ in range(3):
        logger.info("dropped, but for one perhaps")
    while chunk := drain._next_chunk():
        written += chunk

    kept, dropped = account(texts_of(written))
    assert kept[:2] == ["x" * 10_000, "kept"]
    assert len(kept) + dropped == 5


@within(5)
async def test_a_line_that_is_longer_than_a_pipe_comes_whole() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            logger.info("x" * 200_000)
            logger.info("short")
            lines = await read_until(read_end, lambda data: data.count(b"\n") == 2)
            nursery.cancel_scope.cancel()

    assert lines == ["x" * 200_000, "short"]


def test_a_log_call_with_wrong_arguments_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)

        logger.info("%d", "no number")
        logger.info("next")
        drain.flush_now()

        assert read_now(read_end) == ["next"]
    assert capsys.readouterr().err == ""


def test_the_default_descriptor_is_standard_error() -> None:
    assert LogDrain(LineFormatter(SecretMask()))._fd == 2 == sys.__stderr__.fileno()  # type: ignore[union-attr]
