"""The page's address, as a person opens it (SPEC 14)."""

from __future__ import annotations

import pytest

from snexec.settings import PageSettings
from snexec.web.address import authority, page_address


@pytest.mark.parametrize(
    ("listen", "hosts", "address"),
    [
        ("127.0.0.1:8720", [], "http://127.0.0.1:9/"),
        ("[::1]:8720", [], "http://[::1]:9/"),
    ],
)
def test_it_is_where_the_page_listens(
    listen: str, hosts: list[str], address: str
) -> None:
    page = PageSettings(listen=listen, hosts=hosts)
    assert page_address(page, port=9) == address
    assert page_address(page, port=9, key="k") == f"{address}?key=k"


def test_anywhere_is_opened_by_its_name() -> None:
    page = PageSettings.model_construct(
        listen="0.0.0.0:8720", hosts=["desk.example"], certificate="c", private_key="k"
    )
    assert page_address(page, port=9) == "https://desk.example:9/"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert authority("::1", 80) == "[::1]:80"
    assert authority("localhost", 80) == "localhost:80"
