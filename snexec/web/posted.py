"""The feeder of signals over HTTP: a body is one line, or an array of them (SPEC 13)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import trio

from snexec.intake import LINES_PER_TURN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.intake import Answer, Intake
    from snexec.web.producers import Producer

MOST_SIGNALS = 100
# For so long after a gap, what lay in the kernel may still be read: 128 clients that wait
# to be accepted, and 64 whose requests wait for their turn.
_SETTLES_SECONDS = 3.0
_TICKS_TO_START_AN_ORDER = 3  # so that a free slot is taken before a line finds no room
_SPACE = " \t\r\n"
_JSON = json.JSONDecoder()


class ManyError(ValueError):
    """An array that is readable, and holds no signal or too many."""


class Posted:
    """Feeds the intake with what producers post.

    Args:
        intake: Takes the lines.
    """

    name = "http"

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._gap_since = math.inf
        self._gap_over_at = -math.inf

    async def run(self) -> None:
        """Hear of gaps, until cancelled; the server brings the lines."""
        self._intake.unread.add(self)
        try:
            await trio.sleep_forever()
        finally:
            self._intake.unread.remove(self)

    def hold(self, since: float) -> None:
        """Date back what lies unread now; nobody knows how much that is."""
        self._gap_since, self._gap_over_at = since, trio.current_time()

    def arrived(self) -> float:
        """Return when a request whose head is read now counts as read, on Trio's clock."""
        now = trio.current_time()
        self._intake.unread.notice(now)  # which holds, if a gap ended just now
        is_over = now - self._gap_over_at > _SETTLES_SECONDS
        return now if is_over else min(now, self._gap_since)

    def refuse(self, why: str, producer: Producer, *, read_at: float) -> Answer:
        """Count and log a body that holds no line."""
        return self._intake.take(
            None, read_at=read_at, lost=why, producer=producer.name
        )

    async def take(
        self, lines: Sequence[bytes], producer: Producer, *, read_at: float
    ) -> list[Answer]:
        """Take lines in their order, a few at a time, so that all others get turns."""
        answers: list[Answer] = []
        for number, line in enumerate(lines, start=1):
            if self._intake.is_full:
                self._intake.flush()
                for _ in range(_TICKS_TO_START_AN_ORDER):
                    await trio.lowlevel.checkpoint()
            answers.append(
                self._intake.take(line, read_at=read_at, producer=producer.name)
            )
            if number % LINES_PER_TURN == 0 or number == len(lines):
                self._intake.flush()
                await trio.lowlevel.checkpoint()
        return answers


def signals_in(body: bytes) -> list[bytes] | None:
    """Return the elements of an array as they are written; None where it is no array.

    Raises:
        ManyError: It is empty, or holds more than 100.
    """
    try:
        text = body.decode("utf-8-sig")
        return _elements(text) if text.lstrip(_SPACE)[:1] == "[" else None
    except ManyError:
        raise
    except (ValueError, RecursionError):
        return None  # it is one line, which the intake finds to be none


def _elements(text: str) -> list[bytes]:
    at = _past_space(text, text.index("[") + 1)
    elements: list[bytes] = []
    if text[at : at + 1] == "]":
        raise ManyError("an array without a signal")
    while True:
        _value, end = _JSON.raw_decode(text, at)
        elements.append(text[at:end].encode())
        at = _past_space(text, end)
        if text[at : at + 1] != ",":
            break
        at = _past_space(text, at + 1)
    if text[at : at + 1] != "]" or text[at + 1 :].strip(_SPACE):
        raise ValueError("not an array of JSON")
    if len(elements) > MOST_SIGNALS:
        raise ManyError(f"an array of more than {MOST_SIGNALS} signals")
    return elements


def _past_space(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at
