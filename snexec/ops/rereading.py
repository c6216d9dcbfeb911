"""The configuration file read again, while orders go their way (SPEC 2, 11).

It may lie on a disk that hangs, and somebody may be writing it at this moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import trio

from snexec.errors import ConfigError
from snexec.settings import open_secrets, parse_config, read_config
from snexec.threads import NoThreadError, Threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.settings import Settings

T = TypeVar("T")

_MOST_SECONDS = 10.0
_AGAIN_SECONDS = 0.2
_MOST_READINGS = 10


class Reread(NamedTuple):
    """What the file held.

    Attributes:
        content: As it was written.
        open_secrets: Which secrets others can read in it, in words.
    """

    settings: Settings
    content: bytes
    open_secrets: str


class Rereader:
    """Reads the file in a thread of its own, kept for as long as the block lasts.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # One, also while one that hangs is given up.
        self._threads = Threads("configuration", 1)

    def __enter__(self) -> Self:
        self._threads.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._threads.__exit__(*exc_info)

    async def read(self) -> Reread:
        """Read the file, until it holds still.

        Raises:
            ConfigError: It cannot be used, or not be read within 10 s.
        """
        try:
            with trio.fail_after(_MOST_SECONDS):
                content = await self._read_whole()
                return await self._in_thread(lambda: self._parsed(content))
        except trio.TooSlowError:
            raise ConfigError(
                f"{self._path}: is not read after {_MOST_SECONDS:g} s; does its disk hang?"
            ) from None

    async def _read_whole(self) -> bytes:
        """Read until two readings agree: half a file may be new limits that lack."""
        last: bytes | None = None
        for _ in range(_MOST_READINGS):
            read = await self._in_thread(lambda: read_config(self._path))
            if read.steady and read.content == last:
                return read.content
            last = read.content
            await trio.sleep(_AGAIN_SECONDS)
        raise ConfigError(
            f"{self._path}: is being written, it changed at each of {_MOST_READINGS}"
            " readings; send SIGHUP once it is whole"
        )

    def _parsed(self, content: bytes) -> Reread:
        settings = parse_config(self._path, content, again=True)
        return Reread(settings, content, open_secrets(self._path, settings))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work, abandon_on_cancel=True)
        except NoThreadError as exc:
            raise ConfigError(f"{self._path}: cannot be read now: {exc}") from None
