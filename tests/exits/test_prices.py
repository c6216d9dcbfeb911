"""A moment on two clocks, and how old a price is by them (SPEC 12.4)."""

from __future__ import annotations

import pytest

from snexec.exits.prices import NOT_LAST_SALES, RANK, Instant

NOW = Instant(wall=1_000_000.0, elapsed=50.0)


@pytest.mark.parametrize(
    ("at", "elapsed"),
    [(1_000_000.0, 50.0), (999_990.0, 40.0), (999_900.0, -50.0), (None, 50.0)],
)
def test_a_time_in_the_world_is_one_on_trios_clock(
    at: float | None, elapsed: float
) -> None:
    assert NOW.of(at) == elapsed


def test_a_price_from_the_future_is_no_newer_than_one_of_now() -> None:
    assert NOW.of(1_000_010.0) == 50


def test_no_exchange_counts_a_print_with_these_codes_as_a_last_sale() -> None:
    assert "".join(sorted(NOT_LAST_SALES)) == "479BCGHIMNPQRTUVWZ"


def test_the_stream_is_better_than_snapshots_and_those_than_positions() -> None:
    assert RANK["stream"] > RANK["snapshots"] > RANK["positions"]
