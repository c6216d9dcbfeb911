"""An answer is handed on in the step in which it arrives, and a fault of that step's too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.errors import RedisLostError
from snexec.redis.arrival import hand_on
from snexec.redis.client import Session, hold_session
from tests.input_helpers import within
from tests.redis.feeding import no_tls, until
from tests.redis.server import needs_redis, shared_server
from tests.redis.test_client import at

if TYPE_CHECKING:
    from tests.redis.server import Server

pytestmark = needs_redis


async def ask(session: Session, *words: bytes | str | int) -> object:
    return await hand_on(session._client, *words, take=lambda answer: answer)


@within(20)
async def test_an_answer_is_taken_before_the_one_who_asked_has_a_turn() -> None:
    takers = []

    async def speak(session: Session) -> None:
        await hand_on(
            *(session._client, b"PING"),
            take=lambda _answer: takers.append(trio.lowlevel.current_task()),
        )
        assert takers != [trio.lowlevel.current_task()]

    await hold_session(at(shared_server().port), no_tls, speak)
    assert len(takers) == 1


@within(20)
async def test_a_fault_of_taking_is_the_one_who_askeds_and_costs_no_connection() -> (
    None
):
    def take(_answer: object) -> None:
        raise ZeroDivisionError

    async def speak(session: Session) -> None:
        with pytest.raises(ZeroDivisionError):
            await hand_on(session._client, b"PING", take=take)
        assert await ask(session, b"PING") == b"PONG"

    await hold_session(at(shared_server().port), no_tls, speak)


@within(20)
async def test_a_refusal_is_an_error_and_nothing_is_taken() -> None:
    async def speak(session: Session) -> None:
        await ask(
            session, b"XREADGROUP", b"GROUP", b"none", b"c", b"STREAMS", b"s", b""
        )

    with pytest.raises(RedisLostError, match="consumer group"):
        await hold_session(at(shared_server().port), no_tls, speak)


@within(20)
async def test_a_connection_that_is_lost_meanwhile_is_one_error() -> None:
    server = shared_server()

    async def speak(session: Session) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, session, b"BLPOP", b"nothing", 0)
            await until(lambda: waiting(server) == 1, "it waits")
            server.ask("CLIENT", "KILL", "TYPE", "normal")

    with pytest.raises(RedisLostError):
        await hold_session(at(server.port), no_tls, speak)


@within(20)
async def test_one_that_is_given_up_takes_nothing_and_leaves_no_client_behind() -> None:
    server = shared_server()
    got: list[object] = []

    async def speak(session: Session) -> None:
        await hand_on(session._client, b"BLPOP", b"nothing", 0, take=got.append)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_session, at(server.port), no_tls, speak)
        await until(lambda: waiting(server) == 1, "waits")
        nursery.cancel_scope.cancel()
    await until(lambda: waiting(server) == 0, "is gone")
    assert got == []


def waiting(server: Server) -> int:
    """Return how many clients wait for an answer that takes its time."""
    said = server.ask_whole("INFO", "clients")
    return int(said.partition(b"blocked_clients:")[2].partition(b"\r")[0])
