"""Values for the cells of a sheet: foreign text stays text there."""

from __future__ import annotations

import math

from snexec.logs import printable

# As which sheets begin a formula, the full-width forms too.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: object) -> object:
    """Return a value for a sheet: no text steers a terminal, or is a formula there."""
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
