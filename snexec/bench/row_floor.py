"""Which floor commits a row first: one in C where it can be built, else one in Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from snexec.bench.subjects import FLOOR

_SOURCE = Path(__file__).with_suffix(".c")
_BUILD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RowFloor:
    """A program like the floor, that is given a database as well.

    Attributes:
        language: What it is written in.
        command: What runs it.
    """

    language: str
    command: list[str]


def build(folder: Path, *, tls: bool = False) -> RowFloor:
    """Build the floor in C, in a folder, where a compiler and the headers are there.

    ``CC`` names the compiler, if it is not ``cc``.

    Args:
        folder: Where.
        tls: Whether it is to speak TLS; the one in Python does not.
    """
    program, compiler = folder / "row_floor", shutil.which(os.environ.get("CC", "cc"))
    if compiler is not None:
        more = ["-DTLS", "-lssl", "-lcrypto"] if tls else []
        words = [compiler, "-O2", str(_SOURCE), "-o", str(program), "-lsqlite3", *more]
        built = subprocess.run(  # noqa: S603 - our own source
            words, capture_output=True, timeout=_BUILD_SECONDS, check=False
        )
        if built.returncode == 0:
            return RowFloor("C", [str(program)])
    return RowFloor("Python", FLOOR)
