"""Requests to the daemon over its socket, read and checked (SPEC 6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from snexec.broker import amount
from snexec.errors import InvalidSignalError
from snexec.logs import SecretMask
from snexec.ops.exits import CloseRequest
from snexec.risk import mended
from snexec.signals import Signal, parse_signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal

    from snexec.ledger import End
    from snexec.ops.control import Control
    from snexec.ops.exits import By


_MOST_SYMBOL_CHARS = 64  # another program's row may have any


class _BadRequestError(Exception):
    """A request that cannot be understood."""


class Commands:
    """Answers the requests of the socket's clients.

    Args:
        control: Carries out those that are well formed.
        reload: Reads the configuration again; returns why it is refused, if it is.
        mask: Knows the secrets, which no answer may hold.
    """

    def __init__(
        self,
        control: Control,
        reload: Callable[[], Awaitable[str | None]],
        mask: SecretMask | None = None,
    ) -> None:
        self._control = control
        self._reload = reload
        self._mask = mask or SecretMask()

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """Carry out a request, and return the fields of its answer."""
        try:
            fields = await self._obey(request)
        except _BadRequestError as exc:
            fields = {"status": "invalid", "error": str(exc)}
        return {name: self._mask.within(value) for name, value in fields.items()}

    async def _obey(  # noqa: PLR0911 - a table
        self, request: Mapping[str, object]
    ) -> dict[str, object]:
        match request["command"]:
            case "status":
                return await self._control.status()
            case "halt":
                # It halts whatever the words are.
                reason, by = request.get("reason"), request.get("by")
                return self._control.halt(
                    mended(reason, default="no reason was given", mask=self._mask),
                    by=mended(by, default="the socket", mask=self._mask),
                    for_all=bool(request.get("all")),
                )
            case "resume":
                by = request.get("by")
                return self._control.resume(
                    by=None if by is None else mended(by, default="", mask=self._mask)
                )
            case "reload":
                refusal = await self._reload()
                return {} if refusal is None else _refused(refusal)
            case "close":
                return await self._control.close(
                    _closing(request), dry_run=request.get("dryRun") is True
                )
            case "positions":
                return await self._control.positions()
            case "explain" if "position" in request:
                symbol = _symbol(request["position"], "position")
                return await self._control.explain_position(symbol)
            case "explain":
                signal = _signal(request.get("signal"), self._mask)
                return await self._control.explain(signal)
            case "settle":
                return await self._control.settle(
                    *_settlement(request), dry_run=request.get("dryRun") is True
                )
            case "rebuild":
                return await self._control.rebuild(_moment(request, "since"))
            case _:
                raise _BadRequestError(
                    "command: must be 'status', 'events', 'halt', 'resume', 'reload',"
                    " 'explain', 'positions', 'close', 'settle' or 'rebuild'"
                )


def _refused(why: str) -> dict[str, object]:
    return {"status": "refused", "error": why}


def _moment(request: Mapping[str, object], name: str) -> datetime | None:
    text = request.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadRequestError(f"{name}: must be a time as 2026-01-05T14:30Z") from None


def _settlement(request: Mapping[str, object]) -> tuple[str, End, Decimal | None]:
    trade_id, how, price = (request.get(name) for name in ("trade", "as", "price"))
    if not isinstance(trade_id, str) or not _is_whole(trade_id):
        raise _BadRequestError("trade: must be a row's id")
    match how:
        case "closed" | "missed":
            pass
        case _:
            raise _BadRequestError("as: must be 'closed' or 'missed'")
    if price is None:
        return trade_id, how, None
    dollars = amount(price)
    if dollars is None or how == "missed":
        raise _BadRequestError(
            "price: must be dollars a share above 0, of a closed row"
        )
    return trade_id, how, dollars


def _closing(request: Mapping[str, object]) -> CloseRequest:
    symbols, at_open = request.get("symbols"), request.get("at_open", False)
    if not isinstance(at_open, bool):
        raise _BadRequestError("at_open: must be true or false")
    by: By = "page" if request.get("by") == "page" else "operator"
    if symbols == "all":
        return CloseRequest(None, at_open, by)
    if not isinstance(symbols, list) or not symbols:
        raise _BadRequestError("symbols: must be a list of symbols, or 'all'")
    return CloseRequest(
        tuple(_symbol(each, "symbols") for each in symbols), at_open, by
    )


def _symbol(value: object, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_SYMBOL_CHARS:
        raise _BadRequestError(f"{name}: must be a symbol such as 'AAPL'")
    if not _is_whole(value):
        raise _BadRequestError(f"{name}: must be a symbol such as 'AAPL'")
    return value


def _is_whole(text: str) -> bool:
    """Return whether a text holds no half character, which no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _signal(value: object, mask: SecretMask) -> Signal:
    try:
        return parse_signal(json.dumps(value).encode(), mask)
    except InvalidSignalError as exc:
        raise _BadRequestError(f"signal: {exc}") from None
