"""The path of the Unix socket: bound for its owner alone, or refused."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snexec.errors import StartError
from snexec.intake.listener import open_listener
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
