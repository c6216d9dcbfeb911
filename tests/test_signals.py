"""A line becomes a signal, or an error that names the field."""

import itertools
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.errors import InvalidSignalError
from snexec.model import Stars
from snexec.settings import BotSettings
from snexec.signals import Confidence, Signal, parse_signal, read_id, star_rating
from tests.input_helpers import MISSING, raw_line, signal_line

REQUIRED = ("symbol", "catalystCategory", "catalystTier", "priceAtSignal")
STRINGS = ("symbol", "catalystCategory", "aiConfidence", "id")
SNAKE = {
    "catalystCategory": "catalyst_category",
    "catalystTier": "catalyst_tier",
    "aiConfidence": "ai_confidence",
    "priceAtSignal": "price_at_signal",
}


def refused(line: bytes) -> InvalidSignalError:
    with pytest.raises(InvalidSignalError) as caught:
        parse_signal(line)
    return caught.value


def test_the_line_of_the_contract_is_read_field_by_field() -> None:
    line = (
        b'{"symbol":"AAPL","catalystCategory":"fda_approval","catalystTier":1,'
        b'"aiConfidence":"high","priceAtSignal":187.2,"id":"n-1"}'
    )

    signal = parse_signal(line)

    assert signal.symbol == "AAPL"
    assert signal.catalyst_category == "fda_approval"
    assert signal.catalyst_tier == 1
    assert signal.ai_confidence == "high"
    assert signal.price_at_signal == 187.2
    assert signal.id == "n-1"


@pytest.mark.parametrize(("camel", "snake"), SNAKE.items())
def test_a_snake_case_name_means_the_same(camel: str, snake: str) -> None:
    value = json.loads(signal_line())[camel]

    signal = parse_signal(signal_line(**{camel: MISSING, snake: value}))

    assert signal == parse_signal(signal_line())


def test_a_line_all_in_snake_case_is_a_signal() -> None:
    fields = json.loads(signal_line())
    snake = {SNAKE.get(name, name): value for name, value in fields.items()}

    assert parse_signal(json.dumps(snake).encode()) == parse_signal(signal_line())


@pytest.mark.parametrize(("camel", "snake"), SNAKE.items())
def test_an_error_names_the_field_as_it_was_written(camel: str, snake: str) -> None:
    error = refused(signal_line(**{camel: MISSING, snake: {}}))

    assert str(error).startswith(f"{snake}: ")


def test_other_fields_are_ignored() -> None:
    line = signal_line(headline="x", qty=5, nested={"symbol": [1]})

    assert parse_signal(line) == parse_signal(signal_line())


def test_white_space_around_the_object_is_ignored() -> None:
    assert parse_signal(b" \t" + signal_line() + b" \r") == parse_signal(signal_line())


@given(
    symbol=st.from_regex(r"[A-Z0-9]{1,5}(\.[A-Z0-9]{1,4}|/USD){0,1}", fullmatch=True),
    category=st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"),
        min_size=1,
        max_size=200,
    ),
    tier=st.integers(1, 4),
    confidence=st.sampled_from(["high", "medium", "low", None]),
    price=st.floats(
        min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False
    ),
    signal_id=st.none()
    | st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"),
        max_size=128,
    ),
    ascii_only=st.booleans(),
)
def test_every_field_in_its_bounds_is_taken_as_it_is(
    *,
    symbol: str,
    category: str,
    tier: int,
    confidence: Confidence | None,
    price: float,
    signal_id: str | None,
    ascii_only: bool,
) -> None:
    fields = {
        "symbol": symbol,
        "catalystCategory": category,
        "catalystTier": tier,
        "aiConfidence": confidence,
        "priceAtSignal": price,
        "id": signal_id,
    }

    signal = parse_signal(json.dumps(fields, ensure_ascii=ascii_only).encode())

    assert signal.model_dump() == {
        "symbol": symbol,
        "catalyst_category": category,
        "catalyst_tier": tier,
        "ai_confidence": confidence,
        "price_at_signal": price,
        "id": signal_id or None,
        "float_shares": None,
        "relative_volume": None,
    }


@pytest.mark.parametrize("name", ["floatShares", "float_shares"])
@pytest.mark.parametrize(
    ("literal", "figure"),
    [
        ("12500000", 12_500_000.0),
        ("0", 0.0),
        ("2.5e6", 2_500_000.0),
        # Feeders may send anything there: it is never a reason to refuse a signal.
        ("-1", None),
        ("null", None),
        ("true", None),
        ('"12M"', None),
        ('"5"', None),
        ("[5]", None),
        ("{}", None),
        ("1e999", None),
        ("9" * 400, None),
        ("NaN", None),
        ("-Infinity", None),
    ],
)
def test_an_optional_figure_that_cannot_be_read_counts_as_absent(
    name: str, literal: str, figure: float | None
) -> None:
    line = raw_line(name, literal.encode())

    assert parse_signal(line).float_shares == figure


@pytest.mark.parametrize("name", ["relativeVolume", "relative_volume"])
def test_the_relative_volume_is_read(name: str) -> None:
    assert parse_signal(signal_line(**{name: 3.5})).relative_volume == 3.5


# Types, missing and null ------------------------------------------------------------


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(field: str) -> None:
    error = refused(signal_line(**{field: MISSING}))

    assert str(error) == f"{field}: Field required"
    assert error.signal_id == "n-1"


@pytest.mark.parametrize("field", REQUIRED)
def test_null_is_no_value_for_a_required_field(field: str) -> None:
    error = refused(signal_line(**{field: None}))

    assert str(error).startswith(f"{field}: ")
    assert str(error).endswith("(got None)")
    assert error.signal_id == "n-1"


@pytest.mark.parametrize("nothing", [None, MISSING])
def test_a_missing_or_null_confidence_is_none(nothing: object) -> None:
    assert parse_signal(signal_line(aiConfidence=nothing)).ai_confidence is None


@pytest.mark.parametrize("nothing", [None, MISSING, ""])
def test_a_missing_null_or_empty_id_is_none(nothing: object) -> None:
    assert parse_signal(signal_line(id=nothing)).id is None
    assert refused(signal_line(id=nothing, symbol="")).signal_id is None


def test_an_id_of_spaces_is_one() -> None:
    assert parse_signal(signal_line(id=" ")).id == " "


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(STRINGS, (5, 1.5, True, [], {}, ["AAPL"])),
        *itertools.product(["catalystTier"], ("1", "", 1.5, True, False, [], {}, [1])),
        *itertools.product(["priceAtSignal"], ("187.2", "", True, False, [], {}, [1])),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: object) -> None:
    error = refused(signal_line(**{field: value}))

    assert str(error).startswith(f"{field}: ")
    assert str(error).endswith(f"(got {value!r})")
    assert error.signal_id == (None if field == "id" else "n-1")


def test_every_wrong_field_is_named_at_once() -> None:
    line = signal_line(symbol="", catalystTier=9, priceAtSignal=-1)

    problems = str(refused(line)).split("; ")

    assert [p.split(":")[0] for p in problems] == [
        "symbol",
        "catalystTier",
        "priceAtSignal",
    ]


def test_an_error_stays_short_however_long_the_value() -> None:
    assert len(str(refused(signal_line(symbol="X" * 60_000)))) < 300


# Ranges -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("A", "A"),
        ("aapl", "AAPL"),
        ("Aapl", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("brk.b", "BRK.B"),
        ("BTC/USD", "BTC/USD"),
        ("btc/usd", "BTC/USD"),
        ("A-B", "A.B"),
        ("A.B-C/D", "A.B.C.D"),
        ("BRK/B", "BRK.B"),
        ("BTCUSD", "BTC/USD"),
        ("btc-usd", "BTC/USD"),
        ("0", "0"),
        ("1INCH/USD", "1INCH/USD"),
        ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO"),
    ],
)
def test_a_symbol_is_groups_of_letters_and_digits(given: str, meant: str) -> None:
    assert parse_signal(signal_line(symbol=given)).symbol == meant


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        "ABCDEFGHIJKLMNOP",
        "../X",
        "A/../B",
        "..",
        "/",
        ".A",
        "A.",
        "-A",
        "A-",
        "/A",
        "A/",
        "A..B",
        "A./B",
        "A B",
        " A",
        "A ",
        "A\n",
        "A\t",
        "A_B",
        "A+B",
        "A%2FB",
        "A?B",
        "A#B",
        "A&B",
        "$A",
        "Ä",
        "ß",
        "\u212a",  # the Kelvin sign, whose lower case is an ASCII k
        "\u0131",  # the dotless i, whose upper case is an ASCII I
        "\u0661",  # an Arabic digit
        "\uff21",  # a full-width A
    ],
)
def test_any_other_symbol_is_refused(symbol: str) -> None:
    error = refused(signal_line(symbol=symbol))

    assert str(error).startswith("symbol: must be 1 to 15 characters")
    assert error.signal_id == "n-1"


@pytest.mark.parametrize("symbol", ["ETH/BTC", "ETH-USDT", "ETHBTC"])
def test_a_pair_that_is_not_quoted_in_dollars_is_refused(symbol: str) -> None:
    assert str(refused(signal_line(symbol=symbol))) == (
        "symbol: must be quoted in USD, such as BTC/USD, or a share such as BRK.B:"
        f" dollars cannot be ordered in {symbol} (got '{symbol}')"
    )


@pytest.mark.parametrize("category", ["x", "x" * 200, "\U0001f600" * 200, " ", "ä\nb"])
def test_a_category_is_1_to_200_characters(category: str) -> None:
    signal = parse_signal(signal_line(catalystCategory=category))

    assert signal.catalyst_category == category


@pytest.mark.parametrize("category", ["", "x" * 201, "\U0001f600" * 201])
def test_an_empty_or_longer_category_is_refused(category: str) -> None:
    error = refused(signal_line(catalystCategory=category))

    assert str(error).startswith("catalystCategory: ")


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
def test_a_tier_is_1_to_4(tier: int) -> None:
    assert parse_signal(signal_line(catalystTier=tier)).catalyst_tier == tier


@pytest.mark.parametrize("tier", [0, 5, -1, 2**63, -(2**64), int("9" * 400)])
def test_any_other_tier_is_refused(tier: int) -> None:
    error = refused(signal_line(catalystTier=tier))

    assert str(error).startswith("catalystTier: ")
    assert len(str(error)) < 200
    assert error.signal_id == "n-1"


@pytest.mark.parametrize("confidence", ["high", "medium", "low"])
def test_a_confidence_is_one_of_three_words(confidence: str) -> None:
    signal = parse_signal(signal_line(aiConfidence=confidence))

    assert signal.ai_confidence == confidence


@pytest.mark.parametrize("confidence", ["", "High", "HIGH", "hi", "none", "high "])
def test_any_other_confidence_is_refused(confidence: str) -> None:
    error = refused(signal_line(aiConfidence=confidence))

    assert str(error).startswith("aiConfidence: ")


@pytest.mark.parametrize(
    ("literal", "price"),
    [
        (b"187.2", 187.2),
        (b"187", 187.0),
        (b"1e3", 1000.0),
        (b"0.0001", 0.0001),
        (b"5e-324", 5e-324),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
    ],
)
def test_a_price_is_any_finite_number_above_0(literal: bytes, price: float) -> None:
    assert parse_signal(raw_line("priceAtSignal", literal)).price_at_signal == price


@pytest.mark.parametrize(
    "literal",
    [
        b"0",
        b"0.0",
        b"-0.0",
        b"-187.2",
        b"1e-400",
        b"1e400",
        b"-1e400",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9" * 400,
        b"-" + b"9" * 400,
    ],
)
def test_any_other_price_is_refused(literal: bytes) -> None:
    error = refused(raw_line("priceAtSignal", literal))

    assert str(error).startswith("priceAtSignal: ")
    assert len(str(error)) < 200
    assert error.signal_id == "n-1"


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"9" * 400])
@pytest.mark.parametrize("field", [*STRINGS, "catalystTier"])
def test_a_literal_that_is_no_number_elsewhere_is_refused(
    field: str, literal: bytes
) -> None:
    error = refused(raw_line(field, literal))

    assert str(error).startswith(f"{field}: ")


def test_an_id_may_have_128_characters_of_any_size() -> None:
    for signal_id in ("x" * 128, "\U0001f600" * 128):
        assert parse_signal(signal_line(id=signal_id)).id == signal_id


def test_a_longer_id_is_refused_and_not_given_back() -> None:
    error = refused(signal_line(id="x" * 129))

    assert str(error).startswith("id: ")
    assert error.signal_id is None


def test_a_longer_id_is_told_its_bound_in_characters() -> None:
    assert "at most 128 characters" in str(refused(signal_line(id="x" * 129)))


# What is no JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"{",
        b"}",
        b'{"symbol"',
        b"{'symbol':'AAPL'}",
        b"NULL",
        signal_line()[:-1],
        signal_line() + b"x",
        signal_line() + signal_line(),
        signal_line()[:-1] + b",}",
        signal_line().decode().encode("utf-16"),
        b"\0" * 100,
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000,
        b"9" * 10_000,
    ],
    ids=repr,
)
def test_what_is_no_json_is_refused_as_that(line: bytes) -> None:
    error = refused(line)

    assert str(error).startswith("not JSON: ")
    assert error.signal_id is None


@pytest.mark.parametrize("line", [b"[]", b"null", b"true", b"5", b'"AAPL"', b"[{}]"])
def test_json_that_is_no_object_is_refused_as_that(line: bytes) -> None:
    assert str(refused(line)) == "not a JSON object"


def test_nested_brackets_in_a_field_are_refused() -> None:
    nested = b"[" * 10_000 + b"]" * 10_000

    for field in (*REQUIRED, "aiConfidence", "id", "headline"):
        assert str(refused(raw_line(field, nested))).startswith("not JSON: ")


@pytest.mark.parametrize("field", [*STRINGS, "headline"])
@pytest.mark.parametrize(
    "text",
    [
        b'"A\xff"',
        b'"A\xc3"',  # cut in the middle of a character
        b'"\xc0\xaf"',  # an overlong slash
        b'"\xed\xa0\x80"',  # a surrogate
        b'"A\0"',
        b'"A\x1f"',
        b'"\\x41"',
    ],
    ids=repr,
)
def test_a_string_that_is_no_unicode_text_is_refused(field: str, text: bytes) -> None:
    assert str(refused(raw_line(field, text))).startswith("not JSON: ")


HALVES = [b'"\\ud800"', b'"A\\udc00"', b'"\\udc00\\ud800"']


@pytest.mark.parametrize("field", STRINGS)
@pytest.mark.parametrize("text", HALVES, ids=repr)
def test_half_a_character_is_refused_in_a_field_that_counts(
    field: str, text: bytes
) -> None:
    error = refused(raw_line(field, text))

    assert str(error).startswith(f"{field}: ")
    assert str(error).isascii()


@pytest.mark.parametrize("text", HALVES, ids=repr)
def test_half_a_character_in_a_field_that_is_ignored_loses_no_signal(
    text: bytes,
) -> None:
    assert parse_signal(raw_line("headline", text)).symbol == "AAPL"
    with_fault = raw_line("headline", text).replace(b'"AAPL"', b"5")
    assert refused(with_fault).signal_id == "n-1"


def test_a_byte_order_mark_loses_no_signal() -> None:
    assert parse_signal(b"\xef\xbb\xbf" + signal_line()).symbol == "AAPL"


@pytest.mark.parametrize("field", STRINGS)
def test_an_escaped_nul_is_refused(field: str) -> None:
    error = refused(raw_line(field, b'"A\\u0000"'))

    assert str(error).startswith(f"{field}: ")
    assert "\0" not in str(error)


def test_a_pair_of_surrogates_is_one_character() -> None:
    signal = parse_signal(raw_line("id", b'"\\ud83d\\ude00"'))

    assert signal.id == "\U0001f600"


# The id of an invalid line ----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "signal_id"),
    [
        (b'{"id":"n-1"}', "n-1"),
        (b'{"id":"n-1","symbol":5}', "n-1"),
        (b'{"id":""}', None),
        (b'{"id":"' + b"x" * 128 + b'"}', "x" * 128),
        (b'{"id":"' + b"x" * 129 + b'"}', None),
        (b'{"id":5}', None),
        (b'{"id":null}', None),
        (b'{"id":["n-1"]}', None),
        (b'{"ID":"n-1"}', None),
        (b"{}", None),
        (b'["id"]', None),
        (b'{"id":"n-1"', None),
        (b'{"id":"n-1\xff"}', None),
        (b"", None),
    ],
)
def test_the_id_is_read_where_it_can_be(line: bytes, signal_id: str | None) -> None:
    assert read_id(line) == signal_id
    assert refused(line).signal_id == signal_id


# Stars and dollars ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "confidence", "stars"),
    [
        (1, "high", 5),
        (1, "medium", 5),
        (1, "low", 5),
        (1, None, 5),
        (2, "high", 5),
        (2, "medium", 5),
        (2, "low", 5),
        (2, None, 5),
        (3, "high", 5),
        (3, "medium", 4),
        (3, "low", 3),
        (3, None, None),
        (4, "high", 5),
        (4, "medium", 4),
        (4, "low", 3),
        (4, None, None),
    ],
)
def test_stars_follow_the_table(
    tier: int, confidence: Confidence | None, stars: Stars | None
) -> None:
    assert star_rating(tier, confidence) == stars


@pytest.mark.parametrize(("stars", "dollars"), [(3, "10.5"), (4, "20"), (5, "1234.56")])
def test_each_rating_has_its_own_dollars(stars: Stars, dollars: str) -> None:
    bot = BotSettings.model_validate(
        {
            "trade_size_stars3": 10.5,
            "trade_size_stars4": 20,
            "trade_size_stars5": 1234.56,
        }
    )

    assert bot.dollars(stars) == Decimal(dollars)


def test_a_signal_cannot_be_changed() -> None:
    signal: Signal = parse_signal(signal_line())

    with pytest.raises(ValueError, match="frozen"):
        signal.symbol = "MSFT"  # type: ignore[misc]


def test_a_signal_without_an_id_has_the_one_that_it_is_given() -> None:
    for line in (signal_line(id=None), signal_line(id=""), signal_line(id=MISSING)):
        signal = parse_signal(line, default_id="entry 1")
        assert (signal.id, signal.symbol) == ("entry 1", "AAPL")
        assert parse_signal(line).id is None
    assert parse_signal(signal_line(id="n-1"), default_id="entry 1").id == "n-1"
