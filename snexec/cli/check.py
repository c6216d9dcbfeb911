"""A preflight: check everything that trading needs, ahead of time (SPEC 2)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from snexec.cli import check_machine
from snexec.cli.check_exits import check_exits
from snexec.cli.check_findings import Finding, masked, ok, print_findings
from snexec.cli.check_http import check_http
from snexec.cli.check_notify import check_notify, check_ports
from snexec.cli.console import open_console
from snexec.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.settings import Settings


def run_check(config: Path, *, as_json: bool) -> int:
    """Print each finding on a line of its own, and return the exit status.

    Raises:
        ConfigError: The configuration cannot be used.
    """
    settings = load_settings(config)
    found = masked(_run_checks(config, settings), settings)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print_findings(open_console(), found)
    return 1 if any(finding.result == "FAIL" for finding in found) else 0


def _check_redis(settings: Settings) -> list[Finding]:
    if settings.redis is None:
        return []
    from snexec.cli.check_redis import check_redis  # it uses the network

    return check_redis(settings)


def _run_checks(config: Path, settings: Settings) -> list[Finding]:
    daemon, status = check_machine.check_daemon(config, settings)
    found = [
        check_machine.check_config(config, settings),
        check_machine.check_guards(config, settings),
        check_exits(settings),
        *check_machine.check_sizes(settings),
        *check_machine.check_database(settings),
        daemon,
        *check_machine.check_keys(settings),
        *check_machine.check_proxies(),
        *_check_redis(settings),
        *check_http(settings),
        *check_notify(settings),
        *check_ports(settings, status),
    ]
    if settings.alpaca.simulate:
        return [*found, ok("endpoints", "simulated: the endpoints are not asked")]
    certificates = check_machine.check_certificates()
    found.append(certificates)
    if certificates.result == "FAIL":
        return found
    from snexec.cli.check_endpoints import check_endpoints  # it uses the network

    return found + check_endpoints(settings, status)
