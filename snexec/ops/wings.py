"""Every wing, for the parts that report on them: each has one ``status()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from snexec.broker import Accounts
    from snexec.exits import Exits
    from snexec.intake import Intake
    from snexec.latency import Latencies
    from snexec.ledger import Ledger
    from snexec.market import MarketHours
    from snexec.orders import OrderDesk
    from snexec.reconciliation import Reconciler
    from snexec.redis import LeaseState, RedisFeeder
    from snexec.risk import HaltSwitch
    from snexec.settings import LiveSettings
    from snexec.stream import TradingStream


class Wings(NamedTuple):
    """Every wing of the daemon.

    Attributes:
        live: The settings in force.
        latencies: How long orders took.
        redis: None where there is no ``[redis]``.
    """

    live: LiveSettings
    latencies: Latencies
    accounts: Accounts
    halt: HaltSwitch
    market: MarketHours
    ledger: Ledger
    reconciler: Reconciler
    stream: TradingStream
    intake: Intake
    orders: OrderDesk
    exits: Exits
    redis: RedisFeeder | None

    @property
    def bot_state(self) -> str:
        """The bot's state, or that it is disabled."""
        bot = self.live.now.bot
        return bot.state if bot.enabled else "disabled"

    @property
    def lease(self) -> LeaseState:
        """Whether this daemon is the active one of several; "none" where it is alone."""
        return "none" if self.redis is None else self.redis.status().lease

    @property
    def missing_keys(self) -> str:
        """What a mode without keys means, in a sentence; empty where there are some."""
        mode = self.live.now.mode
        if self.accounts.has_keys(mode):
            return ""
        return (
            f"there are no keys for {mode}, so every signal is skipped as no_keys: see"
            " snexec check"
        )
