"""A lease: what was taken and not used is given back, whatever ends the block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import NotFoundError
from tests.broker.asking import Outgoing
from tests.fakes import FakeAccounts, FakeClient, FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.broker.budget import RateBudget
    from snexec.broker.lease import Lease

    Take = Callable[[FakeAccounts, Purpose], Awaitable[Lease]]
    End = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.jumping_time

PER_MINUTE = 10  # of which orders may use 8, and recovery 2


@pytest.fixture
def accounts() -> FakeAccounts:
    """Give accounts with a small budget."""
    return FakeAccounts(clock=FakeClock(), per_minute=PER_MINUTE)


@pytest.fixture
def budget(accounts: FakeAccounts) -> RateBudget:
    """Give the budget of the paper account."""
    return accounts.budget("paper")


def state(budget: RateBudget) -> tuple[int, int]:
    """Return how many requests are left, and how many are taken and not over."""
    return budget.left, budget._in_flight


def room(budget: RateBudget, purpose: Purpose) -> int:
    """Return how many requests there are for a purpose, and leave them."""
    taken = 0
    while budget.try_take(purpose):
        taken += 1
    for _ in range(taken):
        budget.give_back(purpose)
    return taken


async def with_the_lease(accounts: FakeAccounts, purpose: Purpose) -> Lease:
    lease = accounts.try_take("paper", purpose)
    assert lease is not None
    return lease


async def at_once(accounts: FakeAccounts, purpose: Purpose) -> Lease:
    lease = accounts.lease("paper")
    assert lease.try_take(purpose)
    return lease


async def with_patience(accounts: FakeAccounts, purpose: Purpose) -> Lease:
    lease = accounts.lease("paper")
    await lease.take(purpose)
    return lease


every_way_to_take = pytest.mark.parametrize(
    "take", [with_the_lease, at_once, with_patience]
)


async def leave() -> None:
    pass


async def fail() -> None:
    raise ZeroDivisionError


async def run_out_of_time() -> None:
    with trio.fail_after(1):
        await trio.sleep_forever()


# Given back


@every_way_to_take
@pytest.mark.parametrize("end", [leave, fail, run_out_of_time])
@pytest.mark.parametrize("purpose", list(Purpose))
async def test_what_was_not_used_is_given_back_whatever_ends_the_block(
    accounts: FakeAccounts, budget: RateBudget, take: Take, end: End, purpose: Purpose
) -> None:
    before = state(budget)
    rooms = [room(budget, each) for each in Purpose]
    try:
        with await take(accounts, purpose):
            assert state(budget) == (PER_MINUTE - 1, 1)
            await end()
    except (ZeroDivisionError, trio.TooSlowError):
        pass
    assert state(budget) == before == (PER_MINUTE, 0)
    assert [room(budget, each) for each in Purpose] == rooms, "to what it was taken of"
    assert accounts.leased["paper"] == 0


async def test_a_cancelled_block_gives_back_what_it_did_not_use(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    with trio.move_on_after(5) as scope:
        with await with_the_lease(accounts, Purpose.ORDER):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert state(budget) == (PER_MINUTE, 0)


async def test_a_lease_that_took_nothing_gives_nothing_back(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    assert budget.try_take(Purpose.ORDER)
    with accounts.lease("paper") as lease:
        assert lease.client is accounts.clients["paper"]
    assert state(budget) == (PER_MINUTE - 1, 1), "that one is another's"


async def test_what_could_not_be_taken_is_not_given_back(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    while budget.try_take(Purpose.ORDER):
        pass
    before = state(budget)
    with accounts.lease("paper") as lease:
        assert not lease.try_take(Purpose.ORDER)
        assert lease.try_take(Purpose.RECOVERY), "its fifth is kept"
    assert accounts.try_take("paper", Purpose.ORDER) is None
    assert state(budget) == before
    assert accounts.leased["paper"] == 0, "nor is a client lent without a request"


async def test_it_is_given_back_to_the_account_that_it_was_taken_of(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    other = accounts.budget("live")
    with await with_the_lease(accounts, Purpose.ORDER):
        held = accounts._held
        held["paper"], held["live"] = held["live"], held["paper"]  # as a reload does
        assert accounts.budget("paper") is other
    assert state(budget) == (PER_MINUTE, 0)
    assert state(other) == (PER_MINUTE, 0)


# Used


@every_way_to_take
@pytest.mark.parametrize("end", [leave, fail, run_out_of_time])
async def test_what_was_used_is_not_given_back(
    accounts: FakeAccounts, budget: RateBudget, take: Take, end: End
) -> None:
    try:
        with await take(accounts, Purpose.ORDER) as lease:
            assert lease.use() is accounts.clients["paper"]
            await end()
    except (ZeroDivisionError, trio.TooSlowError):
        pass
    assert state(budget) == (PER_MINUTE - 1, 1), "the client says when it is over"
    assert accounts.leased["paper"] == 0


async def test_an_order_that_is_answered_in_the_block_is_over_once(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    with await with_the_lease(accounts, Purpose.ORDER) as lease:
        order = Outgoing()
        lease.use().send_order(order)
        await order.done.wait()
        assert state(budget) == (PER_MINUTE - 1, 0)
    assert state(budget) == (PER_MINUTE - 1, 0)


async def test_an_order_that_is_answered_after_the_block_is_over_once(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    with await with_the_lease(accounts, Purpose.ORDER) as lease:
        order = Outgoing()
        lease.use().send_order(order)
    assert state(budget) == (PER_MINUTE - 1, 1)
    await order.done.wait()
    assert state(budget) == (PER_MINUTE - 1, 0)


async def test_a_question_that_fails_is_over_once(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    lease = await with_the_lease(accounts, Purpose.RECOVERY)
    with pytest.raises(NotFoundError), lease:
        await lease.use().order(client_order_id="sn-1", order_id=None)
    assert state(budget) == (PER_MINUTE - 1, 0)


async def test_a_question_that_is_cancelled_is_over_once(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    accounts.clients["paper"].seconds = 60.0
    with trio.move_on_after(1) as scope:
        with await with_the_lease(accounts, Purpose.RECOVERY) as lease:
            await lease.use().order(client_order_id="sn-1", order_id=None)
    assert scope.cancelled_caught
    assert state(budget) == (PER_MINUTE - 1, 0)


async def test_of_several_only_the_one_not_used_is_given_back(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    with await with_the_lease(accounts, Purpose.ORDER) as lease:
        client = lease.use()
        assert isinstance(client, FakeClient)
        with pytest.raises(NotFoundError):
            await client.position_quantity("AAPL")
        assert lease.try_take(Purpose.RECOVERY)
        with pytest.raises(NotFoundError):
            await lease.use().order(client_order_id="sn-1", order_id=None)
        assert lease.try_take(Purpose.ORDER)
        assert state(budget) == (PER_MINUTE - 3, 1)
    assert state(budget) == (PER_MINUTE - 2, 0)
    assert room(budget, Purpose.ORDER) == PER_MINUTE - 3, "one is kept, one was used"


# Waiting


async def test_a_lease_waits_for_a_request(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    for _ in range(PER_MINUTE):
        assert budget.try_take(Purpose.START)
        budget.finish(None)
    with accounts.lease("paper") as lease:
        await lease.take(Purpose.ORDER)
        assert trio.current_time() == pytest.approx(60, abs=1)
        assert state(budget) == (PER_MINUTE - 1, 1)
    assert state(budget) == (PER_MINUTE, 0)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 30.0])
async def test_a_cancelled_wait_takes_nothing(
    accounts: FakeAccounts, budget: RateBudget, seconds: float
) -> None:
    for _ in range(PER_MINUTE):
        assert budget.try_take(Purpose.START)
        budget.finish(None)
    with trio.move_on_after(seconds) as scope:
        with accounts.lease("paper") as lease:
            await lease.take(Purpose.RECOVERY)
    assert scope.cancelled_caught
    assert state(budget) == (0, 0)
    assert accounts.leased["paper"] == 0
    await trio.sleep(61)
    assert state(budget) == (PER_MINUTE, 0)


async def test_what_is_there_is_taken_even_where_the_block_is_cancelled_already(
    accounts: FakeAccounts, budget: RateBudget
) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        with accounts.lease("paper") as lease:
            await lease.take(Purpose.RECOVERY)
            assert state(budget) == (PER_MINUTE - 1, 1)
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert state(budget) == (PER_MINUTE, 0), "and given back"


# The client


async def test_leases_are_counted_until_their_blocks_end(
    accounts: FakeAccounts,
) -> None:
    with accounts.lease("paper"):
        second = await with_the_lease(accounts, Purpose.ORDER)
        assert accounts.leased == {"paper": 2, "live": 0}
        with second:
            pass
        assert accounts.leased == {"paper": 1, "live": 0}
    assert accounts.leased == {"paper": 0, "live": 0}
