"""Secrets are masked in every form in which they may be echoed."""

import json
import re
import urllib.parse

import pytest

from snexec.logs.mask import SecretMask
from tests.logs.records import SECRET, formatted, mask_of, raised


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
    for secrets in (("abcd", "abcdefgh"), ("abcdefgh", "abcd")):
        assert mask_of(*secrets).apply("abcdefgh abcd") == "*** ***"


def test_a_word_of_three_letters_is_no_secret() -> None:
    assert mask_of("the", "").apply("the order") == "the order"


def test_an_old_secret_stays_masked_once_a_new_one_is_learnt() -> None:
    mask = mask_of("old-secret")
    mask.learn(["new-secret"])
    mask.learn([])

    assert mask.apply("old-secret new-secret") == "*** ***"
