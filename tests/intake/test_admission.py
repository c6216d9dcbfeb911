"""One answer to each line, at once, and a bounded queue of what is taken."""

import json
import logging

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.intake import admission as intake_module
from snexec.intake.admission import Answer, Intake, Phase
from snexec.intake.socket_server import encode
from snexec.signals import parse_signal
from tests.input_helpers import (
    MISSING,
    World,
    new_intake,
    raw_line,
    signal_line,
    taken,
    within,
)

STATUSES = {
    "accepted",
    "invalid",
    "repeated",
    "overloaded",
    "starting",
    "stopping",
}


def take(intake: Intake, line: bytes | None = None, **changes: object) -> Answer:
    """Take a line, by default a signal with some fields changed."""
    return intake.take(
        signal_line(**changes) if line is None else line,
        read_at=trio.current_time(),
    )


async def test_a_signal_is_accepted_with_its_id_and_handed_on() -> None:
    intake = new_intake()

    answer = intake.take(signal_line(), read_at=17.5)

    assert answer.fields() == {"status": "accepted", "id": "n-1"}
    assert answer.signal == parse_signal(signal_line())
    [queued] = taken(intake)
    assert queued.signal == parse_signal(signal_line())
    assert queued.read_at == 17.5
    assert queued.sequence == answer.sequence == 1


async def test_a_signal_without_an_id_is_accepted_with_none() -> None:
    answer = take(new_intake(), id=MISSING)

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
    intake = new_intake(phase=phase, max_pending=1)

    assert take(intake, line).fields() == {"status": "invalid", **fields}
    assert taken(intake) == []


async def test_a_line_that_is_too_long_is_invalid() -> None:
    answer = new_intake().take(None, read_at=0)

    assert answer.fields() == {
        "status": "invalid",
        "error": "line: longer than 65536 bytes",
    }


async def test_a_new_intake_is_starting() -> None:
    intake = Intake(max_pending=1, mode=lambda: "paper", refusal=lambda: None)

    assert take(intake).fields() == {"status": "starting", "id": "n-1"}
    assert taken(intake) == []
    assert intake.pending == 0


async def test_an_early_line_is_taken_while_starting_and_waits() -> None:
    intake = new_intake(phase=Phase.STARTING)

    answer = intake.take(signal_line(), read_at=1, early=True)

    assert answer.status == "accepted"
    assert [t.signal.id for t in taken(intake)] == ["n-1"]


@pytest.mark.parametrize("early", [False, True])
async def test_nothing_is_taken_while_stopping(early: bool) -> None:
    intake = new_intake()
    intake.close()

    answer = intake.take(signal_line(), read_at=1, early=early)

    assert answer.fields() == {"status": "stopping", "id": "n-1"}
    assert intake.pending == 0


async def test_an_id_that_was_taken_is_repeated() -> None:
    intake = new_intake()

    assert take(intake, symbol="AAPL").status == "accepted"
    answer = take(intake, symbol="MSFT")

    assert answer.fields() == {"status": "repeated", "id": "n-1"}
    assert [t.signal.symbol for t in taken(intake)] == ["AAPL"]


async def test_signals_without_an_id_are_never_repeated() -> None:
    intake = new_intake()

    for _ in range(3):
        assert take(intake, id=None).status == "accepted"


async def test_ids_are_told_apart_by_case_and_white_space() -> None:
    intake = new_intake()

    for signal_id in ("n", "N", "n ", "", " "):
        assert take(intake, id=signal_id).status == "accepted"
    for signal_id in ("n", "N", "n ", "", " "):
        assert take(intake, id=signal_id).status == "repeated"


async def test_an_id_may_be_taken_once_in_each_mode() -> None:
    world = World()
    intake = new_intake(world=world)

    assert take(intake).status == "accepted"
    world.mode = "live"
    assert take(intake).status == "accepted"
    assert take(intake).status == "repeated"
    world.mode = "paper"
    assert take(intake).status == "repeated"


async def test_an_id_that_was_not_taken_may_be_taken_later() -> None:
    world = World(refusal="the database cannot be written")
    intake = new_intake(world=world, max_pending=1, phase=Phase.STARTING)

    assert take(intake, id="n-2").status == "starting"
    intake.phase = Phase.TAKING
    assert take(intake, id="n-2").status == "overloaded"
    world.refusal = None
    assert take(intake, id="n-2", symbol="").status == "invalid"
    assert take(intake, id="n-1").status == "accepted"
    assert take(intake, id="n-2").status == "overloaded"
    intake.started()
    assert take(intake, id="n-2").status == "accepted"


async def test_the_ids_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake_module, "_REMEMBERED_IDS", 3)
    intake = new_intake()

    for number in range(1, 8):
        assert take(intake, id=f"n-{number}").status == "accepted"

    for number in (5, 6, 7):
        assert take(intake, id=f"n-{number}").status == "repeated"
    assert take(intake, id="n-1").status == "accepted"


async def test_a_good_many_ids_are_remembered() -> None:
    intake = new_intake()
    ids = [f"n-{number}" for number in range(5_000)]

    assert {take(intake, id=i).status for i in ids} == {"accepted"}
    assert {take(intake, id=i).status for i in ids} == {"repeated"}


async def test_no_more_than_max_pending_signals_wait() -> None:
    intake = new_intake(max_pending=3)

    statuses = [take(intake, id=f"n-{n}").status for n in range(5)]

    assert statuses == ["accepted"] * 3 + ["overloaded"] * 2
    assert intake.is_full
    assert len(taken(intake)) == 3
    # Out of the channel, they still wait for an order slot.
    assert take(intake, id="n-5").fields() == {"status": "overloaded", "id": "n-5"}


async def test_a_signal_that_waits_no_longer_makes_room_for_one() -> None:
    intake = new_intake(max_pending=2)
    assert [take(intake, id=str(n)).status for n in range(2)] == ["accepted"] * 2

    intake.started()

    assert not intake.is_full
    assert take(intake, id="2").status == "accepted"
    assert take(intake, id="3").status == "overloaded"


async def test_a_repeated_id_is_repeated_even_when_there_is_no_room() -> None:
    world = World()
    intake = new_intake(world=world, max_pending=1)
    assert take(intake).status == "accepted"

    assert take(intake).status == "repeated"
    world.refusal = "the database cannot be written"
    assert take(intake).status == "repeated"


async def test_a_refusal_is_overloaded_and_says_why() -> None:
    intake = new_intake(world=World(refusal="the database cannot be written"))

    assert take(intake).fields() == {
        "status": "overloaded",
        "id": "n-1",
        "reason": "the database cannot be written",
    }
    assert take(intake, id=None).fields() == {
        "status": "overloaded",
        "reason": "the database cannot be written",
    }
    assert taken(intake) == []


async def test_signals_are_handed_on_in_order_and_numbered() -> None:
    intake = new_intake()

    answers = [take(intake, id=f"n-{n}") for n in range(100)]

    queued = taken(intake)
    assert [t.signal.id for t in queued] == [f"n-{n}" for n in range(100)]
    assert [t.sequence for t in queued] == list(range(1, 101))
    assert [a.sequence for a in answers] == list(range(1, 101))


async def test_what_is_not_taken_has_no_number() -> None:
    intake = new_intake()

    assert take(intake, b"x").sequence is None
    assert take(intake).sequence == 1
    assert take(intake).sequence is None
    assert take(intake, id="n-2").sequence == 2


async def test_every_answer_is_counted() -> None:
    world = World()
    intake = new_intake(world=world, max_pending=2, phase=Phase.STARTING)

    take(intake)
    intake.phase = Phase.TAKING
    take(intake, id="1")
    take(intake, id="1")
    take(intake, id="2")
    take(intake, id="3")
    take(intake, id="4")
    take(intake, b"x")
    intake.take(None, read_at=0)
    intake.close()
    take(intake)

    assert intake.counts == {
        "accepted": 2,
        "invalid": 2,
        "repeated": 1,
        "overloaded": 2,
        "starting": 1,
        "stopping": 1,
    }


async def test_a_closed_intake_ends_after_what_it_has_taken() -> None:
    intake = new_intake()
    take(intake, id="1")
    take(intake, id="2")

    intake.close()
    intake.close()

    assert [t.signal.id async for t in intake.taken] == ["1", "2"]


@within(5)
async def test_whoever_waits_for_room_has_it_at_once_where_there_is_some() -> None:
    intake = new_intake(max_pending=1)

    await intake.wait_for_room()


@within(5)
async def test_whoever_waits_for_room_is_woken_when_there_is_some() -> None:
    intake = new_intake(max_pending=1)
    take(intake, id="0")
    taken_by: list[str] = []

    async def wait_and_take(name: str) -> None:
        await intake.wait_for_room()
        taken_by.append(name)
        assert take(intake, id=name).status == "accepted"

    async with trio.open_nursery() as nursery:
        for name in ("1", "2", "3"):
            nursery.start_soon(wait_and_take, name)
        for count in range(4):
            await wait_all_tasks_blocked()
            assert len(taken_by) == count
            intake.started()

    assert sorted(taken_by) == ["1", "2", "3"]


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
    intake = new_intake(world=world)

    take(intake)
    assert told(caplog) == [(logging.DEBUG, "signal taken: id=n-1")]
    take(intake)
    [(level, text)] = told(caplog)
    assert level == logging.INFO
    assert "id=n-1" in text
    assert "repeated" in text
    take(intake, symbol=MISSING)
    [(level, text)] = told(caplog)
    assert level == logging.WARNING
    assert "id=n-1" in text
    assert "symbol: Field required" in text
    world.refusal = "the database cannot be written"
    take(intake, id="n-2")
    [(level, text)] = told(caplog)
    assert level == logging.WARNING
    assert "id=n-2" in text
    assert "overloaded: the database cannot be written" in text


async def test_a_flood_of_bad_lines_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    intake = new_intake()

    for _ in range(5_000):
        take(intake, b"x")
    assert len(told(caplog)) <= 101
    assert intake.counts["invalid"] == 5_000

    mock_clock.jump(61)
    take(intake, b"x")
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
    refusal=st.sampled_from([None, "the database cannot be written"]),
    max_pending=st.integers(1, 3),
)
async def test_whatever_comes_gets_one_answer_of_the_table(
    lines: list[tuple[bytes | None, bool]],
    phase: Phase,
    refusal: str | None,
    max_pending: int,
) -> None:
    intake = new_intake(
        max_pending=max_pending, world=World(refusal=refusal), phase=phase
    )

    for number, (line, early) in enumerate(lines, start=1):
        answer = intake.take(line, read_at=0, early=early)
        encoded = encode(answer.fields())

        assert answer.status in STATUSES
        assert (answer.status == "invalid") is (answer.error is not None)
        assert (answer.status == "accepted") is (answer.sequence is not None)
        assert encoded.count(b"\n") == 1
        assert encoded.endswith(b"\n")
        assert json.loads(encoded) == answer.fields()
        assert intake.counts.total() == number

    assert len(taken(intake)) == intake.counts["accepted"] == intake.pending
    assert intake.pending <= max_pending
