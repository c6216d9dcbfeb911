"""What a check found, and what to do about it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from snexec.cli.console import new_grid, print_grid, print_line
from snexec.errors import ConfigError
from snexec.logs import SecretMask
from snexec.settings import learn_secrets

if TYPE_CHECKING:
    from rich.console import Console

    from snexec.settings import Settings

Result = Literal["OK", "WARN", "FAIL"]

_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


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


def masked(found: list[Finding], settings: Settings) -> list[Finding]:
    """Mask every secret, whoever echoed it."""
    mask = SecretMask()
    with contextlib.suppress(ConfigError):  # which has a finding of its own
        learn_secrets(mask, settings)
    return [
        replace(
            finding,
            detail=mask.apply(finding.detail),
            advice=mask.apply(finding.advice),
        )
        for finding in found
    ]


def line(finding: Finding) -> Text:
    """Return a finding as one line for people."""
    text = _result(finding)
    text.append(f"  {finding.check:<14}  ", "bold")
    return text.append_text(_words(finding))


def print_findings(console: Console, found: list[Finding]) -> None:
    """Print findings for people: one line each in a file, wrapped on a terminal."""
    if not console.is_terminal:
        for finding in found:
            print_line(console, line(finding))
        return
    grid = new_grid("", "bold")
    for finding in found:
        grid.add_row(_result(finding), f"{finding.check:<14}", _words(finding))
    print_grid(console, grid)


def _result(finding: Finding) -> Text:
    return Text.assemble((f"{finding.result:<4}", _STYLES[finding.result]))


def _words(finding: Finding) -> Text:
    text = Text(finding.detail)
    if finding.advice:
        text.append(f" / {finding.advice}", "italic")
    return text
