"""A client that only reads an account, over Alpaca's REST endpoint."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker import (
    MOST_POSITIONS_BYTES,
    Endpoint,
    amount,
    readable,
    refusal,
    tls_context,
)
from snexec.cli.formats import dollars, foreign
from snexec.errors import (
    BrokerError,
    ConfigError,
    UnknownOutcomeError,
    first_words,
)
from snexec.http import MOST_BYTES, httpx, new_client, read_body
from snexec.logs import SecretMask
from snexec.settings import credentials_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from snexec.model import Mode
    from snexec.settings import Settings

_ANSWER_SECONDS = 10.0
_SHOWN_DIGITS = 4


def account_statement(settings: Settings) -> str:
    """Return a line that says whose money a live order would spend."""
    endpoint = endpoint_of("live", settings)
    if endpoint is None:
        return "account: there are no keys for live: no order can be placed"
    assert endpoint.credentials is not None  # noqa: S101 - made with keys only
    mask = SecretMask()
    mask.learn(endpoint.credentials.values())
    return mask.apply(trio.run(_state, endpoint))


async def _state(endpoint: Endpoint) -> str:
    try:
        async with open_account(endpoint) as broker:
            account = await broker.get("/v2/account")
    except (BrokerError, OSError) as exc:
        return f"account: could not be asked ({exc})"
    power = amount(account.get("buying_power"))
    return (
        f"account: {masked_number(account)}, {foreign(account.get('status'))}, buying"
        f" power {'unknown' if power is None else dollars(float(power))}"
    )


def masked_number(account: Mapping[str, Any]) -> str:
    """Return an account's number, with all but its last four characters masked."""
    text = foreign(account.get("account_number"))
    if len(text) <= _SHOWN_DIGITS:
        return "*" * len(text)
    return "*" * (len(text) - _SHOWN_DIGITS) + text[-_SHOWN_DIGITS:]


def endpoint_of(mode: Mode, settings: Settings) -> Endpoint | None:
    """Return where a mode trades; None if it has no keys."""
    try:
        credentials = credentials_for(mode, settings)
    except ConfigError:
        return None  # the check of the keys reports it
    if credentials is None:
        return None
    return Endpoint(mode=mode, url=settings.base_url(mode), credentials=credentials)


@asynccontextmanager
async def open_account(endpoint: Endpoint) -> AsyncIterator[AccountClient]:
    """Open a client, and close it at the end of the block.

    Raises:
        OSError: The certificates cannot be read.
    """
    assert endpoint.credentials is not None  # noqa: S101 - made with keys only
    key, secret = endpoint.credentials.values()
    secure = endpoint.url.startswith("https:")
    mask = SecretMask()
    mask.learn([key, secret])
    http = new_client(
        headers={
            "Accept-Encoding": "identity",
            "APCA-API-KEY-ID": key,
            "APCA-API-SECRET-KEY": secret,
        },
        tls=tls_context(os.environ) if secure else None,
    )
    try:
        yield AccountClient(http, endpoint.url, mask)
    finally:
        with trio.move_on_after(1, shield=True):
            await http.aclose()


class AccountClient:
    """Reads one account."""

    def __init__(self, http: httpx.AsyncClient, url: str, mask: SecretMask) -> None:
        self._http = http
        self._url = url
        self._mask = mask

    async def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object that a GET was answered with, status 200.

        Raises:
            RefusedError: The broker refused the request.
            UnknownOutcomeError: No readable answer came.
        """
        value = await self._ask(path)
        if not isinstance(value, dict):
            raise _unreadable(path)
        return value

    async def get_list(self, path: str) -> list[dict[str, Any]]:
        """Return the JSON objects of a list, as ``get`` does."""
        value = await self._ask(path)
        if not isinstance(value, list) or not all(
            isinstance(each, dict) for each in value
        ):
            raise _unreadable(path)
        return value

    async def _ask(self, path: str) -> object:
        try:
            return json.loads(await self.get_bytes(path))
        except (ValueError, RecursionError):
            return None

    async def get_bytes(self, path: str) -> bytes:
        """Return the body that a GET was answered with, as ``get`` does."""
        body = bytearray()
        # Of long lists it is the one that has no pages.
        most = MOST_POSITIONS_BYTES if path == "/v2/positions" else MOST_BYTES
        try:
            with trio.fail_after(_ANSWER_SECONDS):
                async with self._http.stream("GET", self._url + path) as reply:
                    await read_body(reply, into=body, most_bytes=most)
        except trio.TooSlowError:
            raise UnknownOutcomeError(
                f"no answer within {_ANSWER_SECONDS:g} s"
            ) from None
        except (httpx.HTTPError, OSError) as exc:
            problem = first_words(exc) or f"no connection ({type(exc).__name__})"
            raise UnknownOutcomeError(self._mask.apply(problem)) from None
        if reply.status_code != 200:
            raise refusal(reply.status_code, readable(body), self._mask)
        return bytes(body)


def _unreadable(path: str) -> UnknownOutcomeError:
    return UnknownOutcomeError(f"the answer to {path} cannot be read")
