"""What a user may set for the simulated exchange; imports neither server nor trio."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from snexec.exchange.statuses import EndStatus, RestingStatus

LoseHow = Literal[
    "reset", "hang", "500", "502_html", "504_html", "garbage_200", "close"
]


# Lists in TOML and JSON, which are no tuples in the strict sense.
Move = Annotated[
    tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=-100)]],
    Field(strict=False),
]


class Behaviour(BaseModel):
    """How orders for one symbol misbehave; by default they do not.

    Attributes:
        reject: The order is accepted with 200, and a `rejected` event follows before
            anything is filled.
        refuse: The HTTP status that the POST is refused with; 422 alone makes the
            symbol an unknown asset.
        refuse_message: The refusal's message; None is the usual one for the status.
        refuse_code: The refusal's code; None is the usual one for the status.
        reply_delay_sec: Seconds between acceptance and the reply to the POST.
        fill_delay_sec: Seconds before each execution; None is the exchange's own delay.
        fill_before_reply: The order is over, and reported, before the POST is answered.
        partial_fills: How many executions come before what ends the order.
        end_status: How the order ends, or the status that it stays in after its
            `partial_fills`. `replaced` has another order buy the rest, `never` leaves
            it working.
        lose: Whether the reply is lost, and if so on which side of acceptance.
        lose_how: What the client sees instead of the reply.
        lookup_404_sec: Seconds after acceptance in which look-ups answer 404.
        duplicate_events: How often the order's events are repeated after its end.
        late_event_sec: Seconds between an execution or an end and its event.
        no_events: The stream never mentions the order.
        position_404_times: How many position look-ups after the order answer 404.
        cancel_delay_sec: Seconds that an order is `pending_cancel` before it is canceled;
            what is executed meanwhile is executed.
        refuse_cancel: Whether cancels are refused with 422.
        path: How the price moves once a buy is filled: pairs of seconds after that, and
            percent above what was paid, or below.
        sold_by_hand_sec: Seconds after that in which somebody else sells the position.
        side: Which orders this holds for; None is those for which nothing else is set.
        times: How many orders this holds for; None is all.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )

    reject: bool = False
    refuse: int | None = Field(default=None, ge=400, le=599)
    refuse_message: str | None = None
    refuse_code: int | None = None
    reply_delay_sec: float = Field(default=0.0, ge=0)
    fill_delay_sec: float | None = Field(default=None, ge=0)
    fill_before_reply: bool = False
    partial_fills: int = Field(default=0, ge=0, le=1000)
    end_status: Literal["filled", "never"] | EndStatus | RestingStatus = "filled"
    lose: Literal["before_accept", "after_accept"] | None = None
    lose_how: LoseHow = "reset"
    lookup_404_sec: float = Field(default=0.0, ge=0)
    duplicate_events: int = Field(default=0, ge=0, le=1000)
    late_event_sec: float = Field(default=0.0, ge=0)
    no_events: bool = False
    position_404_times: int = Field(default=0, ge=0)
    cancel_delay_sec: float = Field(default=0.0, ge=0)
    refuse_cancel: bool = False
    path: tuple[Move, ...] = Field(default=(), strict=False)
    sold_by_hand_sec: float | None = Field(default=None, ge=0)
    side: Literal["buy", "sell"] | None = None
    times: int | None = Field(default=None, ge=0)

    @property
    def story_sec(self) -> float | None:
        """Seconds that a symbol's market needs after a buy; None where it does nothing."""
        moments = [after_sec for after_sec, _percent in self.path]
        if self.sold_by_hand_sec is not None:
            moments.append(self.sold_by_hand_sec)
        return max(moments, default=None)


class ExchangeSettings(BaseModel):
    """How the exchange behaves as a whole.

    Attributes:
        fill_delay_sec: Seconds between acceptance and execution.
        partial_fill_ratio: Share of orders that fill in two parts, 0 to 1.
        rate_limit_per_min: How many REST requests a minute one account takes.
        seed: Makes prices and partial fills repeatable; ids never are.
        market_open: Whether the market is open, until a control says otherwise.
        symbols: Behaviour by symbol.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )

    fill_delay_sec: float = Field(default=0.05, ge=0)
    partial_fill_ratio: float = Field(default=0.1, ge=0, le=1)
    rate_limit_per_min: int = Field(default=200, ge=1)
    seed: int | None = None
    market_open: bool = True
    symbols: dict[str, Behaviour] = Field(default_factory=dict)
