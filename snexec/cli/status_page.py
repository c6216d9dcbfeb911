"""The page that ``status`` prints for people; it leaves out what it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from snexec.cli.console import new_grid, open_console, print_grid
from snexec.cli.formats import NOTHING, duration, foreign, number
from snexec.model import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

_LATENCIES = (("wireMs", "to the wire"), ("replyMs", "to reply"), ("fillMs", "to fill"))


def print_page(answer: Mapping[str, Any]) -> None:
    """Print the page."""
    grid = new_grid("dim")
    for label, text in _page(answer):
        grid.add_row(label, text)
    print_grid(open_console(), grid)


def _page(answer: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    seconds = number(answer.get("uptimeSec"))
    writer = _part(answer, "writer")
    signals, orders = _part(answer, "signals"), _part(answer, "orders")
    page: list[tuple[str, str | Text]] = [
        ("mode", _mode(answer)),
        (
            "daemon",
            f"snexec {foreign(answer.get('version'))}, pid"
            f" {foreign(answer.get('pid'))}"
            + ("" if seconds is None else f", up {duration(seconds)}"),
        ),
        *_halted(answer),
        ("bot", _bot(answer)),
        ("stream", _stream(answer)),
        *_redis(answer),
        *_http(answer),
        (
            "trades",
            f"{foreign(answer.get('openTrades'))} open,"
            f" {foreign(answer.get('unsettled'))} not settled yet",
        ),
        *_exits(answer),
        ("signals", f"{_counted(signals)}, {foreign(answer.get('pending'))} waiting"),
        ("skipped", _counted(_part(answer, "skipped")) or "none"),
        ("orders", _counted(orders) or NOTHING),
        ("writer", _writer(writer)),
    ]
    latency = _part(answer, "latency")
    for key, label in _LATENCIES:
        measured = latency.get(key)
        if isinstance(measured, dict) and measured.get("count"):
            page.append((f"{label}", _percentiles(measured)))
    if dropped := answer.get("droppedAnswers"):
        page.append(
            (
                "dropped",
                f"{foreign(dropped)} answer{'' if dropped == 1 else 's'} that nobody read",
            )
        )
    return page


def _mode(answer: Mapping[str, Any]) -> Text:
    mode = foreign(answer.get("mode"))
    if answer.get("simulate"):
        return Text.assemble(
            mode, " ", ("SIMULATED", "bold cyan"), ": nothing is traded"
        )
    if mode == "live":
        return Text.assemble(("LIVE", "bold white on red"), ": real money")
    if mode == "paper":
        return Text.assemble((mode, "bold green"), ": Alpaca's paper account")
    return Text(mode)


def _bot(answer: Mapping[str, Any]) -> Text:
    state, phase = foreign(answer.get("state")), answer.get("phase", "taking")
    text = Text(state, style="green" if state == "running" else "yellow")
    if phase != "taking":
        text.append(f"; the daemon is {foreign(phase)} and takes no signals", "yellow")
    return text


def _halted(answer: Mapping[str, Any]) -> list[tuple[str, Text]]:
    halt = answer.get("halted")
    if not isinstance(halt, dict):
        return []
    text = Text.assemble(
        ("HALTED", "bold white on red"),
        f": {_reach(halt)}; ",
        foreign(halt.get("reason")),
    )
    text.append(f" (since {foreign(halt.get('since'))}")
    if halt.get("by"):
        text.append(f", by {foreign(halt['by'])}")
    text.append("); to go on: snexec resume")
    return [("HALT", text)]


def _reach(halt: Mapping[str, Any]) -> str:
    if halt.get("all"):
        return "no order leaves, exits are halted too"
    return "nothing is bought, exits go on"


def _exits(answer: Mapping[str, Any]) -> list[tuple[str, Text]]:
    exits = _part(answer, "exits")
    if not exits:
        return []
    counts = {name: exits.get(name) for name in ("watched", "closing", "blocked")}
    text = Text(_counted(counts))
    if exits.get("unwatched"):
        text.append(
            f", {foreign(exits['unwatched'])} UNWATCHED: exits are off", "yellow"
        )
    seconds = number(exits.get("priceAgeSec"))
    if exits.get("source") is not None:
        text.append(f"; prices from {foreign(exits['source'])}")
        text.append("" if seconds is None else f", {duration(seconds)} old")
    if exits.get("blind"):
        text.append("; BLIND: nothing is sold by price", "bold red")
    if exits.get("blocked"):
        text.append("; see snexec positions", "bold yellow")
    return [("exits", text)]


def _stream(answer: Mapping[str, Any]) -> Text:
    state, outage = foreign(answer.get("stream")), _part(answer, "outage")
    text = Text(state, style="green" if state == "authorized" else "bold yellow")
    if not outage:
        return text
    began, ended = foreign(outage.get("from")), foreign(outage.get("to"))
    count = number(outage.get("count")) or 0
    if outage.get("to") is None:
        text.append(f"; none since {began}")
    elif count > 1:
        # The time before the first connection counts as one too.
        times = "once," if count == 2 else f"{count - 1:g} times, at last"
        text.append(f"; lost {times} from {began} to {ended}")
    else:
        text.append(f" since {ended}")
    if settled := number(outage.get("settledByLookup")):
        orders = counted(settled, "order")
        text.append(f"; look-ups settled {orders} for it")
    return text


def _redis(answer: Mapping[str, Any]) -> list[tuple[str, Text]]:
    redis = _part(answer, "redis")
    if not redis:
        return []
    since = f" since {foreign(redis.get('since'))}"
    text = (
        Text("connected", style="green")
        if redis.get("connected")
        else Text("AWAY", style="bold yellow")
    )
    text.append(since)
    pending, lag = number(redis.get("pending")), number(redis.get("lag"))
    text.append("" if pending is None else f"; {pending:g} entries not decided")
    text.append("" if lag is None else f", {lag:g} not read")
    if answer.get("lease") in {"active", "standby"}:
        text.append(f"; {foreign(answer['lease'])}")
    if answer.get("lease") == "standby" and redis.get("holder") is not None:
        text.append(f", {foreign(redis['holder'])} is active")
    return [("redis", text)]


def _http(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    http = _part(answer, "http")
    if not http:
        return []
    listen = http.get("listen")
    places = listen if isinstance(listen, list) else []
    parts = [f"signals at {' and '.join(map(foreign, places))}"]
    for name, counts in _part(http, "producers").items():
        said = _counted(counts) if isinstance(counts, dict) else ""
        parts.append(f"{foreign(name)}: {said or 'none yet'}")
    return [("http", "; ".join(parts))]


def _writer(writer: Mapping[str, Any]) -> Text:
    counts = (
        f": {_changes(writer.get('pending'))} waiting,"
        f" {foreign(writer.get('applied'))} written"
    )
    healthy = writer.get("healthy")
    if healthy is None:
        return Text(NOTHING)
    if healthy:
        return Text.assemble(("healthy", "green"), counts)
    return Text.assemble(
        ("CANNOT WRITE", "bold red"), counts, "; no order is placed meanwhile"
    )


def _changes(waiting: object) -> str:
    return "1 change" if waiting == 1 else f"{foreign(waiting)} changes"


def _percentiles(measured: Mapping[str, Any]) -> str:
    parts = []
    for name in ("p50", "p90", "p99"):
        found = number(measured.get(name))
        parts.append(f"{name} {'-' if found is None else f'{found:.3g} ms'}")
    return f"{', '.join(parts)} of {foreign(measured['count'])}"


def _counted(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{foreign(n)} {_spaced(name)}" for name, n in counts.items())


def _spaced(name: str) -> str:
    """Turn inFlight into words; leave a reason such as symbol_open as it is."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in foreign(name))


def _part(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, dict) else {}
