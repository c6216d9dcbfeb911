"""The README's screens: each is what the program prints, made again by a test.

A screen is a code block below a comment ``<!-- screen: NAME -->``. What differs from run to
run (figures, and the widths that follow from them) is not compared. To write them anew:

    SNEXEC_SCREENS=write .venv/bin/python -m pytest -n 0 tests/test_screens.py
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING

from tests.integration.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

README = ROOT / "README.md"
_BLOCK = "<!-- screen: {name} -->\n```\n"
_END = "```\n"
_SECONDS = 120.0
# A figure with its sign and currency, a rule as long as its column is wide, a day.
_FIGURE = re.compile(r"[+-]?\$?\d(?:[\d,.:]*\d)?|-{3,}|─+|\b[A-Z][a-z]+day\b")


def blocks() -> list[tuple[str, str]]:
    """Return of each code block the line above it, and its language."""
    found, inside, above = [], False, ""
    for line in README.read_text().splitlines():
        if line.startswith("```"):
            if not inside:
                found.append((above, line.removeprefix("```")))
            inside = not inside
        above = line
    return found


def names() -> list[str]:
    """Name the screens that the README shows."""
    return re.findall(r"<!-- screen: (\S+) -->", README.read_text())


def shown(name: str) -> str:
    """Return a screen as the README shows it."""
    _before, begins, after = README.read_text().partition(_BLOCK.format(name=name))
    assert begins, f"the README has no screen {name}"
    return after.partition(_END)[0]


def compare(name: str, made: str) -> None:
    """Compare a screen with what was printed now, or write it into the README."""
    lines = [line.rstrip() for line in made.strip("\n").splitlines()]
    before = shown(name)
    if words(before) == words("\n".join(lines)):
        return
    if os.environ.get("SNEXEC_SCREENS") == "write":
        begins = _BLOCK.format(name=name)
        text = README.read_text()
        screen = "".join(f"{line}\n" for line in lines)
        README.write_text(
            text.replace(f"{begins}{before}{_END}", f"{begins}{screen}{_END}")
        )
        return
    assert words("\n".join(lines)) == words(before), f"{__doc__}\nnow:\n{made}"


def words(text: str) -> list[str]:
    """Return the words of a screen, each figure as the same one."""
    return _FIGURE.sub("9", text).split()


def on_a_terminal(
    command: Sequence[str],
    *,
    columns: int,
    env: dict[str, str],
    stdin: Path | None = None,
) -> str:
    """Run a command on a terminal of so many columns, and return what it shows.

    Log lines, which go to standard error, are left out.
    """
    leader, follower = pty.openpty()
    size = struct.pack("HHHH", 50, columns, 0, 0)
    fcntl.ioctl(follower, termios.TIOCSWINSZ, size)
    kept = {k: v for k, v in env.items() if k not in {"COLUMNS", "LINES"}}
    received = bytearray()
    with open(stdin or os.devnull, "rb") as given:  # noqa: PTH123
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=follower,
            stderr=subprocess.PIPE,
            env=kept | {"TERM": "xterm"},
        )
    os.close(follower)
    drain = threading.Thread(target=lambda: _read(leader, received))
    drain.start()
    try:
        _out, said = process.communicate(timeout=_SECONDS)
    finally:
        process.kill()
        drain.join()
        os.close(leader)
    assert process.returncode == 0, said.decode()
    text = received.decode().replace("\r\n", "\n")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def _read(leader: int, received: bytearray) -> None:
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end has closed
            return
        if not data:
            return
        received += data
