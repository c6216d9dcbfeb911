"""Snapshots: the latest trade and quote of many symbols, read exactly or not at all."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from snexec.broker.simulated import BuiltInExchange
from snexec.errors import (
    NoAccountError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from snexec.market.snapshots import Snapshots, read_snapshots
from snexec.market.ticks import Quote
from tests.fakes import FakeAccounts, FakeClock, live_settings, make_settings
from tests.market.data import AT, MadeDataSettings, quote, trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.data import DataClient
    from snexec.broker.endpoint import DataEndpoint


def body(told: object) -> bytes:
    """Return what the broker answers."""
    return json.dumps(told).encode()


def snapshot(**changes: object) -> dict[str, Any]:
    """Make a snapshot as the broker sends it."""
    return {"latestTrade": trade(), "latestQuote": quote(), "minuteBar": {}} | changes


def test_a_snapshot_is_the_latest_trade_and_quote_with_their_times() -> None:
    found = read_snapshots(body({"AAPL": snapshot()}), ["AAPL"])["AAPL"]
    assert found.trade is not None
    assert (found.trade.price, found.trade.at) == (Decimal("189.58"), AT)
    assert found.quote == Quote("AAPL", Decimal("189.57"), AT)


def test_those_of_crypto_stand_under_a_name() -> None:
    told = {"snapshots": {"BTC/USD": snapshot()}}
    assert read_snapshots(body(told), ["BTC/USD"], head="snapshots").keys() == {
        "BTC/USD"
    }


@pytest.mark.parametrize(
    ("changes", "has_trade", "has_quote"),
    [
        ({"latestTrade": None}, False, True),
        ({"latestQuote": None}, True, False),
        ({"latestQuote": {"bp": 5}}, True, False),
        ({"latestTrade": trade(p="5")}, False, True),
        ({"latestTrade": trade(u="canceled")}, False, True),
        ({"latestTrade": trade(u="incorrect")}, False, True),
        ({"latestTrade": trade(u=["canceled"])}, False, True),
        ({"latestTrade": trade(u="corrected")}, True, True),
    ],
)
def test_what_of_it_cannot_be_read_or_never_was_is_none(
    changes: dict[str, object], has_trade: bool, has_quote: bool
) -> None:
    found = read_snapshots(body({"AAPL": snapshot(**changes)}), ["AAPL"])["AAPL"]
    assert (found.trade is not None, found.quote is not None) == (has_trade, has_quote)


def test_symbols_that_are_unknown_unreadable_or_not_asked_for_are_left_out() -> None:
    told = {
        "AAPL": snapshot(),
        "KO": None,
        "PEP": {"latestTrade": None, "latestQuote": None},
        "F": snapshot(),
    }
    asked = ["AAPL", "KO", "PEP", "GE"]
    assert read_snapshots(body(told), asked).keys() == {"AAPL"}


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"null", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b"{}", "snapshots"),
        (b"[]", "snapshots"),
        (b'{"snapshots":[]}', "snapshots"),
    ],
)
def test_what_is_no_answer_to_the_question_is_none(content: bytes, head: str) -> None:
    with pytest.raises(UnknownOutcomeError):
        read_snapshots(content, ["AAPL"], head=head)


class Asked:
    """A client of market data that notes what it is asked."""

    def __init__(self, endpoint: DataEndpoint) -> None:
        self.endpoint = endpoint
        self.paths: list[str] = []

    async def get(self, path: str) -> bytes:
        self.paths.append(path)
        await trio.lowlevel.checkpoint()
        return body({"snapshots": {}} if "crypto" in path else {})

    @property
    def asked(self) -> list[tuple[str, dict[str, list[str]]]]:
        """Each question: its path, and its parameters."""
        parts = [urlsplit(path) for path in self.paths]
        return [(part.path, parse_qs(part.query)) for part in parts]


class Accounts(FakeAccounts):
    """Accounts whose client of market data notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(clock=FakeClock())
        self.made: list[Asked] = []

    def data_client(
        self,
        endpoint: DataEndpoint,
        *,
        timeout_seconds: float,
    ) -> DataClient:
        assert timeout_seconds > 0
        self.made.append(Asked(endpoint))
        return self.made[-1]  # type: ignore[return-value]


def make_snapshots(
    accounts: FakeAccounts, settings: Callable[[], MadeDataSettings | None]
) -> Snapshots:
    """Make what asks, for the paper account."""
    return Snapshots(live_settings(make_settings()), accounts, settings)


async def test_each_class_of_asset_has_its_own_question_in_parts() -> None:
    accounts = Accounts()
    shares = [f"S{number}" for number in range(450)]
    await make_snapshots(accounts, MadeDataSettings).ask([*shares, "BTC/USD", "S0"])
    (client,) = accounts.made
    sizes = [len(query["symbols"][0].split(",")) for _path, query in client.asked]
    assert sizes == [200, 200, 50, 1]
    assert {path for path, _query in client.asked[:3]} == {"/v2/stocks/snapshots"}
    assert client.asked[0][1]["feed"] == ["iex"]
    assert client.asked[3] == (
        "/v1beta3/crypto/us/snapshots",
        {"symbols": ["BTC/USD"]},
    )
    assert max(map(len, client.paths)) < 4000


async def test_nothing_is_asked_about_nothing() -> None:
    accounts = Accounts()
    assert await make_snapshots(accounts, MadeDataSettings).ask([]) == {}
    assert accounts.made[0].paths == []


async def test_a_feed_that_only_streams_have_is_not_asked_of_rest() -> None:
    accounts = Accounts()
    await make_snapshots(accounts, lambda: MadeDataSettings(feed="test")).ask(["F"])
    assert "feed" not in accounts.made[0].asked[0][1]


async def test_the_client_is_the_same_until_what_it_is_of_changes() -> None:
    accounts, said = Accounts(), MadeDataSettings()
    snapshots = make_snapshots(accounts, lambda: said)
    for _ in range(2):
        await snapshots.ask(["AAPL"])
    assert len(accounts.made) == 1
    said = MadeDataSettings(data_url="http://127.0.0.1:2")
    await snapshots.ask(["AAPL"])
    assert [client.endpoint.url for client in accounts.made] == [
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    ]
    assert snapshots.client() is accounts.made[1]  # type: ignore[comparison-overlap]


async def test_the_other_modes_keys_are_used_where_the_current_one_has_none() -> None:
    accounts = Accounts()
    accounts.lose_keys("paper")
    await make_snapshots(accounts, MadeDataSettings).ask(["AAPL"])
    keys = accounts.endpoint("live").credentials
    assert accounts.made[0].endpoint.credentials == keys


async def test_without_keys_or_without_the_section_there_is_nobody_to_ask() -> None:
    accounts = Accounts()
    with pytest.raises(NoAccountError):
        await make_snapshots(accounts, lambda: None).ask(["AAPL"])
    accounts.lose_keys("paper")
    accounts.lose_keys("live")
    with pytest.raises(NoAccountError):
        await make_snapshots(accounts, MadeDataSettings).ask(["AAPL"])
    assert accounts.made == []


async def test_the_simulated_exchange_answers_within_a_limit_of_its_own(
    nursery: trio.Nursery,
) -> None:
    exchange = Exchange(ExchangeSettings(seed=1, rate_limit_per_min=3))
    await nursery.start(exchange.run)
    accounts = FakeAccounts(clock=FakeClock())
    accounts._exchange = BuiltInExchange(
        urls={"paper": exchange.paper_url, "live": exchange.live_url},
        quote=exchange.quote,
        id_salt="s",
        data_url=exchange.data_url,
    )
    exchange.quote("KO", Decimal("60.25"))
    exchange.quote("BTC/USD", Decimal("60000.5"))
    snapshots = make_snapshots(accounts, MadeDataSettings)
    with trio.fail_after(30):
        found = await snapshots.ask(["KO", "BTC/USD"])
        prices = {s: each.trade and each.trade.price for s, each in found.items()}
        assert prices == {"KO": Decimal("60.25"), "BTC/USD": Decimal("60000.5")}
        for each in found.values():
            assert each.quote is not None
            assert each.quote.bid is not None
        await snapshots.ask(["KO"])
        with pytest.raises(RateLimitedError):
            await snapshots.ask(["KO"])
        assert accounts.budget("paper").left == 200, "no order waits for it"
    nursery.cancel_scope.cancel()


async def test_keys_that_are_not_taken_are_said(nursery: trio.Nursery) -> None:
    exchange = Exchange(ExchangeSettings())
    await nursery.start(exchange.run)
    for account in (exchange.paper, exchange.live):
        account.refused_keys = frozenset({"*"})
    said = MadeDataSettings(data_url=exchange.data_url)
    snapshots = make_snapshots(FakeAccounts(clock=FakeClock()), lambda: said)
    with trio.fail_after(30), pytest.raises(RefusedError, match="401"):
        await snapshots.ask(["KO"])
    nursery.cancel_scope.cancel()
