"""What others did is written, said and published; or left, and said (SPEC 12.7, 12.8)."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.events import EventFeed
from snexec.exits.evidence import Evidence
from snexec.exits.external import Judgement
from snexec.exits.findings import Findings
from snexec.exits.sights import Case, Claim, Sight
from tests.exits.hands import make_position
from tests.fakes import (
    MOMENT,
    MOMENT_TEXT,
    InlineWriter,
    TrioClock,
    row_of,
    warnings_of,
)
from tests.ledger.selling import buy, exits_of, plan

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.ledger import ExitApplied, Split
    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

SOLD = Judgement(
    "sold",
    "sold by others",
    quantity=Decimal(10),
    price=Decimal("110.1234567"),
    at=MOMENT - timedelta(minutes=1),
    used=frozenset(["a-1"]),
)
DOUBLED = Judgement("split", "split 2 for 1", ratio=Fraction(2))


class Finds:
    """Findings about a row of 10 shares at 100 dollars, whose price rules may rest.

    Attributes:
        heard: What the heirs heard, and what the evidence was by then.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        buy(store, shares="10", price="100")
        self.position = make_position(
            row_id="sn-1", shares=Decimal(10), remaining=Decimal(10)
        )
        self.evidence = Evidence()
        self.events: list[Event] = []
        self.heard: list[str] = []
        feed = EventFeed(clock=TrioClock())
        feed.follow(self.events.append)
        self.findings = Findings(InlineWriter(store), self, feed)
        self.evidence.begin(self.case().now)

    # As the heirs.

    def sold_by_others(self, applied: ExitApplied) -> None:
        assert self.evidence.is_troubled, "its row is as it was until all have heard"
        self.position.remaining = applied.remaining
        self.heard.append(f"sold {applied.sold}")

    def split(self, split: Split) -> None:
        assert self.evidence.is_troubled, "likewise"
        self.position.remaining = split.remaining
        self.heard.append(f"split {split.ratio}")

    def ended(self, row_id: str) -> None:
        self.heard.append(f"ended {row_id}")

    def case(self, remaining: str = "10") -> Case:
        claim = Claim(
            *("AAPL", Decimal(10), Decimal(remaining), Decimal(100), MOMENT),
            order_id="o-1",
            is_selling=False,
            quiet_seconds=100.0,
        )
        now = Sight(
            *(trio.current_time(), MOMENT, Decimal(0), None, None),
            remaining=Decimal(remaining),
        )
        return Case(claim=claim, now=now, is_listed=False)

    async def sell(self, remaining: str = "10", **changes: Any) -> None:  # noqa: ANN401 - as the fields are
        judgement = SOLD._replace(**changes)
        case = self.case(remaining)
        await self.findings.sold(judgement, case, self.position, self.evidence)

    async def split_it(self, remaining: str = "10") -> None:
        case = self.case(remaining)
        await self.findings.split(DOUBLED, case, self.position, self.evidence)

    def row(self) -> dict[str, Any]:
        return row_of(self.store, "sn-1")


@pytest.fixture
async def finds(store: Store, caplog: pytest.LogCaptureFixture) -> Finds:
    caplog.set_level(logging.INFO)
    return Finds(store)


# Sold


async def test_what_others_sold_is_written_with_its_price_and_time(
    finds: Finds, caplog: pytest.LogCaptureFixture
) -> None:
    await finds.sell()
    row = finds.row()
    assert (row["status"], row["exitReason"], row["exitPrice"], row["exitAt"]) == (
        *("closed", "external", 110.123457),
        "2026-01-05T14:29:00.123Z",
    )
    [(name, sold)] = exits_of(finds.store).items()
    assert (name, sold["kind"], sold["filledQty"]) == ("sn-1-e1", "external", "10")
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1 (paper): 10 shares are gone by no order of ours (sold by"
        " others) at 110.123457, its row is closed"
    ]


async def test_whoever_watches_the_row_hears_of_it_and_it_is_whole_then(
    finds: Finds,
) -> None:
    await finds.sell()
    assert finds.heard == ["sold 10"]
    assert not finds.evidence.is_troubled
    assert finds.evidence.before is not None
    assert finds.evidence.before.remaining == 0
    assert finds.evidence.used == {"a-1"}
    [event] = finds.events
    assert (event.event, event.trade_id, event.symbol, event.reason) == (
        *("external", "sn-1"),
        *("AAPL", "external"),
    )
    assert event.more == {
        "exitId": "sn-1-e1",
        "mode": "paper",
        "shares": 10.0,
        "exitPrice": 110.1234567,
        "remaining": 0.0,
        "closed": True,
        "pnl": 101.234567,
    }


async def test_a_part_leaves_the_rest_open(
    finds: Finds, caplog: pytest.LogCaptureFixture
) -> None:
    finds.evidence.used = frozenset(["a-0"])
    await finds.sell(quantity=Decimal(4))
    assert finds.row()["status"] == "open"
    assert warnings_of(caplog)[0].endswith("at 110.123457, 6 are left")
    assert finds.events[0].more["closed"] is False
    assert finds.evidence.used == {"a-0", "a-1"}, "none of them counts twice"


async def test_what_went_at_no_known_price_is_an_error_with_the_way_out(
    finds: Finds, logged_errors: LoggedErrors
) -> None:
    await finds.sell(price=None, at=None, why="gone")
    assert finds.row()["exitPrice"] is None
    assert finds.row()["exitAt"] == MOMENT_TEXT
    assert logged_errors.take() == [
        "AAPL trade=sn-1 (paper): 10 shares are gone by no order of ours (gone), its row"
        " is closed; at what price is not known: look at the account, then `snexec"
        " settle sn-1 --as closed --price PRICE`"
    ]
    assert finds.events[0].more["exitPrice"] is None


async def test_a_row_that_is_not_closed_needs_no_settling(
    finds: Finds, logged_errors: LoggedErrors
) -> None:
    await finds.sell(price=None, quantity=Decimal(4))
    [line] = logged_errors.take()
    assert line.endswith("6 are left; at what price is not known: look at the account")


async def test_what_a_corporation_took_is_no_sale(
    finds: Finds, logged_errors: LoggedErrors
) -> None:
    await finds.sell(reason="corporate_action", price=None)
    assert finds.row()["exitReason"] == "corporate_action"
    assert finds.events[0].reason == "corporate_action"
    assert len(logged_errors.take()) == 1


# Not written


@pytest.mark.parametrize("what", ["sell", "split_it"])
async def test_a_row_that_another_program_has_ended_is_watched_no_more(
    finds: Finds, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    finds.store._db.execute("UPDATE BotTrade SET status = 'closed', exitReason = 'x'")
    await getattr(finds, what)()
    assert finds.heard == ["ended sn-1"]
    assert finds.row()["exitReason"] == "x"
    assert "AAPL trade=sn-1: another program has ended its row" in caplog.messages
    assert finds.events == []
    assert not finds.evidence.is_troubled
    assert finds.evidence.used == frozenset()


@pytest.mark.parametrize("what", ["sell", "split_it"])
async def test_a_row_that_has_changed_meanwhile_is_looked_at_anew(
    finds: Finds, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    await getattr(finds, what)("9")
    assert (finds.heard, finds.events, caplog.messages) == ([], [], [])
    assert (finds.row()["status"], finds.row()["shares"]) == ("open", 10)
    assert not finds.evidence.is_troubled, "what was seen was of another row"


async def test_a_row_that_is_being_sold_is_left_to_that(finds: Finds) -> None:
    plan(finds.store)
    await finds.sell()
    assert finds.heard == []
    assert list(exits_of(finds.store)) == ["sn-1-x1"]


# Split


async def test_a_split_restates_the_row_and_its_rules_go_on(
    finds: Finds, caplog: pytest.LogCaptureFixture
) -> None:
    finds.findings.rests(finds.position, finds.evidence, "its position looks split")
    caplog.clear()
    await finds.split_it()
    row = finds.row()
    assert (row["shares"], row["entryPrice"]) == (20, 50)
    assert finds.heard == ["split 2"]
    assert finds.position.rests is None
    assert not finds.evidence.is_troubled
    assert finds.evidence.before is not None
    assert finds.evidence.before.remaining == 20
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1: its price rules go on",
        "AAPL trade=sn-1: split 2 for 1; 10 shares at 100 are 20 at 50",
    ]
    [event] = finds.events
    assert (event.event, event.trade_id, event.symbol) == ("split", "sn-1", "AAPL")
    assert event.more == {
        "mode": "paper",
        "ratio": "2",
        "shares": 20.0,
        "remaining": 20.0,
        "entryPrice": 50.0,
    }


# Rules that rest


async def test_rules_that_rest_are_said_when_they_begin_and_when_they_go_on(
    finds: Finds, caplog: pytest.LogCaptureFixture
) -> None:
    said = []
    for why in (None, "a split", "a split", "another split", None, None):
        finds.findings.rests(finds.position, finds.evidence, why)
        said.append((finds.position.rests, len(warnings_of(caplog))))
    assert said == [
        (None, 0),
        ("a split", 1),
        ("a split", 1),
        ("another split", 2),
        (None, 3),
        (None, 3),
    ]
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1: its price rules rest: a split",
        "AAPL trade=sn-1: its price rules rest: another split",
        "AAPL trade=sn-1: its price rules go on",
    ]


async def test_what_others_have_it_rest_for_stays(finds: Finds) -> None:
    finds.position.rests = "for a reason of theirs"
    for why in ("a split", None):
        finds.findings.rests(finds.position, finds.evidence, why)
        assert finds.position.rests == "for a reason of theirs"


async def test_what_somebody_has_to_look_at_is_an_alarm_once_a_day(
    finds: Finds, logged_errors: LoggedErrors
) -> None:
    judgement = Judgement("rest", "a merger", rests="a merger has changed its position")
    for pause in (0, 24 * 3600 - 1, 1):
        await trio.sleep(pause)
        finds.findings.alarm(judgement, finds.position, finds.evidence)
    assert finds.position.rests == "a merger has changed its position"
    said = logged_errors.take()
    assert said[0] == (
        "AAPL trade=sn-1 (paper): a merger; its price rules rest until its position is"
        " as it was: look at the account"
    )
    assert len(said) == len(finds.events) == 2
    event = finds.events[0]
    assert (event.event, event.reason, event.trade_id, event.symbol, event.more) == (
        *("external", "corporate_action", "sn-1", "AAPL"),
        {"mode": "paper", "rests": "a merger", "closed": False},
    )


# Rows that stand


async def test_a_row_of_another_account_is_said_once_a_day_with_the_way_out(
    finds: Finds, caplog: pytest.LogCaptureFixture
) -> None:
    judgement = Judgement("stranger", "the account does not know its buy")
    for _ in range(2):
        finds.findings.stands(judgement, finds.position, finds.evidence)
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1 (paper): less of it is held than the row has, and the account"
        " does not know its buy; the row stays as it is: put the keys of its account"
        " back, or end it by `snexec settle sn-1 --as closed`"
    ]
    assert finds.events == []


async def test_what_an_order_of_ours_has_sold_is_an_error_that_it_decides_itself(
    finds: Finds, logged_errors: LoggedErrors
) -> None:
    finds.findings.stands(Judgement("ours", "it"), finds.position, finds.evidence)
    [line] = logged_errors.take()
    assert line.endswith("the row stays as it is: the look-ups of that order decide")
