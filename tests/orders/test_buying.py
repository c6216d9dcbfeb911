"""How a signal becomes an intent to buy."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.ledger.rows import trade_id
from snexec.orders.buying import SignalBuy
from snexec.signals import TakenSignal
from tests.fakes import Rig, make_signal

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.jumping_time


def buy(rig: Rig, *, is_kept: bool = False, **changes: object) -> SignalBuy:
    """Make the intent of a signal that is taken now."""
    taken = TakenSignal(
        signal=make_signal(**changes),  # type: ignore[arg-type]
        read_at=trio.current_time(),
        sequence=7,
        term=rig.settings.term,
        is_kept=is_kept,
    )
    return SignalBuy(taken, rig.orders._buying)


async def test_it_is_a_buy_of_dollars(rig: Rig) -> None:
    intent = buy(rig, symbol="KO")
    assert (intent.side, intent.quantity) == ("buy", None)
    assert (intent.symbol, intent.sequence) == ("KO", 7)


async def test_it_is_drawn_up_by_the_settings_of_that_moment(rig: Rig) -> None:
    intent = buy(rig, id="n-1")
    assert intent.draw_up("paper").notional == Decimal("100.00")
    rig.set_bot(trade_size_stars5=Decimal("33.339"))
    trade = intent.draw_up("live")
    assert (trade.notional, trade.mode) == (Decimal("33.33"), "live")
    assert trade.id == trade_id("live", "n-1")


async def test_the_salt_sets_its_id_apart(rig: Rig) -> None:
    rig.orders._buying.id_salt = "another simulation"
    assert buy(rig, id="n-1").draw_up("paper").id != trade_id("paper", "n-1")


async def test_each_question_is_answered_anew(rig: Rig) -> None:
    intent = buy(rig)
    assert intent.stopped() is None
    rig.set_bot(state="paused")
    assert intent.stopped() == "paused"
    rig.halt.on = True
    assert intent.stopped() == "halted"
    rig.halt.on = False
    rig.set_bot(state="running", require_market_open=True)
    assert intent.stopped() == "market_closed"
    rig.market.open = True
    assert intent.stopped() is None


async def test_what_would_be_held_over_the_close_is_not_bought(rig: Rig) -> None:
    shares, coins = buy(rig), buy(rig, symbol="BTC/USD")
    rig.market.open, rig.market.closes_in = True, 300.0
    assert shares.stopped() is None
    rig.set_exits(hard_stop_loss_pct=5)
    assert shares.stopped() is None
    rig.set_exits(flatten_before_close_sec=300)
    assert shares.stopped() == "flattening"
    assert coins.stopped() is None
    rig.market.closes_in = 300.1
    assert shares.stopped() is None
    rig.market.open = False  # until the open
    assert shares.stopped() == "flattening"
    rig.market.open = None
    assert shares.stopped() == "flattening"
    rig.set_exits(flatten_before_close_sec=300, enabled=False)
    assert shares.stopped() is None


async def test_the_current_modes_keys_are_asked_for(rig: Rig) -> None:
    rig.accounts.lose_keys("live")
    intent = buy(rig)
    assert intent.stopped() is None
    rig.set_mode("live")
    assert intent.stopped() == "no_keys"
    rig.set_mode("paper")
    assert intent.stopped() is None


async def test_it_grows_old_from_the_moment_its_line_was_read(rig: Rig) -> None:
    intent = buy(rig)
    await trio.sleep(30)
    assert intent.lapsed() is None
    await trio.sleep(0.001)
    assert intent.lapsed() == "stale"


async def test_it_belongs_to_the_mode_that_took_it(rig: Rig) -> None:
    intent = buy(rig)
    rig.set_bot(state="paused")
    assert intent.lapsed() is None, "only a change of mode is one"
    rig.set_mode("live")
    assert intent.lapsed() == "mode_changed"
    rig.set_mode("paper")
    assert intent.lapsed() == "mode_changed", "the mode is back, and it is another term"
    assert buy(rig).lapsed() is None


async def test_the_mode_that_left_it_behind_is_its_reason_however_old_it_is(
    rig: Rig,
) -> None:
    intent = buy(rig)
    rig.set_mode("live")
    await trio.sleep(100)
    assert intent.lapsed() == "mode_changed"


async def test_a_limit_that_counts_is_asked_as_its_row_is_opened(rig: Rig) -> None:
    rig.set_bot(max_concurrent_positions=1)
    first, second = buy(rig, symbol="A"), buy(rig, symbol="B")
    opened = [
        intent.open_row(rig.store, intent.draw_up("paper"))
        for intent in (first, second)
    ]
    assert opened == ["opened", "max_positions"]


async def test_a_signal_without_stars_cannot_be_drawn_up(rig: Rig) -> None:
    intent = buy(rig, catalystTier=4, aiConfidence=None)
    assert intent.stopped() == "no_stars"
    with pytest.raises(ValueError, match="without stars"):
        intent.draw_up("paper")


async def test_what_is_dropped_is_a_skipped_signal(rig: Rig) -> None:
    buy(rig, id="n-1").dropped("repeated")
    assert dict(rig.skips.counts) == {"repeated": 1}
    (event,) = rig.events
    assert (event.signal_id, event.reason, event.sequence) == ("n-1", "repeated", 7)


async def test_it_has_lapsed_once_another_host_may_order(rig: Rig) -> None:
    intent = buy(rig)
    rig.halt.standby = True
    assert intent.lapsed() == "standby"
    rig.halt.standby = False
    assert intent.lapsed() is None


@pytest.mark.parametrize("is_kept", [True, False])
async def test_what_an_earlier_run_left_is_opened_again_where_its_feeder_kept_it(
    make_rig: Callable[..., Rig], *, is_kept: bool
) -> None:
    make_rig().open_row(buy(make_rig(), id="n-1").draw_up("paper"))
    rig = make_rig()
    rig.reconciler.load(rig.store.unsettled())
    intent = buy(rig, id="n-1", is_kept=is_kept)
    opening = intent.open_row(rig.store, intent.draw_up("paper"))
    assert opening == ("again" if is_kept else "repeated")
    assert [order.openings for order in rig.unsettled] == [int(is_kept)]


async def test_what_this_run_has_written_is_a_repetition(rig: Rig) -> None:
    intent = buy(rig, id="n-1", is_kept=True)
    trade = intent.draw_up("paper")
    assert intent.open_row(rig.store, trade) == "opened"
    assert intent.open_row(rig.store, trade) == "repeated", "its order is on its way"
    rig.unsettled.placed(trade, order_id=None)
    assert intent.open_row(rig.store, trade) == "repeated", "nobody knows whether it is"


async def test_a_symbol_that_is_open_for_another_signal_stays_so(rig: Rig) -> None:
    first, second = buy(rig, id="n-1"), buy(rig, id="n-2", is_kept=True)
    rig.open_row(first.draw_up("paper"))
    rig.reconciler.load(rig.store.unsettled())
    assert second.open_row(rig.store, second.draw_up("paper")) == "symbol_open"
