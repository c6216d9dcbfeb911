"""Have the daemon sell each row as soon as it is bought, as a monitor would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from snexec import app, stages
from snexec.exits.book import PositionBook
from snexec.exits.means import Means
from snexec.exits.rules import Trigger
from snexec.exits.seller import Seller

if TYPE_CHECKING:
    from snexec.ledger import Applied
    from snexec.model import Mode
    from snexec.ops import Wings
    from snexec.stages import Opened

DUE = Trigger("max_hold", None, "clock", "it is time")


class Closer:
    """The wing of the exits with the one rule that everything is due."""

    def __init__(self, wings: Wings, opened: Opened) -> None:
        feed: Any = wings.halt
        self._reconciler = wings.reconciler
        self._run = wings.reconciler.run
        self.book = PositionBook(opened.clock)
        means = Means(
            *(wings.live, wings.accounts, wings.ledger, wings.reconciler),
            *(wings.orders, self, feed._feed),
        )
        means.wanted = self
        wings.reconciler.report_to(self)
        self.seller = Seller(means, wings.reconciler, self.book)
        setattr(wings.reconciler, "run", self.run)  # noqa: B010 - beside it

    def load(self, wings: Wings) -> None:
        """Take over what an earlier run has left."""
        rows = wings.ledger._store.held.watched()
        self.book.load(rows)
        for row in rows:
            watched = self.book.of_row(row.id)
            assert watched is not None
            self.seller.take_over(row, watched.position)
            if row.is_settled:
                self.seller.begin(watched.position, DUE)

    async def run(self, starved: Any) -> None:  # noqa: ANN401
        """Run both."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, starved)
            nursery.start_soon(self.seller.run)

    def bought(self, applied: Applied) -> None:
        """Sell what is bought, once that is final."""
        self.book.bought(applied)
        watched = self.book.of_row(applied.trade_id)
        if applied.settled and watched is not None:
            self.seller.begin(watched.position, DUE)

    def sold(self, applied: Any) -> None:  # noqa: ANN401
        """Take it."""
        self.book.sold(applied)

    def foreign_sell(self, _mode: Mode, _symbol: str) -> None:
        """Take no notice."""

    def is_set(self, _reason: str) -> bool:
        return True

    def still_holds(self, _row_id: str, _reason: str) -> bool:
        """Say that all is due."""
        return True

    def is_being_asked(self, _mode: Mode) -> bool:
        """Say that it is known."""
        return False

    def want(self, _mode: Mode) -> None:
        """Take no notice."""

    def is_open(self, _mode: Mode) -> bool:
        """Say that the market is open."""
        return True


def sell_everything() -> None:
    """Wrap the daemon before it is built."""
    build, load = app.Daemon.__init__, stages.Stages.load

    def built(daemon: Any, opened: Opened) -> None:  # noqa: ANN401
        build(daemon, opened)
        daemon.stages.closer = Closer(daemon.wings, opened)

    def loaded(self: Any) -> None:  # noqa: ANN401
        load(self)
        self.closer.load(self._wings)

    setattr(app.Daemon, "__init__", built)  # noqa: B010
    setattr(stages.Stages, "load", loaded)  # noqa: B010
