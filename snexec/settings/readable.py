"""What can be read of a configuration with a mistake in it (SPEC 15).

For commands that only need to know where the socket, the database and the halt file are:
a typo must not take the desk away from whoever runs it. No daemon runs on such settings.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from snexec.errors import ConfigError
from snexec.settings.load import placed, read_config
from snexec.settings.sections import Settings

if TYPE_CHECKING:
    from pathlib import Path

_MOST_MISTAKES = 200
_LINE = re.compile(r"\(at line (\d+),")


def read_what_can_be(path: Path) -> Settings:
    """Return the settings of a file without whatever is wrong in it.

    Raises:
        ConfigError: It cannot be read at all.
    """
    text = read_config(path).content.decode(errors="replace")
    return placed(path, _valid_part(path, _toml_part(path, text)))


def _toml_part(path: Path, text: str) -> dict[str, Any]:
    """Return the values of the lines that are TOML."""
    lines = text.splitlines()
    for _ in range(_MOST_MISTAKES):
        try:
            return tomllib.loads("\n".join(lines))
        except (ValueError, RecursionError) as exc:
            found = _LINE.search(str(exc))
            wrong = int(found[1]) - 1 if found else len(lines) - 1
            if not lines:
                break
            del lines[min(wrong, len(lines) - 1)]
    raise ConfigError(f"{path}: nothing in it can be read")


def _valid_part(path: Path, values: dict[str, Any]) -> Settings:
    """Return the settings without the keys and sections that are refused."""
    for _ in range(_MOST_MISTAKES):
        try:
            return Settings.model_validate(values)
        except ValidationError as exc:
            for detail in exc.errors(include_url=False, include_input=False):
                _remove(values, [str(part) for part in detail["loc"]])
    raise ConfigError(f"{path}: nothing in it can be used")


def _remove(values: dict[str, Any], place: list[str]) -> None:
    """Remove what is named, or the innermost table in which it is."""
    if not place:
        values.clear()
        return
    name, *rest = place
    inner = values.get(name)
    if rest and isinstance(inner, dict) and rest[0] in inner:
        _remove(inner, rest)
    else:
        values.pop(name, None)
