"""Frames of market data: each says what it says, and none harms."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Literal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.logs import Repeats, SecretMask
from snexec.market.tick_frames import TickReader
from snexec.market.ticks import Cancel, Correction, Print, Quote, Status
from tests.fakes import FakeClock, warnings_of
from tests.market.data import (
    AT,
    AT_TEXT,
    CONNECTED,
    RecordingSink,
    error,
    quote,
    symbols_of,
    trade,
)

pytestmark = pytest.mark.jumping_time

WATCHED = {"AAPL", "BTC/USD"}


class Bench:
    """A reader, and what it handed on."""

    def __init__(self, mask: SecretMask | None = None) -> None:
        self.sink = RecordingSink()
        self.watched = set(WATCHED)
        self.reader = TickReader(
            self.sink, self.watched, clock=FakeClock(), mask=mask or SecretMask()
        )

    def read(self, frame: object) -> list[dict[str, Any]]:
        """Read a frame: JSON, or text or bytes as they are."""
        plain = isinstance(frame, str | bytes)
        return self.reader.read(frame if plain else json.dumps(frame))  # type: ignore[arg-type]


async def test_one_frame_may_say_many_things_in_their_order() -> None:
    bench = Bench()
    assert bench.read([trade(), quote(), trade("BTC/USD", 60_000), *CONNECTED]) == (
        CONNECTED
    )
    assert [type(tick) for tick in bench.sink.taken] == [Print, Quote, Print]
    assert symbols_of(bench.sink.taken) == ["AAPL", "AAPL", "BTC/USD"]
    assert bench.reader.ticks == 3


@pytest.mark.parametrize(
    "text", ["189.58", "189.580000000000001", "0.123456789012345678", "60000", "1e2"]
)
async def test_a_price_is_the_number_of_the_text_exactly(text: str) -> None:
    bench = Bench()
    frame = json.dumps([trade(price="PRICE")]).replace('"PRICE"', text)
    for each in (frame, frame.encode()):
        bench.read(each)
    for tick in bench.sink.taken:
        assert isinstance(tick, Print)
        assert tick.price == Decimal(text)
    assert len(bench.sink.taken) == 2


async def test_a_print_that_was_other_takes_the_old_one_back() -> None:
    bench = Bench()
    head = {"T": "c", "S": "AAPL", "x": "D", "t": AT_TEXT, "z": "C"}
    old = {"oi": 5, "op": 30, "os": 100, "oc": ["@"]}
    new = {"ci": 6, "cp": 189.5, "cs": 50, "cc": ["@", "I"]}
    bench.read([head | old | new])
    after = Print("AAPL", Decimal("189.5"), AT, ("@", "I"), "6", "D")
    assert bench.sink.taken == [Correction("AAPL", "5", "D", Decimal(30), after)]


async def test_a_correction_whose_new_price_cannot_be_read_still_takes_back() -> None:
    bench = Bench()
    bench.read([{"T": "c", "S": "AAPL", "x": "D", "oi": 5, "op": 30, "t": AT_TEXT}])
    assert bench.sink.taken == [Correction("AAPL", "5", "D", Decimal(30), None)]


async def test_a_print_that_never_was_is_taken_back() -> None:
    bench = Bench()
    canceled = {"T": "x", "S": "AAPL", "i": 5, "x": "D", "p": 30, "s": 1, "a": "C"}
    bench.read([canceled | {"t": AT_TEXT, "z": "C"}])
    assert bench.sink.taken == [Cancel("AAPL", "5", "D", Decimal(30))]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        *[("2", "halted"), ("H", "halted"), ("P", "halted")],
        *[("3", "resumed"), ("T", "resumed"), ("Q", None), ("5", None)],
    ],
)
async def test_a_status_says_whether_it_trades(
    code: str, state: Literal["halted", "resumed"] | None
) -> None:
    bench = Bench()
    status = {"T": "s", "S": "AAPL", "sc": code, "sm": "words", "rc": "LUDP"}
    bench.read([status | {"t": AT_TEXT, "z": "C"}])
    assert bench.sink.taken == [Status("AAPL", state, code, "LUDP", AT)]


async def test_what_is_not_watched_is_passed_over_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.read([trade("F"), trade("*"), quote("AAPL ")])
    bench.watched.discard("AAPL")
    bench.read([trade()])
    assert bench.sink.taken == []
    assert bench.reader.ticks == 0
    assert warnings_of(caplog) == []


async def test_what_is_said_about_the_connection_is_returned() -> None:
    said = [*error(405), {"T": "subscription", "trades": ["AAPL"]}]
    bench = Bench()
    assert bench.read(said) == said
    assert bench.read(CONNECTED[0]) == CONNECTED


NONSENSE: list[object] = [
    "",
    "not JSON",
    b"\x93\x01\x02\x03",
    b"\xff\xfe",
    "[" * 100_000,
    '[{"T":"t","S":"AAPL","p":NaN,"t":"2026-01-05T14:30:00Z"}]',
    '[{"T":"t","S":"AAPL","p":1' + "0" * 5000 + "}]",
    None,
    5,
    "[[]]",
    [None, [], "t"],
    [{}],
    [{"T": None}],
    [{"T": ["t"]}],
    [{"T": "t"}],
    [{"T": "t", "S": ["AAPL"]}],
    [{"T": "t", "S": "AAPL"}],
    [{"T": "q", "S": "AAPL"}],
    [{"T": "c", "S": "AAPL"}],
    [{"T": "x", "S": "AAPL"}],
    [{"T": "s", "S": "AAPL"}],
    [{"T": "surprise", "S": "AAPL"}],
    [trade(t={"at": 1})],
]


@pytest.mark.parametrize("frame", NONSENSE)
async def test_nonsense_is_said_once_and_harms_nothing_beside_it(
    frame: object, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    for _ in range(3):
        assert bench.read(frame) == []
    bench.read([trade()])
    assert symbols_of(bench.sink.taken) == ["AAPL"]
    assert warnings_of(caplog), "somebody may want to know"
    assert len(warnings_of(caplog)) == len(set(warnings_of(caplog)))


async def test_a_good_tick_beside_a_bad_one_counts() -> None:
    bench = Bench()
    bench.read([trade(price="dear"), None, trade()])
    assert symbols_of(bench.sink.taken) == ["AAPL"]


async def test_a_secret_that_a_frame_echoes_is_masked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mask = SecretMask()
    mask.learn(["s3cr3tValue0001"])
    Bench(mask).read([{"T": "surprise", "S": "AAPL", "x": "s3cr3tValue0001"}])
    assert "s3cr3tValue0001" not in caplog.text
    assert "***" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELD = st.sampled_from(
    ["p", "t", "c", "i", "s", "z", "x", "oi", "op", "cp", "ci", "cc", "sc", "bp", "ap"]
)


@given(
    st.sampled_from("tqcxs"),
    st.dictionaries(FIELD, JSON | st.just(AT_TEXT) | st.just(5), max_size=6),
)
def test_no_field_of_a_tick_harms(kind: str, fields: dict[str, Any]) -> None:
    bench = Bench()
    with mock.patch.object(Repeats, "failed", return_value=False):
        assert bench.read([{"T": kind, "S": "AAPL", **fields}]) == []
    for tick in bench.sink.taken:
        assert tick.symbol == "AAPL"
        if isinstance(tick, Print):
            assert tick.price > 0
