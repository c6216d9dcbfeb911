"""One daemon of a group is active at a time; who is not sure of it is not."""

from __future__ import annotations

import logging
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.events import EventFeed
from snexec.intake import Phase
from snexec.redis.lease import LEASE_RELEASED, Lease
from snexec.risk import Active
from tests.fakes import TrioClock
from tests.input_helpers import World, signal_line, within
from tests.redis.feeding import STREAM, Fed, fed, settings_for, until
from tests.redis.server import Server, needs_redis, running_server, shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import LoggedErrors

pytestmark = needs_redis

KEY = f"{STREAM}:snexec:lease"


@pytest.fixture(autouse=True)
def old_server() -> None:
    """Have the server be old enough to have forgotten nobody."""
    shared_server().grow_old(3)


@asynccontextmanager
async def host(
    server: Server,
    name: str = "host-a",
    **changes: Any,  # noqa: ANN401
) -> AsyncIterator[Fed]:
    async with fed(World(), server, consumer=name, lease_sec=1.0, **changes) as it:
        yield it


def fresh() -> Server:
    server = shared_server()
    server.ask("FLUSHALL")
    return server


async def active(it: Fed) -> None:
    await until(lambda: it.redis.status().lease == "active", "active")


def is_active(it: Fed) -> bool:
    return it.redis.status().lease == "active"


@within(20)
async def test_the_first_one_is_active_and_stays_so() -> None:
    async with host(fresh()) as it:
        assert it.world.intake.phase is Phase.STANDBY
        assert it.active.is_over()
        await active(it)
        for _ in range(30):
            await trio.sleep(0.05)
            assert not it.active.is_over()
        assert it.server.text("GET", KEY).startswith("host-a ")


@within(20)
async def test_the_second_one_stands_by_and_knows_who_is_active() -> None:
    server = fresh()
    async with host(server) as first:
        await active(first)
        async with host(server, "host-b") as second:
            await until(lambda: second.redis.status().holder == "host-a")
            await trio.sleep(1.5)
            assert second.redis.status().lease == "standby"
            assert second.active.is_over()
            assert is_active(first)


@within(20)
async def test_a_standby_takes_no_entry() -> None:
    server = fresh()
    async with host(server) as first:
        await active(first)
        async with host(server, "host-b") as second:
            second.add(signal_line(id="n-1"))
            await trio.sleep(0.3)
            assert second.answers == []


@within(20)
async def test_when_the_active_one_dies_the_other_one_follows_and_never_before() -> (
    None
):
    server = fresh()
    async with host(server, "host-b") as second:
        async with host(server) as first:
            if not first.active.is_over():
                pass
            await until(lambda: is_active(first) or is_active(second))
        # Whoever it was: the other one takes it, once that one's time is over.
        await active(second)


@within(20)
async def test_nobody_is_active_before_the_others_time_is_over() -> None:
    server = fresh()
    async with host(server, "host-b") as second:
        await active(second)
    died_at = trio.current_time()
    until_there = second.active.until
    async with host(server) as first:
        await active(first)
        assert trio.current_time() >= until_there
        assert trio.current_time() - died_at < 2.5


@within(20)
async def test_a_stop_in_good_order_lets_the_other_one_follow_at_once() -> None:
    server = fresh()
    async with host(server) as first:
        await active(first)
        async with host(
            server,
            "host-b",
        ) as second:
            await until(lambda: second.redis.status().holder == "host-a")
            began = trio.current_time()
            await first.redis.give_up_lease()
            assert first.active.is_over()
            await active(second)
            assert trio.current_time() - began < 0.5
    assert server.text("GET", KEY) != LEASE_RELEASED


@within(20)
async def test_one_that_crashed_may_take_it_again_sooner(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    server = fresh()
    said: list[object] = []
    async with host(server) as first:
        await active(first)
    began = trio.current_time()
    async with host(server) as again:
        again.feed.follow(lambda event: said.append(event.more["lease"]), "lease")
        await active(again)
        assert trio.current_time() - began < 0.9
    assert "standby: host-a is active" not in caplog.text, "it is no other host"
    assert "standby: an earlier run of host-a still has the lease (for " in caplog.text
    assert said == ["active"]


@within(20)
async def test_two_of_one_name_are_never_both_active(
    logged_errors: LoggedErrors,
) -> None:
    server = fresh()
    async with host(server) as first:
        await active(first)
        async with host(server) as twin:
            await trio.sleep(2)
            assert is_active(first)
            status = twin.redis.status()
            assert (status.lease, status.holder) == ("standby", "host-a")
    [error] = logged_errors.take()
    assert "another daemon of this group calls itself host-a" in error


# Losing it


@within(20)
async def test_one_that_is_not_heard_in_time_is_not_active_any_more() -> None:
    with running_server() as server:
        server.grow_old(2)
        async with host(server) as it:
            await active(it)
            server.send_signal(signal.SIGSTOP)
            stopped_at = trio.current_time()
            with trio.fail_after(2):
                assert it.redis.lease is not None
                await it.redis.lease.wait_lost()
            assert it.active.is_over()
            assert trio.current_time() - stopped_at < 1.0
            server.send_signal(signal.SIGCONT)
            # For good: what it knows is old by now, and a new one begins in its place.
            await trio.sleep(1.5)
            assert it.active.is_over()


@within(20)
async def test_one_whose_key_another_has_is_not_active_any_more() -> None:
    server = fresh()
    async with host(server) as it:
        await active(it)
        server.ask("SET", KEY, "host-c 1", "PX", "60000")
        assert it.redis.lease is not None
        await it.redis.lease.wait_lost()
        assert it.active.is_over()
        assert server.text("GET", KEY) == "host-c 1"


@within(30)
async def test_a_server_that_has_forgotten_who_is_active_makes_nobody_else_so() -> None:
    with running_server() as server:
        server.grow_old(2)
        async with host(server) as first, host(server, "host-b") as second:
            await until(lambda: is_active(first) or is_active(second))
            server.kill()
            server.start()
            for _ in range(100):
                await trio.sleep(0.01)
                assert first.active.is_over() or second.active.is_over()
            await until(lambda: is_active(first) or is_active(second), "one of them")


@within(20)
async def test_a_server_that_may_have_forgotten_says_nothing_by_a_lease_given_up() -> (
    None
):
    began = trio.current_time()
    with running_server() as server:
        # As restored from before somebody took it.
        server.ask("SET", KEY, LEASE_RELEASED)
        async with host(server) as it:
            await active(it)
            assert trio.current_time() - began >= 1.0


@within(20)
async def test_a_key_that_is_gone_too_early_is_not_taken_before_its_time() -> None:
    server = fresh()
    server.ask("SET", KEY, "host-c 1", "PX", "1500")
    async with host(server) as it:
        await until(lambda: it.redis.status().holder == "host-c")
        seen_at = trio.current_time()
        server.ask("DEL", KEY)
        await active(it)
        assert trio.current_time() - seen_at > 1.0


@within(20)
async def test_without_redis_nobody_is_active() -> None:
    with running_server() as server:
        server.kill()
        async with host(server) as it:
            await trio.sleep(0.5)
            assert it.redis.status().lease == "standby"
            assert it.active.is_over()
            assert await it.redis.claim("reported:2026-01-05") is None


@within(20)
async def test_what_only_one_host_is_to_do_is_done_by_the_first_that_claims_it() -> (
    None
):
    server = fresh()
    async with host(server) as first, host(server, "host-b") as second:
        assert await first.redis.claim("reported:2026-01-05") is True
        assert await second.redis.claim("reported:2026-01-05") is False
        assert await first.redis.claim("reported:2026-01-05") is True, "after a crash"
        assert await second.redis.claim("reported:2026-01-06") is True
    said = server.ask("TTL", "snexec:signals:snexec:reported:2026-01-05")
    assert said.startswith(b":691"), "it is forgotten after 8 days"


@within(20)
async def test_each_change_is_published() -> None:
    server = fresh()
    async with host(server) as it:
        found: list[object] = []
        it.feed.follow(lambda event: found.append((event.event, dict(event.more))))
        await active(it)
        server.ask("SET", KEY, "host-c 1", "PX", "60000")
        await until(lambda: len(found) == 2)
        assert found == [
            ("lease", {"lease": "active", "by": "host-a", "host": "host-a"}),
            ("lease", {"lease": "standby", "by": None, "host": "host-a"}),
        ]


@within(20)
async def test_without_a_lease_one_is_always_active() -> None:
    async with fed(World(), fresh()) as it:
        await it.connected()
        assert it.redis.status().lease == "none"
        assert not it.active.is_over()


class LateSession:
    """A server that has no lease yet, and takes its time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def info(self, _section: str) -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {"uptime_in_seconds": "3600"}

    async def lease(self, _key: str) -> tuple[str, float]:
        await trio.lowlevel.checkpoint()
        return "", 0.0

    async def take_lease(self, _key: str, value: str, **_more: object) -> str:
        await trio.sleep(self.seconds)
        return value


@pytest.mark.jumping_time
async def test_a_renewal_that_is_answered_too_late_brings_nothing_back() -> None:
    clock, session = TrioClock(), LateSession()
    active = Active(clock)
    settings = settings_for(shared_server(), lease_sec=1.0)
    lease = Lease(settings, active, EventFeed(clock=clock), clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.wait_lost)
        with trio.move_on_after(0.1):
            await lease.run(cast("Any", session))
        assert not active.is_over()  # until 0.8
        await trio.sleep(0.6)
        session.seconds = 0.2
        with trio.move_on_after(0.5):
            await lease.run(cast("Any", session))
    assert lease.state == "standby"
    assert active.is_over()
