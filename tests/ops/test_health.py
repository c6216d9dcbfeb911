"""What is wrong with a daemon, part by part, and what is not wrong yet."""

from __future__ import annotations

import pytest
import trio

from snexec.exits import PositionStatus
from snexec.intake.admission import Phase
from snexec.ledger.damage import gone
from snexec.ops.health import Health
from tests.fakes import SECRET, make_trade
from tests.ops.bench import Bench
from tests.ops.selling import NOTHING, FakeExits

pytestmark = pytest.mark.jumping_time


async def test_health_names_each_part_that_cannot_do_its_work(bench: Bench) -> None:
    bench.set_stream("authorized")
    assert bench.health.problems() == {}

    bench.rig.intake.phase = Phase.STARTING
    bench.set_healthy(False)
    assert bench.health.problems() == {
        "recovery": "not every row is compared with the broker yet",
        "writer": "the database cannot be written, 0 changes wait",
    }


async def test_health_says_what_was_done_to_the_database(bench: Bench) -> None:
    bench.set_stream("authorized")
    bench.rig.store.watch.damage = gone("snexec.db")
    assert bench.health.problems() == {
        "writer": "snexec.db was removed or replaced, 0 changes wait"
    }


async def test_a_stream_may_be_away_for_a_while_however_often_it_tries(
    bench: Bench,
) -> None:
    health = bench.health
    bench.set_stream("authorized")
    bench.set_stream("waiting")
    await trio.sleep(60)
    assert health.problems() == {}
    bench.set_stream("connecting")
    await trio.sleep(1)
    assert health.problems() == {"stream": "connecting, away for 1.0 min"}
    bench.set_stream("authorized")
    assert health.problems() == {}
    assert health.stream_away_seconds() == 0


async def test_a_disabled_stream_is_unhealthy_at_once(bench: Bench) -> None:
    bench.set_stream("disabled")

    found = bench.health.problems()
    assert found == {"stream": "disabled: there is no key"}


async def test_a_stream_that_has_not_run_yet_is_not_away(bench: Bench) -> None:
    await trio.sleep(1000)

    assert bench.health.stream_away_seconds() == 0


async def test_a_stream_away_is_counted_from_its_loss_not_from_its_next_try(
    bench: Bench,
) -> None:
    bench.set_stream("authorized")
    await trio.sleep(5)
    bench.set_stream("waiting")
    await trio.sleep(5)
    bench.set_stream("connecting")
    await trio.sleep(5)

    assert bench.health.stream_away_seconds() == 10


async def test_a_problem_of_the_writer_says_how_many_changes_wait(bench: Bench) -> None:
    bench.set_healthy(False)
    bench.rig.writer._pending = 7

    found = bench.health.problems()
    assert found == {"writer": "the database cannot be written, 7 changes wait"}


async def test_rows_that_do_not_take_what_the_broker_says_are_unhealthy(
    bench: Bench,
) -> None:
    bench.set_stream("authorized")
    unsettled = bench.rig.unsettled
    for trade_id in ("sn-1", "sn-2"):
        unsettled.placed(make_trade(trade_id), order_id="o-1")
        unsettled.not_written(trade_id, "trigger guard of another program says no")
    assert bench.health.problems() == {
        "rows": "2 do not take what the broker says: trigger guard of another program"
        " says no"
    }
    for trade_id in ("sn-1", "sn-2"):
        unsettled.written(trade_id)
    assert bench.health.problems() == {}


async def test_what_another_program_says_shows_no_secret(bench: Bench) -> None:
    bench.set_stream("authorized")
    bench.rig.settings.mask.learn([SECRET])
    bench.rig.unsettled.placed(make_trade("sn-1"), order_id="o-1")
    bench.rig.unsettled.not_written("sn-1", f"trigger {SECRET} says no")
    assert bench.health.problems() == {
        "rows": "1 do not take what the broker says: trigger *** says no"
    }


async def test_a_daemon_that_is_blind_is_unhealthy_at_once(bench: Bench) -> None:
    bench.set_stream("authorized")
    exits = FakeExits()
    health = Health(bench.wings._replace(exits=exits), stream_grace_seconds=60)
    assert health.problems() == {}
    exits.now = NOTHING._replace(watched=1, blind=True)
    assert health.problems()["prices"].startswith("none counts, so 1 row is not sold")
    exits.now = NOTHING._replace(watched=3, blind=True)
    assert health.problems() == {
        "prices": "none counts, so 3 rows are not sold by price; time rules go on"
    }


async def test_a_row_that_cannot_be_sold_is_unhealthy_after_five_minutes(
    bench: Bench,
) -> None:
    bench.set_stream("authorized")
    exits = FakeExits()
    blocked = PositionStatus(
        "sn-1", "live", "blocked", blocked_since=trio.current_time()
    )
    health = Health(bench.wings._replace(exits=exits), stream_grace_seconds=60)
    exits.statuses = [blocked, PositionStatus("sn-2", "live", "watched")]
    await trio.sleep(299)
    assert health.problems() == {}
    await trio.sleep(1)
    assert health.problems()["exits"].startswith("1 row cannot be sold, for 5.0 min")
    exits.statuses.append(blocked._replace(blocked_since=trio.current_time()))
    assert health.problems() == {
        "exits": "2 rows cannot be sold, the first for 5.0 min: see snexec positions"
    }
