"""Corporate actions that are announced, as Alpaca's market data lists them."""

from datetime import date, timedelta
from typing import Any

import pytest

from snexec.exchange.announcements import Announcement, Announcements
from snexec.exchange.errors import ApiError

from .conftest import KEYS, Start, new_client, within

TODAY = date(2026, 1, 6)
NOON_NS = 1_767_700_800 * 10**9  # of that day, in UTC


def announced(*actions: dict[str, Any]) -> Announcements:
    """Make what has announced these."""
    made = Announcements(lambda: NOON_NS)
    for action in actions:
        made.add(Announcement.model_validate({"day": TODAY} | action))
    return made


def listed(announcements: Announcements, **params: str) -> dict[str, list[Any]]:
    """Return what a query finds."""
    found = announcements.answer(params)["corporate_actions"]
    assert isinstance(found, dict)
    return found


def test_each_kind_has_alpacas_fields() -> None:
    kinds = ("forward_split", "reverse_split", "unit_split", "name_change")
    found = listed(announced(*({"symbol": "KO", "kind": kind} for kind in kinds)))
    required = {
        "forward_splits": "symbol cusip new_rate old_rate process_date ex_date",
        "reverse_splits": "symbol old_cusip new_cusip new_rate old_rate process_date"
        " ex_date",
        "unit_splits": "old_symbol old_cusip old_rate new_symbol new_cusip new_rate"
        " alternate_symbol alternate_cusip alternate_rate process_date effective_date",
        "name_changes": "old_symbol old_cusip new_symbol new_cusip process_date",
    }
    assert {kind: sorted(each[0]) for kind, each in found.items()} == {
        kind: sorted(["id", *names.split()]) for kind, names in required.items()
    }


def test_a_query_finds_its_symbols_its_types_and_its_days_both_included() -> None:
    days = [TODAY + timedelta(days=n) for n in range(4)]
    made = announced(
        *({"symbol": "KO", "day": day} for day in days),
        {"symbol": "PEP"},
        {"symbol": "KO", "kind": "reverse_split"},
    )
    assert listed(made).keys() == {"forward_splits", "reverse_splits"}
    assert len(listed(made)["forward_splits"]) == 2, "today's, where no day is given"
    found = listed(
        made,
        symbols="KO",
        types="forward_split",
        start=days[1].isoformat(),
        end=days[2].isoformat(),
    )
    assert [each["ex_date"] for each in found["forward_splits"]] == [
        days[1].isoformat(),
        days[2].isoformat(),
    ]
    assert listed(made, symbols="F") == {}


def test_pages_follow_one_another() -> None:
    made = announced(*({"symbol": f"S{n}"} for n in range(5)))
    token, found = "", []
    for size in (2, 2, 1):
        page = made.answer({"limit": "2", "page_token": token})
        actions: Any = page["corporate_actions"]
        assert len(actions["forward_splits"]) == size
        found += [each["symbol"] for each in actions["forward_splits"]]
        token = str(page["next_page_token"])
    assert (found, token) == ([f"S{n}" for n in range(5)], "None")


@pytest.mark.parametrize(
    "params",
    [
        {"start": "soon"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"page_token": "-1"},
        {"start": "2026-01-07", "end": "2026-01-06"},
    ],
)
def test_a_query_without_sense_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        announced().answer(params)


@within(5)
async def test_it_is_announced_by_control_and_listed_below_market_data(
    start: Start,
) -> None:
    bench = await start()
    day = date.today().isoformat()  # noqa: DTZ011 - any will do
    async with (
        new_client(f"{bench.exchange.paper_url}/control/data") as control,
        new_client(bench.exchange.data_url, KEYS) as client,
    ):
        body = {"symbol": "KO", "new_rate": 3, "day": day}
        assert (await control.post("/announce", json=body)).status_code == 204
        assert (await control.post("/announce", json={})).status_code == 422
        url = f"/v1/corporate-actions?symbols=KO&start={day}&end={day}"
        reply = await client.get(url)
        assert reply.status_code == 200
        (split,) = reply.json()["corporate_actions"]["forward_splits"]
        assert (split["symbol"], split["new_rate"], split["ex_date"]) == ("KO", 3, day)
        assert "x-ratelimit-remaining" in reply.headers
    async with new_client(bench.exchange.data_url) as stranger:
        assert (await stranger.get(url)).status_code == 401
