"""The kill switch's files, ``halt`` and ``halt-all``, beside the configuration.

Anything with such a name halts, whatever is in it, so ``touch halt`` is enough. ``halt``
stops what buys; ``halt-all`` stops every order (SPEC 12.8).
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from snexec.clock import timestamp
from snexec.logs import printable
from snexec.small_files import read_beginning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.logs import SecretMask

FILE_NAME = "halt"
ALL_FILE_NAME = "halt-all"
MAX_REASON_CHARS = 500
_READ_BYTES = 16_384  # room for two texts of the most characters, all escaped
_READABLE = 0o644  # the daemon may be another user's


class Halt(NamedTuple):
    """Why nothing is ordered.

    Attributes:
        since: When it began, as rows carry a time; None if not known.
        by: Who halted; None if not known.
    """

    reason: str
    since: str | None
    by: str | None = None


def mended(words: object, *, default: str, mask: SecretMask | None = None) -> str:
    """Return words about a halt as they can be kept and shown, whatever they are.

    A switch that halts only for well-formed words is none. They are cut to
    ``MAX_REASON_CHARS``.

    Args:
        words: Whatever was given.
        default: Said where there are no words.
        mask: Knows the secrets, which others could read in the file.
    """
    if words is not None and not isinstance(words, str):
        try:
            words = json.dumps(words, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            words = "words that cannot be shown"
    if words is None or not words.strip():
        return default
    if mask is not None:
        words = mask.beginning(words, MAX_REASON_CHARS)
    return printable(words[:MAX_REASON_CHARS])[:MAX_REASON_CHARS]


def halt_files(config: Path, *, name: str = FILE_NAME) -> tuple[Path, ...]:
    """Return the files that halt the daemons of a configuration; the first is written.

    There is a second one if the configuration is a link: a person may have either
    folder in mind.

    Args:
        config: The configuration.
        name: ``FILE_NAME`` for what stops buys, ``ALL_FILE_NAME`` for what stops all.
    """
    beside = config.resolve().parent / name
    beside_link = config.absolute().parent / name
    with contextlib.suppress(OSError):
        if beside.parent.samefile(beside_link.parent):
            return (beside,)
    return (beside, beside_link)


def read_halt(files: Sequence[Path]) -> Halt | None:
    """Return the halt that the files make, None if none of them is there."""
    for path in files:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as exc:
            # It may be there, so nothing is ordered.
            reason = f"{path} cannot be looked at: {exc.strerror}"
            return Halt(reason=reason, since=None)
        content = _content(path, found)
        return _parsed(content, name=path.name, default_since=_changed(found))
    return None


def read_both(config: Path) -> tuple[Halt | None, bool]:
    """Return the halt that a configuration's files make, and whether exits are halted."""
    for_all = read_halt(halt_files(config, name=ALL_FILE_NAME))
    return (for_all or read_halt(halt_files(config)), for_all is not None)


def exits_words(*, stops_all: bool) -> str:
    """Say whether positions are still sold, as every line about a halt does."""
    return "exits are halted too" if stops_all else "exits go on"


def write_halt(path: Path, halt: Halt, *, sync: bool = True) -> None:
    """Write the file, whole or empty; one that is there stays as it is.

    Args:
        path: The file.
        halt: What it says.
        sync: Whether to wait for the disk; if not, ``sync_halt`` does it.

    Raises:
        OSError: It cannot be written.
    """
    if os.path.lexists(path):
        return
    try:
        _write_whole(path, json.dumps(halt._asdict()) + "\n")
    except OSError:
        # A full disk may still have room for an empty file.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, _READABLE))
    if sync:
        sync_halt(path)


def sync_halt(path: Path) -> None:
    """Wait until the disk has the file; in a thread, as a disk may take its time.

    Raises:
        OSError: It is not there, or the disk does not take it.
    """
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _content(path: Path, found: os.stat_result) -> bytes:
    if not stat.S_ISREG(found.st_mode):
        return b""  # a link is not followed
    try:
        return read_beginning(path, max_bytes=_READ_BYTES)
    except OSError:
        return b""


def _changed(found: os.stat_result) -> str | None:
    try:
        return timestamp(datetime.fromtimestamp(found.st_mtime, UTC))
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return None


def _parsed(content: bytes, *, name: str, default_since: str | None) -> Halt:
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        first_line = text.partition("\n")[0].strip()
        reason = mended(first_line, default=f"a file named {name} was made")
        return Halt(reason=reason, since=default_since)

    def field(name: str) -> str | None:
        value = fields.get(name)
        words = mended(value, default="") if isinstance(value, str) else None
        return words or None

    return Halt(
        reason=field("reason") or "no reason was given",
        since=field("since") or default_since,
        by=field("by"),
    )
