"""What is watched: rows of the start, and what reconciliation reports (SPEC 12.2)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.clock import timestamp
from snexec.ledger import Applied, ExitApplied, Split, UnsettledExit
from tests.exits.hands import Desk

if TYPE_CHECKING:
    from snexec.exits.book import PositionBook
    from snexec.ledger import ExitKind, ExitState

pytestmark = pytest.mark.jumping_time


@pytest.fixture
async def desk() -> Desk:
    return Desk(hard_stop_loss_pct=5)


def bought(**changes: Any) -> Applied:  # noqa: ANN401 - by name
    values: dict[str, Any] = {
        "trade_id": "row-AAPL",
        "symbol": "AAPL",
        "signal_id": None,
        "order_id": "o-1",
        "mode": "paper",
        "outcome": "fill",
        "changed": True,
        "settled": True,
        "status": "open",
        "entry_price": 189.58,
        "shares": 0.533386947,
        "reason": None,
    }
    return Applied(**(values | changes))


def sold(**changes: Any) -> ExitApplied:  # noqa: ANN401 - by name
    values: dict[str, Any] = {
        "id": "row-AAPL-x1",
        "row_id": "row-AAPL",
        "symbol": "AAPL",
        "mode": "paper",
        "signal_id": None,
        "order_id": "o-2",
        "reason": "manual",
        "outcome": "working",
        "changed": True,
        "settled": False,
        "quantity": Decimal("0.533386947"),
        "sold": Decimal(0),
        "price": None,
        "remaining": Decimal("0.533386947"),
        "closed": False,
        "row_status": "open",
    }
    return ExitApplied(**(values | changes))


def symbols(book: PositionBook) -> list[str]:
    return [each.position.symbol for each in book]


async def test_a_row_of_the_start_is_watched(desk: Desk) -> None:
    await trio.sleep(100)
    bought_at = desk.clock.now() - timedelta(seconds=40)
    position = desk.hold(entry_at=bought_at).position
    assert position.held_since == pytest.approx(60)
    assert (position.symbol, position.state) == ("AAPL", "watched")
    assert desk.book.of_symbol("AAPL") is desk.book.of_row("row-AAPL")
    assert desk.book.of_mode("paper") == [position]
    assert desk.book.of_mode("live") == []
    assert desk.book.modes() == {"paper"}


async def test_what_the_broker_says_may_be_of_a_position_however_it_is_spelled(
    desk: Desk,
) -> None:
    assert not desk.book.may_hold("paper", "")
    desk.hold("BTC/USD")
    for told in ("BTC/USD", "BTCUSD", "btc-usd", ""):
        assert desk.book.may_hold("paper", told)
        assert not desk.book.may_hold("live", told)
    for told in ("ETHUSD", "MSFT", "no symbol", "x" * 1000):
        assert not desk.book.may_hold("paper", told)


async def test_a_row_from_the_future_is_held_since_now(desk: Desk) -> None:
    ahead = desk.clock.now() + timedelta(days=1)
    assert desk.hold(entry_at=ahead).position.held_since == 0


@pytest.mark.parametrize(
    ("kind", "known", "state", "stop"),
    [
        ("sell", "planned", "closing", False),
        ("sell", "working", "closing", False),
        ("stop", "planned", "watched", False),
        ("stop", "working", "watched", True),
    ],
)
async def test_a_row_with_a_sell_of_the_last_run_is_the_sellers(
    desk: Desk,
    kind: ExitKind,
    known: ExitState,
    state: str,
    stop: bool,
) -> None:
    live = UnsettledExit(
        *("row-AAPL-x1", "row-AAPL", "AAPL", "paper", None, known, "manual", 1.0),
        None,
        kind=kind,
    )
    position = desk.hold(live_exit=live).position
    assert position.live_exit == "row-AAPL-x1"
    assert (position.state, position.stop_at_broker) == (state, stop)


async def test_a_row_is_watched_from_its_first_bought_share(desk: Desk) -> None:
    desk.book.bought(bought(outcome="working", shares=None, entry_price=None))
    assert symbols(desk.book) == []
    first = bought(outcome="partial_fill", settled=False, shares=0.1, entry_price=189.5)
    desk.book.bought(first)
    [entry] = desk.book
    position = entry.position
    assert position.remaining == Decimal("0.1")
    assert not position.is_settled
    desk.book.bought(bought())
    assert position.shares == position.remaining == Decimal("0.533386947")
    assert position.entry_price == Decimal("189.58")
    assert position.is_settled


async def test_a_row_is_held_since_its_order_left_however_late_it_was_filled(
    desk: Desk,
) -> None:
    await trio.sleep(100)
    left_at = desk.clock.now() - timedelta(seconds=40)
    desk.book.bought(bought(entry_at=timestamp(left_at)))
    [entry] = desk.book
    position = entry.position
    assert position.held_since == pytest.approx(60)
    assert position.entry_at == pytest.approx(left_at.timestamp())
    assert position.bought_at == 100


@pytest.mark.parametrize("entry_at", [None, "", "?", "3026-01-05T14:30:00.000Z"])
async def test_a_row_that_does_not_say_when_it_was_bought_is_held_since_its_fill(
    desk: Desk, entry_at: str | None
) -> None:
    await trio.sleep(100)
    desk.book.bought(bought(entry_at=entry_at))
    [entry] = desk.book
    assert entry.position.held_since == 100


async def test_a_row_was_bought_when_its_buy_was_filled_last(desk: Desk) -> None:
    await trio.sleep(10)
    desk.book.bought(bought(outcome="partial_fill", shares=0.3, settled=False))
    [entry] = desk.book
    await trio.sleep(10)
    desk.book.bought(bought())
    assert entry.position.bought_at == 20
    await trio.sleep(10)
    desk.book.bought(bought(changed=False))
    desk.book.bought(bought(outcome="canceled"))
    assert entry.position.bought_at == 20, "nothing more was bought"


async def test_what_is_bought_after_a_sell_adds_to_what_remains(desk: Desk) -> None:
    desk.book.bought(bought(shares=0.3, settled=False))
    desk.book.sold(sold(sold=Decimal("0.1"), remaining=Decimal("0.2")))
    desk.book.bought(bought(shares=0.5))
    [entry] = desk.book
    assert entry.position.remaining == Decimal("0.4")


@pytest.mark.parametrize("status", ["missed", "closed"])
async def test_a_row_that_is_not_open_is_not_watched(desk: Desk, status: str) -> None:
    desk.book.bought(bought(status=status))
    assert symbols(desk.book) == []
    desk.book.bought(bought())
    desk.book.bought(bought(status=status))
    assert symbols(desk.book) == []
    assert desk.book.of_symbol("AAPL") is None


async def test_a_sell_is_followed_until_the_row_closes(desk: Desk) -> None:
    position = desk.hold().position
    desk.book.sold(sold())
    assert position.live_exit == "row-AAPL-x1"
    left = Decimal("0.1")
    desk.book.sold(sold(outcome="canceled", settled=True, remaining=left))
    assert not position.live_exit
    assert position.remaining == left
    ended = sold(id="row-AAPL-x2", outcome="fill", settled=True, remaining=Decimal(0))
    desk.book.sold(ended._replace(closed=True, row_status="closed"))
    assert len(desk.book) == 0


async def test_the_end_of_an_earlier_sell_is_not_that_of_the_next(desk: Desk) -> None:
    position = desk.hold().position
    desk.book.sold(sold(id="row-AAPL-x2"))
    desk.book.sold(sold(outcome="canceled", settled=True))
    assert position.live_exit == "row-AAPL-x2"


async def test_a_stop_at_the_broker_stands_until_it_ends(desk: Desk) -> None:
    position = desk.hold().position
    desk.book.sold(sold(id="row-AAPL-s1", kind="stop"))
    assert position.stop_at_broker
    desk.book.sold(sold(id="row-AAPL-s1", kind="stop", settled=True))
    assert not position.stop_at_broker


async def test_what_was_read_of_a_position_does_not_outlive_a_fill(desk: Desk) -> None:
    entry = desk.hold()
    entry.position.held, entry.position.free = "0.5", Decimal("0.5")
    await trio.sleep(1)
    desk.book.sold(sold(executed=Decimal("0.1"), remaining=Decimal("0.4")))
    assert not entry.position.held
    assert not entry.position.free
    assert entry.changed_at == 1
    await trio.sleep(1)
    desk.book.bought(bought(shares=0.7))
    assert entry.changed_at == 2


async def test_reports_of_rows_that_are_not_watched_change_nothing(desk: Desk) -> None:
    desk.book.sold(sold())
    desk.book.ended("row-AAPL")
    shares = Decimal(1)
    split = Split("r", "AAPL", "paper", None, Fraction(2), shares, shares, shares, None)
    desk.book.split(split)
    assert len(desk.book) == 0


async def test_a_split_makes_other_shares_whose_prices_are_new(desk: Desk) -> None:
    entry = desk.hold(high_price=Decimal(200))
    entry.position.rests = "a split"
    desk.say(190)
    desk.say(190)
    desk.book.split(
        Split(
            *("row-AAPL", "AAPL", "paper", None, Fraction(10)),
            shares=Decimal("5.33386947"),
            remaining=Decimal("5.33386947"),
            entry_price=Decimal("18.958"),
            high_price=Decimal(20),
        )
    )
    position = entry.position
    assert (position.entry_price, position.rests) == (Decimal("18.958"), None)
    assert position.high_price == entry.prices.highs.highest == 20
    assert desk.say(19) is None, "the price of before is no measure for it"


async def test_a_row_that_ended_otherwise_is_not_watched(desk: Desk) -> None:
    desk.hold("AAPL", "MSFT")
    desk.book.ended("row-AAPL")
    assert symbols(desk.book) == ["MSFT"]


async def test_positions_are_counted_by_whose_they_are(desk: Desk) -> None:
    desk.hold("AAPL", "MSFT", "GME").position.state = "blocked"
    counts = [desk.book.count(each) for each in ("watched", "closing", "blocked")]
    assert counts == [2, 0, 1]
