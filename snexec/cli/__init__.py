"""The command line (SPEC 2); each command imports what it needs when it runs."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import click

from snexec import __version__
from snexec.cli import (
    history_commands,
    operator_commands,
    row_commands,
    setup_commands,
    switch_commands,
)
from snexec.cli.examples import examples
from snexec.cli.rebuild_command import rebuild

_DEFAULT_CONFIG = Path("config.toml")
_WITHOUT_CONFIG = ("exchange", "init")
_LEVELS = ("debug", "info", "warning", "error")


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "snexec --config config.toml                      run the daemon",
        "snexec --config config.toml --stdin < news.jsonl trade a file, and tell",
        "snexec status                                    how is it?",
        "snexec trades --since today                      what was bought?",
    ),
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="SNEXEC_CONFIG",
    help="The configuration file.  [default: SNEXEC_CONFIG in the environment, or"
    " config.toml here, if it exists]",
)
@click.option(
    "--stdin",
    "from_stdin",
    is_flag=True,
    help="Read signals from standard input, and stop when it ends.",
)
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS),
    default="info",
    show_default=True,
    help="How much to log on standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Log lines for people, or one JSON object a line for programs.",
)
@click.version_option(__version__, prog_name="snexec")
@click.pass_context
def cli(
    context: click.Context,
    config: Path | None,
    from_stdin: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Run the execution daemon: trading signals in, Alpaca market buys out.

    Without a command it runs the daemon. The commands ask a running daemon, look at
    its database, or change its configuration.
    """
    if config is None and _DEFAULT_CONFIG.exists():
        config = _DEFAULT_CONFIG
    if config is None and context.invoked_subcommand not in _WITHOUT_CONFIG:
        raise click.UsageError(
            "Missing option '--config', and there is no config.toml here; snexec init"
            " writes one."
        )
    hang_up, context.obj = context.obj, config
    if context.invoked_subcommand is not None:
        if hang_up is not None:
            # Only a daemon outlives its terminal.
            signal.signal(signal.SIGHUP, hang_up)
        return
    assert config is not None  # noqa: S101 - only some commands do without
    # Saves a tenth of the start: what is imported stays, and leaves no garbage.
    gc.disable()
    from snexec.cli.daemon import run_daemon

    context.exit(
        run_daemon(
            config,
            stop_at_end_of_input=from_stdin,
            log_level=log_level,
            log_format=log_format,
        )
    )


@cli.command(
    epilog=examples(
        "snexec exchange --port 8700",
        "snexec exchange --port 8700 --prices prices.csv --log-requests",
        'curl -d \'{"symbol":"KO","price":62.1,"fixed":true}\' \\',
        "     http://127.0.0.1:8700/control/paper/quote",
    )
)
@click.option(
    "--port", type=click.IntRange(0, 65535), required=True, help="0 is any free port."
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of lines as KO,62.10: all of a symbol is executed at its price. It is"
    " read again whenever it changes.",
)
@click.option(
    "--log-requests", is_flag=True, help="A line for each request on standard error."
)
@click.pass_obj
def exchange(
    config: Path | None, port: int, *, prices: Path | None, log_requests: bool
) -> None:
    """Run the simulated exchange by itself, to test programs against.

    It needs no configuration: any key works, every symbol has a price, and an account
    has 100,000 dollars; [exchange] of one says how it misbehaves. The paper account is
    at the URL that it prints, the live one below /live.

    Control, for tests, as JSON below /control/paper and /control/live:

    \b
    POST quote         {"symbol","price","fixed"}: the price; fixed: fills at it
    PUT path           {"symbol","points":[[seconds, price],…]}: moves it in time
    PUT clock          {"is_open","change_sec"}: opens or closes the market
    PUT cash, keys     {"cash"}; {"refused":[…]}: keys not taken, * is all
    PUT rate           {"limit"}: requests a minute
    PUT symbols/KO     how its orders misbehave: {"refuse":403}, …
    POST rest-faults   {"path","how",…}: lost, late or wrong answers
    POST stream/drop   also close, starve, black-hole, frame, event
    POST reset         no orders, positions or activities
    GET orders         also posts, counts, stream: reads back

    Market data is below /data; see snexec/exchange/control_routes.py and
    data_control.py for every field.
    """  # noqa: D301 - the \b is click's: what follows is kept as it is
    from snexec.cli.exchange import ExchangeOptions, run_exchange

    options = ExchangeOptions(port=port, prices=prices, log_requests=log_requests)
    run_exchange(config, options)


@cli.command(epilog=examples("snexec bench --quick", "snexec bench exits --json"))
@click.argument("what", type=click.Choice(["exits", "far"]), required=False)
@click.option("--quick", is_flag=True, help="Some seconds, and rougher figures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
@click.pass_obj
def bench(config: Path, what: str | None, *, quick: bool, as_json: bool) -> None:
    """Measure snexec on this machine, next to the least it could take.

    With `exits`: how it sells, next to how it buys, and to its goals. With `far`: orders
    for a broker that is 20 ms away, by TLS.
    """
    from snexec.cli.bench import run_bench, run_exits_bench, run_far_bench

    runs = {None: run_bench, "exits": run_exits_bench, "far": run_far_bench}
    runs[what](config, quick=quick, as_json=as_json)


@cli.command(
    epilog=examples("snexec unit --user trader > /etc/systemd/system/snexec.service")
)
@click.option("--user", help="Who runs the daemon.  [default: who you are]")
@click.option(
    "--template",
    is_flag=True,
    help="For snexec@.service: an account for each folder beside the configuration's.",
)
@click.option(
    "--prometheus-rules", "rules", is_flag=True, help="Print Prometheus's alerts."
)
@click.option("--grafana", is_flag=True, help="Print a Grafana dashboard to import.")
@click.pass_obj
def unit(
    config: Path, *, user: str | None, template: bool, rules: bool, grafana: bool
) -> None:
    """Print a hardened systemd unit that runs this daemon.

    Or, of what watches it: a file of alerts, or a dashboard.
    """
    if rules and grafana:
        raise click.UsageError("--prometheus-rules and --grafana: one at a time")
    if rules or grafana:
        from snexec.cli.observability import grafana_dashboard, prometheus_rules

        click.echo(prometheus_rules() if rules else grafana_dashboard(), nl=False)
        return
    from snexec.cli.unit import print_unit

    print_unit(config, user=user, template=template)


for _command in (
    *history_commands.COMMANDS,
    *operator_commands.COMMANDS,
    *row_commands.COMMANDS,
    *setup_commands.COMMANDS,
    *switch_commands.COMMANDS,
    rebuild,
):
    cli.add_command(_command)
