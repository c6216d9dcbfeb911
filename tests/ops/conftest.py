from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.ops.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes import Rig


@pytest.fixture
async def bench(rig: Rig) -> Bench:
    """Give every wing, and what they are looked at with; for ``jumping_time``."""
    return Bench(rig)


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in place what a thread does, as the jumping clock waits for no thread."""

    async def run_sync(work: Callable[[], object], **_how: object) -> object:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
