"""The settings in force, and what a SIGHUP may change of them (SPEC 2, 11)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from snexec.errors import ConfigError
from snexec.settings.changes import (
    changed_keys,
    is_loosened_by_cut,
    loosened_by_absence,
    reloadable,
    with_reloaded,
)
from snexec.settings.credentials import learn_secrets
from snexec.settings.load import unended_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snexec.logs import SecretMask
    from snexec.model import Mode
    from snexec.settings.sections import Settings


class Reload(NamedTuple):
    """What was read again, before any of it is in force.

    Attributes:
        settings: What would be in force: new values where they need no restart.
        applied: The keys that changed and need no restart.
        held: The keys that changed and need a restart.
        read: The file as it stands.
    """

    settings: Settings
    applied: list[str]
    held: list[str]
    read: Settings


class Term:
    """The time for which a mode is in force; one that comes back begins another term."""

    __slots__ = ("mode",)

    def __init__(self, mode: Mode) -> None:
        self.mode = mode


class LiveSettings:
    """The settings in force.

    A part that keeps this object follows the file; one that keeps a section of ``now``
    keeps what was in force then.

    Args:
        settings: The valid configuration.
        path: Its file.
        mask: Knows the secrets, and learns those of what is read again.
        environ: The environment, which may hold secrets too.

    Attributes:
        now: In force at this moment.
        mask: Knows every secret that is or was in force.
        term: Its mode's; another object once the mode has changed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        path: Path,
        mask: SecretMask,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.now = settings
        self.term = Term(settings.mode)
        self.path = path
        self.environ = environ
        self.mask = mask

    def compare(self, read: Settings, content: bytes) -> Reload:
        """Compare what was read again with what is in force, and change nothing.

        Args:
            read: The file as it stands.
            content: The same, as it was written.

        Raises:
            ConfigError: It would loosen what it does not speak of, or its keys cannot be
                used.
        """
        learn_secrets(self.mask, read, self.environ)
        self._refuse_looser(read, content)
        names = changed_keys(self.now, read)
        return Reload(
            settings=with_reloaded(self.now, read),
            applied=[name for name in names if reloadable(name)],
            held=[name for name in names if not reloadable(name)],
            read=read,
        )

    def _refuse_looser(self, read: Settings, content: bytes) -> None:
        """Refuse a file that is perhaps cut, where the cut would loosen a limit."""
        if outright := loosened_by_absence(self.now, read):
            keys = ", ".join(line.partition(" ")[0] for line in outright)
            raise ConfigError(
                f"{self.path}: {keys}: set until now and missing; what is loosened must"
                f" be said outright: {', '.join(outright)}"
            )
        last = unended_number(content)
        for name in (f"bot.{last}", f"exits.{last}") if last else ():
            if not is_loosened_by_cut(self.now, read, name):
                continue
            raise ConfigError(
                f"{self.path}: {name}: the file ends within its value, perhaps: end"
                " the last line"
            )

    def put_in_force(self, reload: Reload) -> None:
        """Put what was read in force."""
        self.now = reload.settings
        if self.now.mode != self.term.mode:
            self.term = Term(self.now.mode)
