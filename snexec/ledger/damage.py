"""What may happen to the files that rows are kept in, and what to do about it (SPEC 11)."""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import NamedTuple


class Loss(Enum):
    """What is lost."""

    NAME = "name"  # of the database: rows are in hand
    NAME_OF_LOG = "name of log"  # and the database is there to take them
    OTHERS_LOG = "another's log"  # is in the place of ours
    CONTENT = "content"  # the database's
    LOG = "log"  # its content
    INDEX = "index"  # the log is whole, and SQLite dies of a look at it


class Damage(NamedTuple):
    """What has happened to a file that rows are kept in.

    Attributes:
        what: Which file, and what was done to it.
        advice: What the operator can do.
    """

    what: str
    advice: str
    loss: Loss


class FilesLostError(sqlite3.OperationalError):
    """Rows are not written, as they would not be kept.

    Attributes:
        advice: What the operator can do.
    """

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage.what)
        self.advice = damage.advice


def gone(database: str) -> Damage:
    """Return that the database's name is not what was opened."""
    return Damage(
        f"{database} was removed or replaced",
        "put back the file that was there and trading goes on; or restart with what is"
        " there now",
        Loss.NAME,
    )


def written_over(database: str) -> Damage:
    """Return that somebody else than SQLite wrote to the database."""
    return Damage(
        f"{database} was written over while in use",
        "stop every program that uses it, then restart: the file counts as it is, and"
        " its log is put aside",
        Loss.CONTENT,
    )


def index_cut(index: str) -> Damage:
    """Return that the log's index is shorter than SQLite made it."""
    return Damage(
        f"{index} was cut short",
        "restart: it is made anew, and no row is lost",
        Loss.INDEX,
    )


def cut(log: str) -> Damage:
    """Return that the log does not hold what its index says."""
    return Damage(
        f"{log} was cut short or written over",
        "stop every program that uses the database, then restart: it is as of its last"
        " checkpoint, or later",
        Loss.LOG,
    )


def log_gone(name: str, *, has_taker: bool) -> Damage:
    """Return that the name of the log, or of its index, is not what was opened.

    Args:
        name: The file.
        has_taker: Whether the database is there to take what the log holds.
    """
    what = f"{name} was removed or replaced"
    if has_taker:
        advice = "stop the other programs that use the database, and trading goes on"
        return Damage(what, advice, Loss.NAME_OF_LOG)
    advice = "stop every program that uses the database, then restart"
    return Damage(what, advice, Loss.OTHERS_LOG)
