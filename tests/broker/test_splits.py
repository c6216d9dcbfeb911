"""Splits that are announced: those of what is held, as far as they can be read."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from snexec.broker.data import DataClient
from snexec.broker.endpoint import DataEndpoint
from snexec.broker.splits import Split, known_splits, read_splits
from snexec.errors import UnknownOutcomeError
from snexec.exchange.announcements import Announcement
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from tests.fakes import CREDENTIALS, FakeClock

if TYPE_CHECKING:
    from typing import NoReturn

DAY = date(2026, 1, 6)
FORWARD = {
    "id": "189bd849-ab9f-4b4d-aaaa-a6d415fd976d",
    "symbol": "SRE",
    "cusip": "816851109",
    "new_rate": 2,
    "old_rate": 1,
    "process_date": "2026-01-06",
    "ex_date": "2026-01-06",
    "payable_date": "2026-01-05",
}
REVERSE = FORWARD | {"symbol": "MNTS", "new_rate": 1, "old_rate": 50}
UNIT = {
    "old_symbol": "TPBAU",
    "new_symbol": "LVRO",
    "new_rate": 1,
    "old_rate": 1,
    "alternate_symbol": "LVROW",
    "effective_date": "2026-01-06",
}


def page(token: object = None, **kinds: object) -> bytes:
    """Return what the broker answers."""
    return json.dumps({"corporate_actions": kinds, "next_page_token": token}).encode()


def test_each_kind_of_split_is_read_as_new_shares_for_an_old_one() -> None:
    content = page(
        forward_splits=[FORWARD],
        reverse_splits=[REVERSE | {"new_symbol": ""}, REVERSE | {"new_symbol": "MNT"}],
        unit_splits=[UNIT],
        cash_dividends=[{"symbol": "KO", "rate": 0.5}],
    )
    assert read_splits(content) == (
        [
            Split("SRE", Decimal(2), DAY, "SRE"),
            Split("MNTS", Decimal("0.02"), DAY, "MNTS"),
            Split("MNTS", Decimal("0.02"), DAY, "MNT"),
            Split("TPBAU", Decimal(1), DAY, "LVRO"),
        ],
        None,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"new_rate": 0},
        {"old_rate": None},
        {"new_rate": "two"},
        {"ex_date": None},
        {"ex_date": "soon"},
        {"symbol": None},
        {"symbol": "A/B/USD"},
        {"new_symbol": 5},
    ],
)
def test_one_that_cannot_be_read_takes_no_other_away(changes: dict[str, Any]) -> None:
    splits, _token = read_splits(page(forward_splits=[FORWARD | changes, 5, FORWARD]))
    assert [split.symbol for split in splits] == ["SRE"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"corporate_actions":[]}', b"null"]
)
def test_what_is_no_answer_to_the_question_is_none(content: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        read_splits(content)


class Asked(DataClient):
    """A client of market data that answers from a script."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []

    async def get(self, path: str) -> bytes:
        await trio.lowlevel.checkpoint()
        self.paths.append(path)
        return self.answers.pop(0) if self.answers else page()


async def test_it_asks_for_shares_only_page_by_page() -> None:
    client = Asked(
        page("next", forward_splits=[FORWARD]), page(reverse_splits=[REVERSE])
    )
    found = await known_splits(client, {"SRE", "MNTS", "BTC/USD"}, DAY, DAY)
    assert [split.symbol for split in found] == ["SRE", "MNTS"]
    first, second = (urlsplit(path) for path in client.paths)
    assert first.path == "/v1/corporate-actions"
    assert parse_qs(first.query) == {
        "symbols": ["MNTS,SRE"],
        "types": ["forward_split,reverse_split,unit_split"],
        "start": ["2026-01-06"],
        "end": ["2026-01-06"],
        "limit": ["1000"],
    }
    assert parse_qs(second.query)["page_token"] == ["next"]


async def test_what_is_not_held_is_left_out_and_many_are_asked_for_in_parts() -> None:
    client = Asked(page(forward_splits=[FORWARD]))
    assert await known_splits(client, {f"S{n}" for n in range(250)}, DAY, DAY) == []
    assert len(client.paths) == 3
    assert await known_splits(Asked(), {"BTC/USD"}, DAY, DAY) == []


async def test_pages_without_an_end_are_left_after_a_while() -> None:
    client = Asked(*[page("again") for _ in range(100)])
    assert await known_splits(client, {"SRE"}, DAY, DAY) == []
    assert len(client.paths) == 20


def no_tls() -> NoReturn:
    raise AssertionError("an http:// host needs no certificate")


async def test_the_simulated_exchange_lists_what_is_announced(
    nursery: trio.Nursery,
) -> None:
    exchange = Exchange(ExchangeSettings())
    await nursery.start(exchange.run)
    for fields in (
        {"symbol": "KO", "day": DAY, "new_rate": 3},
        {"symbol": "PEP", "day": DAY, "kind": "reverse_split", "new_rate": 1}
        | {"old_rate": 4, "new_symbol": "PEPS"},
        {"symbol": "KO", "day": date(2026, 1, 9)},
        {"symbol": "F", "day": DAY},
        {"symbol": "KO", "day": DAY, "kind": "name_change", "new_symbol": "COKE"},
    ):
        exchange.announcements.add(Announcement.model_validate(fields))
    client = DataClient(
        DataEndpoint(exchange.data_url, "", CREDENTIALS),
        timeout_seconds=5.0,
        clock=FakeClock(),
        tls=no_tls,
    )
    with trio.fail_after(30):
        found = await known_splits(client, {"KO", "PEP"}, DAY, DAY)
    assert found == [
        Split("KO", Decimal(3), DAY, "KO"),
        Split("PEP", Decimal("0.25"), DAY, "PEPS"),
    ]
    nursery.cancel_scope.cancel()
