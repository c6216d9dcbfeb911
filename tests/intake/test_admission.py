"""One answer to each line, at once; what is taken is handed in to be ordered."""

import json
import logging

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.intake import admission
from snexec.intake.admission import Answer, Intake, Phase
from snexec.intake.socket_server import encode
from snexec.signals import parse_signal
from tests.fakes import SECRET
from tests.input_helpers import FLUSH, MISSING, World, raw_line, signal_line

STATUSES = {
    "accepted",
    "invalid",
    "repeated",
    "overloaded",
    "starting",
    "standby",
    "stopping",
}


def take(world: World, line: bytes | None = None, **changes: object) -> Answer:
    """Take a line, by default a signal with some fields changed."""
    return world.intake.take(
        signal_line(**changes) if line is None else line,
        read_at=trio.current_time(),
    )


async def test_a_signal_is_accepted_with_its_id_and_handed_on() -> None:
    world = World()

    answer = world.intake.take(signal_line(), read_at=17.5)

    assert answer.fields() == {"status": "accepted", "id": "n-1"}
    assert answer.signal == parse_signal(signal_line())
    [queued] = world.orders.taken()
    assert queued.signal == parse_signal(signal_line())
    assert queued.read_at == 17.5
    assert queued.sequence == answer.sequence == 1


async def test_a_signal_without_an_id_is_accepted_with_none() -> None:
    answer = take(World(), id=MISSING)

    assert answer.fields() == {"status": "accepted", "id": None}
    assert encode(answer.fields()) == b'{"status":"accepted","id":null}\n'


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"x", {"error": "not JSON: expected value at line 1 column 1"}),
        (b"[]", {"error": "not a JSON object"}),
        (signal_line(symbol=MISSING), {"id": "n-1", "error": "symbol: Field required"}),
    ],
)
async def test_what_is_no_signal_is_invalid_in_every_phase(
    phase: Phase, line: bytes, fields: dict[str, object]
) -> None:
    world = World(phase=phase, max_pending=1)

    assert take(world, line).fields() == {"status": "invalid", **fields}
    assert world.orders.taken() == []


async def test_a_line_that_is_too_long_is_invalid() -> None:
    answer = World().intake.take(None, read_at=0)

    assert answer.fields() == {
        "status": "invalid",
        "error": "line: longer than 65536 bytes",
    }


async def test_a_new_intake_is_starting() -> None:
    world = World(max_pending=1)
    world.intake = Intake(world.live, world, world.orders)

    assert take(world).fields() == {"status": "starting", "id": "n-1"}
    assert world.orders.taken() == []
    assert world.orders.pending == 0


async def test_an_early_line_is_taken_while_starting_and_waits() -> None:
    world = World(phase=Phase.STARTING)

    answer = world.intake.take(signal_line(), read_at=1, early=True)

    assert answer.status == "accepted"
    assert [t.signal.id for t in world.orders.taken()] == ["n-1"]


@pytest.mark.parametrize("early", [False, True])
async def test_nothing_is_taken_while_stopping(early: bool) -> None:
    world = World()
    world.intake.close()

    answer = world.intake.take(signal_line(), read_at=1, early=early)

    assert answer.fields() == {"status": "stopping", "id": "n-1"}
    assert world.orders.pending == 0


async def test_an_id_that_was_taken_is_repeated() -> None:
    world = World()

    assert take(world, symbol="AAPL").status == "accepted"
    answer = take(world, symbol="MSFT")

    assert answer.fields() == {"status": "repeated", "id": "n-1"}
    assert [t.signal.symbol for t in world.orders.taken()] == ["AAPL"]


async def test_signals_without_an_id_are_never_repeated() -> None:
    world = World()

    for _ in range(3):
        assert take(world, id=None).status == "accepted"


async def test_ids_are_told_apart_by_case_and_white_space() -> None:
    world = World()

    for signal_id in ("n", "N", "n ", " "):
        assert take(world, id=signal_id).status == "accepted"
    for signal_id in ("n", "N", "n ", " "):
        assert take(world, id=signal_id).status == "repeated"


async def test_an_empty_id_is_none_and_never_a_repeat() -> None:
    world = World()
    for _ in range(2):
        assert take(world, id="").fields() == {"status": "accepted", "id": None}


async def test_an_id_may_be_taken_once_in_each_mode() -> None:
    world = World()

    assert take(world).status == "accepted"
    world.set_mode("live")
    assert take(world).status == "accepted"
    assert take(world).status == "repeated"
    world.set_mode("paper")
    assert take(world).status == "repeated"


async def test_a_signal_belongs_to_the_mode_that_answered_it() -> None:
    world = World()

    take(world, id="1")
    world.set_mode("live")
    take(world, id="2")

    assert [taken.term.mode for taken in world.orders.taken()] == ["paper", "live"]
    assert world.orders.taken() == []


async def test_an_id_that_was_not_taken_may_be_taken_later() -> None:
    world = World(healthy=False, max_pending=1, phase=Phase.STARTING)

    assert take(world, id="n-2").status == "starting"
    world.intake.open()
    assert take(world, id="n-2").status == "overloaded"
    world.healthy = True
    assert take(world, id="n-2", symbol="").status == "invalid"
    assert take(world, id="n-1").status == "accepted"
    assert take(world, id="n-2").status == "overloaded"
    world.orders.started()
    assert take(world, id="n-2").status == "accepted"


async def test_the_ids_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "_REMEMBERED_IDS", 3)
    world = World()

    for number in range(1, 8):
        assert take(world, id=f"n-{number}").status == "accepted"

    for number in (5, 6, 7):
        assert take(world, id=f"n-{number}").status == "repeated"
    assert take(world, id="n-1").status == "accepted"


async def test_a_good_many_ids_are_remembered() -> None:
    world = World()
    ids = [f"n-{number}" for number in range(5_000)]

    assert {take(world, id=i).status for i in ids} == {"accepted"}
    assert {take(world, id=i).status for i in ids} == {"repeated"}


async def test_no_more_than_max_pending_signals_wait() -> None:
    world = World(max_pending=3)

    statuses = [take(world, id=f"n-{n}").status for n in range(5)]

    assert statuses == ["accepted"] * 3 + ["overloaded"] * 2
    assert world.intake.is_full
    assert len(world.orders.taken()) == 3
    # Out of the channel, they still wait for an order slot.
    assert take(world, id="n-5").fields() == {"status": "overloaded", "id": "n-5"}


async def test_a_signal_that_waits_no_longer_makes_room_for_one() -> None:
    world = World(max_pending=2)
    assert [take(world, id=str(n)).status for n in range(2)] == ["accepted"] * 2

    world.orders.started()

    assert not world.intake.is_full
    assert take(world, id="2").status == "accepted"
    assert take(world, id="3").status == "overloaded"


async def test_a_repeated_id_is_repeated_even_when_there_is_no_room() -> None:
    world = World(max_pending=1)
    assert take(world).status == "accepted"

    assert take(world).status == "repeated"
    world.healthy = False
    assert take(world).status == "repeated"


async def test_a_refusal_is_overloaded_and_says_why() -> None:
    world = World(healthy=False)

    assert take(world).fields() == {
        "status": "overloaded",
        "id": "n-1",
        "reason": "the database cannot be written",
    }
    assert take(world, id=None).fields() == {
        "status": "overloaded",
        "reason": "the database cannot be written",
    }
    assert world.orders.taken() == []


async def test_signals_are_handed_on_in_order_and_numbered() -> None:
    world = World()

    answers = [take(world, id=f"n-{n}") for n in range(100)]

    queued = world.orders.taken()
    assert [t.signal.id for t in queued] == [f"n-{n}" for n in range(100)]
    assert [t.sequence for t in queued] == list(range(1, 101))
    assert [a.sequence for a in answers] == list(range(1, 101))


async def test_what_is_not_taken_has_no_number() -> None:
    world = World()

    assert take(world, b"x").sequence is None
    assert take(world).sequence == 1
    assert take(world).sequence is None
    assert take(world, id="n-2").sequence == 2


async def test_every_answer_is_counted() -> None:
    world = World(max_pending=2, phase=Phase.STARTING)

    take(world)
    world.intake.open()
    take(world, id="1")
    take(world, id="1")
    take(world, id="2")
    take(world, id="3")
    take(world, id="4")
    take(world, b"x")
    world.intake.take(None, read_at=0)
    world.intake.close()
    take(world)

    assert world.counts == {
        "accepted": 2,
        "invalid": 2,
        "repeated": 1,
        "overloaded": 2,
        "starting": 1,
        "stopping": 1,
    }


async def test_a_status_stays_as_it_was_when_it_was_asked_for() -> None:
    world = World()
    take(world)
    world.intake.note_dropped_answer()

    status = world.intake.status()
    take(world, id="n-2")
    world.intake.note_dropped_answer()
    world.intake.close()

    assert status.phase is Phase.TAKING
    assert status.counts == {"accepted": 1}
    assert status.dropped_answers == 1


async def test_an_intake_that_is_closed_before_it_opens_stays_closed() -> None:
    world = World(phase=Phase.STARTING)

    world.intake.close()
    world.intake.open()

    assert take(world).status == "stopping"


async def test_an_opened_intake_takes_signals() -> None:
    world = World(phase=Phase.STARTING)

    world.intake.open()

    assert take(world).status == "accepted"


async def test_an_id_has_been_taken_in_its_own_mode_alone() -> None:
    world = World()
    assert not world.intake.has_taken("n-1")

    take(world)

    assert world.intake.has_taken("n-1")
    assert not world.intake.has_taken("n-2")
    world.set_mode("live")
    assert not world.intake.has_taken("n-1")


async def test_what_was_handed_in_leaves_at_the_end_of_a_turn_and_not_before() -> None:
    world = World()

    take(world, id="1", symbol="A")
    take(world, id="2", symbol="B")
    assert world.orders.steps == ["A", "B"]
    world.intake.flush()

    assert world.orders.steps == ["A", "B", FLUSH]


# The log ----------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    lines = [(r.levelno, r.getMessage()) for r in caplog.records if r.name == "Intake"]
    caplog.clear()
    return lines


async def test_the_log_says_which_signal_was_not_taken_and_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World()

    take(world)
    assert told(caplog) == [(logging.DEBUG, "signal taken: id=n-1")]
    take(world)
    [(level, text)] = told(caplog)
    assert level == logging.INFO
    assert "id=n-1" in text
    assert "repeated" in text
    take(world, symbol=MISSING)
    [(level, text)] = told(caplog)
    assert level == logging.WARNING
    assert "id=n-1" in text
    assert "symbol: Field required" in text
    world.healthy = False
    take(world, id="n-2")
    [(level, text)] = told(caplog)
    assert level == logging.WARNING
    assert "id=n-2" in text
    assert "overloaded: the database cannot be written" in text


async def test_a_flood_of_bad_lines_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    world = World()

    for _ in range(5_000):
        take(world, b"x")
    assert len(told(caplog)) <= 101
    assert world.counts["invalid"] == 5_000

    mock_clock.jump(61)
    take(world, b"x")
    assert [text for _, text in told(caplog)] == [
        "4900 more lines were not taken",
        "signal not taken, id=None, invalid: not JSON: expected value at line 1"
        " column 1",
    ]


# Whatever comes ---------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["AAPL", "high", "../X", "\0", "\ud800", "x" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "symbol",
        "catalystCategory",
        "catalyst_category",
        "catalystTier",
        "catalyst_tier",
        "aiConfidence",
        "priceAtSignal",
        "price_at_signal",
        "id",
        "other",
    ]
)
LINES = (
    st.binary(max_size=300)
    | st.builds(lambda value: json.dumps(value).encode(), JSON)
    | st.builds(
        lambda changes: signal_line(**changes),
        st.dictionaries(FIELDS, JSON, max_size=3),
    )
    | st.builds(raw_line, FIELDS, st.binary(max_size=30))
    | st.builds(
        lambda place, byte: (
            signal_line()[:place] + bytes([byte]) + signal_line()[place + 1 :]
        ),
        st.integers(0, len(signal_line())),
        st.integers(0, 255),
    )
    | st.none()
)


@given(
    lines=st.lists(st.tuples(LINES, st.booleans()), max_size=8),
    phase=st.sampled_from(Phase),
    healthy=st.booleans(),
    max_pending=st.integers(1, 3),
)
async def test_whatever_comes_gets_one_answer_of_the_table(
    lines: list[tuple[bytes | None, bool]],
    phase: Phase,
    healthy: bool,
    max_pending: int,
) -> None:
    world = World(max_pending=max_pending, healthy=healthy, phase=phase)

    for number, (line, early) in enumerate(lines, start=1):
        answer = world.intake.take(line, read_at=0, early=early)
        encoded = encode(answer.fields())

        assert answer.status in STATUSES
        assert (answer.status == "invalid") is (answer.error is not None)
        assert (answer.status == "accepted") is (answer.sequence is not None)
        assert encoded.count(b"\n") == 1
        assert encoded.endswith(b"\n")
        assert json.loads(encoded) == answer.fields()
        assert sum(world.counts.values()) == number

    assert len(world.orders.taken()) == world.counts["accepted"] == world.orders.pending
    assert world.orders.pending <= max_pending


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": SECRET},
        {"symbol": "x" * 48 + SECRET},
        {"catalystTier": f"tier {SECRET[:9]}"},
        {"aiConfidence": SECRET.upper()},
        {"priceAtSignal": [SECRET]},
    ],
)
async def test_what_is_quoted_from_a_line_holds_no_secret(
    changes: dict[str, object],
) -> None:
    world = World()
    world.live.mask.learn([SECRET])

    answer = take(world, signal_line(**changes))

    assert answer.error is not None
    assert "***" in answer.error
    assert "s3cr" not in answer.error.lower()


# A standby


async def test_a_standby_takes_nothing_early_or_not() -> None:
    world = World()
    world.intake.stand_by()
    for early in (False, True):
        answer = world.intake.take(signal_line(), read_at=1, early=early)
        assert answer.fields() == {"status": "standby", "id": "n-1"}
    assert world.orders.pending == 0


async def test_a_standby_starts_before_it_takes() -> None:
    world = World()
    world.intake.stand_by()
    world.intake.begin()
    assert take(world).status == "starting"
    world.intake.open()
    assert take(world).status == "accepted"
    world.intake.begin()
    assert take(world, signal_line(id="n-2")).status == "accepted"


async def test_what_stops_never_stands_by() -> None:
    world = World()
    world.intake.close()
    for change in (world.intake.stand_by, world.intake.begin, world.intake.open):
        change()
        assert world.intake.phase is Phase.STOPPING


async def test_all_who_wait_for_it_to_take_are_woken() -> None:
    world = World(phase=Phase.STARTING)
    woken = []

    async def wait() -> None:
        await world.intake.wait_taking()
        woken.append(world.intake.phase)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert woken == []
        world.intake.open()
    assert woken == [Phase.TAKING] * 2


async def test_a_signal_without_an_id_has_the_one_it_is_given() -> None:
    world = World()
    line, named = signal_line(id=None), signal_line(id="n-1")

    first = world.intake.take(line, read_at=1, default_id="entry 1")
    again = world.intake.take(line, read_at=1, default_id="entry 1")
    other = world.intake.take(named, read_at=1, default_id="entry 2")

    assert (first.status, first.id) == ("accepted", "entry 1")
    assert again.status == "repeated"
    assert other.id == "n-1"


async def test_a_signal_says_whether_its_feeder_keeps_it() -> None:
    world = World()
    world.intake.take(signal_line(id="n-1"), read_at=1)
    world.intake.take(signal_line(id="n-2"), read_at=1, is_kept=True)
    assert [each.is_kept for each in world.orders.taken()] == [False, True]


async def test_it_says_how_much_room_there_is_and_whether_rows_can_be_written() -> None:
    world = World(max_pending=2)
    assert (world.intake.room, world.intake.can_write) == (2, True)
    take(world)
    world.healthy = False
    assert (world.intake.room, world.intake.can_write) == (1, False)
