"""What a log line looks like: text for people, or JSON for programs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.logs.printing import printable

if TYPE_CHECKING:
    from snexec.logs.mask import SecretMask

_ABOUT = {  # attributes of a log record, and their names in JSON
    "about_symbol": "symbol",
    "about_trade": "tradeId",
    "about_signal": "signalId",
    "about_order": "orderId",
}


def about(
    *,
    symbol: str | None,
    trade_id: str | None = None,
    signal_id: str | None = None,
    order_id: str | None = None,
) -> dict[str, object]:
    """Return logging's ``extra`` that says which order a line is about."""
    return {
        "about_symbol": symbol,
        "about_trade": trade_id,
        "about_signal": signal_id,
        "about_order": order_id,
    }


class LineFormatter(logging.Formatter):
    """``2026-01-05T14:30:00.123Z INFO [Component] text``, secrets masked."""

    def __init__(self, mask: SecretMask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; control characters in foreign text cannot forge a line."""
        # Logging's own way to do this costs a fifth more a line.
        time = timestamp(datetime.fromtimestamp(record.created, UTC))
        message = printable(_message(record, self._mask))
        line = f"{time} {record.levelname} [{record.name}] {message}"
        traceback = record.exc_text
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
        if not traceback:
            return line
        lines = self._mask.apply(traceback).split("\n")
        return "\n    ".join([line, *map(printable, lines)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs; secrets masked.

    ``time``, ``level``, ``component`` and ``message``; ``symbol``, ``tradeId``,
    ``signalId`` and ``orderId`` where a line is about an order; ``traceback``.
    """

    def __init__(self, mask: SecretMask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; all but ASCII is escaped, so no text can forge a line."""
        values: dict[str, str] = {
            "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "component": record.name,
            "message": _message(record, self._mask),
        }
        for attribute, name in _ABOUT.items():
            if (value := getattr(record, attribute, None)) is not None:
                values[name] = self._mask.apply(str(value))
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            values["traceback"] = self._mask.apply(traceback)
        elif record.exc_text:
            values["traceback"] = self._mask.apply(record.exc_text)
        return json.dumps(values)


def _message(record: logging.LogRecord, mask: SecretMask) -> str:
    """Return a line's message, without secrets.

    What stands in a line again and again is known to hold none, and the rest of it was
    written by us: so a line of which all parts are known need not be looked through.
    """
    message = record.getMessage()
    args = record.args
    if args and type(args) is tuple and mask.are_clean((record.msg, *args)):
        return message
    return mask.apply(message)


def text_of_dropped(count: int) -> str:
    """Return the line that says, among text lines, how many are missing."""
    return f"({count} log lines were dropped: nobody took them)"


def json_of_dropped(count: int) -> str:
    """Return the line that says, among JSON lines, how many are missing."""
    return json.dumps(
        {
            "time": timestamp(datetime.now(UTC)),
            "level": "WARNING",
            "component": "Log",
            "message": text_of_dropped(count)[1:-1],
        }
    )
