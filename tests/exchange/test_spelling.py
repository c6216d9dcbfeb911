"""Numbers, times and ids are spelled as Alpaca spells them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from snexec.exchange.spelling import (
    QTY_STEP,
    EventIds,
    expiry,
    new_id,
    next_close,
    number,
    optional_timestamp,
    parse_timestamp,
    timestamp,
    truncate,
)

NOON = 1_767_614_400_000_000_000  # 2026-01-05T12:00:00Z


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.50", "1.5"),
        ("100", "100"),
        ("1E+2", "100"),
        ("0.000000001", "0.000000001"),
        ("1E-9", "0.000000001"),
        ("0.000", "0"),
        ("-0.0", "0"),
        ("-1.50", "-1.5"),
        ("10.00", "10"),
    ],
)
def test_a_number_has_neither_exponent_nor_trailing_zeros(
    value: str, text: str
) -> None:
    assert number(Decimal(value)) == text


def test_shares_are_rounded_down_to_nine_places() -> None:
    assert truncate(Decimal("0.9999999999"), QTY_STEP) == Decimal("0.999999999")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (NOON, "2026-01-05T12:00:00Z"),
        (NOON + 1, "2026-01-05T12:00:00.000000001Z"),
        (NOON + 120_000_000, "2026-01-05T12:00:00.12Z"),
        (NOON - 1, "2026-01-05T11:59:59.999999999Z"),
    ],
)
def test_a_time_is_spelled_with_the_digits_that_it_has(ns: int, text: str) -> None:
    assert timestamp(ns) == optional_timestamp(ns) == text
    assert parse_timestamp(text) == ns
    assert optional_timestamp(None) is None


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-01-05T07:00:00-05:00", NOON),
        ("2026-01-05T12:00:00", NOON),
        ("2026-01-05", NOON - 12 * 3600 * 10**9),
        ("2026-01-05T07:00:00.5-05:00", NOON + 500_000_000),
        ("2026-01-05T12:00:00.1234567891Z", NOON + 123_456_789),
    ],
)
def test_a_time_is_read_in_any_zone_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_timestamp(text) == ns


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


CLOSE = datetime(2026, 1, 5, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "close"),
    [
        (0, CLOSE),
        (8 * 3600 - 1, CLOSE),
        (8 * 3600, CLOSE.replace(day=6)),
        (11 * 3600, CLOSE.replace(day=6)),
    ],
)
def test_the_market_closes_at_the_next_eight_in_the_evening_of_utc(
    seconds: int, close: datetime
) -> None:
    assert next_close(NOON + seconds * 10**9) == close


@pytest.mark.parametrize(
    ("time_in_force", "text"),
    [("day", "2026-01-05T20:00:00Z"), ("gtc", "2026-04-04T20:00:00Z")],
)
def test_an_order_expires_at_the_close_or_after_ninety_days(
    time_in_force: str, text: str
) -> None:
    assert expiry(NOON, time_in_force) == text


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id() for _ in range(100)}) == 100


def test_event_ids_rise_even_within_a_millisecond_and_if_the_clock_goes_back() -> None:
    now = [NOON]
    ids = EventIds(lambda: now[0])
    made = [ids.next() for _ in range(100)]
    now[0] -= 10**12
    made += [ids.next() for _ in range(100)]
    assert made == sorted(set(made))
    assert {len(each) for each in made} == {26}
    now[0] += 10**13
    assert ids.next() > made[-1]


def test_an_event_id_begins_with_its_milliseconds() -> None:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    read = 0
    for letter in EventIds(lambda: NOON + 7_000_000).next()[:10]:
        read = read * 32 + letters.index(letter)
    assert read == NOON // 1_000_000 + 7
