"""``[exits]``: when what was bought is sold, and by which prices (SPEC 12.1, 12.8a)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from snexec.settings.values import BaseUrl, Limit, Section, base_url

_MOST_PERCENT = 100_000
_TEN_YEARS = 315_360_000


def _percent(value: object) -> object:
    # By way of the float's shortest text: 0.1 means 0.1, not 0.1000….
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    raise ValueError("must be a number of percent")


def _stream_url(value: str) -> str:
    """Check a WebSocket's URL by the rules of those of REST."""
    scheme = urlsplit(value).scheme
    if scheme not in {"wss", "ws"}:
        raise ValueError("must be a wss:// URL")
    try:
        base_url(f"http{value[2:]}")
    except ValueError as exc:
        said = str(exc).replace("https://", "wss://").replace("http://", "ws://")
        raise ValueError(said) from None
    return value.rstrip("/")


Part = Annotated[Decimal, BeforeValidator(_percent), Field(gt=0, lt=100)]
Gain = Annotated[Decimal, BeforeValidator(_percent), Field(gt=0, le=_MOST_PERCENT)]
Start = Annotated[Decimal, BeforeValidator(_percent), Field(ge=0, le=_MOST_PERCENT)]
Hold = Annotated[float, Field(ge=1, le=_TEN_YEARS)]
BeforeClose = Annotated[float, Field(ge=30, le=3600)]
Wait = Annotated[float, Field(ge=0.5, le=86_400)]
StreamUrl = Annotated[str, AfterValidator(_stream_url)]


class ExitSettings(Section):
    """``[exits]``: a rule whose key is None is off, as one that says ``"off"`` is.

    Percentages are of a row's own entry price; ``snexec.exits.rules`` says what each rule
    means, ``snexec.exits.prices`` by which prices.
    """

    enabled: bool = True
    hard_stop_loss_pct: Limit[Part] = None
    profit_target_pct: Limit[Gain] = None
    trailing_stop_pct: Limit[Part] = None
    trailing_start_pct: Start = Decimal("0.0")
    max_hold_duration_sec: Limit[Hold] = None
    flatten_before_close_sec: Limit[BeforeClose] = None
    price_source: Literal["positions", "snapshots", "stream"] = "positions"
    poll_sec: Annotated[float, Field(ge=0.5, le=60)] = 2.0
    feed: Literal["iex", "sip", "test"] = "iex"
    data_url: BaseUrl = "https://data.alpaca.markets"
    data_stream_url: StreamUrl = "wss://stream.data.alpaca.markets"
    confirm_ticks: Annotated[int, Field(ge=1, le=10)] = 2
    max_price_jump_pct: Gain = Decimal("20.0")
    max_price_age_sec: Wait = 15.0
    blind_sec: Wait = 30.0
    broker_stop: bool = False
    broker_stop_pct: Limit[Part] = None
    external: bool = True
    external_grace_sec: Wait = 30.0
    resend_after_sec: Wait = 5.0
    retry_max_sec: Wait = 300.0
    activation_delay_sec: Wait = 60.0

    @model_validator(mode="after")
    def _a_broker_stop_has_its_price(self) -> Self:
        if self.broker_stop and self.stop_at_broker_pct is None:
            raise ValueError("broker_stop needs broker_stop_pct or hard_stop_loss_pct")
        return self

    @property
    def stop_at_broker_pct(self) -> Decimal | None:
        """How far below the entry a stop rests at the broker, if one does."""
        if self.broker_stop_pct is not None:
            return self.broker_stop_pct
        return self.hard_stop_loss_pct

    @property
    def needs_prices(self) -> bool:
        """Whether any rule goes by the price."""
        rules = (
            self.hard_stop_loss_pct,
            self.profit_target_pct,
            self.trailing_stop_pct,
        )
        return self.enabled and any(rule is not None for rule in rules)
