"""Lines that are requests and not signals, told apart (SPEC 6)."""

from __future__ import annotations

import json
import re

from pydantic_core import from_json

from snexec.signals import read_leniently

# With the command first, as everybody writes it.
_HALT = re.compile(r'\s*\{\s*"command"\s*:\s*"halt"')


def read_request(line: bytes) -> dict[str, object] | None:
    """Return the request that a line is, None if it is none.

    A halt is one although it is no JSON: cut, not UTF-8, or with raw control characters.
    """
    if b'"command"' not in line:
        return None
    for read in (from_json, read_leniently):
        try:
            value = read(line)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) and "command" in value else None
    return read_broken_halt(line)


def read_broken_halt(line: bytes) -> dict[str, object] | None:
    """Return the halt that a line means which is no JSON, None if it means none.

    What else it says is kept as its reason. It may be the beginning of a line.
    """
    text = line.decode("utf-8-sig", errors="replace")
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return {"command": "halt", "reason": text} if _HALT.match(text) else None
    halts = isinstance(value, dict) and value.get("command") == "halt"
    return value if halts else None
