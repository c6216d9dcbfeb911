"""The commands of an operator: ask a daemon, send it signals, change its mode.

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.model import Mode


@click.command(
    epilog=examples(
        "snexec send --symbol AAPL --category fda --tier 1 --price 187.2 --wait",
        'snexec send \'{"symbol":"KO","catalystCategory":"m_and_a","catalystTier":2,',
        '              "priceAtSignal":62.1,"id":"news-7"}\'',
        "snexec send --file news.jsonl --wait",
        "tail -n 5 news.jsonl | snexec send -",
        "snexec send --redis --file news.jsonl",
    )
)
@click.argument("signal", required=False, metavar="[JSON | -]")
@click.option("--symbol", help="Ticker, such as AAPL, BRK.B or BTC/USD.")
@click.option("--category", help="What kind of news it is, such as fda_approval.")
@click.option(
    "--tier", type=click.IntRange(1, 4), help="1 and 2 are always five stars."
)
@click.option(
    "--confidence",
    type=click.Choice(("high", "medium", "low")),
    help="For tiers 3 and 4: five, four or three stars. None is no trade.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0, min_open=True),
    help="Dollars a share when the news came.",
)
@click.option("--id", help="Your name for it: one id buys at most once in each mode.")
@click.option("--file", metavar="FILE", help="JSON lines, a signal each; - is stdin.")
@click.option(
    "--wait",
    is_flag=True,
    help="Say what became of each order. A signal without an id gets one, a UUID.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --wait: how long, from the last signal on.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print answers and events as JSON lines."
)
@click.option(
    "--redis", "to_redis", is_flag=True, help="Add them to the stream of [redis]."
)
@click.pass_obj
def send(
    config: Path,
    /,
    *,
    file: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
    to_redis: bool,
    **fields: str | float | None,
) -> int:
    """Send signals to the running daemon.

    One signal's answer is printed as the daemon gave it. Of many, the lines that were
    not accepted are told, and the totals. They are sent one after the other, and a line
    that the daemon has no room for is sent again for up to a minute. With --wait and
    --json, each outcome is the daemon's event; {"event":"timeout"} is one that did not
    come.

    With --redis they are added to the stream, whether or not a daemon runs: each is
    checked, and its entry's id printed.

    Exit status: 0 if all were accepted (with --wait: and filled), 1 if not.
    """
    from snexec.cli.send import SendOptions, run_send

    argument = fields.pop("signal")
    return run_send(
        config,
        argument=None if argument is None else str(argument),
        fields=fields,
        file=file,
        options=SendOptions(
            wait_seconds=timeout if wait else None, as_json=as_json, to_redis=to_redis
        ),
    )


@click.command(
    epilog=examples(
        "snexec status",
        "snexec status --json | jq .openTrades",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer.")
@click.pass_obj
def status(config: Path, /, *, as_json: bool) -> None:
    """Ask the running daemon how it is.

    Exit status: 1 if no daemon answers.
    """
    from snexec.cli.status import run_status

    run_status(config, as_json=as_json)


@click.command(
    epilog=examples(
        "snexec events",
        "snexec events --json | jq 'select(.event == \"fill\")'",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the events as they come.")
@click.pass_obj
def events(config: Path, /, *, as_json: bool) -> None:
    """Follow what the daemon does, until Ctrl-C.

    Exit status: 0 when you end it, 1 when the daemon goes away.
    """
    from snexec.cli.follow_events import run_events

    run_events(config, as_json=as_json)


@click.command(epilog=examples("snexec page", "snexec page --open"))
@click.option("--open", "opens", is_flag=True, help="Open it in your browser.")
@click.pass_obj
def page(config: Path, /, *, opens: bool) -> int:
    """Print the address of the page, with its key: whoever has it may halt and sell.

    The daemon makes the key at its first start, in a file beside the database that is
    its owner's alone. Remove that file and restart the daemon to have all browsers
    locked out.

    Exit status: 1 if there is no page, or no browser.
    """
    from snexec.cli.page import run_page

    return run_page(config, opens=opens)


@click.command(
    epilog=examples(
        "snexec mode live",
        "snexec mode paper",
    )
)
@click.argument("mode", type=click.Choice(("paper", "live")))
@click.option("--yes", "sure", is_flag=True, help="Do not ask before live.")
@click.pass_obj
def mode(config: Path, /, mode: Mode, *, sure: bool) -> None:
    """Switch between Alpaca's paper and live account.

    Changes mode in the configuration file and nothing else in it, tells the running
    daemon, and waits until it runs that mode. Live shows the account and asks you to
    type the word first. Orders under way stay with the mode that they were placed in.
    """
    from snexec.cli.mode import run_mode

    run_mode(config, mode, sure=sure)


@click.command(
    epilog=examples(
        "snexec check",
        "snexec check --json | jq '.[] | select(.result != \"OK\")'",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print a list, not lines.")
@click.pass_obj
def check(config: Path, /, *, as_json: bool) -> int:
    """Look at all that trading needs, before you trust it with money.

    The configuration, the keys (never shown), the database, the disk, the daemon, and
    of both Alpaca endpoints the account, the clock, the stream, and whether it still
    holds what open rows say. Nothing is ordered or changed. What is wrong with the mode that is not in use only warns.

    Exit status: 1 if anything says FAIL.
    """
    from snexec.cli.check import run_check

    return run_check(config, as_json=as_json)


@click.command(
    epilog=examples(
        'snexec explain \'{"symbol":"AAPL","catalystCategory":"fda","catalystTier":1,',
        '                 "priceAtSignal":187.2}\'',
        "snexec explain --json '…' | jq -r .verdict",
        "snexec explain AAPL",
    )
)
@click.argument("signal", metavar="JSON | SYMBOL")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_obj
def explain(config: Path, /, signal: str, *, as_json: bool) -> int:
    """Say what would become of a signal now, gate by gate; nothing is traded.

    Asks the running daemon. Without one, the configuration and the database are looked
    at, and what only a daemon knows is told as unknown.

    Of a SYMBOL with an open row it says when each rule of the exits sells it, and how
    far that is; that only a daemon knows.

    Exit status: 0 if it would be ordered, 1 if not or if that is not known; of a
    position 0 if rules are asked about it.
    """
    from snexec.cli.explain_signal import run_explain

    return run_explain(config, signal, as_json=as_json)


COMMANDS = (send, status, events, mode, check, explain, page)
