"""Secrets are masked in every form in which they may be echoed."""

import base64
import html
import json
import re
import string
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.logs.mask import SecretMask
from tests.logs.records import SECRET, formatted, mask_of, raised, runs_shown

KEY = "PK7Q2M9XKD31TZ84WN5B"
LONG = "h4Zs9Qw2LkP0vBt7Yx3Rd8Nf1Mj6Gc5Ua4Ei2TzO"

# How a character may be spelled, and how a reader would get it back.
SPELLINGS: list[tuple[Callable[[str], str], Callable[[str], str]]] = [
    (str, str),
    (str.upper, str),
    (str.lower, str),
    (str.swapcase, str),
    (lambda c: rf"\u{ord(c):04x}", lambda text: json.loads(f'"{text}"')),
    (lambda c: rf"\x{ord(c):02X}", lambda text: text.encode().decode("unicode_escape")),
    (lambda c: f"%{ord(c):02X}", urllib.parse.unquote),
    (
        lambda c: f"%25{ord(c):02x}",
        lambda t: urllib.parse.unquote(t.replace("%25", "%")),
    ),
    (lambda c: f"&#{ord(c)};", html.unescape),
    (lambda c: f"&#x{ord(c):x};", html.unescape),
]
SEPARATORS = [
    "",
    " ",
    "\n",
    "\t",
    "\r\n    ",
    r"\n",
    r"\t",
    r"\\n",
    "-",
    '", "',
    "\u200b",
]


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps({"secret": SECRET}),
        repr(SECRET),
        repr(SECRET.encode()),
        f"APCA-API-SECRET-KEY: {SECRET}\r\n",
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote(SECRET),
        urllib.parse.quote_plus(SECRET),
        urllib.parse.urlencode({"secret": SECRET}),
        re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(SECRET, safe="")),
        SECRET * 3,
        f"x{SECRET}x",
    ],
    ids=[
        "raw",
        "JSON",
        "repr",
        "repr of bytes",
        "header",
        "quoted",
        "quoted but for slashes",
        "quoted for a form",
        "form",
        "quoted in lower case",
        "thrice",
        "within a word",
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    for shown in (formatted("got %s", form), formatted(form)):
        assert "***" in shown
        assert "aB3" not in shown


def test_a_secret_is_masked_in_a_traceback_and_in_what_caused_it() -> None:
    shown = formatted("failed", error=raised(f"bad {SECRET}", cause=f"{SECRET}!"))

    assert "ValueError: bad ***" in shown
    assert "KeyError: '***!'" in shown
    assert "During handling of the above exception" in shown
    assert "aB3" not in shown


def test_what_surrounds_a_secret_stays() -> None:
    assert mask_of("s3cret").apply("a s3cret, b") == "a ***, b"
    assert mask_of("s3cret").apply("nothing here") == "nothing here"
    assert SecretMask().apply("s3cret") == "s3cret"


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    for secrets in (("abcdef", "abcdefghij"), ("abcdefghij", "abcdef")):
        assert mask_of(*secrets).apply("abcdefghij abcdef") == "*** ***"


@pytest.mark.parametrize("word", ["", "the", "live", "paper"])
def test_a_word_of_five_letters_is_no_secret(word: str) -> None:
    line = "the order of the live account, paper: THE LIVE PAPER"
    assert mask_of(word).apply(line) == line


# Parts of secrets ---------------------------------------------------------------------


@given(
    secret=st.text(string.ascii_letters + string.digits, min_size=16, max_size=64),
    cut=st.tuples(st.integers(0, 63), st.integers(0, 64)),
    spelling=st.sampled_from(SPELLINGS),
    separator=st.sampled_from(SEPARATORS),
    every=st.integers(1, 20),
    around=st.tuples(st.text(".:<=> ", max_size=3), st.text(".:</> ", max_size=3)),
)
def test_no_more_than_seven_characters_of_an_echo_are_shown(
    *,
    secret: str,
    cut: tuple[int, int],
    spelling: tuple[Callable[[str], str], Callable[[str], str]],
    separator: str,
    every: int,
    around: tuple[str, str],
) -> None:
    spell, read = spelling
    part = secret[cut[0] : cut[1]]
    pieces = [part[start : start + every] for start in range(0, len(part), every)]
    echo = separator.join("".join(map(spell, piece)) for piece in pieces)

    shown = mask_of(secret).apply(f"{around[0]}{echo}{around[1]}")

    left = "".join(read(piece) for piece in shown.split(separator or None))
    assert not runs_shown(secret, left)
    assert shown.startswith(around[0])
    assert shown.endswith(around[1])


@pytest.mark.parametrize("length", range(8, 41))
def test_a_secret_that_is_cut_is_masked(length: int) -> None:
    mask = mask_of(LONG)
    assert mask.apply(f"bad secret {LONG[:length]}") == "bad secret ***"
    assert mask.apply(f"… {LONG[-length:]}") == "… ***"


@pytest.mark.parametrize("before", ["", "u", "us", "user", KEY + ":"])
def test_basic_authorization_hides_nothing(before: str) -> None:
    credentials = base64.b64encode(f"{before}{LONG}".encode()).decode()
    masked = mask_of(KEY, LONG).apply(f"Authorization: Basic {credentials}")
    assert masked.startswith("Authorization: Basic ")
    assert len(masked) < len("Authorization: Basic ") + 12


def test_what_stands_between_secrets_stays() -> None:
    shown = mask_of(KEY, LONG).apply(f"{KEY}:{LONG.upper()} at \\ 5 %, {KEY[:9]}&c")
    assert shown == r"***:*** at \ 5 %, ***&c"


def test_the_address_of_a_secret_is_masked_whole_only() -> None:
    mask = SecretMask()
    mask.learn(["https://hooks.example/services/T0/x"], only_whole=True)

    assert mask.apply("to https://hooks.example/services/T0/x!") == "to ***!"
    assert mask.apply("services of https://example.org") == (
        "services of https://example.org"
    )


def test_masking_comes_before_cutting() -> None:
    mask = mask_of(LONG)
    assert mask.shown(f"say {LONG}", 12) == "say ***"
    assert mask.beginning(f"say {LONG}", 12) == "say ***"
    assert mask.shown("a\x1b" * 40, 10) == r"a\x1ba\x1b…"
    assert mask.beginning("a\x1b" * 40, 3) == "a\x1ba"


def test_masking_reaches_into_values() -> None:
    value = {"a": [LONG, 1, None], "b": {"c": f"x {KEY[2:]}"}, "d": 1.5, "e": (KEY,)}
    assert mask_of(KEY, LONG).within(value) == {
        "a": ["***", 1, None],
        "b": {"c": "x ***"},
        "d": 1.5,
        "e": ["***"],
    }


@pytest.mark.parametrize(
    "unit",
    ["x", "\\", "%", "%2", "%25", "&", "&amp;", "&#", "\\u", "\\u0041", LONG, LONG[:7]],
)
def test_a_hostile_text_takes_time_as_its_length(unit: str) -> None:
    mask, text = mask_of(KEY, LONG), unit * (1_000_000 // len(unit))
    began = time.process_time()
    mask.apply(text)
    assert time.process_time() - began < 5  # some 0.2 s; what is quadratic takes hours


def test_an_old_secret_stays_masked_once_a_new_one_is_learnt() -> None:
    mask = mask_of("old-secret")
    mask.learn(["new-secret"])
    mask.learn([])

    assert mask.apply("old-secret new-secret") == "*** ***"


def test_a_text_that_was_clean_is_masked_once_its_secret_is_learnt() -> None:
    mask = mask_of(KEY)
    assert mask.apply(f"got {LONG}") == f"got {LONG}"
    assert mask.are_clean((LONG, 1, None, 1.5))
    mask.learn([LONG])
    assert mask.apply(f"got {LONG}") == "got ***"
    assert not mask.are_clean((LONG, 1, None, 1.5))
    assert not mask.are_clean(("x", [LONG])), "it does not look into lists"


def test_what_is_remembered_is_bounded() -> None:
    mask = mask_of(KEY)
    for number in range(10_000):
        mask.apply(f"a text of some length, {number}")
        mask.apply("x" * 1000 + str(number))
    assert len(mask._clean) <= 4096
    assert all(len(text) <= 256 for text in mask._clean)
