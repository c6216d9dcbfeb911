"""Who may use a socket beside its owner: a group, by configuration (SPEC 15)."""

from __future__ import annotations

import grp
import os
from typing import TYPE_CHECKING, NamedTuple

from snexec.errors import ConfigError, StartError

if TYPE_CHECKING:
    from pathlib import Path


class SocketAccess(NamedTuple):
    """The permissions of a socket's file.

    Attributes:
        mode: As ``chmod`` takes it.
        gid: The group's number; None leaves it.
    """

    mode: int = 0o600
    gid: int | None = None

    def give(self, path: Path) -> None:
        """Set them, the wider ones last.

        Raises:
            StartError: That is not allowed here.
        """
        if self == SocketAccess():
            return  # it is made so
        try:
            if self.gid is not None:
                os.chown(path, -1, self.gid)
            path.chmod(self.mode)
        except OSError as exc:
            raise StartError(
                f"intake.socket_group: {path} cannot be given to the group"
                f" ({exc.strerror}): is this user one of it?"
            ) from None


def access_of(mode: str, group: str | None) -> SocketAccess:
    """Return the access that a configuration means.

    Raises:
        ConfigError: There is no such group.
    """
    gid: int | None = None
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigError(
                f"intake.socket_group: there is no group {group!r} on this machine"
            ) from None
    return SocketAccess(int(mode, 8), gid)
