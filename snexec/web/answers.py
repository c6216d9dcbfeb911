"""What a request is answered, before it is known who sends it."""

from __future__ import annotations

import json
from typing import NamedTuple

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """The answer to a request."""

    body: bytes
    status: int = 200
    content_type: str = JSON


def in_json(value: object, *, status: int = 200) -> Answer:
    """Return an answer in JSON, in ASCII, so that no reader takes it for anything else."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Answer(text.encode(), status=status)


def refused(why: str, *, status: int) -> Answer:
    """Return why something is not done, and what to do about it."""
    return in_json({"error": why}, status=status)


def plainly(text: str, *, status: int) -> Answer:
    """Return a line for whoever sees no page."""
    return Answer(f"{text}\n".encode(), status=status, content_type=TEXT)


class NotAnsweredError(Exception):
    """A request that is refused.

    Args:
        why: What is wrong, and what to do about it.
        status: HTTP's.
        more: Further fields of the answer.
    """

    def __init__(self, why: str, *, status: int, **more: object) -> None:
        super().__init__(why)
        self.answer = in_json({"error": why, **more}, status=status)
