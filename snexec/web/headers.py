"""What every answer says to browsers, whoever makes it (SPEC 14)."""

from __future__ import annotations

from hypercorn.config import Config

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class SafeConfig(Config):
    """Hypercorn's, which adds them to its own answers too: 400, 431, a refused upgrade."""

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Return what each answer of the connection gets besides its own headers."""
        return [*super().response_headers(protocol), *_HEADERS]
