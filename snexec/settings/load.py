"""Read the configuration file, or say what is wrong with it (SPEC 3)."""

from __future__ import annotations

import io
import os
import re
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from snexec.errors import ConfigError
from snexec.settings.sections import Settings
from snexec.small_files import SmallFile, read_small_file

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

_MAX_BYTES = 1 << 20
_MOST_READINGS = 10
_SHOWN_VALUE_CHARS = 1000
_NUMBER = re.compile(rb"""(?:^|.*\.)[ \t"']*(?P<key>\w+)[ \t"']*=[ \t]*[-+.\w]+""")
_URL_USER = re.compile("//.*@")
# A command's arguments may hold one too, such as a service's URL with its token.
_SECRET_KEYS = (
    *("api_key", "api_secret", "notify.webhook", "notify.command"),
    *("redis.url", "http.tokens"),
)
_MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un holds 108 with its terminator


def load_settings(path: Path) -> Settings:
    """Read and validate a config file.

    Raises:
        ConfigError: It cannot be read or is not valid; the message names the file, the
            key, the value and what is allowed.
    """
    for _ in range(_MOST_READINGS):
        read = read_config(path)
        if read.steady:
            return parse_config(path, read.content)
    raise ConfigError(f"{path}: is being written")


def read_config(path: Path) -> SmallFile:
    """Read a config file, whatever is in it.

    Raises:
        ConfigError: It cannot be read, is no regular file, or is larger than 1 MiB.
    """
    try:
        return read_small_file(path, max_bytes=_MAX_BYTES)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}") from None


def parse_config(path: Path, content: bytes, *, again: bool = False) -> Settings:
    """Validate what a config file held.

    Args:
        path: The file, which its paths are relative to.
        content: What it held.
        again: Whether it was read before; if it is empty now, it is being written.

    Raises:
        ConfigError: It is not valid; the message names the file, the key, the value and
            what is allowed.
    """
    try:
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8") as text:
            values = tomllib.loads(text.read())  # with any line ends
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: {exc}") from None
    if again and not values:
        raise ConfigError(f"{path}: is empty; is it being written?")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        problems = "; ".join(
            _explain(detail) for detail in exc.errors(include_url=False)
        )
        raise ConfigError(f"{path}: {problems}") from None
    return placed(path, settings)


def placed(path: Path, settings: Settings) -> Settings:
    """Return the settings with absolute paths; those of a file are relative to it.

    Raises:
        ConfigError: The socket's is too long.
    """
    base = path.resolve().parent
    socket = str(base / settings.intake.socket)
    if len(os.fsencode(socket)) > _MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{path}: intake.socket: {socket} is longer than the"
            f" {_MAX_SOCKET_PATH_BYTES} bytes that a Unix socket's path may have"
        )
    intake = settings.intake.model_copy(update={"socket": socket})
    database = str(base / settings.database)
    page = settings.page
    if page is not None:
        files = ("certificate", "private_key")
        paths = {key: getattr(page, key) for key in files}
        absolute = {key: str(base / name) for key, name in paths.items() if name}
        page = page.model_copy(update=absolute)
    return settings.model_copy(
        update={"intake": intake, "database": database, "page": page}
    )


def unended_number(content: bytes) -> str | None:
    """Name the key whose number ends the file without a newline: it may be cut."""
    lines = content.splitlines(keepends=True)
    found = _NUMBER.fullmatch(lines[-1]) if lines else None
    return found["key"].decode() if found else None


def _explain(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key}: is not a known key"
    if detail["type"] in {"model_type", "model_attributes_type"}:
        return f"{key}: must be a [{key}] table"
    given = detail["input"]
    if any(word in key for word in _SECRET_KEYS) or isinstance(given, dict | BaseModel):
        return f"{key}: {message}"  # a value that may be, or hold, a secret
    try:
        text = str(given) if isinstance(given, Decimal) else repr(given)
        shown = _URL_USER.sub("//***@", text)
    except (ValueError, RecursionError):  # a number of 5,000 digits, lists in lists
        return f"{key}: {message}"
    if len(shown) > _SHOWN_VALUE_CHARS:
        shown = shown[:_SHOWN_VALUE_CHARS] + "…"
    return f"{key}: {message} (got {shown})"
