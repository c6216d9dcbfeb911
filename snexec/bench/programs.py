"""The processes that a measurement starts, meters and ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import snexec
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.002
_STOP_SECONDS = 5.0
_KEYS = {
    "APCA_API_KEY_ID": "bench-key",
    "APCA_API_SECRET_KEY": "bench-secret",
}


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Check every 2 ms until a condition holds.

    Raises:
        StartError: It has not held for 30 s.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise StartError(f"bench: not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(_LOOK_SECONDS)


def module(*words: str) -> list[str]:
    """Return the command that runs one of our modules with these arguments."""
    # -P: the working directory may hold another snexec.
    return [sys.executable, "-P", "-m", *words]


class Program:
    """A process of its own, for as long as its block lasts.

    Args:
        name: What errors call it.
        command: What is run: ours, by ``module``, or built by us.
        output: The file that takes its standard output and error.
        trusts: The certificate that it trusts, if it is not the usual ones.

    Attributes:
        started_ns: ``time.monotonic_ns`` just before it was started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        output: Path,
        *,
        trusts: Path | None = None,
    ) -> None:
        self._name = name
        self._output = output
        with output.open("wb") as log:
            self.started_ns = time.monotonic_ns()
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                env=_environment(trusts),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we end the process
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def expect(self, pattern: str) -> str:
        """Wait until it prints something, and return the pattern's group."""
        found: list[str] = []

        def printed() -> bool:
            self.check_alive()
            found.extend(re.findall(pattern, self._said()))
            return bool(found)

        wait_until(printed, f"{self._name} has started")
        return found[0]

    def check_alive(self, *, grace_seconds: float = 0.0) -> None:
        """Make sure that it is running.

        Args:
            grace_seconds: How long to wait for it to end, if it is about to.

        Raises:
            StartError: It has ended; the message holds its last line.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
            last = self._said().strip().rpartition("\n")[2]
            raise StartError(f"bench: {self._name} has ended: {last or 'no word'}")

    def cpu_seconds(self) -> float:
        """Return the processor time that all its threads have used, in seconds."""
        self.check_alive()
        if sys.platform != "linux":
            minutes, _, seconds = self._ps("time").rpartition(":")
            return 60 * float(minutes) + float(seconds)
        # Its own clock, as clock_getcpuclockid(3) computes it: /proc only counts in
        # ticks of 10 ms.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def memory_mb(self) -> float:
        """Return its resident memory, in MiB."""
        self.check_alive()
        if sys.platform != "linux":
            return int(self._ps("rss")) / 2**10
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it, by force if it does not end within 5 s."""
        try:
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()

    def _said(self) -> str:
        return self._output.read_text(errors="replace")

    def _ps(self, column: str) -> str:
        words = ["ps", "-o", f"{column}=", "-p", str(self._process.pid)]
        return subprocess.check_output(words, text=True).strip()  # noqa: S603


def _environment(trusts: Path | None) -> dict[str, str]:
    """Return ours, with made-up keys in place of the user's, and this package's path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("APCA_")}
    # A start that compiles takes half as long again, and an installed one never does.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    paths = [str(Path(snexec.__file__).parents[1]), kept.get("PYTHONPATH", "")]
    trusted = {} if trusts is None else {"SSL_CERT_FILE": str(trusts)}
    return kept | _KEYS | trusted | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
