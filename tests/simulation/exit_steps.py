"""What can happen to what is held, and how such stories are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from tests.simulation.steps import (
    Crash,
    CrashAt,
    DiskFull,
    Look,
    Point,
    Post,
    RestUnreachable,
    Send,
    Step,
    Stop,
    StreamDrops,
    StreamStarves,
    Switch,
    UserCancels,
    Wait,
)

SaleLife = Literal[
    "fill",
    "part fill",
    "part part fill",
    "cancel",
    "part cancel",
    "part part expire",
    "expire",
    "reject",
    "part reject",
]
Feed = Literal["prompt", "late", "twice", "reversed", "lost", "garbled"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Fate(Step):
    """What becomes of a sell; the attributes are those of ``Send``."""

    posts: tuple[Post, ...] = ()
    life: SaleLife = "fill"
    pace: float = 0.5
    feed: Feed = "prompt"
    hidden: float = 0.0
    looks: tuple[Look, ...] = ()


PLAIN = Fate()


@dataclass(frozen=True, kw_only=True, repr=False)
class Fates(Step):
    """What becomes of the next sells of a symbol; further ones are filled."""

    symbol: str = "AAPL"
    fates: tuple[Fate, ...] = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class Move(Step):
    """A symbol trades at another price, in dollars as text; it was at 100."""

    symbol: str = "AAPL"
    price: str = "100"


@dataclass(frozen=True, kw_only=True, repr=False)
class BadPrint(Step):
    """The list of positions says a price once, at which nothing trades."""

    symbol: str = "AAPL"
    price: str = "80"


@dataclass(frozen=True, kw_only=True, repr=False)
class OthersSell(Step):
    """Somebody with the same keys sells of a position.

    Attributes:
        part: How much of all that is free, in tenths.
        traced: Whether an event and an activity say so.
    """

    symbol: str = "AAPL"
    part: int = 10
    traced: bool = True


@dataclass(frozen=True, kw_only=True, repr=False)
class OthersBuy(Step):
    """Somebody with the same keys buys three shares more."""

    symbol: str = "AAPL"


@dataclass(frozen=True, kw_only=True, repr=False)
class Splits(Step):
    """The night comes, and a symbol and its price are split in it, if there is one."""

    symbol: str = "AAPL"
    ratio: int = 4
    traced: bool = True


@dataclass(frozen=True, kw_only=True, repr=False)
class TradingHalts(Step):
    """A symbol does not trade for a while; orders wait."""

    symbol: str = "AAPL"
    seconds: float = 25.0


@dataclass(frozen=True, kw_only=True, repr=False)
class EmptyLists(Step):
    """The list of positions is empty for some questions, whatever is held."""

    count: int = 3


@dataclass(frozen=True, kw_only=True, repr=False)
class OtherAccount(Step):
    """The keys are another account's, which holds nothing, for a while."""

    seconds: float = 70.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Halt(Step):
    """The kill switch, for a while."""

    all_orders: bool = True
    seconds: float = 25.0


@dataclass(frozen=True, kw_only=True, repr=False)
class CloseByHand(Step):
    symbol: str = "AAPL"


@dataclass(frozen=True, kw_only=True, repr=False)
class ExitsEnabled(Step):
    """``[exits] enabled`` as a SIGHUP changes it."""

    enabled: bool = False


_symbols = st.sampled_from(["AAPL", "AAPL", "MSFT"])
_seconds = st.sampled_from([0.0, 0.01, 0.06, 0.3, 2.0, 7.0, 25.0, 70.0, 130.0])
# The limits, a cent beyond and before them, and what is far away.
_prices = st.sampled_from(
    ["100", "95.00", "95.01", "94.99", "90", "110", "109.99", "112", "107", "102", "60"]
)
_SALE_POSTS: list[Post] = [
    *("slow", "told at once", "lost after accept", "hangs after accept"),
    *("lost before accept", "hangs before accept", "accepted after 30 s", "not sent"),
    *("refused", "429"),
]
_BUY_POSTS: list[Post] = ["slow", "lost after accept", "hangs after accept"]


@st.composite
def _fate(draw: st.DrawFn) -> Fate:
    return Fate(
        posts=draw(st.lists(st.sampled_from(_SALE_POSTS), max_size=2).map(tuple)),
        life=draw(st.sampled_from(get_args(SaleLife))),
        pace=draw(st.sampled_from([0.5, 0.003, 3.0, 12.0])),
        feed=draw(st.sampled_from(get_args(Feed))),
        hidden=draw(st.sampled_from([0.0, 0.0, 0.2, 6.0])),
        looks=draw(st.lists(st.sampled_from(get_args(Look)), max_size=2).map(tuple)),
    )


_ids = st.sampled_from([f"n-{n}" for n in range(1, 6)])
_buys: dict[str, st.SearchStrategy[Any]] = {
    "symbol": _symbols,
    "id": _ids,
    "posts": st.just(()) | st.lists(st.sampled_from(_BUY_POSTS), max_size=1).map(tuple),
    "life": st.sampled_from(
        ["fill", "fill", "part fill", "part part fill", "part cancel", "cancel"]
    ),
    "pace": st.sampled_from([0.5, 0.003, 3.0, 12.0]),
    "feed": st.sampled_from(["prompt", "prompt", "late", "twice", "lost"]),
}
_STEPS: dict[type[Step], dict[str, st.SearchStrategy[Any]]] = {
    Wait: {"seconds": _seconds},
    Send: _buys,
    Fates: {"symbol": _symbols, "fates": st.lists(_fate(), max_size=3).map(tuple)},
    Move: {"symbol": _symbols, "price": _prices},
    BadPrint: {"symbol": _symbols, "price": st.sampled_from(["80", "94", "120", "60"])},
    CloseByHand: {"symbol": _symbols},
    OthersSell: {
        "symbol": _symbols,
        "part": st.sampled_from([10, 10, 5, 1]),
        "traced": st.booleans(),
    },
    OthersBuy: {"symbol": _symbols},
    Splits: {
        "symbol": _symbols,
        "ratio": st.sampled_from([2, 3, 10]),
        "traced": st.booleans(),
    },
    TradingHalts: {"symbol": _symbols, "seconds": _seconds},
    EmptyLists: {"count": st.integers(1, 30)},
    Halt: {"all_orders": st.booleans(), "seconds": _seconds},
    ExitsEnabled: {"enabled": st.booleans()},
    CrashAt: {
        "point": st.sampled_from([p for p in get_args(Point) if p != "mode switches"]),
        "nth": st.integers(1, 6),
        "down": _seconds,
    },
    Crash: {"down": _seconds},
    Stop: {"down": _seconds},
    Switch: {"mode": st.sampled_from(["live", "paper"])},
    UserCancels: {"symbol": _symbols},
    StreamDrops: {},
    StreamStarves: {"pongs": st.booleans()},
    RestUnreachable: {"seconds": _seconds},
    DiskFull: {"seconds": _seconds},
}
_REASONS = [Move, Move, CloseByHand, OthersSell]
_FAULTS = [kind for kind in _STEPS if kind not in {Wait, Send, Move}]


@st.composite
def _one_of(draw: st.DrawFn, kinds: list[type[Step]]) -> Step:
    kind = draw(st.sampled_from(kinds))
    return kind(**{name: draw(values) for name, values in _STEPS[kind].items()})


_perhaps_a_fault = st.lists(_one_of(_FAULTS), max_size=1)


@st.composite
def _held_and_sold(draw: st.DrawFn) -> list[Step]:
    """Draw a buy, and what ends it."""
    symbol = draw(_symbols)
    buy = Send(**{name: draw(values) for name, values in _buys.items()})
    buy = Send(**{**vars(buy), "symbol": symbol})
    fates = draw(st.lists(_fate(), max_size=2).map(tuple))
    reason = draw(_one_of(_REASONS))
    reason = type(reason)(**{**vars(reason), "symbol": symbol})
    wait = Wait(seconds=draw(st.sampled_from([2.0, 7.0, 25.0])))
    return [
        *draw(_perhaps_a_fault),
        buy,
        Fates(symbol=symbol, fates=fates),
        wait,
        *draw(_perhaps_a_fault),
        reason,
        *draw(_perhaps_a_fault),
        Wait(seconds=draw(_seconds)),
        *draw(_perhaps_a_fault),
    ]


def exit_stories(*, longest: int = 4) -> st.SearchStrategy[list[Step]]:
    """Draw what happens, step by step.

    Args:
        longest: In scenes of a few steps each.
    """
    alone = st.lists(_one_of([*_STEPS]), min_size=1, max_size=1)
    scene = st.one_of(alone, _held_and_sold(), _held_and_sold(), _held_and_sold())
    return st.lists(scene, min_size=1, max_size=longest).map(
        lambda scenes: [step for steps in scenes for step in steps]
    )


STOP, TARGET, TRAIL, TRAIL_START = (Decimal(n) for n in ("5", "10", "3", "6"))
