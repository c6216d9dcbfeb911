"""Lines that are requests and not signals, told apart (SPEC 6)."""

from __future__ import annotations

import json
import re

from pydantic_core import from_json

from snexec.signals import read_leniently

_SAYS_HALT = r'\s*"command"\s*:\s*"halt"'
_SAYS_ALL = re.compile(r'"all"\s*:\s*true\b')  # exits too
_PLAIN = r'\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,'
# With the command first, as most write it, or behind plain values, or at the end.
_BEGINS_AS_HALT = re.compile(rf"\s*\{{(?:{_PLAIN})*{_SAYS_HALT}", re.DOTALL)
_ENDS_AS_HALT = re.compile(rf"\s*\{{.*,{_SAYS_HALT}\s*\}}\s*", re.DOTALL)


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

    What else it says is kept as its reason. It may be the two ends of a line.
    """
    text = line.decode("utf-8-sig", errors="replace")
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        if _BEGINS_AS_HALT.match(text) or _ENDS_AS_HALT.fullmatch(text):
            for_all = _SAYS_ALL.search(text) is not None
            halt: dict[str, object] = {"command": "halt", "reason": text}
            return {**halt, "all": True} if for_all else halt
        return None
    halts = isinstance(value, dict) and value.get("command") == "halt"
    return value if halts else None
