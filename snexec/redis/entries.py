"""An entry of a stream as a signal's line: both forms, its id, its age (SPEC 13)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from snexec.signals import MAX_ID_CHARS, MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SIGNAL = b"signal"
# Texts everywhere in Redis: these are numbers in the JSON of a signal.
_NUMBERS = frozenset(
    {
        *("catalystTier", "priceAtSignal", "floatShares", "relativeVolume"),
        *("catalyst_tier", "price_at_signal", "float_shares", "relative_volume"),
    }
)
_CONFIDENCES = ("aiConfidence", "ai_confidence")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]+)?([eE][-+]?[0-9]{1,9})?")


class Entry(NamedTuple):
    """One entry of a stream.

    Attributes:
        id: As the server gave it, ``milliseconds-number``.
        fields: Names and values, in their order.
        deliveries: How often it was delivered, this time included.
    """

    id: str
    fields: Sequence[tuple[bytes, bytes]]
    deliveries: int = 1


class Line(NamedTuple):
    """An entry as the intake takes it.

    Attributes:
        data: The signal's JSON; None where it is not kept.
        lost: Why it is not.
    """

    data: bytes | None
    lost: str = f"longer than {MAX_LINE_BYTES} bytes"


def entries_of(answer: Iterable[Any]) -> list[Entry]:
    """Return the entries of a server's answer that are still in the stream."""
    return [
        Entry(entry_id.decode(), list(zip(flat[::2], flat[1::2], strict=True)))
        for entry_id, flat in answer
        if flat is not None
    ]


def entries_read(answer: Mapping[bytes, Any] | None) -> list[Entry]:
    """Return the entries that a read of one stream has brought."""
    return [] if answer is None else entries_of(*answer.values())


def line_of(entry: Entry) -> Line:
    """Return the signal's line: the field ``signal``, or all the fields as its own."""
    for name, value in entry.fields:
        if name == _SIGNAL:
            return Line(value) if len(value) <= MAX_LINE_BYTES else Line(None)
    if sum(len(name) + len(value) for name, value in entry.fields) > MAX_LINE_BYTES:
        return Line(None)
    try:
        texts = [(name.decode(), value.decode()) for name, value in entry.fields]
    except UnicodeDecodeError:
        return Line(None, lost="not UTF-8")
    return Line(json.dumps({name: _value(name, text) for name, text in texts}).encode())


def default_id(stream: str, entry_id: str) -> str:
    """Return the id of a signal that brings none, so that an entry buys at most once."""
    name = f"{stream}:{entry_id}"
    if len(name) <= MAX_ID_CHARS:
        return name
    return hashlib.sha512(name.encode()).hexdigest()


def seconds_of(entry_id: str) -> float:
    """Return when an entry was added, in seconds since 1970, by the server's clock."""
    return int(entry_id.partition("-")[0]) / 1000


def following(entry_id: str) -> str:
    """Return the next id after one."""
    milliseconds, _, number = entry_id.partition("-")
    return f"{milliseconds}-{int(number or 0) + 1}"


def _value(name: str, text: str) -> object:
    if name in _CONFIDENCES:
        return text or None
    if name not in _NUMBERS or not _NUMBER.fullmatch(text):
        return text
    number = json.loads(text)
    return number if math.isfinite(number) else text
