"""Frames: any is read, and one that cannot be is logged once."""

from __future__ import annotations

import logging

import pytest

from snexec.logs import SecretMask
from snexec.stream.frames import FrameReader, text_of
from tests.fakes import SECRET, FakeClock, warnings_of

pytestmark = pytest.mark.jumping_time


async def test_a_message_is_read_from_text_and_from_bytes() -> None:
    reader = FrameReader(FakeClock())
    message = {"stream": "trade_updates", "data": {"qty": "1"}}
    text = '{"stream":"trade_updates","data":{"qty":"1"}}'
    assert reader.read(text) == reader.read(text.encode()) == message
    assert reader.data_of(message) == {"qty": "1"}


async def test_half_a_character_keeps_no_message_from_being_read() -> None:
    reader = FrameReader(FakeClock())
    message = reader.read(
        '{"stream":"trade_updates","data":{"id":"\\ud800","symbol":"A"}}'
    )
    assert message is not None
    data = reader.data_of(message)
    assert (text_of(data["id"]), text_of(data["symbol"])) == (None, "A")


async def test_the_same_nonsense_again_is_not_told_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="TradingWs")
    reader = FrameReader(FakeClock())
    for _ in range(100):
        assert reader.read("nonsense") is None
        assert reader.read("[]") is None
        reader.pass_over("news")
    assert len(warnings_of(caplog)) == 3


async def test_a_frame_without_data_is_told_in_few_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = FrameReader(FakeClock())
    assert reader.data_of({"stream": "x" * 100_000}) == {}
    assert reader.data_of({"stream": "listening", "data": []}) == {}
    long, short = warnings_of(caplog)
    assert len(long) < 300
    assert short == "a listening frame without data, passed over"


async def test_what_is_shown_is_short_and_on_one_line() -> None:
    shown = FrameReader(FakeClock()).shown
    assert shown("a\nb" * 1000).count("\n") == 0
    assert len(shown("x" * 1000)) == 201
    assert shown(10**5000) == "int"


@pytest.mark.parametrize("place", range(185, 215))
async def test_a_secret_at_the_end_of_what_is_shown_is_masked(place: int) -> None:
    mask = SecretMask()
    mask.learn([SECRET])
    shown = FrameReader(FakeClock(), mask).shown("." * place + SECRET * 3)
    assert shown.rstrip("…").strip("*") == "." * min(place, 200)
