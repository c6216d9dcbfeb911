"""What accounts are asked about positions, how politely, and what a fault comes to."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker import Purpose
from snexec.broker.positions import read_position
from snexec.errors import NotSentError, RateLimitedError, RefusedError
from snexec.errors import UnknownOutcomeError as NoAnswerError
from snexec.exits.questions import Questions
from snexec.exits.sights import Buy
from snexec.reconciliation import ForeignSell
from tests.exits.looking import Question, TradedAccounts
from tests.fakes import MOMENT, TrioClock, make_order, not_found, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.budget import RateBudget

pytestmark = pytest.mark.jumping_time

REFUSED = RefusedError(status_code=401, body="", reason="unauthorized")
DAY = timedelta(days=1)


def nothing(_symbol: str) -> None:
    """Know nothing of any symbol."""


class Asker:
    """Questions to a paper account that others trade on."""

    def __init__(self) -> None:
        clock = TrioClock()
        self.accounts = TradedAccounts(clock=clock, per_minute=200)
        self.paper = self.accounts.traded["paper"]
        self.ask = Questions(self.accounts, clock)

    def leased(self) -> int:
        return self.accounts.leased["paper"]


@pytest.fixture
async def asker() -> Asker:
    return Asker()


async def test_there_is_nobody_to_ask_without_keys(asker: Asker) -> None:
    before = asker.ask.can_ask("paper")
    asker.accounts.lose_keys("paper")
    assert (before, asker.ask.can_ask("paper"), asker.ask.can_ask("live")) == (
        *(True, False),
        True,
    )


async def test_every_question_takes_one_request_of_recoverys_share(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Purpose] = []
    budget: RateBudget = asker.paper.budget
    real = budget.try_take

    def take(purpose: Purpose) -> bool:
        taken.append(purpose)
        return real(purpose)

    monkeypatch.setattr(budget, "try_take", take)
    await asker.ask.positions("paper", nothing)
    await asker.ask.is_gone("paper", "AAPL")
    await asker.ask.buy("paper", "sn-1", None, "AAPL")
    await asker.ask.sell("paper", "o-1", "AAPL")
    await asker.ask.activities("paper", MOMENT)
    assert taken == [Purpose.ROUTINE] * 5
    assert asker.leased() == 0


async def test_what_an_account_holds_is_returned_as_it_is(asker: Asker) -> None:
    asker.paper.holds = {"AAPL": Decimal(2), "BTC/USD": Decimal("0.1")}
    positions = await asker.ask.positions("paper", nothing)
    assert [(each.symbol, each.quantity) for each in positions] == [
        ("AAPL", 2),
        ("BTC/USD", Decimal("0.1")),
    ]


# The one position


@pytest.mark.parametrize(
    ("quantity", "is_gone"), [("2", False), ("0", True), ("-1", True), (None, True)]
)
async def test_a_position_is_gone_where_none_of_it_could_be_sold(
    asker: Asker, quantity: str | None, *, is_gone: bool
) -> None:
    async def position(symbol: str) -> object:
        await trio.lowlevel.checkpoint()
        if quantity is None:
            raise not_found()
        fields = {"symbol": symbol, "qty": quantity, "side": "long"}
        if quantity.startswith("-"):
            fields["side"] = "short"
        return read_position(json.dumps(fields).encode(), symbol)

    asker.paper.position = position  # type: ignore[assignment, method-assign]
    assert await asker.ask.is_gone("paper", "AAPL") is is_gone


# Orders


async def test_the_buy_says_what_it_bought(asker: Asker) -> None:
    asker.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="50")
    found = await asker.ask.buy("paper", "sn-1", "o-1", "AAPL")
    assert found == Buy(is_known=True, bought=Decimal(2))
    [asked] = asker.paper.asked("order")
    assert (asked.client_order_id, asked.order_id, asked.symbol) == (
        *("sn-1", "o-1"),
        "AAPL",
    )


async def test_a_buy_that_bought_nothing_does_not_say_how_much(asker: Asker) -> None:
    asker.paper.book["sn-1"] = make_order("sn-1", "canceled")
    assert await asker.ask.buy("paper", "sn-1", None, "AAPL") == Buy(is_known=True)


async def test_a_buy_that_the_account_does_not_know_is_unknown(asker: Asker) -> None:
    assert await asker.ask.buy("paper", "sn-1", None, "AAPL") == Buy(is_known=False)


async def test_an_order_that_has_sold_is_returned_or_is_none(asker: Asker) -> None:
    sold = make_order("by-hand", "filled", order_id="o-9", quantity="1", price="5")
    asker.paper.sellers["o-9"] = sold
    assert await asker.ask.sell("paper", "o-9", "AAPL") is sold
    assert await asker.ask.sell("paper", "o-8", "AAPL") is None


# Activities


def page(*numbers: int) -> bytes:
    return json.dumps(
        [
            {
                "activity_type": "FILL",
                "id": f"a-{number}",
                "order_id": "o-1",
                "symbol": "AAPL",
                "side": "sell",
                "qty": "1",
                "price": "2",
                "transaction_time": MOMENT.isoformat(),
            }
            for number in numbers
        ]
    ).encode()


def paged(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, pages: Callable[[int], bytes]
) -> list[str]:
    """Have the account's activities come in these pages; return what is asked."""
    paths: list[str] = []

    async def answer(path: str) -> bytes:
        await trio.lowlevel.checkpoint()
        asker.paper.budget.finish(None)
        paths.append(path)
        return pages(len(paths))

    monkeypatch.setattr(asker.paper, "page_of_activities", answer)
    return paths


def sell_of(order: str, price: str = "110") -> ForeignSell:
    return ForeignSell("paper", "AAPL", order, Decimal(3), Decimal(price))


async def test_what_the_stream_said_is_among_the_activities_where_these_do_not(
    asker: Asker,
) -> None:
    asker.ask.hear(sell_of("o-1"))
    await trio.sleep(60)
    asker.ask.hear(sell_of("o-2", "111"))
    asker.ask.hear(ForeignSell("paper", "AAPL", "o-3"))  # it is under way
    found = await asker.ask.activities("paper", MOMENT - DAY)
    assert [each.order_id for each in found] == ["o-2", "o-1"], "the newest first"
    assert [each.price for each in found] == [Decimal(111), Decimal(110)]
    late = await asker.ask.activities("paper", MOMENT + timedelta(seconds=30))
    assert [each.order_id for each in late] == ["o-2"]
    assert await asker.ask.activities("live", MOMENT - DAY) == []


async def test_of_very_many_sells_the_latest_are_kept(asker: Asker) -> None:
    for number in range(300):
        asker.ask.hear(sell_of(f"o-{number}"))
    found = await asker.ask.activities("paper", MOMENT - DAY)
    assert {each.order_id for each in found} == {f"o-{n}" for n in range(44, 300)}


async def test_activities_are_asked_for_page_by_page(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def pages(number: int) -> bytes:
        return page(*range(100)) if number == 1 else page(100)

    paths = paged(asker, monkeypatch, pages)
    found = await asker.ask.activities("paper", MOMENT - DAY)
    assert [each.id for each in found] == [f"a-{number}" for number in range(101)]
    assert len(paths) == 2
    assert "page_token=a-99" in paths[1]
    assert warnings_of(caplog) == []


async def test_where_so_much_has_happened_that_some_is_left_out_that_is_said(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths = paged(asker, monkeypatch, lambda n: page(*range(100 * n, 100 * n + 100)))
    found = await asker.ask.activities("paper", MOMENT - DAY)
    assert len(found) == 100 * len(paths)
    [line] = warnings_of(caplog)
    assert line.startswith("so much has happened on paper since 2026-01-04 14:30")


async def test_a_page_that_cannot_be_read_is_a_fault_and_no_answer(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paged(asker, monkeypatch, lambda _n: b"?")
    for _ in range(3):
        with pytest.raises(NoAnswerError):
            await asker.ask.activities("paper", MOMENT - DAY)
    assert warnings_of(caplog) == [
        "a question about the positions of paper failed (the answer is no list of"
        " activities); it is asked again"
    ], "once"


# Faults


async def test_a_fault_is_said_once_and_is_the_callers(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    asker.paper.away = NotSentError("no route")
    for _ in range(3):
        with pytest.raises(NotSentError):
            await asker.ask.positions("paper", nothing)
    assert warnings_of(caplog) == [
        "a question about the positions of paper failed (no route); it is asked again"
    ]
    assert asker.leased() == 0


@pytest.mark.parametrize("answers", [False, True], ids=["404", "200"])
async def test_it_is_news_again_once_the_account_has_answered_for_a_minute(
    asker: Asker, caplog: pytest.LogCaptureFixture, *, answers: bool
) -> None:
    if answers:
        asker.paper.holds["AAPL"] = Decimal(1)
    for _ in range(2):
        asker.paper.away = NotSentError("no route")
        with pytest.raises(NotSentError):
            await asker.ask.is_gone("paper", "AAPL")
        asker.paper.away = None
        assert await asker.ask.is_gone("paper", "AAPL") is not answers
        await trio.sleep(61)
    first, second = warnings_of(caplog)
    assert first == second, "no summary of one long row of faults"


async def test_refused_keys_are_said_once_a_day(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    asker.paper.away = REFUSED
    said = []
    for pause in (0, 24 * 3600 - 1, 1):
        await trio.sleep(pause)
        with pytest.raises(RefusedError):
            await asker.ask.positions("paper", nothing)
        said.append(len(warnings_of(caplog)))
    assert said == [1, 1, 2]
    assert warnings_of(caplog)[0] == (
        "paper does not answer about its positions (HTTP 401: unauthorized): nothing is"
        " concluded from that; see what `snexec check` says of its keys"
    )


async def test_the_accounts_refusals_are_said_for_each(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    for mode in ("paper", "live"):
        asker.accounts.traded[mode].away = REFUSED
        with pytest.raises(RefusedError):
            await asker.ask.positions(mode, nothing)
    assert len(warnings_of(caplog)) == 2


async def test_a_limit_that_is_met_is_waited_out_and_is_no_fault(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    asker.paper.away = RateLimitedError("429", wait_seconds=9)
    with pytest.raises(RateLimitedError):
        await asker.ask.positions("paper", nothing)
    asker.paper.away = None
    await asker.ask.positions("paper", nothing)
    assert [each.at for each in asker.paper.questions] == [0, 9]
    assert asker.paper.questions[0] == Question(0, "positions")
    assert warnings_of(caplog) == []
