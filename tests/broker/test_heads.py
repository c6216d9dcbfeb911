"""How requests begin."""

from __future__ import annotations

import pytest

from snexec import __version__
from snexec.broker.heads import order_head, question


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


def test_a_question_is_whole_and_has_the_server_close() -> None:
    url = "http://127.0.0.1:8080/paper"
    asked = question(url, "DELETE", "/v2/orders/1?a=b", {"APCA-API-KEY-ID": "K"})
    assert asked.decode() == (
        "DELETE /paper/v2/orders/1?a=b HTTP/1.1\r\n"
        "Host: 127.0.0.1:8080\r\n"
        f"User-Agent: snexec/{__version__}\r\n"
        "APCA-API-KEY-ID: K\r\n"
        "Connection: close\r\n\r\n"
    )
