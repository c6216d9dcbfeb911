"""Which proxies the environment names: none of them is used (SPEC 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def ignored_proxies(environ: Mapping[str, str]) -> str:
    """Return a sentence naming the proxy variables that are set; empty without one.

    It never holds a value, as a proxy's URL may hold a password.
    """
    names = (*_VARIABLES, *map(str.lower, _VARIABLES))
    found = [name for name in names if environ.get(name)]
    if not found:
        return ""
    return (
        f"{', '.join(found)}: set in the environment and not used; orders go direct,"
        " never through a proxy"
    )
