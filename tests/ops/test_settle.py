"""Ending a row by the operator's word within the daemon (SPEC 12.8a)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from snexec.errors import (
    BrokerError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger.rows import OrderRef
from snexec.reconciliation.due import UnsettledOrder
from tests.fakes import (
    Rig,
    make_order,
    make_settings,
    make_signal,
    make_trade,
    warnings_of,
)
from tests.ledger.broker_says import closed_by_monitor
from tests.ledger.hands import trigger
from tests.ops.bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.fakes import FakeClock

pytestmark = pytest.mark.jumping_time

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")


@pytest.fixture
async def bench(store: Store, clock: FakeClock) -> Bench:
    return Bench(Rig(config=make_settings(), clock=clock, store=store))


def buy(bench: Bench, symbol: str = "AAPL", shares: str = "0.5") -> None:
    """Leave an open row whose order was filled."""
    bench.rig.open_row(make_trade("sn-1", symbol), order_id="o-1")
    bench.rig.store.apply_fill(REF, price=Decimal(100), quantity=Decimal(shares))


async def test_a_position_that_is_gone_is_settled_once_it_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    buy(bench)
    before = bench.rig.rows()

    said = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=True)

    assert said == {
        "settled": False,
        "words": (
            "sn-1: AAPL (paper), open, bought 0.5 at 100.0, becomes closed with"
            " exitReason settled, exitPrice 90, pnl -5.000000; paper holds none of it"
        ),
    }
    assert bench.rig.rows() == before
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert done == {**said, "settled": True}
    row = bench.rig.rows()["sn-1"]
    assert (row["status"], row["exitReason"], row["pnl"]) == ("closed", "settled", -5.0)
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1 is settled as closed by the operator's word, at 90"
    ]


async def test_the_price_of_a_sale_by_others_is_asked_for_and_completed(
    bench: Bench,
) -> None:
    buy(bench)
    bench.rig.store.exits.external(
        "sn-1", quantity=Decimal("0.5"), price=None, remaining=Decimal("0.5")
    )
    refused = await bench.control.settle("sn-1", "closed", None, dry_run=True)
    assert refused["error"] == (
        "sn-1 (AAPL) is closed, and lacks the price of its sale alone: say it with"
        " --price"
    )
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert done == {
        "settled": True,
        "words": (
            "sn-1: AAPL (paper) stays closed, with exitPrice 90.000000, pnl -5.000000;"
            " paper holds none of it"
        ),
    }
    row = bench.rig.rows()["sn-1"]
    assert (row["exitReason"], row["exitPrice"], row["pnl"]) == ("external", 90.0, -5.0)


async def test_a_sell_that_has_no_end_is_asked_about_no_more(bench: Bench) -> None:
    buy(bench)
    bench.rig.store.exits.plan("sn-1", "manual", held=None, free=None)
    unsettled = bench.rig.reconciler.unsettled
    now = trio.current_time()
    unsettled.add(
        UnsettledOrder(
            trade_id="sn-1-x1",
            symbol="AAPL",
            mode="paper",
            order_id=None,
            placed_at=now,
            due=now,
            pause=1.0,
        )
    )
    bench.rig.accounts.lose_keys("paper")  # or what the broker says would be waited for
    said = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert "; its sell sn-1-x1 is asked about no more; NOT CHECKED" in str(
        said["words"]
    )
    assert unsettled.get("sn-1-x1") is None
    assert bench.rig.store.exits.unsettled() == []


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD"])
async def test_what_the_broker_holds_is_not_settled(bench: Bench, symbol: str) -> None:
    buy(bench, symbol)
    bench.rig.paper.holds[symbol] = Decimal("0.5")
    before = bench.rig.rows()
    for dry_run in (True, False):
        answer = await bench.control.settle("sn-1", "closed", None, dry_run=dry_run)
        assert answer == {
            "status": "refused",
            "settled": False,
            "error": f"paper holds 0.5 {symbol}: 0.5 are left, so sn-1 has not ended",
        }
    assert bench.rig.rows() == before


async def test_what_another_row_claims_is_not_this_ones(bench: Bench) -> None:
    bench.rig.open_row(make_trade("sn-0", "AAPL"))
    bench.rig.store.mark_not_found("sn-0")
    buy(bench)
    bench.rig.paper.holds["AAPL"] = Decimal("0.5")
    done = await bench.control.settle("sn-0", "missed", None, dry_run=False)
    assert done["settled"] is True
    bench.rig.paper.holds["AAPL"] = Decimal("0.7")
    still = await bench.control.settle("sn-1", "closed", None, dry_run=False)
    assert still["error"] == "paper holds 0.7 AAPL: 0.7 are left, so sn-1 has not ended"


@pytest.mark.parametrize(
    "problem",
    [
        UnknownOutcomeError("no answer within 10 s"),
        RateLimitedError("429", wait_seconds=1),
        RefusedError(status_code=422, body="", reason="oops"),
    ],
    ids=["lost", "429", "another refusal"],
)
async def test_nothing_is_settled_while_the_broker_may_answer_later(
    bench: Bench, problem: BrokerError
) -> None:
    buy(bench)
    bench.rig.paper.asking.append(problem)
    answer = await bench.control.settle("sn-1", "closed", None, dry_run=False)
    assert answer["error"] == (
        f"what paper holds of AAPL could not be asked: {problem}: try again later"
    )
    assert bench.rig.rows()["sn-1"]["status"] == "open"


async def test_an_account_that_will_never_answer_is_named(bench: Bench) -> None:
    buy(bench)
    bench.rig.paper.asking.append(RefusedError(status_code=401, body="", reason="no"))
    said = await bench.control.settle("sn-1", "closed", None, dry_run=True)
    assert "; NOT CHECKED, what paper holds of AAPL could not be" in str(said["words"])
    bench.rig.accounts.lose_keys("paper")
    said = await bench.control.settle("sn-1", "closed", None, dry_run=True)
    assert str(said["words"]).endswith("asked: there are no keys for paper")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("accepted", "; ITS ORDER STILL WORKS (accepted) and may buy: cancel it first"),
        ("canceled", "; paper holds none of it"),
        (None, "; its order is not known there"),
    ],
)
async def test_an_order_that_may_buy_yet_is_named_before_its_row_is_ended(
    bench: Bench, status: str | None, words: str
) -> None:
    bench.rig.open_row(make_trade("sn-1"), order_id="o-1")
    if status is not None:
        bench.rig.paper.book["sn-1"] = make_order("sn-1", status)
    said = await bench.control.settle("sn-1", "missed", None, dry_run=True)
    assert str(said["words"]).endswith(words)


async def test_an_order_that_cannot_be_asked_about_is_said_not_to_be_checked(
    bench: Bench,
) -> None:
    bench.rig.open_row(make_trade("sn-1"), order_id="o-1")
    bench.rig.paper.looking.append(RateLimitedError("HTTP 429", wait_seconds=9))
    said = await bench.control.settle("sn-1", "missed", None, dry_run=True)
    assert "; NOT CHECKED, its order could not be asked about" in str(said["words"])
    assert bench.rig.accounts.budget("paper").left == 0, "as long as the broker asks"


async def test_the_fee_of_a_coin_that_another_row_claims_is_not_missed(
    bench: Bench,
) -> None:
    bench.rig.open_row(make_trade("sn-0", "BTC/USD"))
    bench.rig.store.mark_not_found("sn-0")
    buy(bench, "BTC/USD")
    bench.rig.paper.holds["BTC/USD"] = Decimal("0.49875")
    done = await bench.control.settle("sn-0", "missed", None, dry_run=False)
    assert done["settled"] is True


async def test_where_others_claim_more_than_there_is_none_is_left(
    bench: Bench,
) -> None:
    bench.rig.open_row(make_trade("sn-0", "AAPL"))
    bench.rig.store.mark_not_found("sn-0")
    buy(bench)
    done = await bench.control.settle("sn-0", "missed", None, dry_run=False)
    assert done["settled"] is True


async def test_an_order_that_is_settled_is_followed_no_longer(bench: Bench) -> None:
    trade = make_trade("sn-1", "AAPL")
    bench.rig.open_row(trade)
    bench.rig.reconciler.load(bench.rig.store.unsettled())
    assert bench.rig.reconciler.status().unsettled == 1
    done = await bench.control.settle("sn-1", "missed", None, dry_run=False)
    assert str(done["words"]).startswith(
        "sn-1: AAPL (paper), open, nothing bought, as far as is known, becomes missed"
        " with exitReason settled; its order is asked about no more"
    )
    assert bench.rig.reconciler.status().unsettled == 0
    (told,) = bench.rig.events
    assert (told.event, told.trade_id, told.reason) == ("settled", "sn-1", "settled")
    assert told.more["status"] == "missed"


async def test_what_the_broker_has_settled_is_not_told_as_settled_again(
    bench: Bench,
) -> None:
    buy(bench)
    done = await bench.control.settle("sn-1", "closed", None, dry_run=False)
    assert done["settled"] is True
    assert bench.rig.events == []


async def test_an_order_that_is_being_placed_is_not_settled(
    bench: Bench, nursery: trio.Nursery
) -> None:
    rig = bench.rig
    rig.paper.seconds = math.inf
    rig.offer(make_signal("AAPL"))
    nursery.start_soon(rig.orders.run)
    await trio.testing.wait_all_tasks_blocked()
    [trade_id] = rig.rows()
    answer = await bench.control.settle(trade_id, "missed", None, dry_run=False)
    assert answer["error"] == f"the order of {trade_id} is being placed just now"
    assert rig.rows()[trade_id]["status"] == "open"
    nursery.cancel_scope.cancel()


async def test_what_is_bought_while_the_broker_is_asked_is_not_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = bench.rig
    rig.open_row(make_trade("sn-1", "AAPL"), order_id="o-1")

    async def gone(_symbol: str) -> Decimal:
        await trio.lowlevel.checkpoint()
        rig.store.apply_fill(REF, price=Decimal(100), quantity=Decimal("0.5"))
        return Decimal(0)

    monkeypatch.setattr(rig.paper, "position_quantity", gone)
    assert await bench.control.settle("sn-1", "missed", None, dry_run=False) == {
        "status": "refused",
        "settled": False,
        "error": "sn-1 has changed meanwhile: ask again",
    }
    assert rig.rows()["sn-1"]["status"] == "open"


async def test_what_is_not_there_or_has_ended_is_refused(bench: Bench) -> None:
    buy(bench)
    bench.rig.store.settle("sn-1", "closed", None)
    for trade_id, why in (
        ("sn-2", "there is no row sn-2"),
        ("sn-1", "sn-1 (AAPL) is closed and settled"),
    ):
        answer = await bench.control.settle(trade_id, "closed", None, dry_run=False)
        assert answer == {"status": "refused", "settled": False, "error": why}
    assert not [one for one in bench.rig.paper.requests if one.kind == "position"]


async def test_a_row_that_has_bought_was_not_missed(bench: Bench) -> None:
    buy(bench)
    refused = await bench.control.settle("sn-1", "missed", None, dry_run=False)
    assert refused["error"] == (
        "sn-1 (AAPL) has bought, so it was not missed: once the position is gone,"
        " settle it as closed"
    )
    assert bench.rig.rows()["sn-1"]["status"] == "open"


async def test_of_a_closed_row_only_the_order_is_settled(bench: Bench) -> None:
    bench.rig.open_row(make_trade("sn-1", "AAPL"))
    closed_by_monitor(bench.rig.store, price=1.0, shares=1.0)
    refused = await bench.control.settle("sn-1", "missed", None, dry_run=False)
    assert "has bought, so it was not missed" in str(refused["error"])
    done = await bench.control.settle("sn-1", "closed", None, dry_run=False)
    assert done["words"] == (
        "sn-1: AAPL (paper) stays closed as it is; its order is asked about no more;"
        " paper holds none of it; its order is not known there"
    )
    row = bench.rig.rows()["sn-1"]
    assert (row["exitReason"], row["pnl"]) == ("take_profit", 1.5)
    assert row["settledAt"] is not None


async def test_nothing_is_promised_while_rows_cannot_be_written(bench: Bench) -> None:
    buy(bench)
    bench.set_healthy(False)
    answer = await bench.control.settle("sn-1", "closed", None, dry_run=False)
    assert answer["error"] == "the database cannot be written"
    assert bench.rig.rows()["sn-1"]["status"] == "open"


async def test_a_row_that_cannot_be_changed_is_refused_with_the_reason(
    bench: Bench, database: Path
) -> None:
    buy(bench, "DOOM")
    trigger(database, "refuses", "UPDATE")
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert done["status"] == "refused"
    assert str(done["error"]).startswith("the row cannot be changed: ")


async def test_a_row_whose_sell_is_under_way_is_not_settled(bench: Bench) -> None:
    buy(bench)
    bench.rig.store.exits.plan("sn-1", "manual", held=None, free=None)
    refused = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert refused["error"] == (
        "a sell of sn-1 is under way (sn-1-x1): wait until it has ended, or cancel it at"
        " the broker"
    )
    assert bench.rig.rows()["sn-1"]["status"] == "open"


@pytest.mark.parametrize("decided_ago", [59, 61])
async def test_a_sell_that_the_broker_does_not_have_keeps_no_row_open_for_ever(
    bench: Bench, clock: FakeClock, decided_ago: float
) -> None:
    buy(bench)
    bench.rig.store.exits.plan("sn-1", "manual", held=None, free=None)
    clock.advance(decided_ago)
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    if decided_ago < 60:
        assert "is under way" in str(done["error"]), "it may still arrive"
        return
    assert "; its sell sn-1-x1 is asked about no more; paper holds none of it" in (
        str(done["words"])
    )
    assert bench.rig.rows()["sn-1"]["status"] == "closed"
    assert bench.rig.store.exits.unsettled() == []


async def test_a_sell_that_the_broker_has_may_close_its_row_by_itself(
    bench: Bench, clock: FakeClock
) -> None:
    buy(bench)
    bench.rig.store.exits.plan("sn-1", "manual", held=None, free=None)
    bench.rig.paper.book["sn-1-x1"] = make_order("sn-1-x1", "filled", order_id="o-2")
    clock.advance(3600)
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert "is under way" in str(done["error"])
    bench.rig.paper.looking.append(UnknownOutcomeError("HTTP 500"))
    done = await bench.control.settle("sn-1", "closed", Decimal(90), dry_run=False)
    assert "is under way" in str(done["error"])
    assert bench.rig.rows()["sn-1"]["status"] == "open"
