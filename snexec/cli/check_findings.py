"""What a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Result = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``check``.

    Attributes:
        check: What was checked.
        advice: What to do about it, or nothing.
    """

    check: str
    result: Result
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(check, "OK", detail)


def warn(check: str, detail: str, advice: str = "") -> Finding:
    """Return something to look at, which fails nothing."""
    return Finding(check, "WARN", detail, advice)


def fail(check: str, detail: str, advice: str = "") -> Finding:
    """Return something that keeps the daemon from trading."""
    return Finding(check, "FAIL", detail, advice)


def softened(finding: Finding) -> Finding:
    """Return the finding for something that is not in use: a failure only warns."""
    return replace(finding, result="WARN") if finding.result == "FAIL" else finding
