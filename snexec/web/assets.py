"""The files that a browser loads; all of them are in the package (SPEC 14)."""

from __future__ import annotations

import html
from pathlib import Path

from snexec.web.answers import Answer, NotAnsweredError

FOLDER = Path(__file__).parent / "assets"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


class Assets:
    """The files of the folder, read once."""

    def __init__(self) -> None:
        self._files = {
            path.name: Answer(path.read_bytes(), content_type=_TYPES[path.suffix])
            for path in FOLDER.iterdir()
            if path.suffix in _TYPES and path.is_file()
        }

    def named(self, name: str) -> Answer:
        """Return a file.

        Raises:
            NotAnsweredError: There is none of that name.
        """
        found = self._files.get(name)
        if found is None:
            raise NotAnsweredError("there is no such file", status=404)
        return found

    def index(self, *, title: str, token: str) -> Answer:
        """Return the page itself, with its title and its token."""
        page = self.named("index.html")
        body = page.body.replace(b"%TITLE%", html.escape(title).encode())
        return page._replace(body=body.replace(b"%TOKEN%", token.encode()))
