"""What can happen in a story, and how stories are drawn.

Every step shows itself by what differs from the plainest one, so that a failure reads
as a story.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from hypothesis import strategies as st

from snexec.model import Mode

if TYPE_CHECKING:
    from hypothesis.vendor.pretty import RepresentationPrinter

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
    "part reject",
    "park",  # it works no more, and has not ended
    "part park",
    "part park fill",
    "part park cancel",
    "replace rest",  # another order takes its place, with an id of the broker's
    "replace fill",
    "part replace fill",
    "part replace cancel",
    "replace replace reject",
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

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        """Tell Hypothesis to show it so, too."""
        printer.text(repr(self))


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


_FATES_MAX = 3
_seconds = st.sampled_from([0.0, 0.01, 0.06, 0.3, 2.0, 7.0, 25.0, 70.0, 130.0])
_symbols = st.sampled_from(["AAPL", "MSFT", "TSLA"])


def _fates(kind: object) -> st.SearchStrategy[tuple[Any, ...]]:
    some = st.lists(st.sampled_from(get_args(kind)), max_size=_FATES_MAX).map(tuple)
    return st.just(()) | some


_STEPS: dict[type[Step], dict[str, st.SearchStrategy[Any]]] = {
    Wait: {"seconds": _seconds},
    Send: {
        "symbol": _symbols,
        "id": st.sampled_from(["n-1", "n-2", "n-3", "n-4", "n-5", None]),
        "stars": st.sampled_from([5, 5, 5, 5, 3, 0]),
        "posts": _fates(Post),
        "life": st.sampled_from(get_args(Life)),
        "pace": st.sampled_from([0.5, 0.003, 3.0, 12.0, 40.0]),
        "feed": st.sampled_from(get_args(Feed)),
        "hidden": st.sampled_from([0.0, 0.0, 0.2, 6.0, 80.0]),
        "looks": _fates(Look),
        "positions": _fates(Position),
    },
    CrashAt: {
        "point": st.sampled_from(get_args(Point)),
        "nth": st.integers(1, 4),
        "down": _seconds,
    },
    Crash: {"down": _seconds},
    Stop: {"down": _seconds},
    Switch: {"mode": st.sampled_from(["live", "paper"])},
    MonitorSells: {"symbol": _symbols},
    UserCancels: {"symbol": _symbols},
    StreamDrops: {},
    StreamStarves: {"pongs": st.booleans()},
    StreamRefuses: {"seconds": _seconds, "crowded": st.booleans()},
    RestUnreachable: {"seconds": _seconds},
    DiskFull: {"seconds": _seconds},
    NewKeys: {},
    Bot: {"state": st.sampled_from(["running", "running", "paused"])},
}
_FAULTS = [kind for kind in _STEPS if kind not in {Wait, Send}]


@st.composite
def _one_of(draw: st.DrawFn, kinds: list[type[Step]]) -> Step:
    # Not st.builds, which would be shown with every argument.
    kind = draw(st.sampled_from(kinds))
    return kind(**{name: draw(values) for name, values in _STEPS[kind].items()})


_wait, _send, _fault = _one_of([Wait]), _one_of([Send]), _one_of(_FAULTS)
_signals = st.lists(_send, min_size=1, max_size=2)
_perhaps_a_fault = st.lists(_fault, max_size=1)
_perhaps_a_wait = st.lists(_wait, max_size=1)


@st.composite
def _around_a_signal(draw: st.DrawFn) -> list[Step]:
    before, signals = draw(_perhaps_a_fault), draw(_signals)
    wait, after = draw(_wait), draw(_perhaps_a_fault)
    return [*before, *signals, wait, *after, *draw(_perhaps_a_wait)]


@st.composite
def _evidence_that_comes_late(draw: st.DrawFn) -> list[Step]:
    # Too rare by chance: given up after a minute, its symbol bought anew, then found.
    first = replace(cast("Send", draw(_send)), stars=5)
    if draw(st.booleans()):
        first = replace(first, posts=("accepted after 90 s",))
    else:
        first = replace(first, posts=("lost after accept",), hidden=80.0, feed="lost")
    again = replace(cast("Send", draw(_send)), symbol=first.symbol, stars=5)
    return [first, Wait(seconds=75.0), again, *draw(_perhaps_a_fault)]


def stories(*, longest: int = 6) -> st.SearchStrategy[list[Step]]:
    """Draw what happens, step by step.

    Args:
        longest: In scenes of a few steps each.
    """
    scene = st.one_of(
        st.lists(_one_of([*_STEPS]), min_size=1, max_size=1),
        _around_a_signal(),
        _around_a_signal(),
        _evidence_that_comes_late(),
    )
    return st.lists(scene, min_size=1, max_size=longest).map(
        lambda scenes: [step for steps in scenes for step in steps]
    )
