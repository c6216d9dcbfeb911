"""The log of signals is a table of its own, and stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger import signal_log
from snexec.ledger.signal_log import Decision

if TYPE_CHECKING:
    import pytest

    from snexec.ledger.store import Store

SKIP = Decision(
    "2026-01-05T14:30:00.123Z", "n", "KO", "paper", "skipped", "stale", None
)


def add(store: Store, *decisions: Decision) -> None:
    store.begin()
    store.signal_log.add(decisions)
    store.commit()


def logged(store: Store) -> list[str]:
    rows = store._db.execute("SELECT signalId FROM SignalLog ORDER BY rowid")
    return [row[0] for row in rows]


def test_the_table_is_made_by_the_first_decision(store: Store) -> None:
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'SignalLog'"
    assert store._db.execute(known).fetchone()[0] == 0

    add(store, SKIP, SKIP._replace(signal_id=None))

    assert logged(store) == ["n", None]


def test_only_the_last_ones_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_log, "KEPT", 5)
    for first in (0, 4, 8):
        add(store, *(SKIP._replace(signal_id=f"n-{first + n}") for n in range(4)))

    assert logged(store) == [f"n-{n}" for n in range(7, 12)]


def test_what_is_rolled_back_is_not_logged(store: Store) -> None:
    add(store, SKIP)
    store.begin()
    store.signal_log.add([SKIP._replace(signal_id="lost")])
    store.rollback()

    assert logged(store) == ["n"]
