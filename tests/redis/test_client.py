"""Sessions: their errors in one form, who the host is, and the driver only where it is used."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.errors import RedisCommandError, RedisLostError
from snexec.redis.client import Session, _why, hold_session
from snexec.settings import RedisSettings
from snexec.settings.redis import RedisAddress, read_address
from tests.input_helpers import within
from tests.integration.harness import ROOT
from tests.redis.feeding import no_tls
from tests.redis.server import free_port, needs_redis, running_server, shared_server

if TYPE_CHECKING:
    from pathlib import Path


def at(port: int, host: str = "127.0.0.1", *, encrypted: bool = False) -> RedisAddress:
    return RedisAddress(host, port, 0, None, None, encrypted=encrypted)


async def ask_time(session: Session) -> None:
    assert await session.time() > 0


async def test_why_it_is_lost_is_never_that_something_was_cancelled() -> None:
    async def lose() -> None:
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            raise OSError("the line is cut")  # noqa: B904 - as a driver does

    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(OSError, match="the line is cut") as caught:
            await lose()
    assert isinstance(caught.value.__context__, trio.Cancelled)
    assert _why(caught.value) == "the line is cut"


@within(20)
async def test_nobody_there_is_one_error() -> None:
    with pytest.raises(RedisLostError, match="Connection refused"):
        await hold_session(at(free_port()), no_tls, ask_time)


@needs_redis
@within(20)
async def test_a_command_that_is_refused_is_one_error_in_the_servers_words() -> None:
    server = shared_server()
    server.ask("FLUSHALL")
    server.ask("SET", "s", "text")

    async def speak(session: Session) -> None:
        await session.make_group()

    with pytest.raises(RedisCommandError, match="wrong kind"):
        await hold_session(at(server.port), no_tls, speak, stream="s", group="g")


@within(20)
async def test_what_a_stop_breaks_off_is_no_lost_connection() -> None:
    async def say_nothing(stream: trio.SocketStream) -> None:
        async for _asked in stream:
            pass

    async with trio.open_nursery() as nursery:
        port: int = (await nursery.start(trio.serve_tcp, say_nothing, 0))[
            0
        ].socket.getsockname()[1]
        with trio.move_on_after(0.5) as patience:
            await hold_session(at(port), no_tls, ask_time)
        assert patience.cancelled_caught
        nursery.cancel_scope.cancel()


@needs_redis
@within(20)
async def test_a_fault_of_our_own_is_not_hidden() -> None:
    async def speak(_session: Session) -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:
        await hold_session(at(shared_server().port), no_tls, speak)
    assert caught.group_contains(ZeroDivisionError)


@needs_redis
@within(20)
async def test_a_cancelled_read_leaves_nothing_behind() -> None:
    server = shared_server()
    server.ask("FLUSHALL")

    async def speak(session: Session) -> None:
        await session.make_group()
        await session.read(1)

    with trio.move_on_after(0.2) as scope:
        await hold_session(
            at(server.port), no_tls, speak, stream="s", group="g", consumer="c"
        )
    assert scope.cancelled_caught


@needs_redis
@within(20)
async def test_a_lease_is_taken_by_one_kept_and_given_up() -> None:
    server = shared_server()
    server.ask("FLUSHALL")

    async def speak(session: Session) -> None:
        async def take(who: str, seconds: float = 5, instead_of: str = "") -> str:
            return await session.take_lease(
                "k", who, seconds=seconds, instead_of=instead_of
            )

        assert await session.lease("k") == ("", 0)
        assert await take("a 1") == "a 1"
        assert await take("b 1") == "a 1"
        assert await take("a 1", 9) == "a 1"
        who, left = await session.lease("k")
        assert who == "a 1"
        assert 5 < left <= 9
        await session.release_lease("k", "b 1", "-", seconds=5)
        assert await take("b 1") == "a 1"
        # One that has come back after a crash, under the same name.
        assert await take("a 2", instead_of="a 1") == "a 2"
        await session.release_lease("k", "a 2", "-", seconds=5)
        assert (await session.lease("k"))[0] == "-"
        assert await take("b 1", instead_of="-") == "b 1"

    await hold_session(at(server.port), no_tls, speak)


@needs_redis
@within(20)
async def test_a_connection_that_was_lost_is_not_replaced_within_a_session() -> None:
    server = shared_server()
    spoken = []

    async def speak(session: Session) -> None:
        await session.time()
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await trio.sleep(0.1)
        spoken.append("before")
        await session.time()
        spoken.append("after")

    with pytest.raises(RedisLostError, match="lost"):
        await hold_session(at(server.port), no_tls, speak)
    assert spoken == ["before"]


@needs_redis
@within(20)
async def test_a_password_and_a_database_of_the_url_are_used() -> None:
    with running_server("--requirepass", "geheim wort") as server:
        url = f"redis://:geheim%20wort@127.0.0.1:{server.port}/3"

        async def speak(session: Session) -> None:
            await session.add("s", {b"a": b"b"})
            assert (await session.info("keyspace")).keys() == {"db3"}

        await hold_session(read_address(url), no_tls, speak)
        wrong = read_address(f"redis://:falsch@127.0.0.1:{server.port}")
        with pytest.raises(
            (RedisCommandError, RedisLostError), match=r"WRONGPASS|wrong|invalid"
        ):
            await hold_session(wrong, no_tls, speak)


# Who the host is


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@needs_redis
@within(60)
async def test_an_encrypted_server_is_verified_by_its_name_and_certificate(
    tmp_path: Path,
) -> None:
    key, certificate = make_certificate(tmp_path, "localhost")
    port = free_port()
    words = ("--tls-port", str(port), "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate))

    with running_server(*words, *files):
        await hold_session(at(port, "localhost", encrypted=True), trusting, ask_time)
        with pytest.raises(RedisLostError, match=r"(?i)mismatch|not valid for"):
            await hold_session(
                at(port, "127.0.0.1", encrypted=True), trusting, ask_time
            )
        with pytest.raises(RedisLostError, match=r"(?i)self.signed"):
            await hold_session(
                at(port, "localhost", encrypted=True),
                ssl.create_default_context,
                ask_time,
            )


# The driver


def test_nothing_of_the_driver_is_imported_without_its_section() -> None:
    program = (
        "import sys, snexec.app, snexec.cli.daemon, snexec.web.families\n"
        "names = ('coredis', 'anyio._backends', 'snexec.redis.client')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_settings_name_no_driver() -> None:
    assert RedisSettings().url is None
