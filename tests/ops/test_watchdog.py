"""Which parts hang: and that those which only wait are alive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.testing

from snexec.intake.admission import Phase
from snexec.ops.watchdog import Watchdog, knock_at
from snexec.stream import connection as connection_module
from tests.fakes import Rig
from tests.ops.bench import Bench, listening

pytestmark = pytest.mark.jumping_time


class Watch:
    """A watchdog that looks every 15 seconds, and how its knock is answered."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.rig = bench.rig
        self.stream = bench.stream
        self.answer_seconds = 0.0
        self.refuse: Exception | None = None
        self.watchdog = Watchdog(bench.wings, self._knock)

    async def _knock(self) -> None:
        await trio.sleep(self.answer_seconds)
        if self.refuse is not None:
            raise self.refuse

    async def look(self, times: int = 1) -> list[list[str]]:
        found = []
        for _ in range(times):
            began = trio.current_time()
            found.append(await self.watchdog.hung(15.0))
            await trio.sleep_until(began + 15)
        return found


@pytest.fixture
async def watch(bench: Bench) -> Watch:
    return Watch(bench)


async def test_an_idle_daemon_is_alive_forever(watch: Watch) -> None:
    assert await watch.look(50) == [[]] * 50
    assert watch.rig.writer.writes == 50, "a probe at each look"
    assert watch.rig.writer._probes.waiting == 0, "and each came back"


async def test_a_socket_that_does_not_answer_is_a_hung_intake(watch: Watch) -> None:
    watch.answer_seconds = 7
    assert await watch.look() == [[]]
    watch.answer_seconds = 8
    assert await watch.look() == [["intake"]]
    watch.answer_seconds, watch.refuse = 0, ConnectionRefusedError()
    assert await watch.look() == [["intake"]]


async def test_signals_that_nobody_works_off_are_a_hung_intake(watch: Watch) -> None:
    assert watch.bench.take().status == "accepted"

    assert await watch.look(3) == [[]] * 3, "it may still wait for its turn"
    assert await watch.look(2) == [["intake"]] * 2


async def test_signals_that_wait_for_recovery_or_for_a_slot_are_no_hung_intake(
    watch: Watch,
) -> None:
    assert watch.bench.take().status == "accepted"
    watch.rig.intake.phase = Phase.STARTING
    assert await watch.look(5) == [[]] * 5
    watch.rig.intake.phase = Phase.TAKING
    watch.rig.dispatcher.in_flight = 64
    assert await watch.look(5) == [[]] * 5


async def test_a_flow_of_signals_is_no_hung_intake(watch: Watch) -> None:
    for symbol in ("A", "B", "C"):
        watch.bench.take(symbol)
    for number in range(10):
        watch.bench.take(f"N{number}")  # one comes, and one is worked off
        watch.rig.orders._queue.started()
        assert watch.rig.pending == 3
        assert await watch.look() == [[]]


async def test_a_writer_that_does_nothing_with_a_change_is_hung(watch: Watch) -> None:
    watch.rig.writer._pending = 1

    assert await watch.look(3) == [[], ["writer"], ["writer"]]


async def test_a_writer_that_tries_again_and_again_is_alive(watch: Watch) -> None:
    watch.rig.writer._pending = 1
    for _ in range(10):
        watch.rig.writer._committer.tries += 1
        assert await watch.look() == [[]]


async def test_a_probe_that_is_never_done_is_a_hung_writer(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(_change: object) -> None:
        watch.rig.writer._pending = 1

    monkeypatch.setattr(watch.rig.writer, "put", put)

    assert await watch.look(3) == [[], ["writer"], ["writer"]]


async def attempt_forever() -> None:
    await trio.sleep_forever()


async def test_a_stream_whose_next_step_is_overdue_is_hung(
    watch: Watch, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.stream, "_attempt", attempt_forever)
    nursery.start_soon(watch.stream.run)
    await trio.lowlevel.checkpoint()

    assert await watch.look(8) == [[]] * 8
    assert await watch.look(2) == [[], ["stream"]]
    nursery.cancel_scope.cancel()


async def test_a_stream_that_is_to_restart_later_is_alive(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(Bench(make_rig(stream={"restart_delay_sec": 300.0})))
    monkeypatch.setattr(watch.stream, "_attempt", attempt_forever)
    nursery.start_soon(watch.stream.run)
    await trio.testing.wait_all_tasks_blocked()
    watch.stream.restart()
    assert await watch.look(29) == [[]] * 29
    nursery.cancel_scope.cancel()


async def test_a_stream_that_waits_for_its_next_try_is_alive(
    watch: Watch, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> NoReturn:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(connection_module, "open_connection", refused)
    nursery.start_soon(watch.stream.run)

    assert await watch.look(100) == [[]] * 100
    nursery.cancel_scope.cancel()


async def test_a_stream_that_waits_for_the_writer_is_not_hung_itself(
    watch: Watch,
) -> None:
    watch.stream._life._due = 0.0
    watch.stream._life.handing_over = True
    assert await watch.look(3) == [[]] * 3
    watch.stream._life.handing_over = False
    assert await watch.look() == [["stream"]]


# The knock ----------------------------------------------------------------------------


async def test_a_knock_asks_for_what_no_feeder_does_and_takes_any_answer() -> None:
    async with listening(b"x") as (path, asked):
        await knock_at(path)

    assert asked == [b'{"command": "knock"}\n']


async def test_a_knock_that_is_hung_up_on_has_no_answer() -> None:
    async with listening(b"") as (path, _):
        with pytest.raises(trio.BrokenResourceError):
            await knock_at(path)


async def test_a_knock_where_nothing_listens_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await knock_at(str(tmp_path / "s"))
