"""A page that is really served, around a rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import Rig, make_settings
from tests.ops.bench import Bench
from tests.web.site import Site, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.fakes import FakeClock


@pytest.fixture
async def bench(rig: Rig) -> Bench:
    """Give every wing, and what they are looked at with; for ``jumping_time``."""
    return Bench(rig)


@pytest.fixture
async def site(store: Store, clock: FakeClock, database: Path) -> AsyncIterator[Site]:
    """Give a browser that has opened a page."""
    rig = Rig(config=make_settings(), clock=clock, store=store)
    async with site_of(rig, database) as served:
        yield served
