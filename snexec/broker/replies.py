"""What a reply means for its request: the body it asked for, or an error (SPEC 11).

Errors quote the broker, with every secret masked.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from snexec.errors import (
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from snexec.broker.budget import RateBudget
    from snexec.broker.request import Reply
    from snexec.clock import Clock
    from snexec.logs import SecretMask

_NOT_FINAL = {408, 425, 429}  # the 4xx that do not say what became of the order
# What Alpaca says of one asset or order, whose code and status are those of much else
# (ALPACA 1.5).
_ABOUT_SYMBOL = re.compile(
    r"\b(?:asset|symbol)\b.*\b(?:inactive|halted|not (?:\w+ )?(?:fractionable|tradable"
    r"|tradeable|found|active|supported|available)|can ?not be (?:traded|bought))\b"
    r"|\b(?:could not find|invalid|unknown|no such) (?:asset|symbol)\b"
    r"|\bwash trade\b|\bopen closing position\b|\bcost basis\b",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_SYMBOL_STATUSES = {400, 403, 404, 422}
_SHOWN_BODY_CHARS = 2000
_RATE_LIMIT_WAIT_SECONDS = 1.0  # when a 429 says nothing about how long


class ReplyReader:
    """Reads the replies to one account's requests.

    Args:
        mask: Knows the account's secrets.
        budget: Knows how to read when the broker's window ends.
    """

    def __init__(self, *, mask: SecretMask, budget: RateBudget, clock: Clock) -> None:
        self._mask = mask
        self._budget = budget
        self._clock = clock

    def content(
        self, reply: Reply | None, problem: str, *, sent: bool, done: int = 200
    ) -> bytes:
        """Return the body of a whole 200; all else is an error.

        Args:
            reply: The reply as far as it came; None if nothing did.
            problem: Why the reply is not whole, empty if it is.
            sent: Whether any of the request may have left this machine.
            done: The status of what was asked for, where that is not 200.

        Raises:
            NotSentError: It never left.
            RefusedError: The broker refuses, and that is final; or a subclass of it.
            RateLimitedError: The broker asks us to try again later.
            UnknownOutcomeError: What became of it is not known.
        """
        problem = self._mask.beginning(problem, _SHOWN_BODY_CHARS)
        if not sent:
            raise NotSentError(problem)
        # A final refusal is one even if the body, which explains it, broke off.
        if reply is None or not (reply.complete or is_final_refusal(reply.status)):
            raise UnknownOutcomeError(problem)
        if reply.status == done:
            return reply.body
        error = refusal(reply.status, readable(reply.body), self._mask)
        if reply.status == 429:
            raise RateLimitedError(str(error), wait_seconds=self._wait_seconds(reply))
        if not is_final_refusal(reply.status):
            raise UnknownOutcomeError(str(error))
        raise error

    def _wait_seconds(self, reply: Reply) -> float:
        wait = self._budget.seconds_until_reset(reply.headers)
        if wait is None:
            wait = self._retry_after(reply.headers.get("retry-after", ""))
        return _RATE_LIMIT_WAIT_SECONDS if wait is None else wait

    def _retry_after(self, value: str) -> float | None:
        try:
            wait = float(value)
        except ValueError:
            try:
                then = parsedate_to_datetime(value)
                wait = then.timestamp() - self._clock.now().timestamp()
            except (ValueError, OverflowError):
                return None
        return wait if 0 < wait <= 3600 else None


def is_final_refusal(status: int) -> bool:
    """Return whether an HTTP status is a final refusal (SPEC 11)."""
    return 400 <= status < 500 and status not in _NOT_FINAL


def refusal(status: int, text: str, mask: SecretMask) -> RefusedError:
    """Make the error for an answer other than 200; what it quotes has secrets masked."""
    kind = RefusedError
    if status == 404:
        kind = NotFoundError
    elif status == 422 and "client_order_id must be unique" in text:
        kind = DuplicateOrderError
    reason = _message(text) or f"HTTP {status}"
    return kind(
        status_code=status,
        body=mask.beginning(text, _SHOWN_BODY_CHARS),
        reason=mask.beginning(reason, _SHOWN_BODY_CHARS),
        is_about_symbol=status in _ABOUT_SYMBOL_STATUSES and is_about_symbol(reason),
    )


def is_about_symbol(reason: str) -> bool:
    """Return whether the broker's message is about one symbol, not the account."""
    reason = reason[:_SHOWN_BODY_CHARS]  # as the time grows with its square
    return "account" not in reason.lower() and bool(_ABOUT_SYMBOL.search(reason))


def readable(body: bytes | bytearray) -> str:
    """Return a body as text; JSON without escapes, as a secret could hide in them."""
    text = body.decode(errors="replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def _message(text: str) -> str | None:
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) else None
