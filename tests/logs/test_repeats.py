from __future__ import annotations

import logging

import pytest
import trio

from snexec.logs.repeats import Repeats, roughly
from tests.fakes import TrioClock

pytestmark = pytest.mark.jumping_time

log = logging.getLogger("Repeating")


@pytest.fixture
async def repeats(caplog: pytest.LogCaptureFixture) -> Repeats:
    caplog.set_level(logging.INFO, logger="Repeating")
    return Repeats("stream", log=log, clock=TrioClock())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "Repeating"]


async def fail_for(
    repeats: Repeats, seconds: float, kind: str = "HTTP 503"
) -> list[bool]:
    """Fail every five seconds."""
    found = []
    for _ in range(int(seconds // 5)):
        found.append(repeats.failed(kind))
        await trio.sleep(5)
    return found


async def test_the_first_fault_is_told_in_full_and_the_others_are_summed_up(
    repeats: Repeats, caplog: pytest.LogCaptureFixture
) -> None:
    found = await fail_for(repeats, 3600)

    assert found == [True] + [False] * 719
    lines = told(caplog)
    assert lines[0] == ("stream: still failing (HTTP 503), 13 tries since 14:30 UTC")
    assert len(lines) == 8, "after 1, 3, 7, 15, 25, 35, 45 and 55 minutes"
    assert lines[-1].startswith("stream: still failing (HTTP 503), 661 tries")


async def test_another_kind_of_fault_is_told_in_full_as_well(repeats: Repeats) -> None:
    assert repeats.failed("HTTP 503")
    assert repeats.failed("reset")
    assert not repeats.failed("HTTP 503")
    assert not repeats.failed("reset")


async def test_a_fault_that_differs_each_time_fills_no_log(repeats: Repeats) -> None:
    found = [repeats.failed(f"number {n}") for n in range(1000)]

    assert sum(found) == 8


async def test_what_works_again_says_after_how_many_tries_and_how_long(
    repeats: Repeats, caplog: pytest.LogCaptureFixture
) -> None:
    await fail_for(repeats, 50)
    repeats.worked()
    repeats.worked()

    assert told(caplog) == ["stream: works again after 10 tries, 50.0 s"]


async def test_one_fault_alone_needs_no_word_when_it_is_over(
    repeats: Repeats, caplog: pytest.LogCaptureFixture
) -> None:
    repeats.failed("reset")
    repeats.worked()

    assert told(caplog) == []


async def test_a_fault_after_a_minute_of_calm_is_news(repeats: Repeats) -> None:
    repeats.failed("reset")
    repeats.worked()
    await trio.sleep(59)
    assert not repeats.failed("reset")
    repeats.worked()
    await trio.sleep(60)
    assert repeats.failed("reset")


async def test_what_works_and_fails_in_turns_is_summed_up_too(
    repeats: Repeats, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        repeats.failed("reset")
        await trio.sleep(5)
        repeats.worked()

    assert len(told(caplog)) <= 4


async def test_a_row_that_lasts_since_yesterday_says_the_day(
    repeats: Repeats, caplog: pytest.LogCaptureFixture
) -> None:
    repeats.failed("reset")
    await trio.sleep(13 * 3600)
    repeats.failed("reset")

    assert told(caplog) == [
        "stream: still failing (reset), 2 tries since 2026-01-05 14:30 UTC"
    ]


async def test_after_a_reset_the_next_fault_is_the_first(repeats: Repeats) -> None:
    repeats.failed("reset")
    repeats.reset()

    assert repeats.failed("reset")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0.0 s"), (59.0, "59.0 s"), (90.0, "1.5 min"), (5400.0, "1.5 h")],
)
def test_a_duration_is_said_as_a_person_would(seconds: float, said: str) -> None:
    assert roughly(seconds) == said
