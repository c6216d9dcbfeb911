from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.events import EventFeed
from snexec.risk.halt import HaltSwitch
from tests.fakes import FakeClock, make_settings

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.events import Event


class Desk:
    """A switch, its feed, and its file."""

    def __init__(self, folder: Path, **bot: object) -> None:
        self.config = folder / "config.toml"
        self.file = folder / "halt"
        self.bot = make_settings(bot=bot).bot
        self.events: list[Event] = []
        self.feed = EventFeed(clock=FakeClock())
        self.feed.follow(self.events.append)
        self.switch = HaltSwitch(
            config=self.config, bot=lambda: self.bot, feed=self.feed, clock=FakeClock()
        )
        self.feed.follow(self.switch.happened)

    def told(self) -> list[str]:
        return [e.event for e in self.events if e.event in {"halt", "resume"}]

    def refused(self, times: int = 1, *, http: int | None = 403) -> None:
        for _ in range(times):
            more = {"httpStatus": http}
            self.feed.publish("refused", more, symbol="KO", reason="no money")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
