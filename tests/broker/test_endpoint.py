"""Where an account trades."""

from __future__ import annotations

import pytest

from snexec.broker.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "stream"),
    [
        ("https://api.alpaca.markets", "wss://api.alpaca.markets/stream"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/stream"),
        ("https://proxy/http/alpaca", "wss://proxy/http/alpaca/stream"),
    ],
)
def test_the_stream_is_beside_the_rest_api(url: str, stream: str) -> None:
    assert Endpoint(mode="paper", url=url, credentials=None).stream_url == stream
