"""The end of a command's help page: examples that can be copied."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the end of a help page, with the lines as they are."""
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines)))
