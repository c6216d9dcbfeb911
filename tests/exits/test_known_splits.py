"""Known splits: asked for each hour and for what is new, and kept while unanswered."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.splits import Split
from snexec.errors import NotSentError
from snexec.exits.known_splits import KnownSplits
from snexec.exits.splits import SplitDay
from tests.fakes import TrioClock, warnings_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

pytestmark = pytest.mark.jumping_time

HOUR = 3600.0
DAY = date(2026, 1, 6)
SPLIT = SplitDay("KO", DAY, Fraction(1, 3))


class Source:
    """Answers with two splits, one of a symbol that nobody asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], date, date]] = []
        self.fault: Exception | None = None

    async def splits(
        self, symbols: Collection[str], first: date, last: date
    ) -> Sequence[Split]:
        await trio.sleep(0.1)
        self.asked.append((list(symbols), first, last))
        if self.fault is not None:
            raise self.fault
        third = Decimal(1) / Decimal(3)
        return [Split(name, third, DAY, name) for name in ("KO", "ZZZ")]


class Bench:
    def __init__(self, *held: str) -> None:
        self.source = Source()
        self.held = set(held)
        self.known: list[Sequence[SplitDay]] = []
        self.splits = KnownSplits(
            self.source.splits, lambda: self.held, TrioClock(), self.known.append
        )


async def test_shares_are_asked_for_at_once_and_each_hour(
    nursery: trio.Nursery,
) -> None:
    bench = Bench("KO", "BTC/USD")
    nursery.start_soon(bench.splits.run)
    await trio.sleep(1)
    assert bench.source.asked == [(["KO"], date(2025, 12, 22), date(2026, 1, 8))]
    assert bench.known == [[SPLIT]]
    await trio.sleep(3 * HOUR)
    assert len(bench.source.asked) == 4
    nursery.cancel_scope.cancel()


async def test_a_symbol_that_was_not_asked_for_is_asked_for_soon(
    nursery: trio.Nursery,
) -> None:
    bench = Bench("KO")
    nursery.start_soon(bench.splits.run)
    await trio.sleep(60)
    bench.held.add("GE")
    await trio.sleep(6)
    assert [symbols for symbols, *_ in bench.source.asked] == [["KO"], ["GE", "KO"]]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("held", [[], ["BTC/USD"]])
async def test_without_shares_nothing_is_asked(
    nursery: trio.Nursery, held: list[str]
) -> None:
    bench = Bench(*held)
    nursery.start_soon(bench.splits.run)
    await trio.sleep(3 * HOUR)
    assert bench.source.asked == []
    nursery.cancel_scope.cancel()


async def test_a_source_that_is_away_is_asked_again_and_what_is_known_stays(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench("KO")
    bench.source.fault = NotSentError("no route to host")
    nursery.start_soon(bench.splits.run)
    await trio.sleep(50)
    assert len(bench.source.asked) == 1
    assert len(warnings_of(caplog)) == 1
    bench.source.fault = None
    await trio.sleep(30)
    assert bench.known == [[SPLIT]]
    nursery.cancel_scope.cancel()
