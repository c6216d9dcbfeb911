"""What can happen in a story, and how stories are drawn.

Every step shows itself by what differs from the plainest one, so that a failure reads
as a story.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from hypothesis import strategies as st

from snexec.settings import Mode

Post = Literal[
    "ok",
    "slow",  # the reply takes 4 s; events overtake it
    "told at once",  # the reply tells what has become of the order so far
    "lost after accept",  # reset, 5xx, HTML, an unreadable 200
    "hangs after accept",
    "lost before accept",
    "hangs before accept",
    "accepted after 30 s",  # long after the client gave up waiting
    "accepted after 90 s",  # after the row was given up, too
    "not sent",
    "refused",
    "429",
    "429, yet accepted",
]
Life = Literal[
    "fill",
    "part fill",
    "part part fill",
    "part cancel",
    "part expire",
    "cancel",
    "expire",
    "reject",
    "rest",
    "part rest",
]
Feed = Literal["prompt", "late", "twice", "reversed", "lost", "garbled", "other frames"]
Look = Literal["ok", "lost", "hangs", "slow", "429", "not sent", "401"]
Position = Literal["ok", "404", "lost", "slow"]
Point = Literal[
    "commit begins",
    "commit done",
    "post leaves",
    "post accepted",
    "post answered",
    "look-up answered",
    "event delivered",
    "mode switches",
]


@dataclass(frozen=True, kw_only=True, repr=False)
class Step:
    """One thing that happens."""

    def __repr__(self) -> str:
        told = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Wait(Step):
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Send(Step):
    """A signal, and what the broker will make of its order.

    Attributes:
        posts: What becomes of each POST; further ones are ok.
        pace: Seconds between the parts of the order's life.
        feed: How the stream tells of it.
        hidden: Seconds for which look-ups do not find it, once accepted.
        looks: What becomes of each look-up; further ones are ok.
        positions: Likewise for questions about the position.
    """

    symbol: str = "AAPL"
    id: str | None = "n-1"
    stars: Literal[5, 3, 0] = 5
    posts: tuple[Post, ...] = ()
    life: Life = "fill"
    pace: float = 0.5
    feed: Feed = "prompt"
    hidden: float = 0.0
    looks: tuple[Look, ...] = ()
    positions: tuple[Position, ...] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class Crash(Step):
    """kill -9, and a start on the same database."""

    down: float = 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class CrashAt(Step):
    """kill -9 when the daemon comes to a point for the nth time from now."""

    point: Point = "commit begins"
    nth: int = 1
    down: float = 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Stop(Step):
    """SIGTERM, and a start afterwards."""

    down: float = 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Switch(Step):
    mode: Mode = "live"


@dataclass(frozen=True, kw_only=True, repr=False)
class Bot(Step):
    state: Literal["running", "paused"] = "paused"


@dataclass(frozen=True, kw_only=True, repr=False)
class NewKeys(Step):
    """Other keys for the same account, read on SIGHUP."""


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamDrops(Step):
    pass


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamStarves(Step):
    """The connection stays open and is fed no more.

    Attributes:
        pongs: Whether pings are still answered.
    """

    pongs: bool = True


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamRefuses(Step):
    """The connection drops, and for a while there is no other."""

    seconds: float = 10.0
    crowded: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class RestUnreachable(Step):
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, repr=False)
class DiskFull(Step):
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, repr=False)
class UserCancels(Step):
    """Working orders of a symbol are canceled at the broker, by hand."""

    symbol: str = "AAPL"


@dataclass(frozen=True, kw_only=True, repr=False)
class MonitorSells(Step):
    """Another program sells what the open row of a symbol holds, and closes it."""

    symbol: str = "AAPL"


SYMBOLS = ("AAPL", "MSFT")
_FATES_MAX = 3
_seconds = st.sampled_from([0.0, 0.01, 0.06, 0.3, 2.0, 7.0, 25.0, 70.0, 130.0])
_symbols = st.sampled_from(SYMBOLS)


def _some(kind: object) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(get_args(kind)), max_size=_FATES_MAX).map(tuple)


_sends = st.builds(
    Send,
    symbol=_symbols,
    id=st.sampled_from(["n-1", "n-2", "n-3", "n-4", None]),
    stars=st.sampled_from([5, 5, 5, 3, 0]),
    posts=_some(Post),
    life=st.sampled_from(get_args(Life)),
    pace=st.sampled_from([0.5, 0.003, 3.0, 12.0, 40.0]),
    feed=st.sampled_from(get_args(Feed)),
    hidden=st.sampled_from([0.0, 0.2, 6.0, 80.0]),
    looks=_some(Look),
    positions=_some(Position),
)
_faults = st.one_of(
    st.builds(Crash, down=_seconds),
    st.builds(
        CrashAt,
        point=st.sampled_from(get_args(Point)),
        nth=st.integers(1, 4),
        down=_seconds,
    ),
    st.builds(Stop, down=_seconds),
    st.builds(Switch, mode=st.sampled_from(["live", "paper"])),
    st.builds(Bot, state=st.sampled_from(["paused", "running"])),
    st.builds(NewKeys),
    st.builds(StreamDrops),
    st.builds(StreamStarves, pongs=st.booleans()),
    st.builds(StreamRefuses, seconds=_seconds, crowded=st.booleans()),
    st.builds(RestUnreachable, seconds=_seconds),
    st.builds(DiskFull, seconds=_seconds),
    st.builds(UserCancels, symbol=_symbols),
    st.builds(MonitorSells, symbol=_symbols),
)
_waits = st.builds(Wait, seconds=_seconds)


def stories(*, longest: int = 12) -> st.SearchStrategy[list[Step]]:
    """Draw lists of steps: mostly signals, waits and faults in between."""
    return st.lists(
        st.one_of(_sends, _waits, _faults, _sends), min_size=1, max_size=longest
    )
