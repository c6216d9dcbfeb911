"""Splits that are announced (SPEC 12.7, ALPACA-EXITS 1.5): a question to market data."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from pydantic_core import from_json

from snexec.assets import canonical_symbol
from snexec.broker.answers import amount
from snexec.errors import UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from snexec.broker.data import DataClient

_PATH = "/v1/corporate-actions"
_TYPES = "forward_split,reverse_split,unit_split"
_LIMIT = 1000
_MOST_PAGES = 20
_CHUNK = 100  # symbols a request, as a URL has its limits

# What each kind calls the symbol that is held before it, and the day it takes effect.
_KINDS = {
    "forward_splits": ("symbol", "ex_date"),
    "reverse_splits": ("symbol", "ex_date"),
    "unit_splits": ("old_symbol", "effective_date"),
}


class Split(NamedTuple):
    """A split that was announced.

    Attributes:
        symbol: What is held before it, in its canonical spelling.
        ratio: New shares for each old one.
        day: The first trading day with the new shares.
        new_symbol: What is held after it; the same but for a few.
    """

    symbol: str
    ratio: Decimal
    day: date
    new_symbol: str


async def known_splits(
    client: DataClient, symbols: Collection[str], first: date, last: date
) -> list[Split]:
    """Return the splits of some shares that take effect on these days, both included.

    There is no guarantee that one is announced before it takes effect. Crypto has none
    and is not asked for.

    Raises:
        BrokerError: There is no readable answer; what was found until then is lost.
    """
    shares = sorted(symbol for symbol in symbols if "/" not in symbol)
    found: list[Split] = []
    for start in range(0, len(shares), _CHUNK):
        asked = shares[start : start + _CHUNK]
        query = {
            "symbols": ",".join(asked),
            "types": _TYPES,
            "start": first.isoformat(),
            "end": last.isoformat(),
            "limit": str(_LIMIT),
        }
        for _page in range(_MOST_PAGES):
            content = await client.get(f"{_PATH}?{urlencode(query, safe=',')}")
            splits, token = read_splits(content)
            found += [each for each in splits if each.symbol in asked]
            if token is None:
                break
            query["page_token"] = token
    return found


def read_splits(content: bytes) -> tuple[list[Split], str | None]:
    """Read the body of a 200 as corporate actions.

    Returns:
        The splits that can be read, and the token of the next page, if there is one.

    Raises:
        UnknownOutcomeError: It is no answer to that question.
    """
    try:
        page = from_json(content)
    except ValueError:
        page = None
    actions = page.get("corporate_actions") if isinstance(page, dict) else None
    if not isinstance(actions, dict):
        raise UnknownOutcomeError("the answer holds no corporate actions")
    token = page.get("next_page_token")
    return list(_splits(actions)), token if isinstance(token, str) and token else None


def _splits(actions: dict[str, Any]) -> Iterator[Split]:
    for kind, names in _KINDS.items():
        told = actions.get(kind)
        for fields in told if isinstance(told, list) else []:
            split = _read(fields, *names) if isinstance(fields, dict) else None
            if split is not None:
                yield split


def _read(fields: dict[str, Any], symbol_name: str, day_name: str) -> Split | None:
    new, old = amount(fields.get("new_rate")), amount(fields.get("old_rate"))
    if new is None or old is None:
        return None
    try:
        day = date.fromisoformat(fields[day_name])
        symbol = canonical_symbol(fields[symbol_name])
        new_symbol = canonical_symbol(fields.get("new_symbol") or symbol)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return Split(symbol, new / old, day, new_symbol)
