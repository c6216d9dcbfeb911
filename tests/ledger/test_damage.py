"""What is said of a file that was touched: which one, what, and what to do."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.damage import (
    FilesLostError,
    Loss,
    cut,
    gone,
    index_cut,
    log_gone,
    written_over,
)

if TYPE_CHECKING:
    from snexec.ledger.damage import Damage


@pytest.mark.parametrize(
    "damage",
    [
        gone("t.db"),
        written_over("t.db"),
        cut("t.db-wal"),
        index_cut("t.db-shm"),
        log_gone("t.db-wal", has_taker=True),
        log_gone("t.db-wal", has_taker=False),
    ],
)
def test_every_damage_names_the_file_and_says_what_to_do(damage: Damage) -> None:
    assert damage.what.startswith("t.db")
    assert "restart" in damage.advice or "and trading goes on" in damage.advice
    error = FilesLostError(damage)
    assert isinstance(error, sqlite3.OperationalError), "the change is tried again"
    assert (str(error), error.advice) == (damage.what, damage.advice)


def test_a_log_without_a_name_can_be_mended_where_the_database_takes_it() -> None:
    assert log_gone("t.db-wal", has_taker=True).loss is Loss.NAME_OF_LOG
    assert log_gone("t.db-wal", has_taker=False).loss is Loss.OTHERS_LOG
