from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.ledger import commits as commits_module
from snexec.ledger import writer as writer_module
from snexec.ledger.schema import open_database
from tests.fakes import FakeClock
from tests.ledger.writing import CountingStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def patient(database: Path) -> Iterator[CountingStore]:
    """Give a store that waits for locks as long as the daemon's does."""
    store = CountingStore(open_database(database, simulated=False, clock=FakeClock()))
    yield store
    store.may_commit.set()
    store._db.close()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, patient: CountingStore) -> CountingStore:
    """Give a store with short time-outs and retries, and batches cut by number only.

    Its disk is quick, however busy the machine is.
    """
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", (0.01,))
    for name in ("_BATCH_SECONDS", "_BATCH_SECONDS_BESIDE_ORDERS"):
        monkeypatch.setattr(commits_module, name, 60.0)
    for name in ("_SLOW_SECONDS", "_LOOP_SECONDS"):
        monkeypatch.setattr(commits_module, name, 60.0)
    patient._db.execute("PRAGMA busy_timeout = 20")
    return patient
