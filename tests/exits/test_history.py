"""What a way to closed has met decides what follows: the table of SPEC 12.5 in a row."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest
import trio

from snexec.exits.history import History
from tests.exits.hands import make_exits, make_position
from tests.exits.selling import insufficient, refused

if TYPE_CHECKING:
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.exits.tries import Next
    from snexec.ledger import ExitApplied
    from snexec.settings import ExitSettings
    from tests.conftest import LoggedErrors

FORBIDDEN = refused(403, "account is restricted")
OURS = refused(403, "potential wash trade detected", existing_order_id="o-buy")
INTENT = refused(422, "position_intent is not a field")


@dataclass
class Patience:
    """What it asks of the means."""

    settings: ExitSettings


@dataclass
class Ended:
    """How a sell ended."""

    sold: Decimal
    outcome: str = "canceled"


class Past:
    def __init__(self, position: Position | None = None) -> None:
        self.means = Patience(make_exits(retry_max_sec=300))
        self.position = position or make_position(order_id="o-buy")
        self.history = History(cast("Means", self.means), self.position)

    def was_bought(self, seconds: float) -> None:
        """Have its buy been filled so long ago."""
        self.position.bought_at = trio.current_time() - seconds

    def ends(self, sold: str = "0") -> Next:
        return self.history.ended(cast("ExitApplied", Ended(Decimal(sold))))


@pytest.fixture
def past() -> Past:
    return Past()


async def test_refusals_in_a_row_are_followed_less_and_less_often(past: Past) -> None:
    pauses = [past.history.refused(FORBIDDEN).after for _ in range(6)]
    assert pauses == [1, 5, 15, 60, 300, 300]
    assert past.history.blocked_by == "account is restricted"


async def test_a_sell_that_ended_begins_the_row_of_refusals_anew(past: Past) -> None:
    for _ in range(3):
        past.history.refused(FORBIDDEN)
    past.ends("0.1")
    assert past.history.refused(FORBIDDEN).after == 1


async def test_what_is_free_is_sold_and_a_second_no_to_that_blocks(past: Past) -> None:
    following = past.history.refused(insufficient("0.3", "0.5", "0.2"))
    assert (following.after, following.is_blocked) == (0, False)
    assert (past.history.free, past.history.held) == (Decimal("0.3"), None)
    assert past.history.blocked_by is None
    following = past.history.refused(insufficient("0.2", "0.5", "0.3"))
    assert following.is_blocked
    assert past.history.free == Decimal("0.2")


async def test_the_whole_is_sold_by_the_brokers_own_spelling(past: Past) -> None:
    past.history.refused(insufficient("0.50", "0.50", "0"))
    assert past.history.held == "0.50"


async def test_what_was_free_at_one_refusal_is_not_kept_for_the_next_sell(
    past: Past,
) -> None:
    past.history.refused(insufficient("0.5", "0.5", "0"))
    past.history.refused(FORBIDDEN)
    assert (past.history.free, past.history.held) == (None, None)
    past.history.refused(insufficient("0.5", "0.5", "0"))
    past.ends("0.5")
    assert (past.history.free, past.history.held) == (None, None)


async def test_after_any_refusal_the_last_reading_of_the_position_is_not_gone_by(
    past: Past,
) -> None:
    assert not past.history.asks_for_all
    past.history.refused(FORBIDDEN)
    assert past.history.asks_for_all


async def test_a_position_that_lags_takes_no_turn_of_the_pauses_after_it(
    past: Past,
) -> None:
    past.was_bought(3)
    lag = insufficient("0", "0", "0")
    pauses = [past.history.refused(lag).after for _ in range(4)]
    assert pauses == [1, 2, 4, 8]
    assert "insufficient qty" in str(past.history.blocked_by), "while it waits"
    past.was_bought(16)
    assert past.history.refused(FORBIDDEN).after == 1


async def test_lags_are_counted_anew_for_the_next_sell(past: Past) -> None:
    past.was_bought(3)
    for _ in range(2):
        past.history.refused(insufficient("0", "0", "0"))
    past.ends("0.1")
    assert past.history.refused(insufficient("0", "0", "0")).after == 1


async def test_a_wash_trade_with_our_buy_cancels_it_once(past: Past) -> None:
    assert past.history.refused(OURS).cancels_buy
    past.history.buy_was_canceled = True
    following = past.history.refused(OURS)
    assert (following.cancels_buy, following.is_blocked) == (False, True)


async def test_a_wash_trade_with_anothers_order_cancels_nothing() -> None:
    past = Past(make_position(order_id="o-other"))
    following = past.history.refused(OURS)
    assert (following.cancels_buy, following.is_blocked) == (False, True)


async def test_a_field_that_is_not_taken_is_never_sent_again_and_is_an_error(
    past: Past, logged_errors: LoggedErrors
) -> None:
    assert past.history.says_intent
    past.history.refused(INTENT)
    assert logged_errors.take() == [
        "AAPL: the broker does not take the field position_intent (position_intent is"
        " not a field): sells go without it, and a double one would not be refused"
    ]
    past.history.refused(FORBIDDEN)
    past.ends("0.1")
    assert not past.history.says_intent


async def test_a_sell_that_ended_unsold_is_followed_at_once_and_then_by_the_pauses(
    past: Past,
) -> None:
    assert [past.ends().after for _ in range(6)] == [0, 1, 5, 15, 60, 300]
    assert past.history.blocked_by == "its sell was canceled"


async def test_one_that_sold_something_is_followed_at_once_and_ends_the_row(
    past: Past,
) -> None:
    past.ends()
    assert [past.ends("0.1").after, past.ends().after, past.ends().after] == [0, 0, 1]


async def test_the_first_end_blocks_nothing(past: Past) -> None:
    past.ends()
    assert past.history.blocked_by is None


async def test_no_pause_is_longer_than_what_is_set(past: Past) -> None:
    past.means.settings = make_exits(retry_max_sec=2)
    assert [past.history.refused(FORBIDDEN).after for _ in range(3)] == [1, 2, 2]
    assert [past.ends().after for _ in range(3)] == [0, 1, 2]
