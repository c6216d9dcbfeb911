"""Frames of the trading stream; any of them may be nonsense (SPEC 7, ALPACA 3)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from snexec.logs import Repeats, SecretMask

if TYPE_CHECKING:
    from snexec.clock import Clock

log = logging.getLogger("TradingWs")

_SHOWN_CHARS = 200
_MAX_TEXT_CHARS = 1000


class FrameReader:
    """Reads frames, and logs those that cannot be read: once, then in sums.

    Args:
        clock: For the log.
        mask: Knows the secrets, which a frame may echo.
    """

    def __init__(self, clock: Clock, mask: SecretMask | None = None) -> None:
        self._mask = mask or SecretMask()
        self._faults = Repeats("frames of the stream", log=log, clock=clock)

    def read(self, frame: str | bytes) -> dict[str, Any] | None:
        """Read a text or binary frame; None, and a log line, if it is no message.

        Returns:
            A message that names its ``stream``.
        """
        try:
            message = _read(frame)
        except (ValueError, RecursionError) as exc:
            if self._faults.failed("not JSON"):
                log.warning("a frame that is not JSON, passed over (%s)", exc)
            return None
        if not isinstance(message, dict) or not isinstance(message.get("stream"), str):
            if self._faults.failed("of an unexpected shape"):
                log.warning(
                    "a frame of an unexpected shape, passed over: %s",
                    self.shown(message),
                )
            return None
        self._faults.worked()
        return message

    def pass_over(self, stream: str) -> None:
        """Log a frame whose stream is unknown."""
        if self._faults.failed("of an unknown stream"):
            log.warning(
                "a frame of an unknown stream, passed over: %s", self.shown(stream)
            )

    def data_of(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a message; empty, and a log line, if it has none."""
        data = message.get("data")
        if isinstance(data, dict):
            return data
        stream = self.shown(message["stream"])
        log.warning("a %s frame without data, passed over", stream)
        return {}

    def shown(self, value: object) -> str:
        """Return something that the broker sent in a form fit for a log line."""
        try:
            text = value if isinstance(value, str) else repr(value)
        except ValueError:  # an integer of too many digits
            text = type(value).__name__
        return self._mask.shown(text, _SHOWN_CHARS)


def text_of(value: object) -> str | None:
    """Return a text that a row can hold, or None: JSON may carry half a character.

    One of more than 1,000 characters is none that anybody needs.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT_CHARS:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _read(frame: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Read JSON; what is well formed takes half the time."""
    try:
        return from_json(frame, cache_strings="keys")
    except ValueError:
        return json.loads(frame)  # it may carry half a character
