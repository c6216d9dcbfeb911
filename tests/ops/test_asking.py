"""The operator's questions to an account take little, and end in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, NoAccountError, NotSentError, RateLimitedError
from snexec.ops.asking import client_of

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


async def test_a_question_takes_one_request_of_recoverys_share(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Purpose] = []
    real = rig.paper.budget.try_take

    def take(purpose: Purpose) -> bool:
        taken.append(purpose)
        return real(purpose)

    monkeypatch.setattr(rig.paper.budget, "try_take", take)
    async with client_of(rig.accounts, "paper") as client:
        assert client is rig.paper
        assert rig.accounts.leased["paper"] == 1
    assert taken == [Purpose.RECOVERY]
    assert rig.accounts.leased["paper"] == 0


async def test_without_keys_there_is_nobody_to_ask(rig: Rig) -> None:
    rig.accounts.lose_keys("live")
    with pytest.raises(NoAccountError, match="there are no keys for live"):
        async with client_of(rig.accounts, "live"):
            raise AssertionError
    async with client_of(rig.accounts, "paper"):
        pass


async def test_an_account_that_takes_too_long_has_not_answered(rig: Rig) -> None:
    with pytest.raises(BrokerError, match="no answer within 6 s"):
        async with client_of(rig.accounts, "paper"):
            await trio.sleep(60)
    assert trio.current_time() == 6
    assert rig.accounts.leased["paper"] == 0


async def test_nor_is_a_request_waited_for_any_longer(rig: Rig) -> None:
    rig.paper.budget.block(100)
    with pytest.raises(BrokerError, match="no answer within 6 s"):
        async with client_of(rig.accounts, "paper"):
            raise AssertionError
    assert trio.current_time() == 6


async def test_a_429_stops_the_requests_that_follow(rig: Rig) -> None:
    with pytest.raises(RateLimitedError):
        async with client_of(rig.accounts, "paper"):
            raise RateLimitedError("429", wait_seconds=4)
    async with client_of(rig.accounts, "paper"):
        assert trio.current_time() == 4


async def test_any_other_no_is_the_callers(rig: Rig) -> None:
    with pytest.raises(NotSentError):
        async with client_of(rig.accounts, "paper"):
            raise NotSentError("no route")
    assert rig.accounts.leased["paper"] == 0
