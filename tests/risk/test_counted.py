"""Each gate that counts stops what it should and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.risk.cases import COUNTED_CASES, stopped

if TYPE_CHECKING:
    from snexec.risk.limits import Reason


@pytest.mark.parametrize(("bot", "signal", "seen", "reason"), COUNTED_CASES)
def test_a_gate_stops_what_it_should(
    bot: dict[str, Any],
    signal: dict[str, Any],
    seen: dict[str, Any],
    reason: Reason | None,
) -> None:
    assert stopped(bot, signal, seen) == reason
