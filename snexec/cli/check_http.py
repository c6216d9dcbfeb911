"""Checks where signals come in over HTTP, and who may send them (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.cli.check_findings import Finding, fail, ok
from snexec.errors import ConfigError
from snexec.settings import http_tokens, signals_at

if TYPE_CHECKING:
    from snexec.settings import Settings


def check_http(settings: Settings) -> list[Finding]:
    """Name the producers, and never their tokens; nothing where ``[http]`` is off."""
    places = signals_at(settings.http, settings.page)
    if not places:
        return []
    try:
        names = http_tokens(settings.http)
    except ConfigError as exc:
        return [fail("http", str(exc))]
    pace = settings.http.per_minute
    each = "" if len(names) == 1 else " from each"
    return [
        ok(
            "http",
            f"signals at {' and '.join(places)} from {', '.join(names)},"
            f" at most {pace} a minute{each}",
        )
    ]
