"""httpx, without the command line that comes with it.

That would import Rich and Pygments wherever they are installed: 100 ms of each start.
"""

from __future__ import annotations

import sys

# What is None here cannot be imported, and httpx does without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402

__all__ = ["httpx"]
