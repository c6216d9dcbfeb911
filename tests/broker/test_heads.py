"""How the request of an order begins."""

from __future__ import annotations

import pytest

from snexec import __version__
from snexec.broker.heads import order_head


@pytest.mark.parametrize(
    ("url", "path", "host"),
    [
        ("https://api.alpaca.markets", "/v2/orders", "api.alpaca.markets"),
        ("http://127.0.0.1:8080/paper", "/paper/v2/orders", "127.0.0.1:8080"),
    ],
)
def test_a_head_names_its_host_and_ends_before_the_length(
    url: str, path: str, host: str
) -> None:
    head = order_head(url, {"APCA-API-KEY-ID": "K"})
    assert head.decode().split("\r\n") == [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: snexec/{__version__}",
        "APCA-API-KEY-ID: K",
        "Content-Type: application/json",
        "Content-Length: ",
    ]
