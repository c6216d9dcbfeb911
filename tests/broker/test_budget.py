"""The request budget: within the broker's limit, and a fifth of it for recovery."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.broker.budget import Purpose, RateBudget
from tests.fakes import MOMENT, FakeClock, TrioClock

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER, EXIT, POLL = Purpose.ORDER, Purpose.EXIT, Purpose.POLL
RECOVERY, ROUTINE, START = Purpose.RECOVERY, Purpose.ROUTINE, Purpose.START

# Tests of a minute's limit on a clock that only they move.
pytestmark = pytest.mark.frozen_time


def taken(budget: RateBudget, purpose: Purpose, most: int = 1000) -> int:
    """Take as many requests as there are, finish them, and count them."""
    count = 0
    while count < most and budget.try_take(purpose):
        budget.finish(None)
        count += 1
    return count


def headers(
    *, limit: object = 100, remaining: object = 50, reset: object = None, **more: str
) -> dict[str, str]:
    """Make the headers of an answer, whose window ends in 30 s unless given."""
    if reset is None:
        reset = int(MOMENT.timestamp()) + 30
    told = {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(reset),
    }
    return told | more


async def answered(budget: RateBudget, told: dict[str, str]) -> None:
    """Make one request that is answered with these headers."""
    assert budget.try_take(START)
    budget.finish(told)


# A broker that sends no headers


async def test_a_silent_broker_is_asked_at_most_the_configured_number_a_minute(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    assert taken(budget, START) == 10
    mock_clock.jump(59.99)
    assert taken(budget, START) == 0
    mock_clock.jump(0.01)
    assert taken(budget, START) == 10


async def test_the_silent_minute_slides(mock_clock: MockClock) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    assert taken(budget, START, most=4) == 4
    mock_clock.jump(40)
    assert taken(budget, START) == 6
    mock_clock.jump(20)
    assert taken(budget, START) == 4
    mock_clock.jump(39)
    assert taken(budget, START) == 0
    mock_clock.jump(1)
    assert taken(budget, START) == 6


@pytest.mark.parametrize(
    ("limit", "orders"), [(200, 160), (10, 8), (5, 4), (4, 4), (1, 1)]
)
async def test_a_fifth_is_kept_free_of_orders(limit: int, orders: int) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, ORDER) == orders
    assert taken(budget, RECOVERY) == limit - orders


@pytest.mark.parametrize(("limit", "share"), [(200, 80), (10, 4), (5, 2), (4, 1)])
async def test_recovery_uses_another_fifth_while_orders_are_few(
    limit: int, share: int
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, RECOVERY) == share
    assert taken(budget, ORDER) == limit - share


@pytest.mark.parametrize(("limit", "orders"), [(200, 80), (200, 160), (10, 4), (5, 2)])
async def test_recovery_keeps_to_its_fifth_while_orders_are_many(
    limit: int, orders: int
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, ORDER, most=orders) == orders
    assert taken(budget, RECOVERY) == limit // 5


@pytest.mark.parametrize(
    ("limit", "routine", "kept"), [(200, 70, 10), (20, 7, 1), (10, 3, 1), (5, 2, 0)]
)
async def test_what_can_wait_leaves_a_quarter_of_a_fifth_to_what_cannot(
    limit: int, routine: int, kept: int
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, ROUTINE) == routine
    assert taken(budget, RECOVERY) == kept
    assert taken(budget, ORDER) == limit - routine - kept


@pytest.mark.parametrize(("limit", "kept"), [(200, 10), (20, 1), (10, 1), (5, 0)])
async def test_orders_leave_that_quarter_too_wherever_recoverys_share_has_gone(
    limit: int, kept: int
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    routine = taken(budget, ROUTINE)
    assert taken(budget, ORDER) == limit - routine - kept
    assert taken(budget, ROUTINE) == 0
    assert taken(budget, RECOVERY) == kept
    assert (taken(budget, ORDER), taken(budget, START)) == (0, 0)


@pytest.mark.parametrize(("limit", "orders"), [(200, 160), (10, 8), (5, 4), (4, 4)])
async def test_what_can_wait_is_done_within_the_fifth_while_orders_are_many(
    limit: int, orders: int
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, ORDER) == orders
    fifth = limit - orders
    reserve = taken(budget, ROUTINE)
    assert reserve == (0 if not fifth else fifth - (-(-fifth // 4) if fifth > 1 else 0))
    assert taken(budget, RECOVERY) == fifth - reserve


async def test_the_quarter_is_there_again_a_minute_after_it_was_used(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=200, clock=FakeClock())
    assert taken(budget, ROUTINE) == 70
    mock_clock.jump(30)
    assert taken(budget, RECOVERY) == 10
    assert taken(budget, ORDER) == 120
    mock_clock.jump(30)
    assert (taken(budget, ROUTINE), taken(budget, RECOVERY)) == (20, 10)
    budget.give_back(RECOVERY)
    assert taken(budget, RECOVERY) == 1


async def test_what_recovery_uses_of_its_own_fifth_is_asked_of_no_order_again() -> None:
    budget = RateBudget(per_minute=200, clock=FakeClock())
    assert taken(budget, ORDER, most=70) == 70
    assert taken(budget, RECOVERY) == 40, "less than a fifth is idle"
    assert taken(budget, ORDER) == 90
    assert taken(budget, RECOVERY) == 0


async def test_at_the_start_recovery_may_use_everything() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    assert taken(budget, START) == 10
    assert taken(budget, RECOVERY) == 0
    assert taken(budget, ORDER) == 0


async def test_recovery_has_its_share_again_a_minute_later(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    assert taken(budget, RECOVERY) == 4
    mock_clock.jump(60)
    assert taken(budget, RECOVERY) == 4


async def test_whoever_waits_gets_the_first_request_that_is_free_again(
    autojump_clock: MockClock,
) -> None:
    del autojump_clock
    budget = RateBudget(per_minute=10, clock=FakeClock())
    taken(budget, START, most=3)
    await trio.sleep(7)
    taken(budget, START)
    began = trio.current_time()
    await budget.take(START)
    assert trio.current_time() - began == pytest.approx(53)
    assert budget.seconds_until(START) == 0.01, "two more are free"


# A broker that sends headers


async def test_the_brokers_headers_rule_over_the_configured_number() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    await answered(budget, headers(limit=100, remaining=37))
    assert budget.limit == 100
    assert taken(budget, START) == 37


async def test_a_lower_limit_than_configured_is_kept_too() -> None:
    budget = RateBudget(per_minute=200, clock=FakeClock())
    await answered(budget, headers(limit=50, remaining=49))
    assert taken(budget, ORDER) == 39
    assert taken(budget, RECOVERY) == 10


async def test_requests_on_their_way_count_against_what_a_header_leaves() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    for _ in range(4):
        assert budget.try_take(START)
    budget.finish(headers(limit=100, remaining=20))
    assert taken(budget, START) == 17, "three are still on their way"


async def test_the_window_ends_when_the_header_says(mock_clock: MockClock) -> None:
    budget = RateBudget(per_minute=10, clock=TrioClock())
    await answered(budget, headers(limit=100, remaining=0))
    # The header has whole seconds: 30 s after a moment that is 0.123 s past one.
    assert budget.seconds_until(START) == pytest.approx(29.877 + 0.05)
    mock_clock.jump(29.877)
    assert taken(budget, START) == 0
    mock_clock.jump(0.06)
    assert taken(budget, START) == 100


async def test_a_window_without_any_answer_is_followed_by_another(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=TrioClock())
    await answered(budget, headers(limit=20, remaining=19))
    mock_clock.jump(31)
    assert taken(budget, START) == 20
    mock_clock.jump(61)
    assert taken(budget, START) == 20


async def test_answers_that_overtake_each_other_never_raise_what_is_left() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    for _ in range(3):
        assert budget.try_take(START)
    budget.finish(headers(remaining=47))
    budget.finish(headers(remaining=49))
    budget.finish(headers(remaining=48))
    assert taken(budget, START) == 45


async def test_what_others_use_of_the_account_is_believed() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    await answered(budget, headers(remaining=50))
    await answered(budget, headers(remaining=3))
    assert taken(budget, START) == 3


async def test_a_late_answer_of_the_window_before_changes_nothing(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=TrioClock())
    first = int(MOMENT.timestamp()) + 30
    for _ in range(2):
        assert budget.try_take(START)
    budget.finish(headers(remaining=60, reset=first))
    mock_clock.jump(31)
    await answered(budget, headers(remaining=99, reset=first + 60))
    budget.finish(headers(remaining=2, reset=first))
    assert taken(budget, START) == 98


async def test_a_clock_far_from_the_brokers_is_corrected_by_its_date() -> None:
    clock = FakeClock(MOMENT + timedelta(hours=1))
    budget = RateBudget(per_minute=10, clock=clock)
    date = format_datetime(MOMENT.replace(microsecond=0), usegmt=True)
    await answered(budget, headers(remaining=0, date=date))
    assert budget.seconds_until(START) == pytest.approx(30.05)
    assert budget.seconds_until_reset(headers(date=date)) == pytest.approx(30)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "50"},
        headers(limit=""),
        headers(limit="many"),
        headers(limit="nan"),
        headers(limit="1e3"),
        headers(limit=0),
        headers(limit=-100),
        headers(limit="9" * 5000),
        headers(limit="1" * 400),
        headers(limit="1" * 8),
        headers(limit="+100"),
        headers(limit="1_0"),
        headers(remaining="1" * 400),
        headers(remaining=""),
        headers(remaining=-1),
        headers(remaining="inf"),
        headers(remaining="[]"),
    ],
)
async def test_garbage_headers_leave_the_configured_number(
    told: dict[str, str],
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    await answered(budget, told)
    assert float(budget.limit) == 10
    assert taken(budget, START) == 9


@pytest.mark.parametrize(
    "reset",
    [
        "",
        "soon",
        "nan",
        "inf",
        "-inf",
        "1e999",
        0,
        -5,
        30,
        int(MOMENT.timestamp()),
        int(MOMENT.timestamp()) - 1,
        int(MOMENT.timestamp()) + 3600,
        int(MOMENT.timestamp() * 1000),
    ],
)
async def test_a_limit_whose_window_cannot_be_read_holds_for_a_sliding_minute(
    reset: object, mock_clock: MockClock
) -> None:
    budget = RateBudget(per_minute=200, clock=FakeClock())
    await answered(budget, headers(limit=10, remaining=9, reset=reset))
    assert taken(budget, START) == 9
    mock_clock.jump(59)
    assert taken(budget, START) == 0
    mock_clock.jump(1)
    assert taken(budget, START) == 10


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Mon, 05 Jan 2026",
        "Mon, 05 Jan 2026 99:99:99 GMT",
        "Mon, 32 Jan 2026 14:30:00 GMT",
        "Mon, 05 Jan 0000 14:30:00 GMT",
        "Mon, 05 Jan 99999999999999999999 14:30:00 GMT",
        "Mon, 05 Jan 2026 14:30:00 +99999999999999999999",
    ],
)
async def test_a_garbage_date_is_as_good_as_none(date: str) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    await answered(budget, headers(remaining=7, date=date))
    assert taken(budget, START) == 7


async def test_a_request_without_an_answer_stays_counted() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    await answered(budget, headers(remaining=10))
    assert budget.try_take(START)
    budget.finish(None)
    assert taken(budget, START) == 9


# 429, and requests that were not made


async def test_after_a_429_nothing_is_available_for_as_long_as_told(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=100, clock=FakeClock())
    budget.block(12)
    for purpose in Purpose:
        assert not budget.try_take(purpose)
        assert budget.seconds_until(purpose) == 12
    mock_clock.jump(12)
    for purpose in Purpose:
        assert budget.try_take(purpose)


async def test_a_shorter_block_does_not_lift_a_longer_one(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    budget.block(12)
    budget.block(1)
    mock_clock.jump(11)
    assert not budget.try_take(START)


@pytest.mark.parametrize("told", [None, headers(limit=10, remaining=10)])
@pytest.mark.parametrize(("purpose", "share"), [(ORDER, 8), (RECOVERY, 4), (START, 10)])
async def test_what_was_given_back_may_be_taken_again(
    told: dict[str, str] | None, purpose: Purpose, share: int
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    if told is not None:
        assert budget.try_take(START)
        budget.finish(told)
    for _ in range(25):
        assert budget.try_take(purpose)
        budget.give_back(purpose)
    assert taken(budget, purpose) == share


async def test_what_was_given_back_is_not_on_its_way() -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    for _ in range(2):
        assert budget.try_take(START)
    budget.give_back(START)
    budget.finish(headers(remaining=5))
    assert taken(budget, START) == 5


# Against a broker with fixed windows

LIMIT = 10


@dataclass
class FixedWindows:
    """A broker that counts requests in windows of a minute, on its own clock."""

    begins: float
    skew: float
    counts: dict[int, int] = field(default_factory=dict)

    def arrive(self, now: float) -> dict[str, str]:
        wall = MOMENT.timestamp() + now + self.skew
        window = int((wall - self.begins) // 60)
        self.counts[window] = self.counts.get(window, 0) + 1
        reset = self.begins + (window + 1) * 60
        date = MOMENT + timedelta(seconds=now + self.skew)
        return {
            "x-ratelimit-limit": str(LIMIT),
            "x-ratelimit-remaining": str(max(0, LIMIT - self.counts[window])),
            "x-ratelimit-reset": str(int(reset)),
            "date": format_datetime(date.replace(microsecond=0), usegmt=True),
        }


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*Purpose, None]),  # None gives the request back
        st.floats(0, 40, allow_nan=False),  # before it
        st.floats(0.001, 9, allow_nan=False),  # to the broker
        st.floats(0.001, 9, allow_nan=False),  # and back
        st.just(False),  # the answer is not lost on its way
    ),
    max_size=60,
)


def most_in_a_window(
    steps: list[tuple[Purpose | None, float, float, float, bool]],
    *,
    begins: int,
    skew: float,
) -> int:
    """Replay requests, and return the most that the broker counted in a window."""
    broker = FixedWindows(int(MOMENT.timestamp()) + begins, skew)

    async def replay() -> None:
        budget = RateBudget(per_minute=LIMIT, clock=TrioClock())
        # The broker is silent until its first answer, so begin with one.
        assert budget.try_take(START)
        budget.finish(broker.arrive(trio.current_time()))
        number = itertools.count()
        due: list[tuple[float, int, Callable[[], None]]] = []

        def later(seconds: float, happens: Callable[[], None]) -> None:
            at = trio.current_time() + seconds
            heapq.heappush(due, (at, next(number), happens))

        def arrives(back: float, *, lost: bool) -> None:
            told = broker.arrive(trio.current_time())
            later(back, lambda: budget.finish(None if lost else told))

        async def until(moment: float) -> None:
            while due and due[0][0] <= moment:
                at, _number, happens = heapq.heappop(due)
                await trio.sleep_until(at)
                happens()
            await trio.sleep_until(moment)

        for purpose, pause, there, back, lost in steps:
            await until(trio.current_time() + pause)
            while budget.try_take(purpose or RECOVERY):
                if purpose is None:
                    budget.give_back(RECOVERY)
                    break
                later(there, partial(arrives, back, lost=lost))
        await until(trio.current_time() + 60)

    trio.run(replay, clock=MockClock(autojump_threshold=0))
    return max(broker.counts.values())


# No shrinking: it takes minutes here, and a found example is readable as it is.
@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    steps=STEPS,
    begins=st.integers(-59, 0),
    skew=st.sampled_from([0.0, 10.0, -10.0, -3600.0]),
)
def test_no_interleaving_makes_more_requests_than_a_window_allows(
    steps: list[tuple[Purpose | None, float, float, float, bool]],
    begins: int,
    skew: float,
) -> None:
    assert most_in_a_window(steps, begins=begins, skew=skew) <= LIMIT


def test_requests_never_answered_count_in_the_window_in_which_they_may_have_come() -> (
    None
):
    steps: list[tuple[Purpose | None, float, float, float, bool]] = [
        (ORDER, 5.0, 9.0, 0.1, True),  # seven, which come just after the window's end
        (ORDER, 20.0, 1.0, 0.1, False),
    ]
    assert most_in_a_window(steps, begins=-50, skew=0.0) <= LIMIT


@pytest.mark.parametrize("skew", [-1.9, -0.5, 0.5, 1.9])
def test_a_clock_that_is_a_little_off_makes_no_window_overflow(skew: float) -> None:
    steps = [(START, 0.25, 0.001, 0.001, False)] * 400
    assert most_in_a_window(list(steps), begins=-30, skew=skew) <= LIMIT


async def test_what_is_left_is_told_and_telling_takes_nothing() -> None:
    budget = RateBudget(per_minute=100, clock=FakeClock())
    assert taken(budget, ORDER, 30) == 30
    assert [budget.left, budget.left] == [70, 70]
    await answered(budget, headers(limit=200, remaining=44))
    assert budget.left == 44
    budget.block(5)
    assert budget.left == 0


@pytest.mark.parametrize("told", [None, headers(limit=1_000_000, remaining=900_000)])
async def test_a_minute_of_requests_takes_little_memory_whatever_the_limit(
    told: dict[str, str] | None, mock_clock: MockClock
) -> None:
    budget = RateBudget(per_minute=1_000_000, clock=FakeClock())
    if told is not None:
        await answered(budget, told)
    for _ in range(5_000):
        assert taken(budget, ORDER, most=4) == 4
        mock_clock.jump(0.01)
    left = budget.left
    assert len(budget._slices) <= 601
    for _ in range(4):
        assert budget.try_take(ORDER)
        budget.give_back(ORDER)
    assert budget.left == left
    mock_clock.jump(60.0)
    assert budget.left == 1_000_000
    assert not budget._slices


async def test_a_request_is_free_again_a_minute_later_or_a_tenth_of_a_second_after(
    mock_clock: MockClock,
) -> None:
    budget = RateBudget(per_minute=10, clock=FakeClock())
    for _ in range(10):
        assert taken(budget, START, most=1) == 1
        mock_clock.jump(0.03)
    assert budget.seconds_until(START) == pytest.approx(60.09 - 0.3)
    mock_clock.jump(60.0 - 0.3)
    assert not budget.try_take(START)
    mock_clock.jump(0.1)
    assert taken(budget, START) == 4  # those of the first tenth of a second
    mock_clock.jump(0.3)
    assert taken(budget, START) == 6


async def test_what_is_given_back_is_of_its_own_purpose() -> None:
    budget = RateBudget(per_minute=20, clock=FakeClock())
    assert taken(budget, ORDER, most=9) == 9
    for _ in range(4):
        assert budget.try_take(ORDER)
        assert budget.try_take(RECOVERY)
        budget.give_back(ORDER)
    assert not budget.try_take(RECOVERY)
    assert budget.left == 7


# Sells.


async def test_what_sells_wait_for_no_buy_may_take(clock: FakeClock) -> None:
    budget = RateBudget(per_minute=5, clock=clock)
    assert taken(budget, ORDER) == 4
    assert not budget.try_take(EXIT), "a fifth is kept for recovery"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budget.take, EXIT)
        nursery.start_soon(budget.take, EXIT)
        await wait_all_tasks_blocked()
        for _ in range(2):
            budget._in_flight += 1
            budget.give_back(ORDER)
        assert not budget.try_take(ORDER), "there are two, and two sells wait"
        budget._in_flight += 1
        budget.give_back(ORDER)
        assert budget.try_take(ORDER), "a third one is for whoever comes"
        assert budget.try_take(RECOVERY), "recovery keeps its own"
        nursery.cancel_scope.cancel()
    assert budget.try_take(ORDER), "sells that wait no more hold nothing back"


async def test_a_sell_takes_what_is_there_like_a_buy(clock: FakeClock) -> None:
    budget = RateBudget(per_minute=10, clock=clock)
    assert taken(budget, EXIT) == 8
    assert taken(budget, ORDER) == 0
    assert taken(budget, RECOVERY) == 2


# Polls take what orders leave


@pytest.mark.parametrize("limit", [10, 100, 200])
async def test_polls_leave_a_tenth_to_orders_and_the_fifth_to_recovery(
    limit: int,
) -> None:
    budget = RateBudget(per_minute=limit, clock=FakeClock())
    assert taken(budget, POLL) == budget.polls == limit - limit // 5 - limit // 10
    assert taken(budget, ORDER) == limit // 10
    assert taken(budget, RECOVERY) == limit // 5


async def test_what_orders_take_is_taken_from_polls() -> None:
    budget = RateBudget(per_minute=100, clock=FakeClock())
    assert taken(budget, ORDER, most=50) == 50
    assert taken(budget, POLL) == 20
    assert taken(budget, ORDER) == 10


async def test_a_limit_of_few_requests_leaves_a_poll_a_minute() -> None:
    assert RateBudget(per_minute=1, clock=FakeClock()).polls == 1
