"""Whether another user can run a program, by the permissions of what lies on the way."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class _Who(NamedTuple):
    uid: int
    gids: frozenset[int]


def in_the_way(program: Path, user: str) -> Path | None:
    """Return the first folder or file that keeps a user from running a program.

    Returns:
        None where nothing does, or where there is no such user yet.
    """
    try:
        found = pwd.getpwnam(user)
        gids = os.getgrouplist(user, found.pw_gid)
    except (KeyError, OSError):
        return None
    if found.pw_uid == 0:
        return None
    who = _Who(found.pw_uid, frozenset(gids))
    for path in dict.fromkeys(_way_to(program) + _way_to(program.resolve())):
        try:
            if not _may_pass(path.stat(), who):
                return path
        except OSError:
            return path
    return None


def _way_to(path: Path) -> list[Path]:
    return [*reversed(path.absolute().parents), path]


def _may_pass(found: os.stat_result, who: _Who) -> bool:
    if found.st_uid == who.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in who.gids:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
