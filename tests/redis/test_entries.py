"""An entry as a signal's line: both forms, texts that are numbers, ids, ages."""

from __future__ import annotations

import json

import pytest

from snexec.errors import InvalidSignalError
from snexec.redis.entries import Entry, default_id, following, line_of, seconds_of
from snexec.signals import MAX_ID_CHARS, MAX_LINE_BYTES, Signal, parse_signal
from tests.input_helpers import signal_line

FIELDS = {
    "symbol": "aapl",
    "catalystCategory": "fda_approval",
    "catalystTier": "1",
    "aiConfidence": "high",
    "priceAtSignal": "187.2",
}


def entry(**fields: str) -> Entry:
    return Entry("5-0", [(n.encode(), v.encode()) for n, v in fields.items()])


def signal(**changes: str) -> Signal:
    line = line_of(entry(**FIELDS | changes))
    assert line.data is not None
    return parse_signal(line.data)


def test_the_json_form_is_the_line_as_it_is() -> None:
    line = signal_line()
    assert line_of(Entry("5-0", [(b"signal", line)])).data == line
    # Beside other fields too.
    assert line_of(Entry("5-0", [(b"from", b"x"), (b"signal", line)])).data == line


def test_the_fields_form_is_the_same_signal() -> None:
    found = signal(floatShares="1e6", relative_volume="3.5", id="n-1")

    assert found.symbol == "AAPL"
    assert found.catalyst_tier == 1
    assert found.price_at_signal == 187.2
    assert (found.float_shares, found.relative_volume) == (1e6, 3.5)
    assert found.id == "n-1"


def test_names_may_be_in_the_other_spelling() -> None:
    line = line_of(
        entry(
            symbol="KO",
            catalyst_category="x",
            catalyst_tier="3",
            ai_confidence="low",
            price_at_signal="60",
        )
    )
    assert parse_signal(line.data or b"").ai_confidence == "low"


@pytest.mark.parametrize("name", ["aiConfidence", "ai_confidence"])
def test_an_empty_or_missing_confidence_is_null(name: str) -> None:
    fields = {n: v for n, v in FIELDS.items() if n != "aiConfidence"}
    for more in ({}, {name: ""}):
        line = line_of(entry(**fields, **more))
        assert parse_signal(line.data or b"").ai_confidence is None


@pytest.mark.parametrize(
    "price",
    ["", "x", "NaN", "Infinity", "1e999", "0x10", "1_000", "+5", ".5", "true", "[1]"],
)
def test_a_text_that_is_no_json_number_is_no_price(price: str) -> None:
    with pytest.raises(InvalidSignalError, match="priceAtSignal"):
        signal(priceAtSignal=price)


def test_a_tier_is_a_whole_number() -> None:
    with pytest.raises(InvalidSignalError, match="catalystTier"):
        signal(catalystTier="1.5")
    with pytest.raises(InvalidSignalError, match="catalystTier"):
        signal(catalystTier="")


def test_a_text_stays_a_text_whatever_it_looks_like() -> None:
    assert signal(id="5").id == "5"
    assert signal(catalystCategory="12").catalyst_category == "12"


def test_a_figure_that_cannot_be_read_counts_as_missing() -> None:
    assert signal(floatShares="lots").float_shares is None


def test_an_empty_id_is_none() -> None:
    assert signal(id="").id is None


@pytest.mark.parametrize("name", [b"signal", b"symbol"])
def test_what_is_too_long_is_not_kept(name: bytes) -> None:
    assert line_of(Entry("5-0", [(name, b"x" * (MAX_LINE_BYTES + 1))])).data is None
    assert line_of(Entry("5-0", [(b"signal", b"x" * MAX_LINE_BYTES)])).data is not None


def test_what_is_not_utf8_says_so() -> None:
    line = line_of(Entry("5-0", [(b"symbol", b"\xff")]))
    assert (line.data, line.lost) == (None, "not UTF-8")


def test_a_value_cannot_break_out_of_its_field() -> None:
    line = line_of(entry(symbol='A","id":"x'))
    assert json.loads(line.data or b"") == {"symbol": 'A","id":"x'}


def test_a_signal_without_an_id_is_called_as_its_entry() -> None:
    assert default_id("snexec:signals", "17-3") == "snexec:signals:17-3"


def test_a_name_too_long_for_an_id_is_hashed_to_one() -> None:
    long, other = "s" * 200, "s" * 199 + "t"
    names = {default_id(long, "1-0"), default_id(long, "1-1"), default_id(other, "1-0")}
    assert len(names) == 3
    assert {len(name) for name in names} == {MAX_ID_CHARS}
    # The longest that fits is itself.
    assert default_id("s" * 124, "1-0") == f"{'s' * 124}:1-0"


def test_an_id_says_when_its_entry_was_added() -> None:
    assert seconds_of("1767623400123-7") == 1767623400.123


def test_the_next_id_is_the_very_next() -> None:
    assert following("17-3") == "17-4"
