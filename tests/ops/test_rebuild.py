"""A rebuild as the operator asks the daemon for it (SPEC 13)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from snexec.errors import RefusedError
from tests.fakes import MOMENT, Rig, listed_order
from tests.ops.bench import Bench

if TYPE_CHECKING:
    from datetime import datetime

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

OURS = "sn-" + "a" * 32


@pytest.mark.parametrize(
    ("since", "path_has"),
    [
        (None, "after=2025-12-29T14%3A30"),
        (MOMENT - timedelta(days=300), "after=2025-03-11T14%3A30"),
    ],
    ids=["a week", "as asked"],
)
async def test_it_looks_back_as_far_as_it_is_told(
    rig: Rig, since: datetime | None, path_has: str
) -> None:
    bench = Bench(rig)
    assert await bench.control.rebuild(since) == {
        "rows": [],
        "asked": ["paper", "live"],
        "problems": {},
    }
    [request] = rig.paper.asked("list")
    assert path_has in (request.path or "")


async def test_it_tells_the_rows_and_what_is_missing(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.listed = [listed_order(OURS, status="canceled", order_id="o-1")]
    rig.live.listing.append(
        RefusedError(status_code=401, body="", reason="unauthorized")
    )
    assert await Bench(rig).control.rebuild(None) == {
        "rows": [
            {
                "tradeId": OURS,
                "symbol": "AAPL",
                "mode": "paper",
                "orderId": "o-1",
                "status": "missed",
                "exitReason": "alpaca_canceled",
                "shares": None,
                "entryPrice": None,
                "settled": True,
            }
        ],
        "asked": ["paper", "live"],
        "problems": {"live": "HTTP 401: unauthorized"},
    }
    assert len(logged_errors.take()) == 1


async def test_while_the_database_cannot_be_written_nothing_is_asked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.writer, "_healthy", False)
    assert await Bench(rig).control.rebuild(None) == {
        "status": "refused",
        "error": "the database cannot be written",
    }
    assert rig.paper.requests == []
