"""No stop forgets of which rows nobody knows whether their shares were sold (SPEC 8)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.late import LateRows
from snexec.ledger.unconcluded import Unconcluded
from tests.fakes import FakeClock, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store


def notes(store: Store) -> int:
    return int(store._db.execute("SELECT count(*) FROM SnexecMeta").fetchone()[0])


def test_a_row_is_one_of_its_mode_until_it_is_forgotten(store: Store) -> None:
    before = notes(store)
    rows = Unconcluded(store._db)
    rows.note("sn-1", "paper")
    rows.note("sn-2", "live")
    rows.note("sn-3", "paper")
    assert (sorted(rows.of("paper")), rows.of("live")) == (["sn-1", "sn-3"], ["sn-2"])
    for each in ("sn-1", "sn-2", "sn-3"):
        rows.forget(each)
    assert (rows.of("paper"), rows.of("live"), notes(store)) == ([], [], before)


def test_one_that_is_noted_twice_is_one(store: Store) -> None:
    rows = Unconcluded(store._db)
    rows.note("sn-1", "paper")
    rows.note("sn-1", "paper")
    assert rows.of("paper") == ["sn-1"]


@pytest.mark.parametrize("row_id", ["late sn-1", "a b", "unconcluded x", "é*?[]"])
def test_any_id_is_given_back_as_it_is(store: Store, row_id: str) -> None:
    rows = Unconcluded(store._db)
    rows.note(row_id, "paper")
    assert rows.of("paper") == [row_id]
    rows.forget("another")
    assert rows.of("paper") == [row_id]


def test_notes_of_another_kind_are_none(store: Store) -> None:
    LateRows(store._db, store._counting, store.unconcluded).gave_way("sn-1", "paper")
    assert Unconcluded(store._db).of("paper") == []


def test_the_next_run_knows_them(database: Path) -> None:
    with closing(open_store(database, FakeClock())) as store:
        store.unconcluded.note("sn-1", "paper")
    with closing(open_store(database, FakeClock())) as store:
        assert store.unconcluded.of("paper") == ["sn-1"]


def test_over_another_connection_the_same_rows_are_read(
    store: Store, tmp_path: Path
) -> None:
    rows = Unconcluded(store._db)
    rows.note("sn-1", "paper")
    with closing(open_store(tmp_path / "other.db", FakeClock())) as other:
        rows.read_from(other._db)
        assert rows.of("paper") == []
