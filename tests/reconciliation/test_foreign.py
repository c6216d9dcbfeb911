"""Orders of other programs, whose fills come on the same stream."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from trio.testing import wait_all_tasks_blocked

from snexec.ledger.writer import Writer
from snexec.reconciliation.foreign import ForeignOrders
from snexec.reconciliation.parties import ForeignSell
from tests.fakes import make_trade

if TYPE_CHECKING:
    import trio

    from snexec.ledger import Applied, ExitApplied, Store
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


class Hearer:
    """Hears what was sold, and nothing else."""

    def __init__(self) -> None:
        self.heard: list[ForeignSell] = []

    def bought(self, applied: Applied) -> None:
        raise AssertionError(applied)

    def sold(self, applied: ExitApplied) -> None:
        raise AssertionError(applied)

    def foreign_sell(self, sell: ForeignSell) -> None:
        self.heard.append(sell)


async def test_what_others_sell_is_handed_on_where_it_is_minded(rig: Rig) -> None:
    hearer = Hearer()
    foreign = ForeignOrders(rig.writer, [hearer])
    foreign.minds_sells = True
    await foreign.take_fill("paper", "o-1", "KO", "sell")
    await foreign.take_fill("live", "o-2", None, "sell", ("3", "9.5"))
    await foreign.take_fill("live", "o-3", "KO", "sell", ("none", []))
    assert hearer.heard == [
        ForeignSell("paper", "KO", "o-1"),
        ForeignSell("live", "", "o-2", Decimal(3), Decimal("9.5")),
        ForeignSell("live", "KO", "o-3"),
    ]


@pytest.mark.parametrize(
    ("side", "minds"), [("buy", True), (None, True), ("sell", False)]
)
async def test_everything_else_is_dropped_at_once(
    rig: Rig, side: str | None, *, minds: bool
) -> None:
    hearer = Hearer()
    foreign = ForeignOrders(rig.writer, [hearer])
    foreign.minds_sells = minds
    await foreign.take_fill("paper", "o-1", "KO", side, ("3", "9"))
    assert hearer.heard == []
    assert rig.writer.writes == 0


async def test_a_sell_is_heard_of_behind_what_was_bought_before_it(rig: Rig) -> None:
    heard: list[str] = []

    class Both(Hearer):
        def bought(self, applied: Applied) -> None:
            heard.append(applied.symbol)

        def foreign_sell(self, sell: ForeignSell) -> None:
            heard.append(f"-{sell.symbol}")

    rig.open_row(make_trade())
    rig.reconciler.report_to(Both())
    rig.reconciler.mind_foreign_sells()
    for symbol, side, name in (("AAPL", "buy", "sn-1"), ("AAPL", "sell", "by-hand")):
        await rig.fills.on_fill_event(
            *("fill", f"o-{side}", "0.5", "86", symbol),
            mode="paper",
            client_order_id=name,
            side=side,
        )
    await wait_all_tasks_blocked()
    assert heard == ["AAPL", "-AAPL"]


async def test_what_others_sell_is_no_change_of_rows(
    store: Store, nursery: trio.Nursery
) -> None:
    hearer, writer = Hearer(), Writer(store)
    foreign = ForeignOrders(writer, [hearer])
    foreign.minds_sells = True
    nursery.start_soon(writer.run)
    await foreign.take_fill("paper", "o-1", "KO", "sell")
    assert (writer.pending, writer.status().pending) == (1, 0), "while it waits"
    await writer.write(lambda store: store.open_trade(make_trade()))
    await wait_all_tasks_blocked()
    assert len(hearer.heard) == 1
    assert (writer.applied, writer.status().pending) == (1, 0)
    writer.close()
