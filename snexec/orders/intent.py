"""What the order desk takes: an order that some part of the daemon wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, get_args

from snexec.risk import Reason

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.ledger import NewTrade, Opening, Store
    from snexec.model import AccountName, Side

Lapse = Literal["stale", "mode_changed", "standby"]
_DeskReason = Literal["symbol_open", "repeated", "stopping", "not_written"]
SkipReason = Reason | Lapse | _DeskReason
SKIP_REASONS: tuple[SkipReason, ...] = (
    *get_args(Reason),
    *get_args(Lapse),
    *get_args(_DeskReason),
)


class Intent(Protocol):
    """An order that is wanted, until it is drawn up.

    A buy for a signal is one. Each question is asked again after each wait.
    """

    @property
    def symbol(self) -> str:
        """What to order."""

    @property
    def side(self) -> Side:
        """Whether to buy or to sell it."""

    @property
    def quantity(self) -> Decimal | None:
        """Shares to order; None where the row's notional, in dollars, is the size."""

    @property
    def read_at(self) -> float:
        """When it was asked for, on Trio's clock: latencies count from here."""

    @property
    def sequence(self) -> int | None:
        """The signal's place in this run, where it comes from one."""

    def stopped(self) -> SkipReason | None:
        """Return why it must not be ordered now, or None; no rows are counted."""

    def lapsed(self) -> Lapse | None:
        """Return why it may not be ordered any more, now or later; None if it may."""

    def draw_up(self, account: AccountName) -> NewTrade:
        """Return the row of the order as of now: its id, its size."""

    def open_row(self, store: Store, trade: NewTrade) -> Opening:
        """Write that row, in the writer's transaction, unless a limit forbids it."""

    def dropped(self, reason: SkipReason, *, why: str = "") -> None:
        """Called when it is not ordered.

        Args:
            reason: As the feed carries it.
            why: For the log, where it waited too long.
        """
