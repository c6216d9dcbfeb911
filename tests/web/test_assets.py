"""The files that a browser loads, and that no other file can be had."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from snexec.web.assets import FOLDER, Assets
from tests.web.site import head, raw

if TYPE_CHECKING:
    from tests.web.site import Site


async def test_every_file_of_the_folder_is_served_as_what_it_is(site: Site) -> None:
    names = [path.name for path in FOLDER.iterdir() if path.is_file()]
    assert "index.html" in names
    for name in names:
        answer = await site.get(f"/assets/{name}")
        assert answer.status_code == 200, name
        assert answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["content-type"] != "text/plain", name


@pytest.mark.parametrize(
    "path",
    ["/assets/../assets.py", "/assets/..%2fassets.py", "/assets/%2e%2e/assets.py",
     "/assets//etc/passwd", "/assets/..%5cassets.py", "/assets/", "/assets",
     "/assets/index.html%00.js"],
)  # fmt: skip
async def test_nothing_outside_the_folder_can_be_had(site: Site, path: str) -> None:
    asked = head("GET", path, site.port, f"Cookie: {site.cookie}", "Connection: close")
    assert (await raw(site.port, asked)).startswith(b"HTTP/1.1 404 ")


def test_title_and_token_are_filled_in_and_nothing_of_them_is_html() -> None:
    page = Assets().index(title="<b>", token="abc").body.decode()
    assert "%TITLE%" not in page
    assert "%TOKEN%" not in page
    assert "<b>" not in page
    assert re.search(r'<meta name="snexec-token" content="abc"\s*/?>', page)
