"""What the page shows at one moment."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits import PositionStatus
from snexec.logs import SecretMask
from tests.fakes import Rig, make_settings
from tests.ops.selling import hold
from tests.web.site import site_of
from tests.web.test_trades import add

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors
    from tests.fakes import FakeClock
    from tests.web.site import Site


async def test_a_position_is_shown_with_what_is_known_of_it(site: Site) -> None:
    hold(site.rig.store)
    hold(site.rig.store, "KO")
    site.exits.statuses = [
        PositionStatus(
            "sn-AAPL", "paper", "watched", price=Decimal("110.5"), price_age_sec=0.25,
            price_source="stream", stop=Decimal(95), target=Decimal(120),
            seconds_left=60.0,
        )
    ]  # fmt: skip
    shown = await site.json("/api/snapshot")
    first, second = shown["positions"]
    assert first == {
        "id": "sn-AAPL",
        "symbol": "AAPL",
        "mode": "paper",
        "shares": "0.5",
        "entry": "100",
        "price": "110.5",
        "priceAgeSec": 0.25,
        "priceSource": "stream",
        "pnl": "5.25",
        "pnlPct": 10.5,
        "openedAt": 1767623400.123,
        "ageSec": 0.0,
        "stop": "95",
        "target": "120",
        "timeLeftSec": 60.0,
        "state": "watched",
        "blockedBy": None,
    }
    assert (second["price"], second["pnl"], second["state"]) == (
        None,
        None,
        "unwatched",
    )
    assert shown["today"]["open"] == "5.25"


@pytest.mark.parametrize(
    ("config", "kind"), [({}, "PAPER"), ({"mode": "live"}, "LIVE")]
)
async def test_whose_money_it_is_stands_in_the_title_and_in_each_snapshot(
    store: Store, clock: FakeClock, database: Path, config: dict[str, object], kind: str
) -> None:
    rig = Rig(config=make_settings(**config), clock=clock, store=store)
    async with site_of(rig, database) as site:
        assert (await site.json("/api/snapshot"))["kind"] == kind
        page = (await site.get("/")).text
        assert f"<title>snexec {kind}</title>" in page


async def test_no_secret_is_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    mask = site.bench.wings.live.mask
    assert isinstance(mask, SecretMask)
    mask.learn(["s3cr3t-value"])
    problems = {"stream": "refused: s3cr3t-value"}
    monkeypatch.setattr(site.bench.health, "problems", lambda: problems, raising=False)
    (site.rig.settings.path.with_name("halt")).write_text('{"reason": "s3cr3t-value"}')
    text = (await site.get("/api/snapshot")).text
    assert "s3cr3t" not in text
    assert "refused: " in text
    assert len(logged_errors.take()) == 1


async def test_of_very_many_positions_the_newest_are_shown(site: Site) -> None:
    for number in range(520):
        add(site.rig.store, f"sn-{number}", f"S{number}")
    shown = (await site.json("/api/snapshot"))["positions"]
    assert len(shown) == 500
    assert shown[-1]["id"] == "sn-519"
