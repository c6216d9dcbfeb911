"""What the operator is answered: how the daemon is, and what a command has done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import trio

from snexec import __version__
from snexec.intake.admission import Phase
from snexec.ledger.rows import trade_id
from snexec.ledger.store import Store
from snexec.ops.control import Control
from snexec.redis import RedisFeeder, RedisStatus
from snexec.signals import parse_signal
from tests.conftest import LoggedErrors
from tests.fakes import (
    MOMENT_TEXT,
    FakeClock,
    Rig,
    make_settings,
    make_signal,
    make_trade,
    warnings_of,
)
from tests.integration.harness import signal_line
from tests.ops.bench import Bench

pytestmark = pytest.mark.jumping_time

ROW = trade_id("paper", "n-1")
NOT_TIMED = {"p50": None, "p90": None, "p99": None, "count": 0}
LINE = (
    "taking signals; paper, bot running; stream authorized; 0 placed, 0 refused,"
    " 0 unsettled"
)


@pytest.fixture
def make_bench(store: Store, clock: FakeClock) -> Callable[..., Bench]:
    """Give a function that makes a bench; its keywords are config sections.

    Its wall clock stands still, as threads ask it too.
    """

    def make(**sections: object) -> Bench:
        bench = Bench(Rig(config=make_settings(**sections), clock=clock, store=store))
        bench.set_stream("authorized")
        return bench

    return make


@pytest.fixture
async def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


STANDBY = RedisStatus(
    connected=True,
    since=MOMENT_TEXT,
    pending=3,
    lag=7,
    again=0,
    dead=0,
    dropped=0,
    lease="standby",
    holder="host-b",
)


class FakeRedis:
    def __init__(self, status: RedisStatus) -> None:
        self._status = status

    def status(self) -> RedisStatus:
        return self._status


# Status -------------------------------------------------------------------------------


async def test_status_has_every_field_of_the_contract_in_its_place(
    bench: Bench,
) -> None:
    expected = {
        "pid": os.getpid(),
        "version": __version__,
        "mode": "paper",
        "simulate": False,
        "state": "running",
        "halted": None,
        "stream": "authorized",
        "outage": {
            "count": 1,
            "from": MOMENT_TEXT,
            "to": MOMENT_TEXT,
            "settledByLookup": 0,
        },
        "uptimeSec": 0.0,
        "openTrades": 0,
        "signals": {"accepted": 0, "invalid": 0, "overloaded": 0, "repeated": 0},
        "skipped": {},
        "orders": {"placed": 0, "refused": 0, "unknown": 0, "inFlight": 0},
        "writer": {"pending": 0, "applied": 0, "healthy": True},
        "phase": "taking",
        "pending": 0,
        "unsettled": 0,
        "latency": {"wireMs": NOT_TIMED, "replyMs": NOT_TIMED, "fillMs": NOT_TIMED},
        "droppedAnswers": 0,
        "problems": {},
        "exits": {
            "watched": 0,
            "closing": 0,
            "blocked": 0,
            "unwatched": 0,
            "source": None,
            "priceAgeSec": None,
            "blind": False,
        },
        "redis": None,
        "lease": "none",
        "http": None,
    }
    status = await bench.control.status()
    assert status == expected
    assert json.dumps(status) == json.dumps(expected), "in this order"


async def test_status_names_producers_and_counts_what_each_has_sent(
    make_bench: Callable[..., Bench],
) -> None:
    token = "Zq3vX8mK1pLw7tRb5nYc9dGh2jFs6aEu"
    bench = make_bench(
        http={
            "enabled": True,
            "listen": "127.0.0.1:8721",
            "tokens": {"tv": token, "model": token[::-1]},
        }
    )
    take = bench.wings.intake.take
    line = signal_line("AAPL", id="n-1").strip()
    for _ in range(2):
        take(line, read_at=trio.current_time(), producer="tv")
    take(b"buy!", read_at=trio.current_time(), producer="tv")
    status = await bench.control.status()
    assert status["http"] == {
        "listen": ["127.0.0.1:8721"],
        "producers": {"tv": {"accepted": 1, "repeated": 1, "invalid": 1}, "model": {}},
    }
    assert token not in json.dumps(status)


async def test_status_counts_lines_and_what_waits(bench: Bench) -> None:
    bench.take("AAPL", id="n-1")
    bench.take("AAPL", id="n-1")
    bench.take("AAPL", catalystTier=9)
    bench.rig.intake.note_dropped_answer()

    status = await bench.control.status()
    assert status["signals"] == {
        "accepted": 1,
        "invalid": 1,
        "overloaded": 0,
        "repeated": 1,
    }
    assert (status["pending"], status["droppedAnswers"]) == (1, 1)


async def test_status_counts_orders_and_the_rows_that_are_open(bench: Bench) -> None:
    bench.rig.open_row(make_trade("sn-other", "KO"))  # whoever wrote it
    await bench.rig.trade(make_signal("AAPL"), make_signal("KO"), make_signal("AAPL"))

    status = await bench.control.status()
    assert status["orders"] == {"placed": 1, "refused": 0, "unknown": 0, "inFlight": 0}
    assert status["skipped"] == {"symbol_open": 2}
    assert status["openTrades"] == 2
    assert status["unsettled"] == 1
    latency = cast("dict[str, dict[str, object]]", status["latency"])
    assert {name: times["count"] for name, times in latency.items()} == {
        "wireMs": 1,
        "replyMs": 1,
        "fillMs": 0,
    }


async def test_status_is_of_its_moment(bench: Bench) -> None:
    before = await bench.control.status()
    await bench.rig.trade(make_signal("AAPL"), make_signal("AAPL"))

    assert before["skipped"] == {}
    assert cast("dict[str, int]", before["orders"])["placed"] == 0


async def test_status_says_what_is_set_and_what_has_changed_since(
    bench: Bench,
) -> None:
    bench.rig.set_mode("live")
    bench.rig.set_bot(state="paused")
    bench.rig.intake.close()
    bench.set_stream("waiting")
    bench.set_healthy(False)
    await trio.sleep(90)

    status = await bench.control.status()
    assert (status["mode"], status["state"], status["phase"], status["stream"]) == (
        *("live", "paused"),
        *("stopping", "waiting"),
    )
    assert status["uptimeSec"] == 90
    assert status["writer"] == {"pending": 0, "applied": 0, "healthy": False}
    assert status["problems"] == {
        "stream": "waiting, away for 1.5 min",
        "writer": "the database cannot be written, 0 changes wait",
    }


async def test_a_bot_that_is_not_enabled_is_disabled_whatever_its_state(
    bench: Bench,
) -> None:
    bench.rig.set_bot(enabled=False, state="paused")

    assert (await bench.control.status())["state"] == "disabled"


async def test_status_says_since_when_and_why_it_is_halted(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.control.halt("fire", by="me")

    halted = (await bench.control.status())["halted"]
    assert halted == {
        "reason": "fire",
        "since": MOMENT_TEXT,
        "by": "me",
        "all": False,
        "exits": "exits go on",
    }
    assert len(logged_errors.take()) == 1


async def test_rows_that_cannot_be_counted_are_not_known(
    bench: Bench, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.rename(database, database.with_name("elsewhere"))  # noqa: PTH104 - a moment

    assert (await bench.control.status())["openTrades"] is None
    assert warnings_of(caplog) == [
        "status: cannot count the open rows: unable to open database file"
    ]


# The line -----------------------------------------------------------------------------


async def test_the_line_says_what_it_does_for_whom_and_what_became_of_it(
    bench: Bench,
) -> None:
    assert bench.control.status_line() == LINE

    await bench.rig.trade(make_signal("AAPL"))
    bench.rig.set_bot(state="paused")
    bench.rig.set_mode("live")
    bench.set_stream("waiting")
    assert bench.control.status_line() == (
        "taking signals; live, bot paused; stream waiting; 1 placed, 0 refused,"
        " 1 unsettled"
    )


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase.STARTING, "starting: rows are compared with the broker"),
        (Phase.TAKING, "taking signals"),
        (Phase.STOPPING, "stopping: 3 orders under way"),
    ],
)
async def test_the_line_begins_with_the_phase(
    bench: Bench, phase: Phase, said: str
) -> None:
    bench.rig.intake.phase = phase
    bench.rig.dispatcher.in_flight = 3

    assert bench.control.status_line() == LINE.replace("taking signals", said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "standby: host-b is active"),
        ({"holder": None}, "standby: nobody is active yet"),
        ({"connected": False}, "standby: no Redis, so no lease"),
    ],
)
async def test_a_standby_says_who_is_active(
    bench: Bench, changes: dict[str, object], said: str
) -> None:
    status = STANDBY._replace(**changes)  # type: ignore[arg-type]
    wings = bench.wings._replace(redis=cast("RedisFeeder", FakeRedis(status)))
    bench.rig.intake.stand_by()
    control = Control(wings, bench.outages, bench.health)

    assert control.status_line() == LINE.replace("taking signals", said)
    answer = await control.status()
    assert (answer["lease"], answer["phase"]) == ("standby", "standby")
    assert answer["redis"] == {
        "connected": status.connected,
        "since": MOMENT_TEXT,
        "pending": 3,
        "lag": 7,
        "holder": status.holder,
    }
    assert bench.health.problems() == {}, "a standby is healthy"


async def test_the_line_names_a_simulated_account_as_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.rig.accounts, "_exchange", object())

    assert bench.control.status_line() == LINE.replace("paper", "simulated paper")
    assert (await bench.control.status())["simulate"] is True


async def test_the_status_in_one_line_holds_no_secret(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.wings.live.mask.learn(["fire-in-here"])
    bench.control.halt("Fire-in-here", by="me")
    assert bench.control.status_line() == f"HALTED, exits go on: ***; {LINE}"
    logged_errors.take()


async def test_a_halt_is_told_before_all_but_what_is_wrong(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.control.halt("fire", by="me")
    assert bench.control.status_line() == f"HALTED, exits go on: fire; {LINE}"

    bench.set_healthy(False)
    bench.set_stream("disabled")
    halted = LINE.replace("authorized", "disabled")
    assert bench.control.status_line() == (
        "UNHEALTHY: stream: disabled: there is no key; writer: the database cannot be"
        f" written, 0 changes wait; HALTED, exits go on: fire; {halted}"
    )
    assert len(logged_errors.take()) == 1


async def test_a_start_is_not_told_as_unhealthy(bench: Bench) -> None:
    bench.rig.intake.phase = Phase.STARTING

    assert "recovery" in bench.health.problems()
    assert bench.control.status_line().startswith("starting: ")


# The kill switch ----------------------------------------------------------------------


async def test_a_halt_answers_with_the_halt_that_holds(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    fire = {"halted": True, "reason": "fire", "since": MOMENT_TEXT, "by": "me"}
    fire |= {"all": False, "exits": "exits go on"}
    assert bench.control.halt("fire", by="me") == fire
    await trio.sleep(10)
    assert bench.control.halt("flood", by="you") == fire, "the earlier one"
    assert bench.wings.halt.is_halted()
    assert len(logged_errors.take()) == 1


async def test_a_halt_for_all_says_so_in_each_of_its_lines(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    answer = bench.control.halt("fire", by="me", for_all=True)
    assert (answer["all"], answer["exits"]) == (True, "exits are halted too")
    assert bench.control.status_line() == f"HALTED, exits are halted too: fire; {LINE}"
    halted = (await bench.control.status())["halted"]
    assert halted == {k: v for k, v in answer.items() if k != "halted"}
    (error,) = logged_errors.take()
    assert "no order leaves any more, the sells of exits neither" in error
    assert bench.control.resume() == {"halted": False}
    assert not bench.wings.halt.is_all_halted()


async def test_a_resume_answers_that_orders_leave_again(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    assert bench.control.resume() == {"halted": False}, "nothing to resume is no fault"
    bench.control.halt("fire", by="me")

    assert bench.control.resume() == {"halted": False}
    assert not bench.wings.halt.is_halted()
    assert len(logged_errors.take()) == 1


async def test_a_resume_that_cannot_remove_the_file_says_so_and_stays_halted(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    file = bench.wings.halt.files[0]
    file.mkdir()  # which no unlink removes

    assert bench.control.resume() == {
        "halted": True,
        "error": f"{file} cannot be removed: Is a directory",
    }
    assert bench.wings.halt.is_halted()
    halted, removed = logged_errors.take()
    assert halted.startswith("HALTED: ")
    assert removed == f"{file} cannot be removed (Is a directory): still halted"


# Explain ------------------------------------------------------------------------------


async def test_a_signal_is_explained_and_nothing_is_traded(bench: Bench) -> None:
    answer = await bench.control.explain(make_signal("AAPL"))

    assert (answer["verdict"], answer["reason"]) == ("order", None)
    assert (answer["mode"], answer["daemon"]) == ("paper", True)
    assert bench.rig.rows() == {}
    assert bench.rig.intake.status().counts == {}


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda b: setattr(b.rig.intake, "phase", Phase.STARTING), "starting"),
        (lambda b: b.rig.intake.close(), "stopping"),
        (lambda b: b.set_healthy(False), "overloaded"),
        (lambda b: [b.take(f"S{n}") for n in range(1024)], "overloaded"),
        (lambda b: setattr(b.rig.halt, "on", True), "halted"),
        (lambda b: b.rig.set_bot(state="paused"), "paused"),
        (lambda b: b.take("KO", id="n-1"), "repeated"),
        (lambda b: b.rig.open_row(make_trade(ROW, "KO")), "repeated"),
        (lambda b: b.rig.open_row(make_trade("sn-x", "AAPL")), "symbol_open"),
    ],
    ids=[
        *("starting", "stopping", "unwritable", "full", "halted", "paused"),
        *("id taken", "id in a row", "symbol in a row"),
    ],
)
async def test_what_would_stop_a_signal_now_is_the_reason(
    bench: Bench, prepare: Callable[[Bench], object], reason: str
) -> None:
    prepare(bench)
    signal = parse_signal(signal_line("AAPL", id="n-1", aiConfidence="high"))

    answer = await bench.control.explain(signal)
    assert (answer["verdict"], answer["reason"]) == ("skip", reason)


async def test_an_id_taken_in_one_mode_is_new_in_the_other(bench: Bench) -> None:
    bench.take("KO", id="n-1")
    bench.rig.set_mode("live")

    answer = await bench.control.explain(make_signal("AAPL", id="n-1"))
    assert (answer["verdict"], answer["mode"]) == ("order", "live")


async def test_recent_orders_are_counted_as_the_daemon_knows_them(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(bot={"max_orders_per_day": 1})
    bench.wings.ledger.load(simulated=False, tally=True)
    await bench.rig.trade(make_signal("KO"))
    bench.rig.store._db.execute("DELETE FROM BotTrade")  # the file knows nothing of it

    answer = await bench.control.explain(make_signal("AAPL"))
    assert answer["reason"] == "brake_orders_per_day"


async def test_a_resume_counts_the_win_rate_anew_where_it_has_stopped_signals(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    rig = bench.rig
    assert bench.control.resume() == {"halted": False}
    rig.orders.skips.counts["win_rate"] += 1
    assert bench.control.resume() == {"halted": False}, "no such limit is set now"
    now = bench.wings.live.now
    bot = now.bot.model_copy(update={"min_win_rate": 0.5, "min_win_rate_trades": 3})
    bench.wings.live.now = now.model_copy(update={"bot": bot})

    assert bench.control.resume() == {"halted": False, "winRateAnew": True}
    assert "min_win_rate counts what is closed from now on" in caplog.text
    assert bench.control.resume() == {"halted": False}, "it has stopped none since"
