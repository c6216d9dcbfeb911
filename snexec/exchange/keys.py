"""A request's API key, however it was sent."""

import base64

from starlette.requests import HTTPConnection


def key_of(request: HTTPConnection) -> str | None:
    """Return a request's API key, or None without one."""
    headers = request.headers
    key = headers.get("apca-api-key-id")
    if key and headers.get("apca-api-secret-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value
    if scheme.lower() == "basic" and value:
        try:
            return base64.b64decode(value).decode().partition(":")[0] or None
        except ValueError:
            return None
    return None
