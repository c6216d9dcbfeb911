from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.events import EventFeed
from snexec.risk.halt import HaltSwitch
from tests.fakes import FakeClock, live_settings, make_settings

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.events import Event, EventName


class Desk:
    """A switch, its feed, and its files."""

    def __init__(self, folder: Path, **bot: object) -> None:
        self.file = folder / "halt"
        self.all_file = folder / "halt-all"
        self.events: list[Event] = []
        self.feed = EventFeed(clock=FakeClock())
        self.feed.follow(self.events.append)
        self.live = live_settings(make_settings(bot=bot), folder / "config.toml")
        self.switch = HaltSwitch(self.live, self.feed, FakeClock())

    def told(self) -> list[str]:
        return [e.event for e in self.events if e.event in {"halt", "resume"}]

    def refused(
        self,
        times: int = 1,
        *,
        http: int | None = 403,
        is_about_symbol: bool = False,
    ) -> None:
        for _ in range(times):
            more = {"httpStatus": http}
            self.feed.publish(
                "refused",
                more,
                symbol="KO",
                reason="no money",
                is_about_symbol=is_about_symbol,
            )

    def happened(self, event: EventName, trade_id: str) -> None:
        more = {"httpStatus": 403} if event == "refused" else {}
        self.feed.publish(event, more, symbol="KO", trade_id=trade_id)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
