"""Measure this machine, and print the figures (SPEC 2)."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from snexec.bench.report import report
from snexec.bench.rounds import FULL, QUICK, run
from snexec.bench.summary import RunSummary
from snexec.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


def run_bench(config: Path, *, quick: bool, as_json: bool) -> None:
    """Measure, and print a table or JSON.

    Raises:
        ConfigError: The configuration cannot be used.
        StartError: Something could not be measured.
    """
    settings = load_settings(config)
    try:
        summary = RunSummary(run(settings, QUICK if quick else FULL, _print_progress))
    except KeyboardInterrupt:
        raise click.Abort from None
    if as_json:
        click.echo(json.dumps(summary.fields(), indent=2))
    else:
        click.echo(report(summary))


def _print_progress(what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"{what} ...", err=True)
