"""The kill switch: a file named ``halt`` beside the configuration.

The file is the state, so that it works whatever else hangs, for whoever can write the
folder (``touch halt``), and stays over a restart. It is looked at for every order, the
last time in the moment before the request leaves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snexec.clock import Clock
    from snexec.events import Event, EventFeed
    from snexec.settings import BotSettings

log = logging.getLogger("Halt")

FILE_NAME = "halt"
MAX_REASON_CHARS = 500
_LOOK_SECONDS = 1.0
_READ_BYTES = 4096
_READABLE = 0o644  # the daemon may be another user's


@dataclass(frozen=True, kw_only=True, slots=True)
class Halt:
    """Why nothing is ordered.

    Attributes:
        since: As rows carry a time; None where it is not known.
        by: Who did it, where that is known.
    """

    reason: str
    since: str | None
    by: str | None = None


def halt_files(config: Path) -> tuple[Path, ...]:
    """Name the files that halt the daemons of a configuration; the first is written.

    A second one where the configuration is a link: either folder may be the one that a
    person has in mind.
    """
    beside = config.resolve().parent / FILE_NAME
    beside_link = config.absolute().parent / FILE_NAME
    with contextlib.suppress(OSError):
        if beside.parent.samefile(beside_link.parent):
            return (beside,)
    return (beside, beside_link)


def read_halt(files: Sequence[Path]) -> Halt | None:
    """Return the halt that files make, None where there is none of them."""
    for path in files:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as exc:
            # Nobody knows, so nothing is ordered.
            reason = f"{path} cannot be looked at: {exc.strerror}"
            return Halt(reason=reason, since=None)
        changed = timestamp(datetime.fromtimestamp(found.st_mtime, UTC))
        return _parsed(_content(path, found), default_since=changed)
    return None


def write_halt(path: Path, halt: Halt) -> None:
    """Make the file, whole or not at all; one that is there stays.

    Raises:
        OSError: It cannot be made.
    """
    if os.path.lexists(path):
        return
    try:
        _write_whole(path, json.dumps(asdict(halt)) + "\n")
    except OSError:
        # A full disk may still have room for a name.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, _READABLE))


def remove_halt(files: Sequence[Path]) -> list[Path]:
    """Remove the files, and return those that were there.

    Raises:
        OSError: One of them stays.
    """
    removed = []
    for path in files:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        removed.append(path)
    return removed


def _write_whole(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _READABLE)
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _content(path: Path, found: os.stat_result) -> bytes:
    if not stat.S_ISREG(found.st_mode):
        return b""  # a pipe would be waited for
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES)
    except OSError:
        return b""


def _parsed(content: bytes, *, default_since: str) -> Halt:
    text = content.decode(errors="replace").strip()
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        first_line = text.partition("\n")[0].strip()
        reason = first_line[:MAX_REASON_CHARS] or "a file named halt was made"
        return Halt(reason=printable(reason), since=default_since)

    def field(name: str) -> str | None:
        value = fields.get(name)
        shown = isinstance(value, str) and value.strip()
        return printable(str(value)[:MAX_REASON_CHARS]) if shown else None

    return Halt(
        reason=field("reason") or "no reason was given",
        since=field("since") or default_since,
        by=field("by"),
    )


class HaltSwitch:
    """Tells whether the daemon is halted, and says so once, loudly.

    Args:
        config: The configuration file, beside which the switch lies.
        bot: Tells the current limits.
    """

    def __init__(
        self,
        *,
        config: Path,
        bot: Callable[[], BotSettings],
        feed: EventFeed,
        clock: Clock,
    ) -> None:
        self.files = halt_files(config)
        self._names = tuple(map(str, self.files))
        self._bot = bot
        self._feed = feed
        self._clock = clock
        self._in_memory: Halt | None = None  # where the file cannot be written
        self._told = False
        self._refusals = 0

    def is_halted(self) -> bool:
        """Look, which takes a microsecond or two, and say so if it has changed."""
        halted = self._in_memory is not None
        for name in self._names:
            try:
                os.lstat(name)
            except FileNotFoundError:
                continue
            except OSError:
                pass  # nobody knows, so nothing is ordered
            halted = True
        if halted != self._told:
            self._tell(halted=halted)
        return halted

    def is_known(self) -> bool:
        """Tell whether a halt was noticed and still is, without a look if not.

        For the gate before the row: a new halt is noticed by the last look before a
        request, or within a second. Two looks at each order would be one too many.
        """
        return self._told and self.is_halted()

    def current(self) -> Halt | None:
        """Return why the daemon is halted, if it is."""
        return read_halt(self.files) or self._in_memory

    def halt(self, reason: str, *, by: str) -> Halt:
        """Halt, and return what holds: an earlier halt's reason stays."""
        halt = Halt(
            reason=printable(reason[:MAX_REASON_CHARS]),
            since=timestamp(self._clock.now()),
            by=printable(by[:MAX_REASON_CHARS]),
        )
        try:
            write_halt(self.files[0], halt)
        except OSError as exc:
            if self._in_memory is None:
                self._in_memory = halt
            log.error(  # noqa: TRY400 - the reason says it all
                "%s cannot be written (%s): halted until this daemon ends, and NOT"
                " after a restart",
                self.files[0],
                exc.strerror,
            )
        self.is_halted()
        return self.current() or halt

    def resume(self) -> None:
        """Take orders again.

        Raises:
            OSError: The file stays, and with it the halt.
        """
        self._refusals = 0
        try:
            remove_halt(self.files)
        finally:
            self.is_halted()
        self._in_memory = None
        self.is_halted()

    def happened(self, event: Event) -> None:
        """Count refusals and rejections in a row; halt when they are too many."""
        match event.event:
            case "fill" | "partial_fill":
                self._refusals = 0
                return
            case "refused" if event.more.get("httpStatus") is not None:
                self._refusals += 1
            case "rejected":
                self._refusals += 1
            case _:
                return
        limit = self._bot().halt_after_refusals
        if limit is None or self._refusals < limit:
            return
        count, self._refusals = self._refusals, 0
        self.halt(
            f"{count} orders in a row were refused or rejected, at last"
            f" {event.symbol}: {event.reason or 'rejected by the broker'}",
            by="snexec (halt_after_refusals)",
        )

    async def run(self) -> None:
        """Notice within a second what nobody told us, until cancelled."""
        while True:
            self.is_halted()
            await trio.sleep(_LOOK_SECONDS)

    def _tell(self, *, halted: bool) -> None:
        self._told = halted  # first: whoever hears of it may look
        if not halted:
            log.warning("RESUMED: orders are placed again")
            self._feed.publish("resume")
            return
        halt = self.current() or Halt(reason="it is over already", since=None)
        log.error(
            "HALTED: no order leaves any more (%s; since %s%s); to go on: snexec"
            " resume, or remove %s",
            halt.reason,
            halt.since or "an unknown time",
            f", by {halt.by}" if halt.by else "",
            self.files[0],
        )
        self._feed.publish(
            "halt", {"since": halt.since, "by": halt.by}, reason=halt.reason
        )
