"""Every follower is told of every event, as one JSON line."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from snexec.events import Event, EventFeed
from snexec.logs import SecretMask
from tests.fakes import SECRET
from tests.input_helpers import NOW, FixedClock

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors


def test_an_event_is_one_json_line_with_its_fields_in_order() -> None:
    event = Event(
        event="placed",
        moment=NOW,
        signal_id="n-1",
        trade_id="t-1",
        symbol="AAPL",
        more={"mode": "paper", "notional": "100.00"},
        sequence=7,
    )

    assert event.line() == (
        b'{"event":"placed","at":"2026-01-05T14:30:00.123Z","signalId":"n-1",'
        b'"tradeId":"t-1","symbol":"AAPL","reason":null,"mode":"paper",'
        b'"notional":"100.00"}\n'
    )


@pytest.mark.parametrize("text", ["a\nb", "\r\n", "\u2028", '"', "\\", "ä\U0001f600\0"])
def test_foreign_text_stays_in_its_line_and_comes_back_as_it_was(text: str) -> None:
    line = Event(event="refused", moment=NOW, reason=text, signal_id=text).line()

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["reason"] == text
    assert json.loads(line)["signalId"] == text


def test_every_follower_is_told_of_every_event_in_order() -> None:
    clock = FixedClock()
    feed = EventFeed(clock=clock)
    first: list[Event] = []
    second: list[Event] = []
    feed.follow(first.append)
    feed.follow(second.append)

    feed.publish("skipped", signal_id="n-1", symbol="X", reason="paused", sequence=1)
    clock.moment += timedelta(seconds=1)
    feed.publish("mode", {"mode": "live"}, reason="was paper")

    assert first == second
    assert first == [
        Event(
            event="skipped",
            moment=NOW,
            signal_id="n-1",
            symbol="X",
            reason="paused",
            sequence=1,
        ),
        Event(
            event="mode",
            moment=NOW + timedelta(seconds=1),
            reason="was paper",
            more={"mode": "live"},
        ),
    ]


def test_what_a_follower_publishes_comes_behind_what_it_hears_for_everyone() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[list[Event]] = [[] for _ in range(20)]
    for each in heard:
        feed.follow(each.append)

    def halt(event: Event) -> None:
        if event.event == "refused":
            feed.publish("halt")

    feed.follow(halt)
    feed.publish("refused")
    feed.publish("placed")

    for each in heard:
        assert [event.event for event in each] == ["refused", "halt", "placed"]


def test_a_follower_hears_only_what_comes_after_it() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []

    feed.publish("stream", reason="before")
    feed.follow(heard.append)
    feed.publish("stream", reason="while")
    feed.unfollow(heard.append)
    feed.publish("stream", reason="after")

    assert [event.reason for event in heard] == ["while"]


def test_a_follower_of_some_events_hears_no_others() -> None:
    feed = EventFeed(clock=FixedClock())
    some: list[Event] = []
    everything: list[Event] = []
    feed.publish("stream")
    feed.follow(some.append, "stream", "mode")
    feed.follow(everything.append)
    for name in ("stream", "fill", "mode"):
        feed.publish(name)

    assert [event.event for event in some] == ["stream", "mode"]
    assert [event.event for event in everything] == ["stream", "fill", "mode"]
    feed.unfollow(everything.append)
    feed.publish("fill")
    assert len(everything) == 3


def test_two_events_of_which_the_same_is_said_come_one_behind_the_other() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []
    ends: list[Event] = []
    feed.follow(heard.append)
    feed.follow(ends.append, "settled")
    feed.publish("fill", {"shares": 1.5}, then="settled", symbol="KO")

    assert [event.event for event in heard] == ["fill", "settled"]
    assert ends == heard[1:]
    assert heard[1] == heard[0]._replace(event="settled")


def test_the_second_of_two_is_heard_where_nobody_follows_the_first() -> None:
    feed = EventFeed(clock=FixedClock())
    ends: list[Event] = []
    feed.follow(ends.append, "settled")
    feed.publish("fill", then="settled")

    assert [event.event for event in ends] == ["settled"]


def test_what_is_published_meanwhile_comes_behind_both_of_two() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []

    def halt(_event: Event) -> None:
        feed.publish("halt", then="resume")

    feed.follow(heard.append)
    feed.follow(halt, "fill")
    feed.publish("fill", then="settled")

    said = [event.event for event in heard]
    assert said == ["fill", "settled", "halt", "resume"]


def test_following_twice_is_following_once() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []

    feed.follow(heard.append)
    feed.follow(heard.append)
    feed.publish("stream")

    assert len(heard) == 1


def test_leaving_twice_or_without_having_followed_is_no_error() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[Event] = []
    feed.follow(heard.append)

    for _ in range(2):
        feed.unfollow(heard.append)
    feed.publish("stream")

    assert heard == []


def test_a_follower_that_leaves_while_it_is_told_disturbs_no_other() -> None:
    feed = EventFeed(clock=FixedClock())
    heard: list[str] = []

    def leave(event: Event) -> None:
        heard.append(f"leaver {event.event}")
        feed.unfollow(leave)

    def stay(event: Event) -> None:
        heard.append(f"stayer {event.event}")

    feed.follow(leave)
    feed.follow(stay)
    feed.publish("stream")
    feed.publish("mode")

    assert sorted(heard) == ["leaver stream", "stayer mode", "stayer stream"]


def test_a_follower_that_fails_disturbs_neither_the_others_nor_who_tells(
    logged_errors: LoggedErrors,
) -> None:
    feed = EventFeed(clock=FixedClock())
    told: list[str] = []

    def fails(_event: Event) -> None:
        raise ZeroDivisionError

    feed.follow(fails)
    feed.follow(lambda event: told.append(event.event))
    feed.publish("placed", symbol="AAPL")
    assert told == ["placed"]
    (error,) = logged_errors.take()
    assert "placed" in error


def test_no_event_holds_a_secret_whoever_put_it_there() -> None:
    mask = SecretMask()
    mask.learn([SECRET])
    feed, told = EventFeed(clock=FixedClock(), mask=mask), list[Event]()
    feed.follow(told.append)

    feed.publish(
        "refused",
        {"orderId": f"o-{SECRET[:9]}", "httpStatus": 403, "shares": None},
        signal_id=SECRET.upper(),
        trade_id="sn-1",
        symbol="AAPL",
        reason=f"bad {SECRET}",
    )
    feed.publish("skipped", {"dollars": 1.5}, signal_id="n-1", reason="paused")

    (refused, skipped) = told
    assert (refused.signal_id, refused.reason) == ("***", "bad ***")
    assert refused.more == {"orderId": "o-***", "httpStatus": 403, "shares": None}
    assert (refused.trade_id, refused.symbol) == ("sn-1", "AAPL")
    assert (skipped.signal_id, skipped.more) == ("n-1", {"dollars": 1.5})
