"""The table of what follows an answer to a sell, line by line (SPEC 12.5)."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest

from snexec.errors import RefusedError
from snexec.exits.tries import (
    Next,
    Past,
    Refused,
    after_end,
    after_refusal,
    pause_after,
    read_refusal,
)
from snexec.settings import ExitSettings

PAST = Past(
    refusals=1, lags=0, since_bought=math.inf, buy_order_id="b-1", took_free=False
)
HELD = "insufficient qty available for order (requested: 70, available: 0)"


def refused(status: int, reason: str, **fields: object) -> RefusedError:
    body = json.dumps({"message": reason, **fields})
    return RefusedError(status_code=status, body=body, reason=reason)


def follows(what: Refused, past: Past = PAST, *, retry_max: float = 300.0) -> Next:
    return after_refusal(what, past, retry_max=retry_max)


# What a refusal says.


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (
            refused(403, HELD, available="0", existing_qty="70", held_for_orders="70"),
            Refused("held", Decimal(0)),
        ),
        (
            refused(403, HELD, available="30", existing_qty="70", held_for_orders="40"),
            Refused("held", Decimal(30)),
        ),
        (
            refused(403, HELD, available="0", existing_qty="0", held_for_orders="0"),
            Refused("nothing_held", Decimal(0)),
        ),
        (
            refused(
                *(403, HELD),
                available="0.09975",
                existing_qty="0.09975",
                held_for_orders="0",
            ),
            Refused("held", Decimal("0.09975"), whole="0.09975"),
        ),
        (refused(403, HELD), Refused("held", None)),
        (
            refused(
                422,
                "position intent mismatch, inferred: sell_to_open, specified:"
                " sell_to_close",
            ),
            Refused("nothing_held"),
        ),
        (refused(422, "invalid position_intent"), Refused("intent_field")),
        (
            refused(
                403,
                "potential wash trade detected. use complex orders",
                existing_order_id="b-1",
            ),
            Refused("wash_trade", None, "b-1"),
        ),
        (refused(403, "potential wash trade detected"), Refused("wash_trade")),
        (refused(403, "new orders are rejected by user request"), Refused("other")),
        (refused(401, "request is not authorized"), Refused("other")),
        (refused(422, "insufficient qty"), Refused("other")),
    ],
)
def test_a_refusal_is_read_by_its_body(error: RefusedError, read: Refused) -> None:
    assert read_refusal(error) == read


@pytest.mark.parametrize("body", ["", "[]", "null", "<html>", '{"available":{}}'])
def test_a_body_that_cannot_be_read_leaves_the_words(body: str) -> None:
    error = RefusedError(status_code=403, body=body, reason=HELD)
    assert read_refusal(error) == Refused("held", None)


# What follows.


def test_what_is_free_is_sold_at_once_and_once() -> None:
    what = Refused("held", Decimal(30))
    assert follows(what) == Next(free=Decimal(30))
    again = follows(what, PAST._replace(refusals=2, took_free=True))
    assert again == Next(5.0, free=Decimal(30), is_blocked=True)


def test_where_all_of_the_position_is_free_its_own_spelling_is_sold() -> None:
    what = Refused("held", Decimal("0.09975"), whole="0.09975")
    assert follows(what) == Next(free=Decimal("0.09975"), held="0.09975")


def test_shares_that_others_orders_hold_are_waited_for() -> None:
    assert follows(Refused("held", Decimal(0))) == Next(1.0, is_blocked=True)


@pytest.mark.parametrize(("lags", "pause"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)])
@pytest.mark.parametrize("kind", ["held", "nothing_held"])
def test_just_after_our_buy_a_position_may_lag(
    kind: str, lags: int, pause: float
) -> None:
    what = Refused("held" if kind == "held" else "nothing_held", Decimal(0))
    past = PAST._replace(since_bought=14.9, lags=lags, refusals=lags + 1)
    assert follows(what, past) == Next(pause, is_lag=True)


def test_no_position_lags_for_longer() -> None:
    what = Refused("held", Decimal(0))
    assert follows(what, PAST._replace(since_bought=15.0)).is_blocked
    assert follows(what, PAST._replace(since_bought=1.0, lags=4)).is_blocked


def test_what_was_taken_for_a_lag_makes_no_later_pause_longer() -> None:
    past = PAST._replace(since_bought=15.0, lags=4, refusals=5)
    assert follows(Refused("other"), past) == Next(1.0, is_blocked=True)


def test_where_nothing_is_held_what_others_sold_is_looked_at_before_an_alarm() -> None:
    found = [
        follows(Refused("nothing_held"), PAST._replace(refusals=n)) for n in range(1, 6)
    ]
    assert all(each.looks_outside for each in found)
    assert [each.is_blocked for each in found] == [*[False] * 4, True]
    assert [each.after for each in found] == [1.0, 5.0, 15.0, 60.0, 300.0]
    before_alarm = sum(each.after for each in found if not each.is_blocked)
    grace = ExitSettings().external_grace_sec
    assert before_alarm > 2 * grace, "others' sales are seen, and explain it"


def test_our_own_buy_in_the_way_is_canceled_first_and_once() -> None:
    wash = Refused("wash_trade", None, "b-1")
    assert follows(wash) == Next(cancels_buy=True)
    assert follows(wash, PAST._replace(buy_order_id=None)).is_blocked


def test_others_orders_are_never_canceled() -> None:
    for other in ("theirs", None):
        following = follows(Refused("wash_trade", None, other))
        assert following == Next(1.0, is_blocked=True)


def test_without_the_intent_where_its_field_is_not_taken() -> None:
    what = Refused("intent_field")
    assert follows(what) == Next(says_intent=False)
    again = follows(what, PAST._replace(refusals=2))
    assert again == Next(5.0, is_blocked=True, says_intent=False)


def test_any_other_refusal_blocks() -> None:
    assert follows(Refused("other")) == Next(1.0, is_blocked=True)


def test_blocked_tries_come_ever_less_often() -> None:
    pauses = [pause_after(n, 300.0) for n in range(1, 8)]
    assert pauses == [1.0, 5.0, 15.0, 60.0, 300.0, 300.0, 300.0]


def test_no_pause_is_longer_than_the_longest() -> None:
    assert [pause_after(n, 10.0) for n in range(1, 6)] == [1.0, 5.0, 10.0, 10.0, 10.0]
    lag = PAST._replace(since_bought=1.0, lags=3)
    assert follows(Refused("held", Decimal(0)), lag, retry_max=0.5).after == 0.5


def test_what_an_ended_sell_left_is_sold_at_once_unless_it_goes_on_so() -> None:
    assert after_end(1, has_sold=False, retry_max=300.0) == Next()
    assert after_end(0, has_sold=True, retry_max=300.0) == Next()
    again = [after_end(n, has_sold=False, retry_max=300.0) for n in (2, 3, 4)]
    assert [each.after for each in again] == [1.0, 5.0, 15.0]
    assert all(each.is_blocked for each in again)
