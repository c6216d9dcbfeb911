"""Measure this machine, and print the figures (SPEC 2)."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from snexec.bench import exit_rounds, far_report, far_rounds
from snexec.bench.exit_report import fields_of, report_exits
from snexec.bench.report import report
from snexec.bench.rounds import FULL, QUICK, run
from snexec.bench.summary import RunSummary
from snexec.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def run_bench(config: Path, *, quick: bool, as_json: bool) -> None:
    """Measure, and print a table or JSON.

    Raises:
        ConfigError: The configuration cannot be used.
        StartError: Something could not be measured.
    """
    sizes = QUICK if quick else FULL
    with _aborting():
        summary = RunSummary(run(load_settings(config), sizes, _print_progress))
    _print(summary.fields, lambda: report(summary), as_json=as_json)


def run_exits_bench(config: Path, *, quick: bool, as_json: bool) -> None:
    """Measure exits, and print a table or JSON; raises as ``run_bench``."""
    sizes = exit_rounds.QUICK if quick else exit_rounds.FULL
    with _aborting():
        found = exit_rounds.run_exits(load_settings(config), sizes, _print_progress)
    _print(lambda: fields_of(found), lambda: report_exits(found), as_json=as_json)


def run_far_bench(config: Path, *, quick: bool, as_json: bool) -> None:
    """Measure orders for a far broker, and print; raises as ``run_bench``."""
    sizes = far_rounds.QUICK if quick else far_rounds.FULL
    with _aborting():
        found = far_rounds.run_far(load_settings(config), sizes, _print_progress)
    _print(
        lambda: far_report.fields_of(found),
        lambda: far_report.report_far(found),
        as_json=as_json,
    )


def _print(
    fields: Callable[[], object], text: Callable[[], str], *, as_json: bool
) -> None:
    click.echo(json.dumps(fields(), indent=2) if as_json else text())


@contextmanager
def _aborting() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort from None


def _print_progress(what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"{what} ...", err=True)
