"""Checks what ``[exits]`` needs: rules, market data with these keys, the calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import trio

from snexec.cli.account_client import endpoint_of, open_account
from snexec.cli.check_findings import Finding, fail, ok, warn
from snexec.cli.formats import foreign
from snexec.errors import BrokerError, RefusedError
from snexec.model import MODES
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from snexec.broker import Endpoint
    from snexec.settings import ExitSettings, Settings

_RULES = {
    "hard_stop_loss_pct": "%",
    "profit_target_pct": "%",
    "trailing_stop_pct": "%",
    "max_hold_duration_sec": "s",
    "flatten_before_close_sec": "s",
}
_ASKED = "AAPL"  # one that every feed has
_BY_HAND = "nothing is sold but by `snexec close`"


def check_exits(settings: Settings) -> Finding:
    """Say what sells, or that nothing does."""
    exits = settings.exits
    if exits is None:
        return ok("exits", f"no [exits]: {_BY_HAND}")
    if not exits.enabled:
        return warn("exits", f"enabled = false: nothing is watched, {_BY_HAND}")
    rules = [
        f"{name} {float(getattr(exits, name)):g} {unit}"
        for name, unit in _RULES.items()
        if getattr(exits, name) is not None
    ]
    if not rules:
        return warn("exits", f"no rule is set: {_BY_HAND}", "set one in [exits]")
    shown = f"{', '.join(rules)}; prices from {exits.price_source}"
    if exits.broker_stop:
        shown += f"; a stop at the broker, {float(exits.stop_at_broker_pct or 0):g} %"
    return ok("exits", shown)


async def ask_for_exits(settings: Settings, found: list[Finding]) -> None:
    """Ask for market data and the calendar, with the keys that the daemon would use."""
    exits = settings.exits
    modes = [settings.mode, *(mode for mode in MODES if mode != settings.mode)]
    endpoints = [one for mode in modes if (one := endpoint_of(mode, settings))]
    if exits is None or not exits.enabled or not endpoints:
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask_data, endpoints[0], exits, found)
        nursery.start_soon(_ask_calendar, endpoints[0], found)


async def _ask_data(
    endpoint: Endpoint, exits: ExitSettings, found: list[Finding]
) -> None:
    found.append(await _find_data(endpoint, exits))


async def _ask_calendar(endpoint: Endpoint, found: list[Finding]) -> None:
    found.append(await _find_calendar(endpoint))


async def _find_data(endpoint: Endpoint, exits: ExitSettings) -> Finding:
    what, feed = "market data", exits.feed
    query = {"symbols": _ASKED} | ({} if feed == "test" else {"feed": feed})
    shown = f"{exits.data_url}, feed {feed}"
    bad = warn if exits.price_source == "positions" else fail
    data = endpoint._replace(url=exits.data_url)
    try:
        async with open_account(data) as client:
            answer = await client.get(f"/v2/stocks/snapshots?{urlencode(query)}")
    except RefusedError as exc:
        advice = "check exits.data_url"
        if exc.status_code in {401, 403, 422}:
            advice = "these keys have no such feed: set exits.feed to one they have"
        return bad(what, f"{shown}: {exc}", f"{advice}; positions stand in")
    except (BrokerError, OSError) as exc:
        advice = "check the network and exits.data_url; positions stand in"
        return bad(what, f"{shown}: {exc}", advice)
    if not isinstance(answer.get(_ASKED), dict):
        return bad(what, f"{shown}: it knows nothing of {_ASKED}", "is it the host?")
    return ok(what, f"{shown}: allowed with the {endpoint.mode} keys")


async def _find_calendar(endpoint: Endpoint) -> Finding:
    what, day = "calendar", day_of_trade(datetime.now(UTC)).isoformat()
    lost = "prices without a time count from the first poll of a session on"
    try:
        async with open_account(endpoint) as client:
            days = await client.get_list(f"/v2/calendar?start={day}&end={day}")
    except (BrokerError, OSError) as exc:
        return warn(what, f"{endpoint.url}: {exc}", lost)
    return ok(what, _session(days, day))


def _session(days: list[dict[str, Any]], day: str) -> str:
    for each in days:
        if each.get("date") == day:
            hours = foreign(each.get("open")), foreign(each.get("close"))
            return f"today's session: {' to '.join(hours)} in New York"
    return "no session today"
