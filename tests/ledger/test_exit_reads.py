"""A sale counts: for the day's loss, the wins, and the rest that its symbol takes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from snexec.ledger.store import Store
from snexec.risk.gates import ActiveGates
from tests.fakes import make_settings, make_signal, make_trade
from tests.ledger.selling import SELL, buy, exits_of, held, plan, sell

if TYPE_CHECKING:
    from snexec.ledger.rows import Opening
    from tests.fakes import FakeClock


def order(store: Store, number: int, symbol: str, **bot: Any) -> Opening:  # noqa: ANN401 - as in the file
    """Open the row of an order in a transaction of its own, as a signal does."""
    settings = make_settings(bot=bot).bot
    limits = ActiveGates().limits(make_signal(symbol), settings)
    store.begin()
    opened = store.open_trade(make_trade(f"sn-{number}", symbol), limits)
    store.commit()
    return opened


def test_a_loss_counts_in_the_days_loss(store: Store) -> None:
    bot = {"daily_loss_limit_usd": 5}
    buy(store)
    assert order(store, 2, "MSFT", **bot) == "opened"
    sell(store, "0.5", "89")
    assert order(store, 3, "GE", **bot) == "daily_loss"


def test_what_others_sold_at_a_loss_counts_too(store: Store) -> None:
    bot = {"daily_loss_limit_usd": 5}
    buy(store)
    assert order(store, 2, "MSFT", **bot) == "opened"
    store.exits.external(
        "sn-1", quantity=Decimal(1), price=Decimal(80), remaining=held(store).remaining
    )
    assert order(store, 3, "GE", **bot) == "daily_loss"


def test_a_price_that_is_completed_counts_from_then_on(store: Store) -> None:
    bot = {"daily_loss_limit_usd": 5}
    buy(store)
    store.exits.external(
        "sn-1", quantity=Decimal(1), price=None, remaining=held(store).remaining
    )
    assert order(store, 2, "MSFT", **bot) == "opened"
    store.settle("sn-1", "closed", Decimal(80))
    assert order(store, 3, "GE", **bot) == "daily_loss"


@pytest.mark.parametrize(("price", "opened"), [("101", "opened"), ("99", "win_rate")])
def test_it_counts_among_the_wins(store: Store, price: str, opened: str) -> None:
    bot = {"min_win_rate": 1.0, "min_win_rate_trades": 1}
    buy(store)
    assert order(store, 2, "MSFT", **bot) == "opened"
    sell(store, "0.5", price)
    assert order(store, 3, "GE", **bot) == opened


@pytest.mark.parametrize("restart", [False, True])
def test_a_symbol_rests_from_its_sale_too(
    store: Store, clock: FakeClock, *, restart: bool
) -> None:
    bot = {"symbol_cooldown_sec": 600}
    assert order(store, 1, "MSFT", **bot) == "opened"  # which begins to count
    buy(store, trade_id="sn-2")
    clock.advance(3600)
    store.begin()
    new = plan(store, row_id="sn-2")
    store.exits.apply_sold(
        SELL._replace(client_order_id=new.id),
        quantity=Decimal("0.5"),
        price=Decimal(90),
        final=True,
        at=clock.now() - timedelta(seconds=100),
    )
    store.commit()
    if restart:
        store = Store(store._db, clock=clock)
    clock.advance(499)
    assert order(store, 3, "AAPL", **bot) == "brake_symbol_cooldown"
    clock.advance(1)
    assert order(store, 4, "AAPL", **bot) == "opened"


def test_a_sale_that_was_not_written_gives_no_symbol_rest(
    store: Store, clock: FakeClock
) -> None:
    bot = {"symbol_cooldown_sec": 600}
    assert order(store, 1, "MSFT", **bot) == "opened"
    buy(store, trade_id="sn-2")
    clock.advance(3600)
    store.begin()
    plan(store, row_id="sn-2")
    store.exits.apply_sold(
        SELL._replace(client_order_id="sn-2-x1"),
        quantity=Decimal("0.5"),
        price=Decimal(90),
        final=True,
    )
    store.rollback()
    assert exits_of(store) == {}
    assert store._db.execute("UPDATE BotTrade SET status = 'closed'").rowcount == 2
    assert order(store, 3, "AAPL", **bot) == "opened"


def test_a_sale_is_no_order(store: Store) -> None:
    bot = {"max_orders_per_day": 2, "max_orders_per_minute": 2}
    assert order(store, 1, "AAPL", **bot) == "opened"
    store.begin()
    ref = SELL._replace(order_id="o-1", client_order_id="sn-1")
    store.apply_fill(ref, price=Decimal(100), quantity=Decimal("0.5"))
    plan(store)
    store.exits.apply_sold(SELL, quantity=Decimal("0.5"), price=Decimal(90), final=True)
    store.commit()
    assert order(store, 2, "MSFT", **bot) == "opened"
    assert order(store, 3, "GE", **bot) != "opened"
    seen = store.tallied("AAPL", "paper")
    assert seen is not None
    assert (seen.today, seen.since_symbol) == (2, 0.0)
