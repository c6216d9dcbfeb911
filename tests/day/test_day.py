"""A day of trades: every reason closes what it is to close, and both books agree.

The long form is for the nightly run, and for whoever changes how positions are closed::

    python -m pytest -m soak -n 0 tests/day
"""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, get_args

import pytest

from tests.conftest import run_on_mock_clock
from tests.day.day import Day, Reason, live_through

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

_REASONS: tuple[Reason, ...] = get_args(Reason)
_ROW = re.compile(r"^(\w+) +(\d+) +(-|-?\d+\.\d\d)(?: |$)", re.MULTILINE)


def take_mergers(logged_errors: LoggedErrors) -> int:
    """Expect the alarm of each row that a corporation took over, and count them."""
    said = logged_errors.take()
    assert [each for each in said if "a merger" not in each] == []
    return len(said)


async def test_200_trades_end_for_every_reason_with_the_books_of_the_exchange(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    books = await live_through(Day(trades=dict.fromkeys(_REASONS, 25)), tmp_path)
    assert books.differences == [], books.table()
    assert take_mergers(logged_errors) == 25
    shown = {reason: int(rows) for reason, rows, _pnl in _ROW.findall(books.table())}
    assert shown == dict.fromkeys(_REASONS, 25) | {"all": 200}, books.table()


def test_a_day_goes_the_same_way_each_time(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    day = Day(trades=dict.fromkeys(_REASONS, 1), close=400.0)
    tables = set()

    async def live(folder: Path) -> None:
        tables.add((await live_through(day, folder)).table())

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        # Each on its own clock: at another time sums are rounded another way, and what
        # falls together takes another turn.
        run_on_mock_clock(0.0, partial(live, tmp_path / name))
    assert len(tables) == 1, "\n".join(tables)
    assert take_mergers(logged_errors) == 2


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 6))
async def test_a_long_day_ends_with_the_books_of_the_exchange(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    logged_errors: LoggedErrors,
    seed: int,
) -> None:
    day = Day(
        trades=dict.fromkeys(_REASONS, 25),
        hold=1200.0,
        apart=60.0,
        close=6.5 * 3600,
        seed=seed,
    )
    books = await live_through(day, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {seed}\n{books.table()}\n")
    assert books.differences == []
    assert take_mergers(logged_errors) == 25
