"""The commands about rows and the positions that they hold.

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.cli.trades import Form
    from snexec.ledger import End


@click.command(
    epilog=examples(
        "snexec trades --since today",
        "snexec trades --status missed --since 7d",
        "snexec trades --symbol AAPL --format json | jq '.[].entryPrice'",
    )
)
@click.option("--status", type=click.Choice(("open", "closed", "missed")))
@click.option("--symbol", help="Ticker, such as AAPL, in any spelling.")
@click.option("--mode", type=click.Choice(("paper", "live")))
@click.option(
    "--reason", "exitReason", help="Such as alpaca_rejected, as the table shows it."
)
@click.option("--signal", "signalId", metavar="ID", help="The signal's own id.")
@click.option(
    "--since",
    metavar="TIME",
    help="Created then or later: 2026-01-05, 2026-01-05T14:30 (UTC unless it names a"
    " zone), 90s, 30m, 2h, 3d, 1w ago, or today (since midnight UTC).",
)
@click.option("--until", metavar="TIME", help="Created before; likewise.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="The newest so many.  [default: 50 in a table, all in json and csv]",
)
@click.option("--all", "everything", is_flag=True, help="All of them, in a table too.")
@click.option(
    "--latency",
    is_flag=True,
    help="Milliseconds from the read line to the request, the reply and the last fill.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json", "csv")),
    default="table",
    show_default=True,
    help="json is one array of whole rows, csv has the same columns.",
)
@click.pass_obj
def trades(
    config: Path,
    /,
    *,
    since: str | None,
    until: str | None,
    form: Form,
    latency: bool,
    limit: int | None,
    everything: bool,
    **columns: str | None,
) -> None:
    """List what was bought and what was not; the newest comes last.

    Reads the database, so it works whether or not the daemon runs. Slippage is the
    entry against the signal's price: above 0 you paid more. Below the table stand open
    rows of which the account, where it can be asked, holds nothing or less.
    """
    if everything and limit is not None:
        raise click.UsageError("--all and --limit: only one of them")
    from snexec.cli.trades import run_trades
    from snexec.cli.trades_query import Query

    run_trades(
        config,
        Query(columns=columns, limit=limit),
        since=since,
        until=until,
        form=form,
        latency=latency,
        everything=everything,
    )


@click.command(
    epilog=examples(
        "snexec positions",
        "snexec positions --json | jq '.rows[] | select(.state == \"blocked\")'",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_obj
def positions(config: Path, /, *, as_json: bool) -> None:
    """List what is held, at what price it is sold, and what keeps it from being sold.

    Asks the running daemon. Without one the database is read, and what only a daemon
    knows, prices and limits, is left out.
    """
    from snexec.cli.positions import run_positions

    run_positions(config, as_json=as_json)


@click.command(
    epilog=examples(
        "snexec close AAPL",
        "snexec close AAPL BTC/USD --yes --wait 60",
        "snexec close --all --at-open",
    )
)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--all", "everything", is_flag=True, help="Every open row of ours.")
@click.option(
    "--at-open",
    is_flag=True,
    help="While the market is closed: sell shares as soon as it opens.",
)
@click.option("--yes", "sure", is_flag=True, help="Do not ask.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86_400),
    default=30.0,
    show_default=True,
    metavar="SEC",
    help="How long to follow what becomes of the sells.",
)
@click.pass_obj
def close(
    config: Path,
    /,
    *,
    symbols: tuple[str, ...],
    everything: bool,
    at_open: bool,
    sure: bool,
    wait: float,
) -> int:
    """Sell what open rows hold, at the market, and close them.

    Says first which rows, shares and dollars, and asks you to type yes. The running
    daemon does it: once each sell is written down it answers, and then a line says of
    each what became of it. Works without an [exits] section, and not during halt --all.
    A row of another program is not sold, and of a symbol no more than its row holds.

    Exit status: 0 if all of them are closed, 1 if one is not, be it that it waits for
    the open or was not closed in time.
    """
    from snexec.cli.close import CloseOptions, run_close

    return run_close(
        config,
        symbols,
        CloseOptions(
            everything=everything, at_open=at_open, sure=sure, wait_seconds=wait
        ),
    )


@click.command(
    epilog=examples(
        "snexec settle sn-8c1f… --as closed --price 191.05",
        "snexec settle sn-8c1f… --as missed",
    )
)
@click.argument("trade")
@click.option(
    "--as",
    "how",
    type=click.Choice(("closed", "missed")),
    required=True,
    help="closed: what it bought was sold. missed: it bought nothing.",
)
@click.option("--price", metavar="DOLLARS", help="What a share was sold for, if known.")
@click.option("--yes", "sure", is_flag=True, help="Do not ask.")
@click.pass_obj
def settle(
    config: Path, /, trade: str, how: End, *, price: str | None, sure: bool
) -> None:
    """End a row by your word, where the broker has nothing left of it.

    TRADE is the row's id. Says first what it will do, and asks you to type yes. Goes
    through the running daemon, or writes the database itself where none runs. Refused
    while the broker holds shares that no other open row claims, or a sell of it is under
    way; nothing is sold. A closed row of which others sold at an unknown price is
    completed by --price.
    """
    from snexec.cli.settle import run_settle

    run_settle(config, trade, how, price, sure=sure)


COMMANDS = (trades, positions, close, settle)
