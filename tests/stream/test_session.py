"""What is said on one connection: each frame does what it says, and no frame harms."""

from __future__ import annotations

import json
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from snexec.broker.endpoint import Endpoint
from snexec.errors import StreamClosedError, StreamUnauthorizedError
from snexec.stream.connection import Socket
from snexec.stream.frames import FrameReader
from snexec.stream.life import SignsOfLife
from snexec.stream.session import Session
from tests.fakes import CREDENTIALS, FakeClock
from tests.streaming import (
    AUTHORIZED,
    LISTENING,
    TAKEN_FILL,
    UNAUTHORIZED,
    RecordingFills,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.jumping_time


class ScriptedSocket(Socket):
    """A connection that says what it is given, and then is closed."""

    def __init__(self, frames: Iterable[object], *, binary: bool = False) -> None:
        texts = (f if isinstance(f, str | bytes) else json.dumps(f) for f in frames)
        self._coming = deque(
            text.encode() if binary and isinstance(text, str) else text
            for text in texts
        )
        self.sent: list[dict[str, Any]] = []

    async def get_message(self) -> str | bytes:
        await trio.lowlevel.checkpoint()
        if not self._coming:
            raise StreamClosedError("1000 NORMAL_CLOSURE")
        return self._coming.popleft()

    async def send_message(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(json.loads(text))

    async def ping(self) -> None:
        await trio.sleep_forever()


def session_on(socket: Socket, fills: RecordingFills) -> Session:
    """Make a session of the paper account."""
    endpoint = Endpoint(mode="paper", url="http://127.0.0.1:1", credentials=CREDENTIALS)
    frames = FrameReader(FakeClock())
    return Session(socket, endpoint, frames=frames, updates=fills, life=SignsOfLife())


async def taken_from(*frames: object, binary: bool = False) -> list[tuple[object, ...]]:
    """Return what is handed on of these frames, once the connection has closed."""
    fills = RecordingFills()
    await session_on(ScriptedSocket(frames, binary=binary), fills).take_events()
    return fills.taken


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return the stream's lines of one level, but for the connection's end."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level
        and record.name == "TradingWs"
        and not record.getMessage().startswith("connection closed")
    ]


@pytest.fixture(autouse=True)
def _every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="TradingWs")


# The beginning


async def test_it_authenticates_and_then_asks_for_the_events_of_orders() -> None:
    socket = ScriptedSocket([AUTHORIZED, LISTENING])
    await session_on(socket, RecordingFills()).begin()
    key, secret = CREDENTIALS.values()
    assert socket.sent == [
        {"action": "auth", "key": key, "secret": secret},
        {"action": "listen", "data": {"streams": ["trade_updates"]}},
    ]


async def test_an_event_between_the_answers_is_handed_on() -> None:
    fills = RecordingFills()
    socket = ScriptedSocket([AUTHORIZED, update(), LISTENING])
    await session_on(socket, fills).begin()
    assert fills.taken == [TAKEN_FILL]


@pytest.mark.parametrize("before", [[], [AUTHORIZED]], ids=["at once", "later"])
async def test_keys_that_are_refused_end_it(before: list[object]) -> None:
    socket = ScriptedSocket([*before, UNAUTHORIZED])
    with pytest.raises(StreamUnauthorizedError, match="401"):
        await session_on(socket, RecordingFills()).begin()


async def test_a_broker_that_listens_to_something_else_is_left_after_a_while() -> None:
    class Stubborn(ScriptedSocket):
        async def get_message(self) -> str | bytes:
            if self._coming:
                return await super().get_message()
            await trio.sleep(4)
            return json.dumps({"stream": "listening", "data": {"streams": []}})

    session = session_on(Stubborn([]), RecordingFills())
    with pytest.raises(trio.TooSlowError, match="no authorization"):
        await session.begin()
    assert trio.current_time() == 10

    session = session_on(Stubborn([AUTHORIZED]), RecordingFills())
    with pytest.raises(trio.TooSlowError, match="no listening"):
        await session.begin()
    assert trio.current_time() == 20


async def test_no_event_is_being_handed_over_once_it_is() -> None:
    session = session_on(ScriptedSocket([update()]), RecordingFills())
    await session.take_events()
    assert not session._life.handing_over


# Events


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (update(), TAKEN_FILL),
        (update("partial_fill"), ("partial_fill", *TAKEN_FILL[1:])),
        (
            update("rejected", filled_qty="0", filled_avg_price=None),
            ("rejected", "o-1", "AAPL", None, "paper", "sn-1", "e-1", "0", None),
        ),
        (
            update(filled_qty=None, filled_avg_price=[1], symbol=None),
            ("fill", "o-1", None, [1], None, "paper", "sn-1", "e-1"),
        ),
        (
            update(client_order_id=None, symbol=7),
            (*TAKEN_FILL[:4], None, "paper", None, "e-1"),
        ),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
async def test_an_order_event_is_handed_on(
    frame: dict[str, Any], taken: tuple[object, ...], binary: bool
) -> None:
    assert await taken_from(frame, binary=binary) == [taken]


@pytest.mark.parametrize("event", ["fill", "partial_fill", "rejected"])
async def test_an_events_side_is_handed_on(event: str) -> None:
    fills = RecordingFills()
    frames = [update(event, side="sell"), update(event), update(event, side=None)]
    await session_on(ScriptedSocket(frames), fills).take_events()
    assert fills.sides == ["sell", None, None]


@pytest.mark.parametrize(
    ("name", "longest"),
    [("id", 256), ("client_order_id", 128), ("symbol", 64), ("side", 64)],
)
@pytest.mark.parametrize("event", ["fill", "rejected"])
async def test_a_name_longer_than_the_brokers_are_is_not_handed_on(
    caplog: pytest.LogCaptureFixture, event: str, name: str, longest: int
) -> None:
    good = update(event, **{name: "x" * longest})
    assert len(await taken_from(good)) == 1
    assert lines(caplog) == []
    for length in (longest + 1, 100_000):
        assert await taken_from(update(event, **{name: "x" * length})) == []
    assert (
        lines(caplog)
        == [
            f"a {event} whose order's {name} is longer than {longest} characters, passed"
            " over"
        ]
        * 2
    )


async def test_an_execution_id_and_a_reason_without_end_are_not_kept() -> None:
    frame = update("rejected")
    frame["data"] |= {"execution_id": "e" * 100_000, "reason": "r" * 100_000}
    ((*_, reason, _mode, _client, execution, _quantity, _price),) = await taken_from(
        frame
    )
    assert (reason, execution) == (None, None)


async def test_a_reason_and_a_missing_execution_id_are_handed_on() -> None:
    frame = update("rejected")
    frame["data"]["reason"] = "halted"
    frame["data"]["execution_id"] = None
    assert await taken_from(frame) == [
        (
            *("rejected", "o-1", "AAPL", "halted", "paper"),
            *("sn-1", None, "0.057436865", "86.878"),
        )
    ]


@pytest.mark.parametrize(
    "event",
    [
        *("new", "pending_new", "accepted", "canceled", "expired", "replaced"),
        *("done_for_day", "restated", "trade_bust", "FILL", "weird", "", None),
    ],
)
async def test_any_other_event_is_a_debug_line(
    caplog: pytest.LogCaptureFixture, event: object
) -> None:
    assert await taken_from(update(event), update()) == [TAKEN_FILL]
    assert lines(caplog) == []
    assert any(line.startswith("event ") for line in lines(caplog, logging.DEBUG))


@pytest.mark.parametrize("event", ["canceled", "expired"])
async def test_the_end_of_an_order_that_sells_is_handed_on(event: str) -> None:
    fills = RecordingFills()
    sell = update(event, side="sell", filled_at="2026-09-18T13:24:50.0193Z")
    frames = [sell, update(event, side="buy"), update(event)]
    await session_on(ScriptedSocket(frames), fills).take_events()
    assert fills.taken == [
        (
            *(event, "o-1", "0.057436865", "86.878", "AAPL"),
            *("paper", "sn-1", "e-1"),
        )
    ]
    assert fills.moments == [datetime(2026, 9, 18, 13, 24, 50, 19300, tzinfo=UTC)]


async def test_the_time_of_a_sells_fill_is_handed_on_and_that_of_a_buy_is_not_read() -> (
    None
):
    fills = RecordingFills()
    broken = update("partial_fill", side="sell")
    broken["data"]["timestamp"] = "yesterday"
    frames = [update(side="sell"), broken, update(side="buy"), update()]
    await session_on(ScriptedSocket(frames), fills).take_events()
    sold_at = datetime(2026, 9, 18, 13, 24, 50, 19303, tzinfo=UTC)
    assert fills.moments == [sold_at, None, None, None]


async def test_an_event_counts_as_heard_and_nonsense_counts_too() -> None:
    session = session_on(ScriptedSocket(["nonsense"]), RecordingFills())
    await session.take_events()
    assert (session._life.heard_at, session._life.event_at) == (
        trio.current_time(),
        None,
    )
    session = session_on(ScriptedSocket([update()]), RecordingFills())
    await session.take_events()
    assert session._life.event_at == session._life.heard_at == trio.current_time()


# Nonsense


PASSED_OVER: list[object] = [
    "",
    " ",
    "not JSON",
    "{",
    "null",
    "5",
    "[]",
    '"trade_updates"',
    b"\xff\xfe\x00",
    b"\x81\xa6stream\xaetrade_updates",
    "\0",
    "NaN",
    "[" * 200_000,
    '{"stream":' * 50_000,
    "9" * 5000,
    {},
    {"stream": None},
    {"stream": ["trade_updates"]},
    {"stream": 5, "data": {}},
    {"stream": "news", "data": {}},
    {"stream": "trade_updates"},
    {"stream": "trade_updates", "data": None},
    {"stream": "trade_updates", "data": []},
    {"stream": "trade_updates", "data": "fill"},
    {"stream": "trade_updates", "data": {}},
    {"stream": "trade_updates", "data": {"event": "fill"}},
    {"stream": "trade_updates", "data": {"event": "fill", "order": None}},
    {"stream": "trade_updates", "data": {"event": "fill", "order": "o-1"}},
    {"stream": "trade_updates", "data": {"event": "fill", "order": ["o-1"]}},
    {"stream": "trade_updates", "data": {"event": "rejected", "order": {}}},
    update(["fill"]),
    update({"fill": 1}),
    update(True),
    update(1.5),
    update(id=None),
    update(id=5),
    update(id=""),
    update(id=["o-1"]),
    update(id="\ud800"),
    {"stream": "authorization"},
    {"stream": "authorization", "data": None},
    {"stream": "authorization", "data": {}},
    {"stream": "listening"},
    {"stream": "listening", "data": {"streams": None}},
    {"stream": "\ud800"},
    {"action": "error", "data": {"error_message": "…"}},
]


@pytest.mark.parametrize("frame", PASSED_OVER, ids=lambda frame: ascii(frame)[:50])
async def test_a_frame_of_an_unexpected_shape_is_passed_over(frame: object) -> None:
    assert await taken_from(frame, update()) == [TAKEN_FILL]


async def test_malformed_frames_are_logged_and_shortened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await taken_from(
        "not JSON", "[]", {"stream": "x" * 9999}, {"stream": "trade_updates"}
    )
    assert len(lines(caplog)) == 4
    assert all("passed over" in line and len(line) < 300 for line in lines(caplog))


def take_silently(frames: Iterable[object]) -> list[tuple[object, ...]]:
    """Take thousands of frames, whose lines other tests would look at."""
    logging.disable()
    try:
        return trio.run(lambda: taken_from(*frames))
    finally:
        logging.disable(logging.NOTSET)


def test_no_depth_of_nesting_ends_the_connection() -> None:
    limit = sys.getrecursionlimit()
    frames = []
    for depth in [*range(limit - 150, limit + 20), 5000]:
        deep = '{"a":' * depth + "1" + "}" * depth
        frames += [
            deep,
            f'{{"stream":{deep}}}',
            f'{{"stream":"listening","data":{deep}}}',
            f'{{"stream":"trade_updates","data":{{"event":"fill","order":{deep}}}}}',
        ]
    assert take_silently([*frames, update()]) == [TAKEN_FILL]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["fill", "partial_fill", "rejected", "o-1", "authorized"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
FRAMES = (
    st.binary()
    | st.text()
    | JSON.map(json.dumps)
    | st.fixed_dictionaries(
        {"stream": st.sampled_from(["trade_updates", "listening", "news"]) | JSON},
        optional={
            "data": JSON
            | st.fixed_dictionaries(
                {},
                optional={
                    "event": st.sampled_from(["fill", "partial_fill", "rejected"])
                    | JSON,
                    "execution_id": JSON,
                    "reason": JSON,
                    "order": JSON
                    | st.fixed_dictionaries(
                        {"id": st.text() | JSON},
                        optional={
                            "client_order_id": JSON,
                            "symbol": JSON,
                            "filled_qty": JSON,
                            "filled_avg_price": JSON,
                        },
                    ),
                },
            )
        },
    ).map(json.dumps)
)


# No shrinking: it takes minutes here, and a found example is readable as it is.
@settings(max_examples=400, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(frames=st.lists(FRAMES, min_size=1, max_size=10))
@example(frames=[json.dumps(update(["fill"]))])
@example(frames=[json.dumps(update(id="\ud800"))])
def test_no_frame_ends_the_connection(frames: list[str | bytes]) -> None:
    taken = take_silently([*frames, update(id="last")])
    assert taken[-1][1] == "last"
    for event, order_id, *_numbers in taken:
        assert event in {"fill", "partial_fill", "rejected"}
        assert isinstance(order_id, str)
        assert order_id.encode()
