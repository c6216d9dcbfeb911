"""What a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Result = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``check``.

    Attributes:
        check: What was looked at.
        advice: What to do, if anything.
    """

    check: str
    result: Result
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    """Find nothing wrong."""
    return Finding(check, "OK", detail)


def warn(check: str, detail: str, advice: str = "") -> Finding:
    """Find something to look at."""
    return Finding(check, "WARN", detail, advice)


def fail(check: str, detail: str, advice: str = "") -> Finding:
    """Find what keeps the daemon from trading."""
    return Finding(check, "FAIL", detail, advice)


def softened(finding: Finding) -> Finding:
    """Return a finding about what is not in use: it fails nothing."""
    return replace(finding, result="WARN") if finding.result == "FAIL" else finding
