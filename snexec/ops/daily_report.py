"""The text of a day's report: what ``snexec report`` prints (SPEC 15).

It is asked of a process of its own. A day may have thousands of rows, and what reads
and sums them up there takes not a moment from an order.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import snexec
from snexec.errors import first_words

if TYPE_CHECKING:
    from datetime import date

    from snexec.model import Mode

log = logging.getLogger("Notify")

_SECONDS = 60.0
_MOST_CHARS = 4000  # what chat programs take in one message


async def daily_report(config: Path, day: date, mode: Mode) -> str | None:
    """Return the report of a day in New York; None where there is none, which is logged.

    Args:
        config: The file that names the database.
        day: The day.
        mode: Of which account.
    """
    words = ("--config", str(config), "report", "--day", str(day), "--mode", mode)
    problem = f"no end within {_SECONDS:g} s"
    with trio.move_on_after(_SECONDS):
        try:
            ended = await trio.run_process(
                # This very package, whatever else is in the folder of the daemon.
                [sys.executable, "-P", "-m", "snexec", *words],
                stdin=b"",
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=_environment(),
            )
        except (OSError, RuntimeError) as exc:
            problem = first_words(exc)
        else:
            if ended.returncode == 0:
                return _text(ended)
            said = ended.stderr.decode(errors="replace").strip().splitlines()
            problem = said[-1] if said else f"exit status {ended.returncode}"
    log.warning(
        "the report of %s cannot be had and is tried again in 5 min: %s", day, problem
    )
    return None


def _environment() -> dict[str, str]:
    package = str(Path(snexec.__file__).parents[1])
    # The report needs no key of the broker's.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("APCA_")}
    path = os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


def _text(ended: subprocess.CompletedProcess[bytes]) -> str:
    text = ended.stdout.decode(errors="replace").strip()
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"
