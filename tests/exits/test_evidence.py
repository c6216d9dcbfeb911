"""What was seen of a row is kept until it is explained, or was nothing (SPEC 12.7)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.broker.positions import HeldPosition
from snexec.exits.evidence import Evidence
from snexec.exits.sights import Case, Claim, Sight
from snexec.exits.splits import SplitDay
from snexec.ledger.held_rows import HeldBeside
from tests.exits.hands import make_position
from tests.fakes import MOMENT

if TYPE_CHECKING:
    from snexec.exits.position import Position

pytestmark = pytest.mark.jumping_time

TODAY = MOMENT.date()
SHARES = {"shares": Decimal(10), "remaining": Decimal(10)}


def make_sight(quantity: str = "10", **changes: Any) -> Sight:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "at": trio.current_time(),
        "moment": MOMENT,
        "quantity": Decimal(quantity),
        "average": Decimal(100),
        "price": Decimal(101),
        "remaining": Decimal(10),
    }
    return Sight(**values | changes)


def bought(days_ago: int = 0, **changes: Any) -> Position:  # noqa: ANN401 - likewise
    entry_at = (MOMENT - timedelta(days=days_ago)).timestamp()
    return make_position(**{**SHARES, "entry_at": entry_at, **changes})


def judged(
    position: Position,
    evidence: Evidence | None = None,
    quantity: str = "10",
    *,
    known: tuple[SplitDay, ...] = (),
) -> Case:
    evidence = evidence or Evidence()
    evidence.note(position)
    return evidence.case(position, make_sight(quantity), known=known, grace_seconds=30)


def claimed(**changes: Any) -> Claim:  # noqa: ANN401 - likewise
    return judged(bought(**changes)).claim


def split(days_ago: int, ratio: int | None = 2, *, is_done: bool = False) -> SplitDay:
    day = TODAY - timedelta(days=days_ago)
    return SplitDay("AAPL", day, None if ratio is None else Fraction(ratio), is_done)


def held(quantity: str, average: str | None = "100") -> HeldPosition:
    return HeldPosition(
        symbol="AAPL",
        quantity=Decimal(quantity),
        quantity_text=quantity,
        available=Decimal(quantity),
        current_price=None,
        average_price=None if average is None else Decimal(average),
        side="long",
    )


# The case


async def test_a_row_is_judged_by_what_it_claims_and_what_is_known_of_it() -> None:
    evidence = Evidence(
        before=make_sight("12"),
        first=make_sight("9"),
        bought=Decimal(20),
        used=frozenset(["a-1"]),
        is_surveyed=True,
    )
    position = bought(order_id="o-1", remaining=Decimal(4))
    case = judged(position, evidence, "9")
    assert case.claim._replace(quiet_seconds=0) == Claim(
        symbol="AAPL",
        shares=Decimal(10),
        remaining=Decimal(4),
        entry_price=Decimal(100),
        entry_at=MOMENT,
        order_id="o-1",
        is_selling=False,
        quiet_seconds=0,
    )
    assert case.having(claim=claimed()) == Case(
        claim=claimed(),
        now=make_sight("9"),
        is_listed=True,
        before=make_sight("12"),
        first=make_sight("9"),
        is_surveyed=True,
        bought=Decimal(20),
        used=frozenset(["a-1"]),
        grace_seconds=30,
    )


@pytest.mark.parametrize(("quantity", "is_listed"), [("0", False), ("0.1", True)])
async def test_it_is_listed_while_something_of_it_is_held(
    quantity: str, *, is_listed: bool
) -> None:
    assert judged(bought(), quantity=quantity).is_listed is is_listed


@pytest.mark.parametrize(
    ("position", "is_selling"),
    [
        ({}, False),
        ({"state": "closing", "live_exit": "sn-1-x1"}, True),
        ({"state": "closing"}, True),
        ({"state": "closing", "live_exit": "sn-1-x1", "waits": True}, False),
        ({"state": "blocked"}, False),
        ({"live_exit": "sn-1-x1"}, True),
        ({"live_exit": "sn-1-s1"}, False),
        ({"state": "blocked", "live_exit": "sn-1-s1"}, True),
    ],
    ids=[
        "watched",
        "a sell is out",
        "one is to be",
        "it waits for the open",
        "blocked",
        "a sell has no end",
        "a stop rests",
        "it is being canceled",
    ],
)
async def test_nothing_is_concluded_while_a_sell_may_have_left(
    position: dict[str, Any], *, is_selling: bool
) -> None:
    assert claimed(**position).is_selling is is_selling


# Quiet


async def test_a_row_that_is_new_here_is_quiet_since_it_was_bought() -> None:
    await trio.sleep(100)
    assert claimed(bought_at=40.0).quiet_seconds == 60


@pytest.mark.parametrize("column", ["shares", "remaining"])
async def test_whatever_it_buys_or_sells_it_is_quiet_since_then(column: str) -> None:
    evidence, position = Evidence(), bought()
    judged(position, evidence)
    await trio.sleep(50)
    setattr(position, column, Decimal(11))
    assert judged(position, evidence).claim.quiet_seconds == 0
    await trio.sleep(5)
    assert judged(position, evidence).claim.quiet_seconds == 5


async def test_what_was_written_of_others_sales_is_no_trade_of_its_own() -> None:
    evidence, position = Evidence(), bought(bought_at=0.0)
    judged(position, evidence)
    await trio.sleep(50)
    position.remaining = Decimal(4)
    evidence.restated(position, make_sight("4"))
    assert judged(position, evidence).claim.quiet_seconds == 50
    assert evidence.before is not None
    assert evidence.before.remaining == 4, "the others' part is counted from there"
    assert not evidence.is_troubled


# Splits


@pytest.mark.parametrize(
    ("days_ago", "counts"), [(-1, False), (0, True), (4, True), (5, False), (6, False)]
)
async def test_a_split_counts_from_the_day_after_the_buy_until_today(
    days_ago: int, *, counts: bool
) -> None:
    """The row was bought five days ago."""
    case = judged(bought(days_ago=5), known=(split(days_ago),))
    assert (split(days_ago) in case.splits) is counts


async def test_a_split_that_is_in_the_activities_too_counts_once_and_is_done() -> None:
    evidence = Evidence(splits=[split(1, None, is_done=True)])
    case = judged(bought(days_ago=5), evidence, known=(split(2),))
    assert case.splits == [split(2, 2, is_done=True)]


async def test_one_that_only_the_activities_have_counts_as_well() -> None:
    evidence = Evidence(splits=[split(1, None, is_done=True)])
    case = judged(bought(days_ago=5), evidence)
    assert case.splits == [split(1, None, is_done=True)]


async def test_splits_of_other_symbols_are_none_of_it() -> None:
    evidence = Evidence()
    case = judged(bought(days_ago=5), evidence)
    known = {"MSFT": [split(1)]}
    assert evidence.splits_with(known, case) == []


@pytest.mark.parametrize(
    ("position", "says"),
    [
        (held("20", "50"), "its position looks split, 2 for 1"),
        (held("5", "200"), "its position looks split, 1/2 for 1"),
        (held("20", "100"), None),
        (held("10", "50"), None),
        (held("20", None), None),
    ],
    ids=["split", "reverse", "others bought", "only the average", "no average"],
)
async def test_a_position_looks_split_where_quantity_and_average_say_so(
    position: HeldPosition, says: str | None
) -> None:
    assert Evidence().looks_split(bought(), position) == says
    seen = Evidence(before=make_sight("10"))
    assert seen.looks_split(bought(remaining=Decimal(3)), position) == says


async def test_what_an_earlier_run_saw_beside_others_says_so_as_well() -> None:
    evidence = Evidence(noted=HeldBeside(Decimal(30), Decimal(90)))
    says = "its position looks split, 1/3 for 1"
    assert evidence.looks_split(bought(), held("10", "270")) == says
    assert evidence.looks_split(bought(), held("30", "90")) is None
    evidence.whole(make_sight("30", average=Decimal(90)))
    assert evidence.looks_split(bought(), held("10", "90")) is None


async def test_what_was_seen_before_outranks_what_the_row_claims() -> None:
    evidence = Evidence(before=make_sight("20", average=Decimal(50)))
    assert evidence.looks_split(bought(), held("20", "50")) is None


# Trouble


async def test_it_is_looked_at_again_soon_from_the_first_sight_until_it_is_whole() -> (
    None
):
    evidence = Evidence()
    troubled = [evidence.is_troubled]
    for note in (evidence.begin, evidence.whole, evidence.begin):
        note(make_sight("9"))
        troubled.append(evidence.is_troubled)
    evidence.forget()
    assert [*troubled, evidence.is_troubled] == [False, True, False, True, False]


async def test_what_was_whole_is_kept_but_for_its_price() -> None:
    evidence = Evidence()
    evidence.whole(make_sight("9"))
    assert evidence.before == make_sight("9", price=None)
    evidence.begin(make_sight("8"))
    assert evidence.before == make_sight("9", price=None)


async def test_it_is_asked_about_ever_later_up_to_an_hour() -> None:
    evidence, waits = Evidence(), list[float]()
    for _ in range(11):
        evidence.ask_later(0.0)
        waits.append(evidence.ask_at)
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


@pytest.mark.parametrize("sight", ["begin", "whole"])
async def test_a_new_sight_is_asked_about_freely_again(sight: str) -> None:
    evidence = Evidence()
    for _ in range(3):
        evidence.ask_later(0.0)
    getattr(evidence, sight)(make_sight("9"))
    assert evidence.ask_at < 0
    evidence.ask_later(0.0)
    assert evidence.ask_at == 10


async def test_a_list_that_does_not_speak_of_it_is_news_once_and_proves_nothing() -> (
    None
):
    evidence, position = Evidence(), bought()
    evidence.begin(make_sight("0"))
    assert evidence.unreadable()
    assert not evidence.is_troubled
    assert not evidence.unreadable()
    judged(position, evidence)
    assert evidence.unreadable(), "it was readable in between"


async def test_the_same_is_news_once_a_day() -> None:
    evidence = Evidence()
    assert evidence.is_news("this")
    assert evidence.is_news("that")
    await trio.sleep(24 * 3600 - 1)
    assert not evidence.is_news("this")
    await trio.sleep(1)
    assert evidence.is_news("this")
    assert not evidence.is_news("this")


async def test_once_it_was_whole_the_same_is_news_again() -> None:
    evidence = Evidence()
    evidence.is_news("this")
    evidence.whole(make_sight())
    assert evidence.is_news("this")


async def test_the_day_is_the_one_of_trade() -> None:
    case = judged(bought(days_ago=5))
    assert case.claim.entry_day == date(2025, 12, 31)
