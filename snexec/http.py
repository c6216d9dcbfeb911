"""httpx, without the command line and the HTTP/2 that come with it.

The command line would import Rich and Pygments where they are installed, which takes
100 ms; HTTP/2, which nothing here speaks, takes a quarter of the rest, and 2 MB.
"""

from __future__ import annotations

import sys

# A module that is None here cannot be imported, and httpx does without it.
_UNUSED = [name for name in ("httpx._main", "h2") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]
try:
    import httpcore  # noqa: F401 - or httpx would later, with its first client
    import httpx
finally:
    for name in _UNUSED:
        del sys.modules[name]  # others may need it

__all__ = ["httpx"]
