from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ops.bench import Bench

if TYPE_CHECKING:
    from tests.fakes import Rig


@pytest.fixture
async def bench(rig: Rig) -> Bench:
    """Give every wing, and what they are looked at with; for ``jumping_time``."""
    return Bench(rig)
