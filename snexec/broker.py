"""Alpaca's REST API over one httpx client a mode (SPEC 5, ALPACA 1 and 2).

Foreign errors become ours here and nowhere else. Nothing is ever sent twice.
"""

from __future__ import annotations

import json
import ssl
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import certifi
import httpx
import trio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from snexec.errors import (
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
    first_words,
)
from snexec.logs import SecretMask

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from snexec.budget import RateBudget
    from snexec.clock import Clock
    from snexec.settings import Credentials, Mode

_MAX_BODY_BYTES = 1024 * 1024
_SHOWN_BODY_CHARS = 2000
_KEEPALIVE_SECONDS = 55.0  # idle connections are checked again before they are used
_RATE_LIMIT_WAIT_SECONDS = 1.0  # when a 429 says nothing about how long
FINAL_STATUSES = frozenset({"filled", "canceled", "expired", "rejected"})
_CONNECT_SHARE = 0.9  # of the time for a whole request
_NOT_FINAL = {408, 425, 429}  # the 4xx that do not say what became of an order


def amount(value: object) -> Decimal | None:
    """Read a price or a quantity as Alpaca sends it; None for anything unreadable.

    Only finite numbers above 0 that a row can hold are amounts.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 < float(number) < float("inf"):
        return None
    return number


def _quantity_or_zero(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_zero() else amount(value)


class BrokerOrder(BaseModel):
    """What the broker says of an order; unknown fields and statuses are fine.

    Attributes:
        filled_qty: Shares bought so far, None where it cannot be read.
        filled_avg_price: Dollars per share, None where there is none.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str = Field(min_length=1, max_length=256)
    client_order_id: str = Field(min_length=1)
    status: str
    filled_qty: Annotated[Decimal | None, BeforeValidator(_quantity_or_zero)] = None
    filled_avg_price: Annotated[Decimal | None, BeforeValidator(amount)] = None


class AlpacaClient:
    """One account's REST API, with its keys, its connections and its budget.

    The caller takes the request from the budget first; the client gives it back or
    finishes it.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        base_url: str,
        credentials: Credentials | None,
        budget: RateBudget,
        timeout_seconds: float,
        max_connections: int,
        clock: Clock,
        ssl_context: ssl.SSLContext | bool,
    ) -> None:
        self.mode = mode
        self.budget = budget
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._mask = SecretMask()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if credentials is not None:
            key, secret = credentials.values()
            headers["APCA-API-KEY-ID"] = key
            headers["APCA-API-SECRET-KEY"] = secret
            self._mask.learn([key, secret])
        self._http = httpx.AsyncClient(
            headers=headers,
            # Trio's own deadline covers a whole request. Connecting ends before it,
            # as only then does httpx close what it has opened so far.
            timeout=httpx.Timeout(None, connect=_CONNECT_SHARE * timeout_seconds),
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=max_connections,
                keepalive_expiry=_KEEPALIVE_SECONDS,
            ),
            verify=ssl_context,
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def place_order(
        self, *, symbol: str, notional: str, client_order_id: str
    ) -> BrokerOrder:
        """Place a market buy of so many dollars, once (ALPACA 1.2).

        Raises:
            NotSentError: It never left this machine.
            RefusedError: The broker does not take it.
            DuplicateOrderError: The broker has an order of this id already.
            RateLimitedError: The broker asks to come again later.
            UnknownOutcomeError: It left, and what became of it is not known.
        """
        body = {
            "symbol": symbol,
            "notional": notional,
            "side": "buy",
            "type": "market",
            "time_in_force": "day",
            "client_order_id": client_order_id,
        }
        content = await self._request(
            "POST", "/v2/orders", content=json.dumps(body).encode()
        )
        return self._order(content, client_order_id)

    async def order(self, *, client_order_id: str, order_id: str | None) -> BrokerOrder:
        """Look an order up, by the broker's id where it is known (SPEC 8).

        Raises:
            NotFoundError: The broker knows no such order at this moment.
            RefusedError: The broker does not answer these keys.
            NotSentError: The broker could not be asked.
            UnknownOutcomeError: The broker gave no readable answer.
            RateLimitedError: The broker asks to come again later.
        """
        if order_id is not None:
            path = f"/v2/orders/{quote(order_id, safe='')}"
        else:
            query = urlencode({"client_order_id": client_order_id})
            path = f"/v2/orders:by_client_order_id?{query}"
        return self._order(await self._request("GET", path), client_order_id)

    async def position_quantity(self, symbol: str) -> Decimal:
        """Return how many shares of a symbol the account holds (ALPACA 2.2).

        Raises:
            NotFoundError: No position, which just after a fill is common.
            UnknownOutcomeError: No answer, or none with a quantity above 0.
            NotSentError: The broker could not be asked.
            RefusedError: The broker does not answer these keys.
            RateLimitedError: The broker asks to come again later.
        """
        content = await self._request("GET", f"/v2/positions/{quote(symbol, safe='')}")
        try:
            quantity = amount(json.loads(content)["qty"])
        except (ValueError, KeyError, TypeError, RecursionError):
            quantity = None
        if quantity is None:
            raise UnknownOutcomeError("the position's qty cannot be read")
        return quantity

    def _order(self, content: bytes, client_order_id: str) -> BrokerOrder:
        try:
            order = BrokerOrder.model_validate_json(content)
        except ValidationError as exc:
            problem = exc.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in problem["loc"]) or "body"
            raise UnknownOutcomeError(
                f"the answer cannot be read ({field}: {problem['msg']})"
            ) from None
        if order.client_order_id != client_order_id:
            raise UnknownOutcomeError("the answer speaks of another order")
        return order

    async def _request(
        self, method: str, path: str, *, content: bytes | None = None
    ) -> bytes:
        """Make one request and return the body of its 200."""
        sent = False

        async def note_sending(event: str, _info: Mapping[str, Any]) -> None:
            nonlocal sent
            if event.endswith("send_request_headers.started"):
                sent = True

        answer: httpx.Response | None = None
        body = bytearray()
        try:
            with trio.fail_after(self._timeout_seconds):
                async with self._http.stream(
                    method,
                    self._base_url + path,
                    content=content,
                    headers={"Content-Type": "application/json"} if content else None,
                    extensions={"trace": note_sending},
                ) as answer:
                    await _read(answer, into=body)
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError, OSError) as exc:
            reason = self._reason(exc)
            if not sent:
                raise NotSentError(reason) from None
            if answer is None or not _is_final_refusal(answer.status_code):
                raise UnknownOutcomeError(reason) from None
            # The status has said it all; the body would only have explained it.
        finally:
            self.budget.finish(answer.headers if answer is not None else None)
        if answer.status_code == 200:
            return bytes(body)
        raise self._error(answer, body)

    def _reason(self, exc: Exception) -> str:
        if isinstance(exc, trio.TooSlowError | httpx.TimeoutException):
            return f"no answer within {self._timeout_seconds:g} s"
        detail = self._mask.apply(first_words(exc))
        return f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__

    def _error(self, answer: httpx.Response, body: bytearray) -> Exception:
        status = answer.status_code
        text = self._mask.apply(_readable(body))[:_SHOWN_BODY_CHARS]
        reason = _message(text) or f"HTTP {status}"
        if status == 429:
            return RateLimitedError(
                f"HTTP 429: {reason}", wait_seconds=self._rate_limit_wait(answer)
            )
        if not _is_final_refusal(status):
            return UnknownOutcomeError(f"HTTP {status}: {reason}")
        kind = RefusedError
        if status == 404:
            kind = NotFoundError
        elif status == 422 and "client_order_id must be unique" in text:
            kind = DuplicateOrderError
        return kind(status_code=status, body=text, reason=reason)

    def _rate_limit_wait(self, answer: httpx.Response) -> float:
        wait = self.budget.seconds_until_reset(answer.headers)
        if wait is None:
            wait = self._retry_after(answer.headers.get("retry-after", ""))
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
        return wait if 0 <= wait <= 3600 else None


async def _read(answer: httpx.Response, *, into: bytearray) -> None:
    """Read a body; what is beyond the bound is read too, and not kept."""
    async for chunk in answer.aiter_raw():
        if len(into) <= _MAX_BODY_BYTES:
            into += chunk
    if len(into) > _MAX_BODY_BYTES:
        raise httpx.ReadError("the answer is longer than 1 MiB")


def _is_final_refusal(status: int) -> bool:
    return 400 <= status < 500 and status not in _NOT_FINAL


def _readable(body: bytearray) -> str:
    """Return a body as text; JSON without escapes, in which a secret could hide."""
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


def tls_context(environ: os._Environ[str] | Mapping[str, str]) -> ssl.SSLContext:
    """Make the context that verifies the broker, for REST and WebSocket alike.

    It trusts certifi's bundle, or what ``SSL_CERT_FILE``/``SSL_CERT_DIR`` name.

    Raises:
        OSError: A named file or folder cannot be read.
    """
    cafile, capath = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if not cafile and not capath:
        cafile = certifi.where()
    return ssl.create_default_context(cafile=cafile or None, capath=capath or None)
