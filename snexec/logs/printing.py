"""Foreign text, made fit to be printed."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return foreign text with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
