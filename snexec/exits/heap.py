"""How memory goes back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3)
_LARGE_BYTES = 128 * 1024


def give_back_large() -> None:
    """Have what is large go back to the system as soon as it is let go.

    As a list of all positions, each minute. By itself glibc takes the first such block for
    a sign of more, and keeps as much from then on, in pieces between what lives longer:
    more than 1 KB for each position. Elsewhere than with glibc nothing is changed.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
