"""Checks Alpaca's endpoints before money is at stake: account, clock, stream.

Every wait is bounded, nothing is ordered, and a stream is closed at once.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker import amount
from snexec.cli.account_client import endpoint_of, masked_number, open_account
from snexec.cli.check_exits import ask_for_exits
from snexec.cli.check_findings import Finding, fail, ok, softened, warn
from snexec.cli.check_rows import check_open_rows
from snexec.cli.check_stream import try_stream
from snexec.cli.formats import dollars, foreign
from snexec.errors import BrokerError, RefusedError
from snexec.model import MODES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from snexec.broker import Endpoint
    from snexec.model import Mode
    from snexec.settings import Settings

_SKEW_SECONDS = 1.0  # rows carry the time of this machine's clock
_SKEW_SECONDS_MAX = 60.0  # a rate limit ends at a given time of day


def check_endpoints(
    settings: Settings, status: Mapping[str, Any] | None
) -> list[Finding]:
    """Check both modes' endpoints at the same time.

    Args:
        settings: Where they are, and with which keys.
        status: The status of the daemon that runs on this configuration, if any.
    """
    return trio.run(_ask_all, settings, status)


async def _ask_all(
    settings: Settings, status: Mapping[str, Any] | None
) -> list[Finding]:
    found: dict[Mode, list[Finding]] = {mode: [] for mode in MODES}
    exits: list[Finding] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_for_exits, settings, exits)
        for mode in MODES:
            endpoint = endpoint_of(mode, settings)
            if endpoint is None:
                what = f"{mode} endpoint"
                found[mode].append(
                    warn(what, "not asked: there are no keys", "see the keys above")
                )
                continue
            if status is not None and status.get("mode") == mode:
                found[mode].append(_judge_stream(status, mode))
                stream = False
            else:
                stream = True
            nursery.start_soon(_ask_mode, endpoint, settings, found[mode], stream)
    return [
        finding if mode == settings.mode else softened(finding)
        for mode in MODES
        for finding in sorted(found[mode], key=lambda finding: finding.check)
    ] + sorted(exits, key=lambda finding: finding.check)


async def _ask_mode(
    endpoint: Endpoint, settings: Settings, found: list[Finding], stream: bool
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask_rest, endpoint, settings, found)
        if stream:
            nursery.start_soon(_ask_stream, endpoint, found)


async def _ask_rest(
    endpoint: Endpoint, settings: Settings, found: list[Finding]
) -> None:
    mode = endpoint.mode
    try:
        async with open_account(endpoint) as broker:
            account = await broker.get("/v2/account")
            found.append(_judge_account(account, settings, mode))
            before = time.time()
            clock = await broker.get("/v2/clock")
            found.append(_judge_clock(clock, before, time.time(), mode))
            found += await check_open_rows(broker, settings, mode)
    except RefusedError as exc:
        advice = "is it the pair of this mode? paper and live keys differ"
        if exc.status_code not in {401, 403}:
            advice = f"check alpaca.{mode}_url"
        found.append(fail(f"{mode} account", f"{endpoint.url}: {exc}", advice))
    except (BrokerError, OSError) as exc:
        advice = f"check the network and alpaca.{mode}_url"
        found.append(fail(f"{mode} account", f"{endpoint.url}: {exc}", advice))


def _judge_account(
    account: Mapping[str, Any], settings: Settings, mode: Mode
) -> Finding:
    what, name = f"{mode} account", masked_number(account)
    blocked = [
        flag
        for flag in ("account_blocked", "trading_blocked", "trade_suspended_by_user")
        if account.get(flag) is not False
    ]
    if account.get("status") != "ACTIVE" or blocked:
        why = [f"status {foreign(account.get('status'))}", *blocked]
        return fail(
            what, f"{name}: {', '.join(why)}", "unblock it in Alpaca's dashboard"
        )
    power, largest = amount(account.get("buying_power")), _largest_order(settings)
    if power is None or power < largest:
        shown = "nothing" if power is None else dollars(float(power))
        return fail(
            what,
            f"{name}: buying power {shown} is less than the largest order"
            f" ({dollars(float(largest))})",
            "add money or make bot.trade_size_stars* smaller",
        )
    return ok(what, f"{name}: ACTIVE, buying power {dollars(float(power))}")


def _largest_order(settings: Settings) -> Decimal:
    return max(
        settings.bot.dollars(3), settings.bot.dollars(4), settings.bot.dollars(5)
    )


def _judge_clock(
    clock: Mapping[str, Any], before: float, after: float, mode: Mode
) -> Finding:
    what = f"{mode} clock"
    try:
        theirs = datetime.fromisoformat(clock["timestamp"])
        skew = (before + after) / 2 - theirs.timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return warn(what, "the broker's clock cannot be read")
    way = "ahead of" if skew > 0 else "behind"
    shown = f"this machine is {abs(skew):.2f} s {way} the broker"
    # How much of the round trip was the way back is not known.
    surely = abs(skew) - (after - before) / 2
    market = "open" if clock.get("is_open") else "closed"
    if market == "closed":
        market += f" until {foreign(clock.get('next_open'))}"
    if surely > _SKEW_SECONDS_MAX:
        return fail(what, shown, "set the clock: timedatectl set-ntp true")
    if surely > _SKEW_SECONDS:
        return warn(what, shown, "set the clock: timedatectl set-ntp true")
    return ok(what, f"{shown}; the market is {market}")


def _judge_stream(status: Mapping[str, Any], mode: Mode) -> Finding:
    state = foreign(status.get("stream"))
    detail = f"not opened, the daemon holds the account's one stream: {state}"
    if state == "authorized":
        return ok(f"{mode} stream", detail)
    if state == "connecting":
        return warn(f"{mode} stream", detail, "check again in a moment")
    return fail(f"{mode} stream", detail, "the daemon's log says why")


async def _ask_stream(endpoint: Endpoint, found: list[Finding]) -> None:
    found.append(await try_stream(endpoint))
