"""Whatever becomes of an order that came over HTTP, its events name who sent its signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.events import EventFeed
from snexec.orders.producers import Producers
from tests.fakes import make_trade
from tests.input_helpers import FixedClock

if TYPE_CHECKING:
    from snexec.events import Event


def test_every_event_of_an_order_names_its_producer_from_its_leaving_on() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []
    feed.follow(heard.append)
    onlooker = Producers(feed)
    posted, own = make_trade()._replace(producer="tv"), make_trade("sn-2", "KO")
    for trade in (posted, own):
        onlooker.leaving(trade, 1)
    for trade in (posted, own):
        feed.publish("fill", {"mode": "paper"}, trade_id=trade.id)
        feed.publish("closed", trade_id=trade.id)
    feed.publish("stream")

    assert [event.more.get("producer") for event in heard] == [
        *("tv", "tv"),
        *(None, None),
        None,
    ]
    assert heard[0].more == {"mode": "paper", "producer": "tv"}


def test_the_producers_of_the_latest_orders_are_remembered_and_no_more() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []
    feed.follow(heard.append)
    for number in range(10_001):
        feed.remember_producer(f"t-{number}", "tv")
    for number in (0, 1, 10_000):
        feed.publish("fill", trade_id=f"t-{number}")

    assert ["producer" in event.more for event in heard] == [False, True, True]
