"""What an account holds: a position is gone only when it stays gone."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import RateLimitedError, RefusedError, UnknownOutcomeError
from snexec.reconciliation.holdings import holdings
from tests.fakes import not_found

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

GONE = Decimal(0)


async def held(rig: Rig, *symbols: str) -> dict[str, Decimal | None]:
    return await holdings(rig.accounts, "paper", symbols, Purpose.RECOVERY)


async def test_each_symbol_is_asked_for_once_where_it_is_held(rig: Rig) -> None:
    rig.paper.holds = {"AAPL": Decimal(2), "BTC/USD": Decimal("0.1")}
    assert await held(rig, "AAPL", "BTC/USD") == rig.paper.holds
    assert [each.symbol for each in rig.paper.asked("position")] == ["AAPL", "BTC/USD"]
    assert trio.current_time() == 0
    assert rig.accounts.leased["paper"] == 0


async def test_one_that_is_gone_is_asked_for_again_when_positions_have_caught_up(
    rig: Rig,
) -> None:
    rig.paper.holds["KO"] = Decimal(1)
    rig.paper.asking += [not_found(), not_found(), Decimal(1), not_found(), Decimal(3)]
    found = await held(rig, "AAPL", "MO", "KO")
    assert found == {"AAPL": GONE, "MO": Decimal(3), "KO": Decimal(1)}
    asked = [(each.at, each.symbol) for each in rig.paper.asked("position")]
    assert asked == [(0, "AAPL"), (0, "MO"), (0, "KO"), (15, "AAPL"), (15, "MO")]


@pytest.mark.parametrize(
    "problem",
    [
        UnknownOutcomeError("no answer"),
        RefusedError(status_code=401, body="", reason="unauthorized"),
        RateLimitedError("HTTP 429", wait_seconds=3.0),
    ],
    ids=lambda problem: type(problem).__name__,
)
async def test_where_there_is_no_answer_nothing_is_known(
    rig: Rig, problem: Exception
) -> None:
    rig.paper.asking += [problem, problem, problem, not_found(), problem, problem]
    found = await held(rig, "AAPL", "KO")
    assert found["AAPL"] is None
    assert found["KO"] == GONE, "it is asked again until there is an answer"


async def test_no_position_at_first_and_no_answer_later_is_nothing_known(
    rig: Rig,
) -> None:
    lost = UnknownOutcomeError("no answer")
    rig.paper.asking += [not_found(), lost, lost, lost]
    assert await held(rig, "AAPL") == {"AAPL": None}
