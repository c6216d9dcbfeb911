"""Stories of what is held: price paths, splits, others, faults of sells, kill -9."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import (
    HealthCheck,
    Phase,
    currently_in_test_context,
    given,
    note,
    settings,
)
from hypothesis import strategies as st

from tests.simulation.exit_checks import exit_problems
from tests.simulation.exit_steps import (
    BadPrint,
    CloseByHand,
    EmptyLists,
    Fate,
    Fates,
    Halt,
    Move,
    OtherAccount,
    OthersBuy,
    OthersSell,
    Splits,
    TradingHalts,
    exit_stories,
)
from tests.simulation.exit_world import ExitWorld
from tests.simulation.steps import (
    Crash,
    CrashAt,
    DiskFull,
    Point,
    RestUnreachable,
    Send,
    Stop,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.steps import Step

_SHORT, _LONG = 50, 20_000
_settings = settings(
    print_blob=True,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)
_drawn = given(
    story=exit_stories(),
    closes=st.booleans(),
    max_hold=st.sampled_from([300.0, 300.0, 2000.0]),
    stops=st.booleans(),
    schedule=st.integers(0, 2**16),
)


def play(
    story: Sequence[Step],
    *,
    closes: bool = False,
    max_hold: float = 300.0,
    stops: bool = False,
    per_minute: int = 200,
    schedule: int = 0,
) -> ExitWorld:
    """Play a story; what fails is told as it went."""
    world = ExitWorld(
        story,
        closes=closes,
        max_hold=max_hold,
        stops=stops,
        per_minute=per_minute,
        schedule=schedule,
    )
    try:
        world.play(exit_problems)
    except BaseException as exc:
        tell = note if currently_in_test_context() else exc.add_note
        tell("\n".join(world.said))
        raise
    return world


@settings(_settings, max_examples=_SHORT)
@_drawn
def test_rows_and_account_agree_after_every_story_of_exits(
    story: list[Step],
    closes: bool,
    max_hold: float,
    stops: bool,
    schedule: int,
) -> None:
    play(story, closes=closes, max_hold=max_hold, stops=stops, schedule=schedule)


@pytest.mark.soak
@settings(_settings, max_examples=_LONG)
@_drawn
def test_rows_and_account_agree_after_very_many_stories_of_exits(
    story: list[Step],
    closes: bool,
    max_hold: float,
    stops: bool,
    schedule: int,
) -> None:
    play(story, closes=closes, max_hold=max_hold, stops=stops, schedule=schedule)


_HANGS = Fate(posts=("hangs before accept",))
_FIVE_LIMITS = ["94.99", "95.00", "95.01", "109.99", "110"]


def test_each_price_rule_fires_at_its_threshold_and_not_a_cent_before() -> None:
    reasons = {}
    for price in _FIVE_LIMITS:
        world = play(
            [Send(), Wait(seconds=7.0), Move(price=price), Wait(seconds=25.0)],
            max_hold=10_000.0,
        )
        (row,) = world.seen.values()
        reasons[price] = row["exitReason"]
    assert reasons == {
        "94.99": "stop_loss",
        "95.00": "stop_loss",
        "95.01": None,
        "109.99": None,
        "110": "profit_target",
    }


@pytest.mark.parametrize(
    ("highest", "price", "reason"),
    [
        ("107", "103.79", "trailing_stop"),
        ("107", "103.80", None),
        ("105.99", "102.81", None),
    ],
)
def test_the_trailing_stop_fires_below_the_highest_price_once_that_has_begun_it(
    highest: str, price: str, reason: str | None
) -> None:
    story = [Send(), Wait(seconds=7.0), Move(price=highest), Wait(seconds=25.0)]
    story += [Crash(down=2.0), Move(price=price), Wait(seconds=25.0)]
    (row,) = play(story, max_hold=10_000.0).seen.values()
    assert row["exitReason"] == reason


# What a failure looked like once, or is too rare to be left to chance.
STORIES: dict[str, tuple[bool, list[Step]]] = {
    "held until it was long enough": (False, [Send(), Wait(seconds=310.0)]),
    "killed at the plan, at the POST, and before its answer": (
        False,
        [
            Send(),
            Wait(seconds=7.0),
            CrashAt(point="commit begins", nth=2),
            Move(price="90"),
            Wait(seconds=25.0),
            CrashAt(point="post leaves"),
            Wait(seconds=25.0),
            CrashAt(point="post accepted", down=25.0),
        ],
    ),
    "the stop was passed while the daemon was away": (
        False,
        [Send(), Wait(seconds=7.0), Stop(down=25.0), Move(price="94"), Wait()],
    ),
    "others sold it while a sell had no answer, and the daemon was killed": (
        False,
        [
            Send(),
            Wait(seconds=7.0),
            Fates(fates=(_HANGS,)),
            Move(price="90"),
            Wait(seconds=7.0),
            Crash(),
            OthersSell(),
            Move(price="112"),
            Wait(seconds=130.0),
        ],
    ),
    "a refusal of the second request, and the first comes later": (
        False,
        [
            OthersBuy(),
            Send(),
            Wait(seconds=7.0),
            Fates(fates=(Fate(posts=("accepted after 30 s", "refused")),)),
            CloseByHand(),
            Wait(seconds=130.0),
        ],
    ),
    "closed by hand before the buy was answered": (
        False,
        [
            Send(posts=("hangs after accept",), life="part cancel", pace=0.003),
            Wait(seconds=2.0),
            CloseByHand(),
            Wait(seconds=25.0),
        ],
    ),
    "due over night, and split in it": (
        True,
        [Send(), Wait(seconds=310.0), Splits(), Wait(seconds=25.0)],
    ),
    "due over night, split in it, and the daemon starts anew": (
        True,
        [Send(), Wait(seconds=310.0), Splits(), Stop(), Wait(seconds=130.0)],
    ),
    "split while the daemon is away": (
        True,
        [Send(), Wait(seconds=7.0), Stop(down=1000.0), Splits(traced=False), Wait()],
    ),
    "closed by hand over night, and killed before the open": (
        True,
        [Send(), Wait(seconds=250.0), CloseByHand(), Wait(), Crash(down=25.0)],
    ),
    "the market closes on a sell in parts": (
        True,
        [
            Send(),
            Wait(seconds=130.0),
            Wait(seconds=102.0),
            Fates(fates=(Fate(life="part fill", pace=7.0),)),
            CloseByHand(),
            Wait(seconds=25.0),
        ],
    ),
    "a halt holds the sell, and the daemon is killed in it": (
        False,
        [
            Send(),
            Wait(seconds=7.0),
            CloseByHand(),
            TradingHalts(seconds=70.0),
            Crash(down=7.0),
        ],
    ),
    "an empty list, and prices pass the stop behind it": (
        False,
        [Send(), Wait(seconds=25.0), EmptyLists(count=25), Move(price="90")],
    ),
    "closed by hand while a rule sells it": (
        False,
        [
            Send(),
            Wait(seconds=7.0),
            Fates(fates=(Fate(life="part fill", pace=12.0),)),
            Move(price="90"),
            Wait(seconds=7.0),
            CloseByHand(),
            CloseByHand(),
            Wait(seconds=25.0),
        ],
    ),
    "decided on a full disk, and the price is back before that is durable": (
        False,
        [
            Send(),
            Wait(seconds=25.0),
            DiskFull(seconds=70.0),
            Move(price="94"),
            Wait(seconds=7.0),
            Move(price="100"),
            Wait(seconds=130.0),
        ],
    ),
    "split beside shares of others, and killed between two looks": (
        True,
        [
            OthersBuy(),
            Send(),
            Wait(seconds=25.0),
            Splits(ratio=2, traced=False),
            Wait(seconds=25.0),
            Crash(down=130.0),
        ],
    ),
    "split beside shares of others, and killed at its first sight": (
        True,
        [
            OthersBuy(),
            Send(),
            Wait(seconds=25.0),
            Splits(ratio=2, traced=False),
            Wait(seconds=7.0),
            Crash(down=2.0),
            Wait(seconds=600.0),
        ],
    ),
    "split beside shares of others while the daemon is away": (
        True,
        [
            OthersBuy(),
            Send(),
            Wait(seconds=25.0),
            Stop(down=1000.0),
            Splits(ratio=2, traced=False),
            Wait(seconds=600.0),
        ],
    ),
    "closed by hand over night, and a start that the broker's clock does not answer": (
        True,
        [
            Send(),
            Wait(seconds=250.0),
            CloseByHand(),
            Wait(seconds=25.0),
            RestUnreachable(seconds=45.0),
            Wait(seconds=7.0),
            Stop(down=0.06),
            Wait(seconds=130.0),
        ],
    ),
    "every sell is refused for an hour": (
        False,
        [
            Send(),
            Wait(seconds=7.0),
            Fates(fates=(Fate(posts=("refused",)),) * 15),
            CloseByHand(),
            Wait(seconds=600.0),
        ],
    ),
}


@pytest.mark.parametrize(("closes", "story"), STORIES.values(), ids=STORIES)
@pytest.mark.parametrize(
    ("max_hold", "stops"),
    [(300.0, False), (2000.0, True)],
    ids=["soon sold", "with stops at the broker"],
)
def test_rows_and_account_agree_after(
    *, closes: bool, story: list[Step], max_hold: float, stops: bool
) -> None:
    play(story, closes=closes, max_hold=max_hold, stops=stops)


def _stops(*steps: Step, closes: bool = False, max_hold: float = 2000.0) -> ExitWorld:
    """Play a story of a row with a stop at the broker."""
    start: list[Step] = [Send(), Wait(seconds=7.0)]
    return play([*start, *steps], closes=closes, max_hold=max_hold, stops=True)


def _ends(world: ExitWorld) -> list[tuple[str, str, Decimal]]:
    return [
        (name.rpartition("-")[2], sale.status, sale.sold)
        for name, sale in world.broker.sales.items()
    ]


_ALL = Decimal("1.5")


def test_a_stop_works_while_the_daemon_is_dead() -> None:
    world = _stops(Stop(down=130.0), Move(price="95.01"), Wait(), Move(price="95"))
    assert _ends(world) == [("s1", "filled", _ALL)]
    (row,) = world.seen.values()
    assert (row["status"], row["exitReason"]) == ("closed", "stop_loss")


def test_a_stop_of_the_session_is_placed_again_for_the_next_one() -> None:
    world = _stops(Wait(seconds=600.0), Stop(down=700.0), Move(price="90"), closes=True)
    assert _ends(world) == [("s1", "expired", Decimal(0)), ("s2", "filled", _ALL)]


def test_a_stop_that_ends_below_its_price_is_not_placed_again() -> None:
    canceled = Fates(fates=(Fate(life="cancel", pace=12.0),))
    world = play(
        [Send(), canceled, Wait(seconds=100.0), Move(price="94"), Wait(seconds=20.0)],
        max_hold=2000.0,
        stops=True,
    )
    assert _ends(world) == [("s1", "canceled", Decimal(0)), ("x1", "filled", _ALL)]


def test_what_a_stop_gave_way_to_in_the_day_is_sold_at_the_next_open() -> None:
    world = play(
        [
            TradingHalts(seconds=130.0),
            Send(pace=12.0, feed="late"),
            Wait(seconds=11.0),
            Fates(fates=(Fate(posts=("hangs before accept", "lost before accept")),)),
            Wait(seconds=2.0),
            Move(price="95.00"),
            Crash(down=70.0),
        ],
        closes=True,
        stops=True,
    )
    [row] = world.seen.values()
    assert (row["status"], row["exitReason"]) == ("closed", "stop_loss")


@pytest.mark.parametrize("point", [p for p in get_args(Point) if p != "mode switches"])
@pytest.mark.parametrize("step", [CloseByHand(), Move(price="111"), Move(price="94")])
def test_a_kill_beside_a_stop_sells_once(point: Point, step: Step) -> None:
    # What was not durable when the daemon died is asked for again.
    again = [step, Wait(seconds=25.0), step]
    world = _stops(CrashAt(point=point, down=2.0), *again, Wait(seconds=25.0))
    sold = [end for end in _ends(world) if end[2]]
    assert [quantity for _name, _status, quantity in sold] == [_ALL]
    (row,) = world.seen.values()
    assert row["status"] == "closed"


def test_a_bad_price_sells_nothing() -> None:
    story: list[Step] = [Send(), Wait(seconds=25.0)]
    for price in ("80", "60", "94", "120"):
        story += [BadPrint(price=price), Wait(seconds=25.0)]
    world = play(story, max_hold=10_000.0)
    assert world.sells == {}


def test_an_empty_list_of_positions_closes_nothing() -> None:
    story = [Send(), Wait(seconds=25.0), EmptyLists(count=200), Wait(seconds=200.0)]
    world = play(story, max_hold=10_000.0)
    assert [row["status"] for row in world.seen.values()] == ["open"]
    assert world.sells == {}


def test_another_accounts_keys_close_nothing() -> None:
    story = [Send(), Wait(seconds=25.0), OtherAccount(seconds=1000.0), Wait()]
    world = play(story, max_hold=10_000.0)
    assert [row["status"] for row in world.seen.values()] == ["open"]
    assert world.sells == {}


@pytest.mark.parametrize("all_orders", [True, False])
def test_halt_all_lets_nothing_out_and_halt_lets_exits_out(*, all_orders: bool) -> None:
    halt = Halt(all_orders=all_orders, seconds=100.0)
    story = [Send(), Wait(seconds=7.0), halt, Move(price="90"), Wait(seconds=130.0)]
    world = play(story, max_hold=10_000.0)
    (sale,) = world.broker.sales.values()
    assert (sale.placed_at > 100.0) == all_orders


def test_only_the_rows_own_shares_are_sold_beside_others() -> None:
    story = [OthersBuy(), Send(), Wait(seconds=25.0), Move(price="90"), Wait()]
    world = play(story)
    assert [sale.sold for sale in world.broker.sales.values()] == [Decimal("1.5")]
    assert world.broker.holding("paper", "AAPL").qty == 3


def test_a_story_of_exits_goes_the_same_way_each_time() -> None:
    closes, story = STORIES["due over night, and split in it"]
    assert play(story, closes=closes).said == play(story, closes=closes).said
