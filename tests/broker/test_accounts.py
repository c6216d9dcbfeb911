"""One client per mode; a replaced one stays open while its orders need it."""

from __future__ import annotations

import contextlib
import resource
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from snexec.broker.accounts import Accounts, BudgetStatus
from snexec.broker.budget import Purpose
from snexec.broker.simulated import BuiltInExchange
from snexec.errors import ConfigError
from snexec.logs import SecretMask
from snexec.model import MODES
from snexec.settings.live import LiveSettings
from tests.broker.asking import Outgoing
from tests.fakes import FakeClock, make_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.client import AlpacaClient
    from snexec.model import Mode
    from snexec.settings import Settings

PAPER = {
    "APCA_PAPER_API_KEY_ID": "PKPAPER",
    "APCA_PAPER_API_SECRET_KEY": "paper-secret",
}
LIVE = {"APCA_LIVE_API_KEY_ID": "AKLIVE", "APCA_LIVE_API_SECRET_KEY": "live-secret"}
PLAIN = {"paper_url": "http://127.0.0.1:1", "live_url": "http://127.0.0.1:2"}


def plain(**alpaca: object) -> Settings:
    """Make settings whose URLs need no TLS, which takes longer than the tests."""
    return make_settings(alpaca=PLAIN | alpaca)


@pytest.fixture
def make_accounts() -> Callable[..., Accounts]:
    """Give a function that makes accounts."""

    def make(settings: Settings | None = None, **changes: Any) -> Accounts:  # noqa: ANN401
        live = LiveSettings(
            settings or plain(),
            path=Path("config.toml"),
            mask=SecretMask(),
            environ=changes.pop("environ", PAPER | LIVE),
        )
        return Accounts(live, FakeClock(), **changes)

    return make


def is_open(client: AlpacaClient) -> bool:
    """Return whether a client keeps its connections."""
    return client._pool._nursery is not None


async def test_each_mode_has_its_own_url_and_keys(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts()
    paper, live = accounts.endpoint("paper"), accounts.endpoint("live")
    assert (paper.mode, paper.url) == ("paper", "http://127.0.0.1:1")
    assert (live.mode, live.url) == ("live", "http://127.0.0.1:2")
    assert paper.credentials is not None
    assert live.credentials is not None
    assert paper.credentials.values() == ("PKPAPER", "paper-secret")
    assert live.credentials.values() == ("AKLIVE", "live-secret")


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_an_order_goes_to_its_own_mode_with_its_own_keys(
    make_accounts: Callable[..., Accounts], mode: Mode
) -> None:
    lease = make_accounts().try_take(mode, Purpose.ORDER)
    assert lease is not None
    with lease:
        client = lease.use()
        client.send_order(Outgoing())
    (request,) = client._pool._waiting
    assert client.mode == mode
    port = {"paper": 1, "live": 2}[mode]
    assert client._pool._port == port
    assert f"\r\nHost: 127.0.0.1:{port}\r\n".encode() in request.data
    key = {"paper": b"PKPAPER", "live": b"AKLIVE"}[mode]
    assert b"\r\nAPCA-API-KEY-ID: " + key + b"\r\n" in request.data


async def test_a_client_is_lent_only_with_a_request_of_its_budget(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(plain(rate_limit_per_min=1))
    lease = accounts.try_take("paper", Purpose.ORDER)
    assert lease is not None
    assert accounts.try_take("paper", Purpose.ORDER) is None
    assert accounts._held["paper"].leases == 1
    with lease:
        pass
    assert accounts._held["paper"].leases == 0
    assert accounts.try_take("paper", Purpose.ORDER) is not None


async def test_only_the_current_mode_has_warm_connections(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(plain(warm_connections=7))

    def warm() -> list[int]:
        return [held.client._pool._warm for held in accounts._held.values()]

    assert warm() == [7, 0]
    live = plain(warm_connections=7).model_copy(update={"mode": "live"})
    accounts.reconfigure(live)
    assert warm() == [0, 7]


@pytest.mark.parametrize(
    ("limit", "warm"), [(48, 12), (256, 64), (resource.RLIM_INFINITY, 64)]
)
async def test_warm_connections_leave_most_of_the_open_files_to_others(
    make_accounts: Callable[..., Accounts],
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    warm: int,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    accounts = make_accounts(plain())
    assert accounts._held["paper"].client._pool._warm == warm


class Broker:
    """A server that counts the connections to it, and never answers."""

    def __init__(self) -> None:
        self.url = ""
        self.open = 0
        self._changed = trio.Event()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._handle, listeners)

    async def has(self, connections: int) -> None:
        """Wait until this many are open, and no more come."""
        with trio.fail_after(30):
            while self.open != connections:
                await self._changed.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert self.open == connections

    async def _handle(self, stream: trio.SocketStream) -> None:
        self._count(1)
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        self._count(-1)

    def _count(self, change: int) -> None:
        self.open += change
        self._changed.set()
        self._changed = trio.Event()


async def test_connections_follow_the_mode_and_close_with_their_client(
    make_accounts: Callable[..., Accounts], nursery: trio.Nursery
) -> None:
    paper, live, moved = Broker(), Broker(), Broker()
    for broker in (paper, live, moved):
        await nursery.start(broker.run)
    urls = {"paper_url": paper.url, "live_url": live.url, "warm_connections": 3}
    accounts = make_accounts(plain(**urls))
    nursery.start_soon(accounts.run)
    await paper.has(3)
    await live.has(0)
    accounts.reconfigure(plain(**urls).model_copy(update={"mode": "live"}))
    await live.has(3)
    accounts.reconfigure(plain(**urls))
    with accounts.lease("paper") as lease:
        accounts.reconfigure(plain(**urls | {"paper_url": moved.url}))
        await moved.has(3)
        lease.use().send_order(Outgoing())
        await paper.has(3)
    await paper.has(0)
    await moved.has(3)


async def test_each_mode_has_its_own_budget(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(plain(rate_limit_per_min=1))
    assert accounts.budget("paper").try_take(Purpose.ORDER)
    assert not accounts.budget("paper").try_take(Purpose.ORDER)
    assert accounts.budget("live").try_take(Purpose.ORDER)
    with accounts.lease("live") as lease:
        assert lease.client.budget is accounts.budget("live")


async def test_a_status_says_what_is_left_of_each_budget(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(plain(rate_limit_per_min=10))
    before = accounts.status()
    assert before == {"paper": BudgetStatus(10, 10), "live": BudgetStatus(10, 10)}
    lease = accounts.try_take("live", Purpose.ORDER)
    assert lease is not None
    with lease:
        taken = accounts.status()
        assert taken == {"paper": BudgetStatus(10, 10), "live": BudgetStatus(9, 10)}
    assert accounts.status() == before


async def test_the_built_in_exchange_answers_for_both_modes_with_made_up_keys(
    make_accounts: Callable[..., Accounts],
) -> None:
    urls: dict[Mode, str] = {
        "paper": "http://127.0.0.1:7/paper",
        "live": "http://127.0.0.1:7/live",
    }
    exchange = BuiltInExchange(urls=urls, quote=lambda *_: None, id_salt="s")
    accounts = make_accounts(exchange=exchange)
    for mode, url in urls.items():
        endpoint = accounts.endpoint(mode)
        assert endpoint.url == url
        assert endpoint.credentials is not None
        assert endpoint.credentials.values() == ("simulated", "simulated-secret")


async def test_the_accounts_of_the_built_in_exchange_are_named_so(
    make_accounts: Callable[..., Accounts],
) -> None:
    urls: dict[Mode, str] = {
        "paper": "http://127.0.0.1:7",
        "live": "http://127.0.0.1:8",
    }
    exchange = BuiltInExchange(urls=urls, quote=lambda *_: None, id_salt="s")
    simulated, real = make_accounts(exchange=exchange), make_accounts()
    assert (simulated.simulated, real.simulated) == (True, False)
    assert [simulated.name_of("paper"), simulated.name_of("live")] == [
        "simulated paper",
        "simulated live",
    ]
    assert [real.name_of("paper"), real.name_of("live")] == ["paper", "live"]


DATA = {"url": "https://data.example", "stream_url": "wss://stream.example"}


async def test_market_data_takes_the_current_modes_keys_or_else_the_others(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(environ=PAPER)
    for mode in MODES:
        found = accounts.data_endpoint(mode, **DATA)
        assert (found.url, found.stream_url) == tuple(DATA.values())
        assert found.credentials == accounts.endpoint("paper").credentials is not None
    assert make_accounts(environ={}).data_endpoint("paper", **DATA).credentials is None


async def test_the_built_in_exchange_has_market_data_too(
    make_accounts: Callable[..., Accounts],
) -> None:
    exchange = BuiltInExchange(
        urls={"paper": "http://127.0.0.1:7", "live": "http://127.0.0.1:7/live"},
        quote=lambda *_: None,
        id_salt="s",
        data_url="http://127.0.0.1:7/data",
    )
    found = make_accounts(exchange=exchange).data_endpoint("live", **DATA)
    assert found.url == "http://127.0.0.1:7/data"
    assert found.stream_url == "ws://127.0.0.1:7/data"
    assert found.credentials is not None


async def test_market_data_has_a_budget_of_its_own(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(environ=PAPER)
    endpoint = accounts.data_endpoint("paper", **DATA)
    client = accounts.data_client(endpoint, timeout_seconds=5.0)
    assert client.endpoint is endpoint
    assert client.budget.try_take(Purpose.START)
    assert accounts.budget("paper").left == accounts.budget("paper").limit


async def test_a_mode_without_keys_has_an_endpoint_without_them(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts(environ=PAPER)
    assert accounts.endpoint("paper").credentials is not None
    assert accounts.endpoint("live").credentials is None


# New settings


async def test_the_same_settings_change_nothing(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts()
    with accounts.lease("paper") as before:
        assert not accounts.reconfigure(plain())
        with accounts.lease("paper") as after:
            assert after.client is before.client


@pytest.mark.parametrize(
    "changes",
    [
        {"paper_url": "http://127.0.0.1:3"},
        {"api_key": "PKNEW", "api_secret": "new-secret"},
    ],
)
async def test_a_new_url_or_key_holds_for_its_mode_from_the_next_order_on(
    make_accounts: Callable[..., Accounts], changes: dict[str, str]
) -> None:
    accounts = make_accounts(environ=LIVE)
    with accounts.lease("paper") as old, accounts.lease("live") as live:
        assert accounts.reconfigure(plain(**changes))
        with accounts.lease("paper") as new, accounts.lease("live") as same:
            assert new.client is not old.client
            assert same.client is live.client


async def test_an_order_keeps_its_client_to_the_end(
    make_accounts: Callable[..., Accounts], nursery: trio.Nursery
) -> None:
    accounts = make_accounts()
    nursery.start_soon(accounts.run)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(30):
        with accounts.lease("paper") as first:
            with accounts.lease("paper") as second:
                assert second.client is first.client
                accounts.reconfigure(plain(paper_url="http://127.0.0.1:3"))
            await trio.testing.wait_all_tasks_blocked()
            assert is_open(first.client), "one order still uses it"
        await trio.testing.wait_all_tasks_blocked()
        assert not is_open(first.client)
        with accounts.lease("paper") as new:
            assert is_open(new.client)


async def test_a_client_that_nobody_uses_is_closed_at_once(
    make_accounts: Callable[..., Accounts], nursery: trio.Nursery
) -> None:
    accounts = make_accounts()
    nursery.start_soon(accounts.run)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(30):
        with accounts.lease("live") as lease:
            assert is_open(lease.client)
        accounts.reconfigure(plain(live_url="http://127.0.0.1:3"))
        await trio.testing.wait_all_tasks_blocked()
        assert not is_open(lease.client)


async def test_a_lease_ends_when_its_order_fails(
    make_accounts: Callable[..., Accounts], nursery: trio.Nursery
) -> None:
    accounts = make_accounts()
    nursery.start_soon(accounts.run)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(30):
        with pytest.raises(ZeroDivisionError), accounts.lease("paper") as lease:
            raise ZeroDivisionError
        assert is_open(lease.client)
        accounts.reconfigure(plain(paper_url="http://127.0.0.1:3"))
        await trio.testing.wait_all_tasks_blocked()
        assert not is_open(lease.client)


async def test_keys_that_cannot_be_used_change_nothing(
    make_accounts: Callable[..., Accounts],
) -> None:
    environ = dict(PAPER)
    accounts = make_accounts(environ=environ)
    before = accounts.endpoint("paper"), accounts.endpoint("live")
    environ["APCA_LIVE_API_KEY_ID"] = "AK without its secret"
    with pytest.raises(ConfigError, match="APCA_LIVE_API_SECRET_KEY"):
        accounts.reconfigure(plain(paper_url="http://127.0.0.1:3"))
    assert (accounts.endpoint("paper"), accounts.endpoint("live")) == before


async def test_a_bundle_that_cannot_be_read_changes_nothing(
    make_accounts: Callable[..., Accounts],
) -> None:
    environ = PAPER | LIVE | {"SSL_CERT_FILE": "/nowhere/at/all.pem"}
    accounts = make_accounts(environ=environ)
    before = accounts.endpoint("paper"), accounts.endpoint("live")
    with pytest.raises(OSError, match="No such file"):
        accounts.reconfigure(
            plain(paper_url="http://127.0.0.1:3", live_url="https://127.0.0.1:4")
        )
    assert (accounts.endpoint("paper"), accounts.endpoint("live")) == before


async def test_one_context_verifies_rest_and_stream(
    make_accounts: Callable[..., Accounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = make_accounts()
    context = accounts.tls()
    assert accounts.tls() is context
    used: list[object] = []
    monkeypatch.setattr(
        "snexec.broker.accounts.AlpacaClient",
        lambda **values: used.append(values["ssl_context"]),
    )
    accounts._hold(accounts._endpoint("paper", make_settings()), make_settings())
    assert used == [context]


async def test_the_context_that_the_start_made_is_not_made_again(
    make_accounts: Callable[..., Accounts],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert make_accounts(tls=context).tls() is context


async def test_cancelled_it_closes_every_client(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts()
    with accounts.lease("paper") as paper, accounts.lease("live") as live:
        pass
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accounts.run)
            await trio.testing.wait_all_tasks_blocked()
            assert is_open(paper.client)
            assert is_open(live.client)
            nursery.cancel_scope.cancel()
        assert not is_open(paper.client)
        assert not is_open(live.client)


async def test_no_key_shows_in_an_endpoint(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts()
    shown = repr(accounts.endpoint("paper")) + str(accounts.endpoint("live"))
    for secret in (*PAPER.values(), *LIVE.values()):
        assert secret not in shown


async def test_new_settings_may_come_when_the_connections_are_closed_already(
    make_accounts: Callable[..., Accounts],
) -> None:
    accounts = make_accounts()
    with trio.move_on_after(0.01):
        await accounts.run()
    assert accounts.reconfigure(plain(paper_url="http://127.0.0.1:9"))
    assert accounts.endpoint("paper").url == "http://127.0.0.1:9"
