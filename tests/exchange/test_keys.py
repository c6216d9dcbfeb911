"""A key is found however a client sends it."""

from base64 import b64encode

import pytest
from starlette.requests import HTTPConnection

from snexec.exchange.keys import key_of


def basic(text: bytes) -> str:
    return f"Basic {b64encode(text).decode()}"


def request(**headers: str) -> HTTPConnection:
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in headers.items()
    ]
    return HTTPConnection({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    "headers",
    [
        {"apca_api_key_id": "k-1", "apca_api_secret_key": "s"},
        {"authorization": "Bearer k-1"},
        {"authorization": "bearer k-1"},
        {"authorization": basic(b"k-1:secret")},
        {"authorization": basic(b"k-1")},
    ],
)
def test_a_key_in_headers_or_by_either_scheme(headers: dict[str, str]) -> None:
    assert key_of(request(**headers)) == "k-1"


def test_headers_of_alpacas_own_come_first() -> None:
    headers = {"apca_api_key_id": "k-1", "apca_api_secret_key": "s"}
    assert key_of(request(**headers, authorization="Bearer k-2")) == "k-1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"apca_api_key_id": "k-1"},
        {"apca_api_key_id": "k-1", "apca_api_secret_key": ""},
        {"apca_api_secret_key": "s"},
        {"authorization": "Bearer "},
        {"authorization": "Digest k-1"},
        {"authorization": "Basic ?"},
        {"authorization": basic(b"\xff:s")},
        {"authorization": basic(b":secret")},
    ],
)
def test_what_is_no_key_is_none(headers: dict[str, str]) -> None:
    assert key_of(request(**headers)) is None
