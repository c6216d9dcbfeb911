"""The settings in force, and what a SIGHUP may change of them (SPEC 2, 11)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from snexec.settings.credentials import learn_secrets
from snexec.settings.load import parse_config, read_config
from snexec.settings.sections import Section, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snexec.logs import SecretMask

_RELOADABLE = (
    "mode",
    "bot.",
    "alpaca.paper_url",
    "alpaca.live_url",
    "alpaca.api_key",
    "alpaca.api_secret",
)


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


class LiveSettings:
    """The settings in force.

    A part that keeps this object follows the file; one that keeps a section of ``now``
    keeps what was in force then.

    Args:
        settings: The valid configuration.
        path: Its file.
        mask: Learns the secrets of what is read again.
        environ: The environment, which may hold secrets too.

    Attributes:
        now: In force at this moment.
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
        self.path = path
        self.environ = environ
        self._mask = mask

    def read_again(self) -> Reload:
        """Read the file again; nothing is in force yet.

        Raises:
            ConfigError: It cannot be used.
        """
        read = parse_config(self.path, read_config(self.path).content, again=True)
        learn_secrets(self._mask, read, self.environ)
        names = changed_keys(self.now, read)
        return Reload(
            settings=with_reloaded(self.now, read),
            applied=[name for name in names if reloadable(name)],
            held=[name for name in names if not reloadable(name)],
            read=read,
        )

    def put_in_force(self, reload: Reload) -> None:
        """Put what was read in force."""
        self.now = reload.settings


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Name the keys whose values differ, as ``section.key``."""
    names: list[str] = []
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Section):
            names += [
                f"{name}.{key}"
                for key in type(before).model_fields
                if getattr(before, key) != getattr(after, key)
            ]
        elif before != after:
            names.append(name)
    return names


def reloadable(name: str) -> bool:
    """Return whether a key of ``changed_keys`` needs no restart (SPEC 11)."""
    return name.startswith(_RELOADABLE)


def with_reloaded(old: Settings, new: Settings) -> Settings:
    """Return the old settings with the new values of what needs no restart."""
    alpaca = old.alpaca.model_copy(
        update={
            key: getattr(new.alpaca, key)
            for key in ("paper_url", "live_url", "api_key", "api_secret")
        }
    )
    return old.model_copy(
        update={"mode": new.mode, "bot": new.bot, "alpaca": alpaca},
    )
