"""Known secrets, masked in whatever is shown."""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"
_MIN_SECRET_CHARS = 4  # masking shorter ones would eat ordinary words


class SecretMask:
    """Replaces known secrets by ``***``, in the forms in which they may be echoed."""

    def __init__(self) -> None:
        self._forms: list[str] = []

    def learn(self, secrets: Iterable[str]) -> None:
        """Add secrets; the old ones stay, as lines that hold them may still come."""
        forms = set(self._forms)
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_CHARS:
                forms |= {
                    secret,
                    json.dumps(secret)[1:-1],
                    json.dumps(secret)[1:-1].replace("/", "\\/"),
                    html.escape(secret),
                    repr(secret)[1:-1],
                    urllib.parse.quote(secret),
                    urllib.parse.quote(secret, safe=""),
                    _lower_escapes(urllib.parse.quote(secret, safe="")),
                    base64.b64encode(secret.encode()).decode(),
                }
        self._forms = sorted(forms, key=len, reverse=True)

    def apply(self, text: str) -> str:
        """Return the text with every secret masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


def _lower_escapes(quoted: str) -> str:
    return re.sub("%..", lambda escape: escape.group().lower(), quoted)
