"""The path of the Unix socket: bound for its owner alone, or refused."""

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import trio

from snexec.access import SocketAccess
from snexec.errors import StartError
from snexec.intake.listener import Entrance, open_listener
from tests.conftest import LoggedErrors
from tests.fakes import warnings_of
from tests.input_helpers import served, short_dir, signal_line, within


@pytest.fixture
def path() -> Iterator[Path]:
    with short_dir() as directory:
        yield directory / "s"


def test_the_socket_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with open_listener(path):
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
        assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_the_socket_is_removed_at_the_end(path: Path) -> None:
    with open_listener(path):
        assert path.exists()

    assert not path.exists()


def test_the_socket_is_removed_after_a_failure(path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), open_listener(path):
        raise RuntimeError("boom")

    assert not path.exists()


def test_a_socket_that_took_its_place_is_not_removed(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as another:
        with open_listener(path):
            path.unlink()
            another.bind(str(path))

        assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_file_that_took_its_place_is_not_removed(path: Path) -> None:
    with open_listener(path):
        path.unlink()
        path.write_text("mine")

    assert path.read_text() == "mine"


def test_a_socket_that_is_gone_at_the_end_is_no_error(path: Path) -> None:
    with open_listener(path):
        path.unlink()


@within(5)
async def test_the_socket_of_a_dead_daemon_is_replaced(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
        dead.listen()

    async with served(path=path) as it, it.client() as client:
        assert await client.ask(signal_line()) == {"status": "accepted", "id": "n-1"}


def refuse_to_remove(_path: Path, **_how: bool) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def refused(path: Path) -> str:
    with pytest.raises(StartError) as caught, open_listener(path):
        pass
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "precious"])
def test_a_regular_file_is_refused_and_untouched(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)

    said = refused(path)

    assert said == (
        f"intake.socket: {path} exists and is no socket: move it away or name another"
        " path"
    )
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_directory_is_refused_and_untouched(path: Path) -> None:
    path.mkdir()

    assert "exists and is no socket" in refused(path)
    assert path.is_dir()


def test_a_link_is_refused_and_untouched(path: Path) -> None:
    aim = path.with_name("aim")
    aim.write_text("precious")
    path.symlink_to(aim)

    assert "exists and is no socket" in refused(path)
    assert path.is_symlink()
    assert aim.read_text() == "precious"


def test_a_living_socket_is_never_stolen(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as living:
        living.bind(str(path))
        living.listen()
        inode = path.stat().st_ino

        said = refused(path)

        assert said == f"intake.socket: {path} is in use by another daemon"
        assert path.stat().st_ino == inode
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(path))


def test_a_living_socket_that_is_too_busy_to_answer_is_not_stolen(
    path: Path,
) -> None:
    with (
        closing(socket.socket(socket.AF_UNIX)) as living,
        closing(socket.socket(socket.AF_UNIX)) as client,
    ):
        living.bind(str(path))
        living.listen(0)
        client.connect(str(path))  # fills its backlog
        inode = path.stat().st_ino

        said = refused(path)

        assert said.startswith(f"intake.socket: cannot tell whether {path} is in use: ")
        assert path.stat().st_ino == inode


def test_a_second_daemon_on_the_same_socket_is_refused(path: Path) -> None:
    with open_listener(path):
        said = refused(path)

        assert said == f"intake.socket: {path} is in use by another snexec daemon"
        assert path.exists()


def test_the_lock_holds_though_the_socket_was_removed(path: Path) -> None:
    with open_listener(path):
        path.unlink()

        assert "in use by another snexec daemon" in refused(path)
        assert not path.exists()


@within(5)
async def test_the_socket_is_free_again_after_a_daemons_end(path: Path) -> None:
    for _ in range(3):
        async with served(path=path) as it, it.client() as client:
            assert await client.ask(signal_line()) == {
                "status": "accepted",
                "id": "n-1",
            }


def test_a_path_that_cannot_be_made_is_named(path: Path) -> None:
    said = refused(path / "missing" / "s")

    assert said.startswith("intake.socket: ")
    assert str(path / "missing" / "s") in said
    assert "No such file or directory" in said


def test_a_path_that_cannot_be_bound_is_named(path: Path) -> None:
    long = path.with_name("x" * 120)

    assert str(long) in refused(long)
    assert not long.exists()


# One daemon after the other, in one process


def test_an_entrance_opens_one_listener_and_removes_its_socket(path: Path) -> None:
    with Entrance(path, SocketAccess()) as entrance:
        assert not path.exists(), "nothing is listened at before somebody serves"
        listener = entrance.listener()
        assert entrance.listener() is listener
        assert path.exists()
    assert not path.exists()


@within(30)
async def test_who_comes_between_two_daemons_waits_for_the_second_one(
    path: Path,
) -> None:
    with Entrance(path, SocketAccess()) as entrance, ExitStack() as stack:
        for number in range(2):
            answered = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    entrance.listener().serve, partial(_answer, answered), _same
                )
                if number == 0:
                    stack.enter_context(connected(path))
                await answered.wait()
                nursery.cancel_scope.cancel()
            stack.enter_context(connected(path))


@within(30)
async def test_who_comes_after_a_stop_is_refused_at_once(path: Path) -> None:
    with Entrance(path, SocketAccess()) as entrance:
        entrance.listener().refuse()
        with (
            closing(socket.socket(socket.AF_UNIX)) as client,
            pytest.raises(ConnectionRefusedError),
        ):
            client.connect(str(path))


async def _answer(answered: trio.Event, stream: trio.SocketStream) -> None:
    answered.set()
    await stream.aclose()


def _same(listener: trio.SocketListener) -> trio.SocketListener:
    return listener


# What others do to its file while it is in use


@within(30)
async def test_a_socket_that_is_removed_is_made_again_and_its_clients_go_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(path=path) as it, it.client() as early:
        assert await early.ask(signal_line(id="n-1")) == accepted("n-1")
        remove(path)
        await until(path.exists)
        assert mode(path) == 0o600
        async with it.client() as late:
            assert await late.ask(signal_line(id="n-2")) == accepted("n-2")
        assert await early.ask(signal_line(id="n-3")) == accepted("n-3")
    assert warnings_of(caplog) == [
        f"{path} was removed or replaced while in use: it is made again, and clients"
        " that are connected go on"
    ]
    assert not is_there(path), "it is removed at the end, as ever"


@within(30)
async def test_a_dead_socket_in_its_place_is_replaced(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(path=path) as it:
        remove(path)
        with closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(str(path))
        await until(lambda: warnings_of(caplog))
        async with it.client() as client:
            assert await client.ask(signal_line()) == accepted("n-1")


@within(30)
async def test_clients_that_wait_as_it_is_made_again_are_let_in(path: Path) -> None:
    with ExitStack() as stack:
        async with served(path=path) as it, it.client() as early:
            assert await early.ask(signal_line(id="n-0")) == accepted("n-0")
            waiting = [stack.enter_context(connected(path)) for _ in range(20)]
            for number, client in enumerate(waiting, start=1):
                client.send(signal_line(id=f"n-{number}") + b"\n")
            remove(path)
            time.sleep(1.5)  # noqa: ASYNC251 - the loop hangs, and then all is due
            await it.world.orders.wait_for(21)
            await until(path.exists)


@within(30)
async def test_a_dead_socket_that_cannot_be_removed_is_an_error_and_ends_nothing(
    path: Path, logged_errors: LoggedErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(path=path) as it, it.client() as client:
        remove(path)
        with closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(str(path))
        with monkeypatch.context() as patch:  # the folder is another's, and sticky
            patch.setattr(Path, "unlink", refuse_to_remove)
            assert await first_of(logged_errors) == [
                f"intake.socket: {path} is dead and cannot be removed: Operation not"
                " permitted; no new client reaches this daemon until that ends"
            ]
            assert await client.ask(signal_line()) == accepted("n-1")


def test_a_socket_that_cannot_be_removed_at_the_end_is_left_to_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, open_listener(path):
        patch.setattr(Path, "unlink", refuse_to_remove)
    assert path.exists()
    with open_listener(path):
        pass
    assert not path.exists()


def test_a_dead_socket_that_cannot_be_removed_is_a_refusal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    monkeypatch.setattr(Path, "unlink", refuse_to_remove)
    assert refused(path) == (
        f"intake.socket: {path} is dead and cannot be removed: Operation not permitted"
    )


@within(30)
async def test_a_living_socket_in_its_place_is_an_error_and_not_taken_over(
    path: Path, logged_errors: LoggedErrors
) -> None:
    async with served(path=path) as it, it.client() as client:
        remove(path)
        with closing(socket.socket(socket.AF_UNIX)) as living:
            living.bind(str(path))
            living.listen()
            found = inode(path)
            assert await first_of(logged_errors) == [
                f"intake.socket: {path} is in use by another daemon; no new client"
                " reaches this daemon until that ends"
            ]
            assert inode(path) == found
            assert await client.ask(signal_line()) == accepted("n-1")
        remove(path)
        await until(path.exists)
        async with it.client() as late:
            assert await late.ask(signal_line(id="n-2")) == accepted("n-2")


@within(30)
async def test_a_file_in_its_place_is_an_error_and_untouched(
    path: Path, logged_errors: LoggedErrors
) -> None:
    async with served(path=path):
        remove(path)
        write(path)
        [error] = await first_of(logged_errors)
        assert "exists and is no socket" in error
        assert read(path) == "precious"


@within(30)
async def test_a_lock_that_is_removed_is_made_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = path.with_name("s.lock")
    async with served(path=path):
        remove(lock)
        await until(lock.exists)
    assert warnings_of(caplog) == [
        f"{lock} was removed or replaced while in use: it is made again"
    ]


def accepted(signal_id: str) -> dict[str, str]:
    return {"status": "accepted", "id": signal_id}


async def until(holds: Callable[[], object]) -> None:
    """Wait for what the daemon does within a second."""
    while not holds():  # noqa: ASYNC110 - a file sets no event
        await trio.sleep(0.02)


async def first_of(logged_errors: LoggedErrors) -> list[str]:
    """Wait for the next errors."""
    while not (errors := logged_errors.take()):  # noqa: ASYNC110
        await trio.sleep(0.02)
    return errors


def remove(path: Path) -> None:
    path.unlink()


def write(path: Path) -> None:
    path.write_text("precious")


def read(path: Path) -> str:
    return path.read_text()


def inode(path: Path) -> int:
    return path.stat().st_ino


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_there(path: Path) -> bool:
    return path.exists()
