"""The file read again: until it holds still, and never for ever."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from snexec.errors import ConfigError
from snexec.ops import rereading
from snexec.ops.rereading import Rereader
from snexec.settings import read_config
from tests.settings.conftest import ConfigFile

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.small_files import SmallFile

jumping = pytest.mark.jumping_time


@pytest.fixture
def file(tmp_path: Path) -> ConfigFile:
    return ConfigFile(tmp_path / "config.toml")


@jumping
@pytest.mark.parametrize("end", ["\n", ""])
async def test_a_file_is_read_until_two_readings_agree(
    file: ConfigFile, end: str
) -> None:
    file.path.write_text(f"mode = 'live'{end}")
    read = await Rereader(file.path).read()

    assert (read.settings.mode, read.content) == (
        "live",
        f"mode = 'live'{end}".encode(),
    )
    assert trio.current_time() == 0.2


@jumping
async def test_limits_that_are_not_written_yet_are_waited_for(
    file: ConfigFile, nursery: trio.Nursery
) -> None:
    half = "mode = 'live'\n[bot]\n"

    async def write() -> None:
        await trio.sleep(0.1)
        file.path.write_text(half + "max_orders_per_day = 1\n")

    file.path.write_text(half)
    nursery.start_soon(write)
    assert (await Rereader(file.path).read()).settings.bot.max_orders_per_day == 1


@jumping
async def test_a_file_that_is_being_written_is_read_once_it_is_whole(
    file: ConfigFile, nursery: trio.Nursery
) -> None:
    whole = "mode = 'live'\n[bot]\nmax_orders_per_day = 100\n"

    async def write_slowly() -> None:
        with file.path.open("w") as half:
            for letter in whole:
                half.write(letter)
                half.flush()
                await trio.sleep(0.02)

    nursery.start_soon(write_slowly)
    await trio.testing.wait_all_tasks_blocked()
    read = await Rereader(file.path).read()
    assert read.content == whole.encode()


@jumping
async def test_a_file_that_is_empty_for_a_moment_is_read_when_it_is_not(
    file: ConfigFile, nursery: trio.Nursery
) -> None:
    async def write() -> None:
        await trio.sleep(0.1)
        file.path.write_text("mode = 'live'\n")

    file.path.touch()
    nursery.start_soon(write)
    assert (await Rereader(file.path).read()).settings.mode == "live"


@jumping
async def test_a_file_that_changed_while_it_was_read_is_read_again(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.path.write_text("mode = 'paper'\n")
    steady = iter([False, True, True])

    def read(path: Path) -> SmallFile:
        found = read_config(path)._replace(steady=next(steady))
        path.write_text("mode = 'live'\n")
        return found

    monkeypatch.setattr(rereading, "read_config", read)
    assert (await Rereader(file.path).read()).settings.mode == "live"


@jumping
async def test_a_file_that_never_holds_still_is_refused(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1000))

    def read(path: Path) -> SmallFile:
        path.write_text(f"# {next(numbers)}")
        return read_config(path)

    monkeypatch.setattr(rereading, "read_config", read)
    with pytest.raises(ConfigError) as caught:
        await Rereader(file.path).read()
    assert str(caught.value) == (
        f"{file.path}: is being written, it changed at each of 10 readings; send SIGHUP once"
        " it is whole"
    )
    assert trio.current_time() == pytest.approx(2)


@pytest.mark.frozen_time
async def test_a_disk_that_hangs_holds_nobody_up_and_is_refused(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    began, disk = threading.Semaphore(0), threading.Event()

    def hang(path: Path) -> SmallFile:
        began.release()
        disk.wait(30)
        return read_config(path)

    file.path.write_text("mode = 'live'\n")
    monkeypatch.setattr(rereading, "read_config", hang)
    rereader = Rereader(file.path)
    refusals: list[str] = []

    async def read() -> None:
        try:
            await rereader.read()
        except ConfigError as exc:
            refusals.append(str(exc))

    for _ in range(2):  # the second one waits for the first one's thread
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
    assert refusals == [f"{file.path}: is not read after 10 s; does its disk hang?"] * 2
    assert began.acquire(timeout=5)
    assert not began.acquire(blocking=False), "one thread, not one for each try"

    disk.set()
    clock.rate = 1.0
    assert (await rereader.read()).settings.mode == "live"


async def test_its_thread_is_made_at_the_start_and_ends_with_it(
    file: ConfigFile,
) -> None:
    def count() -> int:
        return [each.name for each in threading.enumerate()].count("configuration 1")

    others = count()
    file.path.write_text("mode = 'live'\n")
    with Rereader(file.path) as rereader:
        assert count() == others + 1
        assert (await rereader.read()).settings.mode == "live"
        assert count() == others + 1
    assert count() == others


async def test_a_machine_that_starts_no_thread_is_a_refusal(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with Rereader(file.path) as rereader, pytest.raises(ConfigError) as caught:
        await rereader.read()
    assert str(caught.value) == (
        f"{file.path}: cannot be read now: can't start new thread: raise the limit of"
        " processes (TasksMax, ulimit -u), or end some"
    )


async def test_a_limit_that_is_reached_later_refuses_nothing(
    file: ConfigFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    file.path.write_text("mode = 'live'\n")
    with Rereader(file.path) as rereader:
        monkeypatch.setattr(threading.Thread, "start", fail)
        assert (await rereader.read()).settings.mode == "live"


@jumping
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "10 MB", "nothing"])
async def test_what_is_no_configuration_is_refused_at_once(
    file: ConfigFile, kind: str
) -> None:
    match kind:
        case "pipe":
            os.mkfifo(file.path)
        case "folder":
            file.path.mkdir()
        case "device":
            file.path.symlink_to("/dev/zero")
        case "10 MB":
            file.path.write_bytes(b"#" * 10_000_000)
        case _:
            pass
    with pytest.raises(ConfigError, match=r"config\.toml: "):
        await Rereader(file.path).read()
    assert trio.current_time() == 0


@jumping
async def test_keys_that_others_can_read_are_noticed(file: ConfigFile) -> None:
    file.path.write_text("[alpaca]\napi_key = 'k'\napi_secret = 's'\n")
    for mode, open_to_others in ((0o600, False), (0o644, True)):
        file.path.chmod(mode)
        found = (await Rereader(file.path).read()).open_secrets
        assert found == ("keys" if open_to_others else "")
