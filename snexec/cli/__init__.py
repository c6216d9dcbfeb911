"""The command line (SPEC 2); each command imports what it needs when it is run."""

from __future__ import annotations

from pathlib import Path

import click

from snexec import __version__

_LEVELS = ("debug", "info", "warning", "error")


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    required=True,
    help="The configuration file, config.toml.",
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
    config: Path,
    from_stdin: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Run the execution daemon: signals in, Alpaca market buys out.

    Example: snexec --config config.toml --stdin < signals.jsonl
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    from snexec.cli.daemon import run_daemon  # noqa: PLC0415

    context.exit(
        run_daemon(
            config,
            stop_at_end_of_input=from_stdin,
            log_level=log_level,
            log_format=log_format,
        )
    )


@cli.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), required=True, help="0 is any free port."
)
@click.pass_obj
def exchange(config: Path, port: int) -> None:
    """Run the simulated exchange by itself.

    Example: snexec --config config.toml exchange --port 8700
    """
    from snexec.cli.exchange import run_exchange  # noqa: PLC0415

    run_exchange(config, port)


@cli.command()
@click.option("--quick", is_flag=True, help="Some seconds, and rougher figures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
@click.pass_obj
def bench(config: Path, *, quick: bool, as_json: bool) -> None:
    """Measure snexec on this machine, next to the least it could take.

    Example: snexec --config config.toml bench
    """
    from snexec.cli.bench import run_bench  # noqa: PLC0415

    run_bench(config, quick=quick, as_json=as_json)


@cli.command()
@click.option("--user", help="Who runs the daemon.  [default: who you are]")
@click.pass_obj
def unit(config: Path, *, user: str | None) -> None:
    """Print a hardened systemd unit that runs this daemon.

    Example: snexec --config config.toml unit > /etc/systemd/system/snexec.service
    """
    from snexec.cli.unit import print_unit  # noqa: PLC0415

    print_unit(config, user=user)
