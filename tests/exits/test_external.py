"""The judgements: which rule answers, for each thing that may be seen of a position."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.activities import Activity
from snexec.exits import external
from snexec.exits.external import RULES, judge
from snexec.exits.sights import Buy, Case, Claim, Sight

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
KNOWN = Buy(is_known=True, bought=Decimal(10))


def claim(**changes: Any) -> Claim:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "symbol": "AAPL",
        "shares": Decimal(10),
        "remaining": Decimal(10),
        "entry_price": Decimal(100),
        "entry_at": NOON - timedelta(hours=1),
        "order_id": "o-1",
        "is_selling": False,
        "quiet_seconds": 3600.0,
    }
    return Claim(**values | changes)


def sight(
    quantity: str, *, ago: float = 0.0, average: str = "100", remaining: str = "10"
) -> Sight:
    return Sight(
        at=1000.0 - ago,
        moment=NOON - timedelta(seconds=ago),
        quantity=Decimal(quantity),
        average=Decimal(average),
        price=None,
        remaining=Decimal(remaining),
    )


def case(quantity: str, **changes: Any) -> Case:  # noqa: ANN401 - as the fields are
    """Make a case in which a position was whole a minute ago."""
    values: dict[str, Any] = {
        "claim": claim(),
        "now": sight(quantity),
        "is_listed": Decimal(quantity) > 0,
        "before": sight("10", ago=60),
        "is_surveyed": True,
    }
    return Case(**values | changes)


def standing(quantity: str, seconds: float = 10, **changes: Any) -> Case:  # noqa: ANN401
    """Make a case that has stood for a while, of which all was asked."""
    values: dict[str, Any] = {
        "first": sight(quantity, ago=seconds),
        "is_gone": None if Decimal(quantity) else True,
        "buy": KNOWN,
        "bought": Decimal(10),
        "activities": [],
    }
    return case(quantity, **values | changes)


def fill(
    quantity: str,
    price: str | None = "110",
    *,
    side: Literal["buy", "sell"] = "sell",
    ago: float = 5,
    name: str = "",
    order_id: str = "hand",
) -> Activity:
    return Activity(
        *(name or f"{side}-{quantity}-{ago}", "FILL", "AAPL"),
        NOON - timedelta(seconds=ago),
        quantity=Decimal(quantity),
        price=None if price is None else Decimal(price),
        side=side,
        order_id=order_id,
    )


@pytest.mark.parametrize("quantity", ["10", "12", "9.9999999", "9.99995"])
def test_a_position_that_is_all_there_is_whole(quantity: str) -> None:
    seen = case(quantity, before=None)
    assert judge(seen).kind == "whole"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"is_selling": True}, "forget"),
        ({"quiet_seconds": 14.9}, "forget"),
        ({"quiet_seconds": 15.0}, "sold"),
    ],
)
def test_nothing_counts_while_we_trade(changes: dict[str, Any], kind: str) -> None:
    seen = standing("6", claim=claim(**changes), activities=[fill("4")])
    assert judge(seen).kind == kind


@pytest.mark.parametrize(("seconds", "kind"), [(9.9, "wait"), (10, "sold")])
def test_two_sights_are_ten_seconds_apart(seconds: float, kind: str) -> None:
    seen = standing("6", seconds, activities=[fill("4")])
    assert judge(seen).kind == kind


@pytest.mark.parametrize(("seconds", "kind"), [(29.9, "wait"), (30, "sold")])
def test_what_is_gone_has_to_stand_for_the_grace(seconds: float, kind: str) -> None:
    assert judge(standing("0", seconds, activities=[fill("10")])).kind == kind


def test_a_grace_that_is_short_makes_no_single_sight_of_two() -> None:
    seen = standing("0", 9.9, grace_seconds=0.5, activities=[fill("10")])
    assert judge(seen).kind == "wait"


def test_a_sight_unlike_the_last_one_begins_anew() -> None:
    seen = standing("6", activities=[fill("4")])
    assert judge(seen.having(first=sight("7", ago=60))).kind == "begin"


def test_what_the_list_leaves_out_is_asked_for_when_it_begins_and_when_it_counts() -> (
    None
):
    begun = sight("0", ago=5)
    assert judge(case("0")).kind == "ask_position"
    assert judge(case("0", is_gone=True)).kind == "begin"
    assert judge(case("0", first=begun)).kind == "wait"
    assert judge(case("0", first=sight("0", ago=30))).kind == "ask_position"
    assert judge(case("0", is_gone=False, first=begun)).kind == "forget"


def test_before_anything_is_concluded_the_buy_and_what_happened_are_asked_for() -> None:
    seen = standing("6", buy=None, activities=None)
    assert judge(seen).kind == "ask_buy"
    assert judge(seen.having(buy=Buy(is_known=False))).kind == "stranger"
    assert judge(seen.having(buy=KNOWN)).kind == "ask_activities"


def test_the_newest_sells_make_the_price_of_what_is_missing() -> None:
    activities = [fill("3", "120", ago=2), fill("4", "105", ago=9)]
    judgement = judge(standing("6", activities=activities))
    assert judgement.quantity == 4
    assert judgement.price == (3 * 120 + 105) / Decimal(4)
    assert judgement.at == NOON - timedelta(seconds=2)


def test_sells_from_before_it_was_whole_and_those_counted_before_do_not_count() -> None:
    old, used = fill("4", ago=200), fill("4", name="used")
    seen = standing("6", activities=[used, old], used=frozenset({"used"}))
    assert judge(seen).kind == "wait"
    assert judge(seen.having(first=sight("6", ago=30))).price is None


def test_sells_that_do_not_cover_what_is_missing_are_no_trace_of_it() -> None:
    judgement = judge(standing("6", 30, activities=[fill("3")]))
    assert (judgement.kind, judgement.price) == ("sold", None)
    assert judgement.quantity == 4


def test_a_sell_of_an_unreadable_quantity_is_none_of_dust() -> None:
    unread = fill("1")._replace(quantity=None)
    seen = standing(
        "0",
        30,
        claim=claim(remaining=Decimal("0.0000005")),
        now=sight("0", remaining="0.0000005"),
        first=sight("0", ago=30, remaining="0.0000005"),
        activities=[unread],
    )
    judgement = judge(seen)
    assert (judgement.kind, judgement.price) == ("sold", None)


def test_a_sell_without_a_readable_price_gives_none() -> None:
    judgement = judge(standing("6", activities=[fill("3"), fill("1", None)]))
    assert (judgement.kind, judgement.price) == ("sold", None)


def test_our_own_sells_are_no_sale_by_others() -> None:
    activities = [fill("4", order_id="o-x1")]
    seen = standing("6", activities=activities, ours=frozenset({"o-x1"}))
    assert judge(seen).kind == "wait"
    assert judge(seen.having(is_unbooked=True)).kind == "ours"


def test_what_is_left_of_a_coin_after_its_fee_is_gone_with_the_position() -> None:
    rest = {"symbol": "BTC/USD", "shares": Decimal(1), "remaining": Decimal("0.002")}
    now = sight("0", remaining="0.002")
    seen = case("0", claim=claim(**rest), now=now, before=None, is_gone=True)
    assert judge(seen).kind == "begin"


@pytest.mark.parametrize(("days", "reason"), [(0, "corporate_action"), (1, "external")])
def test_a_merger_from_before_it_was_whole_took_nothing(days: int, reason: str) -> None:
    merger = Activity("m", "MA", "AAPL", NOON - timedelta(days=days), Decimal(-10))
    assert judge(standing("0", 30, activities=[merger])).reason == reason


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_only_buys_explain_why_more_is_held(side: Literal["buy", "sell"]) -> None:
    judgement = judge(standing("13", activities=[fill("3", side=side)]))
    assert judgement.kind == ("whole" if side == "buy" else "rest")


def test_our_own_buy_does_not_explain_what_others_hold_more() -> None:
    activities = [fill("3", side="buy", order_id="o-1")]
    assert judge(standing("13", activities=activities)).kind == "rest"


def test_a_row_of_another_day_asks_once_what_happened_since() -> None:
    older = claim(entry_at=NOON - timedelta(days=1))
    seen = case("10", claim=older, before=None, is_surveyed=False)
    assert judge(seen).kind == "ask_activities"
    assert judge(seen.having(is_surveyed=True)).kind == "whole"
    assert judge(case("10", before=None, is_surveyed=False)).kind == "whole"


@given(
    st.decimals(0, 30, places=1),
    st.decimals(0, 10, places=1),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, Buy(is_known=False), KNOWN]),
    st.lists(st.decimals("0.1", 9, places=1), max_size=3),
)
def test_whatever_is_seen_no_more_is_sold_than_is_missing(  # noqa: PLR0917 - hypothesis gives them in their order
    held: Decimal,
    remaining: Decimal,
    selling: bool,
    gone: bool | None,
    buy: Buy | None,
    sold: list[Decimal],
) -> None:
    now = sight(str(held), remaining=str(remaining))
    seen = Case(
        claim=claim(remaining=remaining, is_selling=selling),
        now=now,
        is_listed=held > 0,
        first=now._replace(at=now.at - 60),
        is_gone=gone,
        buy=buy,
        activities=[fill(str(each), name=str(n)) for n, each in enumerate(sold)],
        is_surveyed=True,
    )
    judgement = judge(seen)
    if judgement.kind == "sold":
        assert judgement.quantity == remaining - held
        assert judgement.quantity > 0
        assert buy is KNOWN
        assert not selling
        assert held > 0 or gone


def test_the_table_in_the_documentation_is_the_rules_in_their_order() -> None:
    told = [
        line.split("`")[1]
        for line in inspect.cleandoc(external.__doc__ or "").splitlines()
        if line.startswith("| `")
    ]
    assert told == [rule.__name__.removeprefix("_") for rule in RULES]
