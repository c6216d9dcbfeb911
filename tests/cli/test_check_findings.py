"""One line of ``check``: what was found, what to do, and no secret."""

from __future__ import annotations

import pytest

from snexec.cli.check_findings import fail, line, masked, ok, softened, warn
from tests.fakes import SECRET, make_settings


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (ok("clock", "right"), "OK    clock           right"),
        (warn("clock", "2 s off", "set it"), "WARN  clock           2 s off / set it"),
        (fail("keys", "HTTP 401"), "FAIL  keys            HTTP 401"),
    ],
)
def test_it_is_one_line_with_what_to_do(finding: object, text: str) -> None:
    assert line(finding).plain == text  # type: ignore[arg-type]


def test_what_is_not_in_use_only_warns() -> None:
    assert softened(fail("live", "no keys", "none")) == warn("live", "no keys", "none")
    for finding in (ok("a", "b"), warn("a", "b")):
        assert softened(finding) is finding


def test_no_secret_is_shown_whoever_echoed_it() -> None:
    settings = make_settings(alpaca={"api_key": "PKTESTKEY0001", "api_secret": SECRET})
    [found] = masked([fail("keys", f"no {SECRET}", f"not {SECRET}")], settings)
    assert SECRET not in found.detail + found.advice
    assert (found.check, found.result) == ("keys", "FAIL")
