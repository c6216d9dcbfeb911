"""A signal: its model, how it is parsed, and its stars (SPEC 4)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import ErrorDetails, from_json

from snexec.assets import canonical_symbol
from snexec.errors import InvalidSignalError
from snexec.logs import SecretMask
from snexec.model import Stars

if TYPE_CHECKING:
    from snexec.settings import Term

MAX_LINE_BYTES = 64 * 1024
MAX_ID_CHARS = 128
_SHOWN_INPUT_CHARS = 60
_NO_SECRETS = SecretMask()


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _id(value: str) -> str | None:
    return _no_nul(value) or None


def _figure(value: object) -> float | None:
    # Feeders may send anything here; what cannot be read counts as missing.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) and figure >= 0 else None


Figure = Annotated[float | None, BeforeValidator(_figure)]
Confidence = Literal["high", "medium", "low"]


class Signal(BaseModel):
    """What a news program wants bought.

    Attributes:
        symbol: What to buy, in its canonical spelling.
        catalyst_category: What kind of news it is.
        catalyst_tier: 1 (strongest) to 4.
        ai_confidence: How sure the program is, if it says so.
        price_at_signal: Dollars per share when the news came.
        id: The program's own name for this signal, if it gives one that is not empty; an
            id buys at most once a mode.
        float_shares: Shares that can be traded, if the program says; a bad figure never
            makes a signal invalid.
        relative_volume: Today's volume divided by the usual one; likewise.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        cache_strings="keys",  # values hardly ever repeat
    )

    symbol: Annotated[str, AfterValidator(canonical_symbol)]
    catalyst_category: Annotated[str, AfterValidator(_no_nul)] = Field(
        min_length=1,
        max_length=200,
        validation_alias=AliasChoices("catalystCategory", "catalyst_category"),
    )
    catalyst_tier: int = Field(
        ge=1, le=4, validation_alias=AliasChoices("catalystTier", "catalyst_tier")
    )
    ai_confidence: Confidence | None = Field(
        default=None, validation_alias=AliasChoices("aiConfidence", "ai_confidence")
    )
    price_at_signal: float = Field(
        gt=0, validation_alias=AliasChoices("priceAtSignal", "price_at_signal")
    )
    id: Annotated[str, Field(max_length=MAX_ID_CHARS), AfterValidator(_id)] | None = (
        None
    )
    float_shares: Figure = Field(
        default=None, validation_alias=AliasChoices("floatShares", "float_shares")
    )
    relative_volume: Figure = Field(
        default=None,
        validation_alias=AliasChoices("relativeVolume", "relative_volume"),
    )


class TakenSignal(NamedTuple):
    """A signal that was taken.

    Attributes:
        read_at: When its line was read, on Trio's clock.
        sequence: Its place in this run.
        term: The mode's in which it was taken, and to which it belongs (SPEC 11).
        producer: Who sent it, where it is known.
        is_kept: Whether its feeder keeps it until it is decided, over a crash too.
    """

    signal: Signal
    read_at: float
    sequence: int
    term: Term
    producer: str | None = None
    is_kept: bool = False


def parse_signal(
    line: bytes, mask: SecretMask = _NO_SECRETS, *, default_id: str | None = None
) -> Signal:
    """Read one line as a signal.

    Args:
        line: Without its newline.
        mask: Knows what must not be quoted from the line.
        default_id: What a signal without an id is called.

    Raises:
        InvalidSignalError: It is not one; the message names the field and the reason.
    """
    try:
        signal = _validated(line)
    except ValidationError as exc:
        details = exc.errors(include_url=False, include_context=False)
        raise InvalidSignalError(
            "; ".join(_explain(detail, mask) for detail in details),
            signal_id=read_id(line),
        ) from None
    if signal.id is None and default_id is not None:
        # Nobody has seen it yet; a copy would take half of what it took to read it.
        signal.__dict__["id"] = default_id
    return signal


def _validated(line: bytes) -> Signal:
    try:
        return Signal.model_validate_json(line)
    except ValidationError as exc:
        if exc.errors(include_url=False)[0]["type"] != "json_invalid":
            raise
        try:
            value = read_leniently(line)
        except (ValueError, RecursionError):
            raise exc from None
    return Signal.model_validate(value)


def read_leniently(line: bytes) -> object:
    """Read JSON with a byte order mark, or with half a character in a headline."""
    return json.loads(line.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def read_id(line: bytes) -> str | None:
    """Return a line's ``id`` if it has one, though it may not be a valid signal."""
    try:
        value = from_json(line)
    except ValueError:
        try:
            value = read_leniently(line)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, dict):
        signal_id = value.get("id")
        if isinstance(signal_id, str) and 1 <= len(signal_id) <= MAX_ID_CHARS:
            return signal_id.encode(errors="replace").decode()
    return None


def _explain(detail: ErrorDetails, mask: SecretMask) -> str:
    if detail["type"] == "json_invalid":
        return f"not JSON: {detail['msg'].removeprefix('Invalid JSON: ')}"
    if not detail["loc"]:
        return "not a JSON object"
    field = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{field}: {message}"
    shown = mask.shown(repr(detail["input"]), _SHOWN_INPUT_CHARS)
    return f"{field}: {message} (got {shown})"


def star_rating(tier: int, confidence: Confidence | None) -> Stars | None:
    """Rate a signal in stars; None is no trade (SPEC 4)."""
    if tier <= 2:
        return 5
    match confidence:
        case "high":
            return 5
        case "medium":
            return 4
        case "low":
            return 3
        case None:
            return None
