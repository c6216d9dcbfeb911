from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from snexec.intake.admission import Phase
from snexec.ops.health import Health
from snexec.ops.watchdog import Watchdog
from snexec.settings import StreamSettings
from snexec.stream.trading import TradingStream
from tests.fakes import Rig, make_signal
from tests.streaming import RecordingFills, bare_stream

pytestmark = pytest.mark.jumping_time


class Bench:
    """A rig with a watchdog that looks at it every 15 seconds."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.stream = bare_stream(RecordingFills())
        self.answer_seconds = 0.0
        self.refuse: Exception | None = None
        self.watchdog = Watchdog(
            intake=rig.intake,
            dispatcher=rig.dispatcher,
            stream=self.stream,
            writer=rig.writer,
            settings=lambda: rig.settings,
            knock=self._knock,
        )

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
async def bench(make_rig: Callable[..., Rig]) -> Bench:
    return Bench(make_rig())


async def test_an_idle_daemon_is_alive_for_ever(bench: Bench) -> None:
    assert await bench.look(50) == [[]] * 50
    assert bench.watchdog.probes == 50


async def test_a_socket_that_does_not_answer_is_a_hung_intake(bench: Bench) -> None:
    bench.answer_seconds = 7
    assert await bench.look() == [[]]
    bench.answer_seconds = 8
    assert await bench.look() == [["intake"]]
    bench.answer_seconds, bench.refuse = 0, ConnectionRefusedError()
    assert await bench.look() == [["intake"]]


async def test_signals_that_nobody_works_off_are_a_hung_intake(bench: Bench) -> None:
    bench.rig.intake.counts["accepted"] = 1
    bench.rig.offer(make_signal())

    assert await bench.look(3) == [[]] * 3, "it may still wait for its turn"
    assert await bench.look(2) == [["intake"]] * 2


async def test_signals_that_wait_for_recovery_or_for_a_slot_are_no_hung_intake(
    bench: Bench,
) -> None:
    bench.rig.intake.counts["accepted"] = 1
    bench.rig.offer(make_signal())
    bench.rig.intake.phase = Phase.STARTING
    assert await bench.look(5) == [[]] * 5
    bench.rig.intake.phase = Phase.TAKING
    bench.rig.dispatcher.in_flight = 64
    assert await bench.look(5) == [[]] * 5


async def test_a_flow_of_signals_is_no_hung_intake(bench: Bench) -> None:
    for _ in range(10):
        bench.rig.intake.counts["accepted"] += 1  # one comes, and one is worked off
        bench.rig.pending = 3
        assert await bench.look() == [[]]


async def test_a_writer_that_does_nothing_with_a_change_is_hung(bench: Bench) -> None:
    bench.rig.writer._pending = 1

    assert await bench.look(3) == [[], ["writer"], ["writer"]]


async def test_a_writer_that_tries_again_and_again_is_alive(bench: Bench) -> None:
    bench.rig.writer._pending = 1
    for _ in range(10):
        bench.rig.writer.tries += 1
        assert await bench.look() == [[]]


async def test_a_probe_that_is_never_done_is_a_hung_writer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def submit(*_: object) -> None:
        bench.rig.writer._pending = 1

    monkeypatch.setattr(bench.rig.writer, "submit", submit)

    assert await bench.look(3) == [[], ["writer"], ["writer"]]


async def attempt_for_ever() -> None:
    await trio.sleep_forever()


async def test_a_stream_whose_next_step_is_overdue_is_hung(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.stream, "_attempt", attempt_for_ever)
    nursery.start_soon(bench.stream.run)
    await trio.lowlevel.checkpoint()

    assert await bench.look(8) == [[]] * 8
    assert await bench.look(2) == [[], ["stream"]]
    nursery.cancel_scope.cancel()


async def test_a_stream_that_is_to_restart_later_is_alive(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.stream, "_attempt", attempt_for_ever)
    bench.stream._settings = StreamSettings(restart_delay_sec=300.0)
    nursery.start_soon(bench.stream.run)
    await trio.testing.wait_all_tasks_blocked()
    bench.stream.restart()
    assert await bench.look(29) == [[]] * 29
    nursery.cancel_scope.cancel()


async def test_a_stream_that_waits_for_its_next_try_is_alive(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(bench.stream, "_connect_and_follow", refused)
    nursery.start_soon(bench.stream.run)

    assert await bench.look(100) == [[]] * 100
    nursery.cancel_scope.cancel()


async def test_a_stream_that_waits_for_the_writer_is_not_hung_itself(
    bench: Bench,
) -> None:
    bench.stream.life._due = 0.0
    bench.stream.life.handing_over = True
    assert await bench.look(3) == [[]] * 3
    bench.stream.life.handing_over = False
    assert await bench.look() == [["stream"]]


# Health -------------------------------------------------------------------------------


def health_of(bench: Bench, stream: TradingStream) -> Health:
    return Health(
        intake=bench.rig.intake,
        stream=stream,
        writer=bench.rig.writer,
        stream_grace_seconds=60.0,
    )


async def test_health_names_each_part_that_cannot_do_its_work(bench: Bench) -> None:
    health = health_of(bench, bench.stream)
    bench.stream._set_state("authorized", "paper")
    assert health.problems() == {}

    bench.rig.intake.phase = Phase.STARTING
    bench.rig.writer.healthy = False
    assert health.problems() == {
        "recovery": "not every row is compared with the broker yet",
        "writer": "the database cannot be written, 0 changes wait",
    }


async def test_a_stream_may_be_away_for_a_while_however_often_it_tries(
    bench: Bench,
) -> None:
    health = health_of(bench, bench.stream)
    bench.stream._set_state("authorized", "paper")
    bench.stream._set_state("waiting", "paper")
    await trio.sleep(60)
    assert health.problems() == {}
    bench.stream._set_state("connecting", "paper")
    await trio.sleep(1)
    assert health.problems() == {"stream": "connecting, away for 1.0 min"}
    bench.stream._set_state("authorized", "paper")
    assert health.problems() == {}
    assert health.stream_away_seconds() == 0


async def test_a_disabled_stream_is_unhealthy_at_once(bench: Bench) -> None:
    bench.stream._set_state("disabled", "paper")

    found = health_of(bench, bench.stream).problems()
    assert found == {"stream": "disabled: there is no key"}
