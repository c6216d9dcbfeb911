"""Changes ``mode`` in the configuration file, and nothing else in it."""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.exceptions import TOMLKitError

from snexec.errors import CommandError
from snexec.settings import load_settings

if TYPE_CHECKING:
    from snexec.model import Mode


def write_mode(config: Path, mode: Mode) -> None:
    """Replace a file with one that differs in nothing but its mode, or change nothing.

    A symbolic link stays, and its target changes; owner and permissions stay too.

    Raises:
        CommandError: It cannot be written, or somebody else changed it meanwhile.
        ConfigError: What would be written is not valid.
    """
    real = config.resolve()
    try:
        before = real.stat()
        old = real.read_bytes().decode()
        new = changed(old, mode)
        descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    except OSError as exc:
        raise CommandError(f"{real} cannot be changed: {exc.strerror}") from None
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(new.encode())
            file.flush()
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            os.fsync(file.fileno())
        load_settings(draft)
        now = real.stat()
        if (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
            raise CommandError(f"{real} was changed meanwhile: try again")
        draft.replace(real)
        _sync_folder(real.parent)
    except OSError as exc:
        raise CommandError(f"{real} cannot be changed: {exc.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def changed(text: str, mode: Mode) -> str:
    """Return a configuration's text with another mode, and nothing else changed.

    Raises:
        CommandError: Something else would change too.
    """
    try:
        document = tomlkit.parse(text)
        document["mode"] = mode
        new = tomlkit.dumps(document)
        as_wanted = tomllib.loads(new) == tomllib.loads(text) | {"mode": mode}
    except (TOMLKitError, ValueError):
        as_wanted, new = False, text
    if not as_wanted:
        raise CommandError(
            "the configuration cannot be changed safely: edit it by hand"
        )
    return new


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
