"""What the page is made of, from the daemon's start on (SPEC 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.web.charts import Charts
from snexec.web.day import Day
from snexec.web.live import Live
from snexec.web.metrics import Metrics
from snexec.web.posted import Posted
from snexec.web.recent import Recent
from snexec.web.rows import Rows
from snexec.web.snapshot import Snapshots

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.model import Mode
    from snexec.ops import Commands, Sources
    from snexec.settings import HttpSettings, PageSettings
    from snexec.web.key_file import PageKey
    from snexec.web.signals import Signals


class Parts:
    """Notes what happens from the start on, and shows it once it is served.

    Args:
        sources: Where the figures are.
        commands: What the page may ask for.
        feed: What happens.
        clock: The time of day.
        page: Its settings; None where only figures are served.
        http: Who may post signals.

    Attributes:
        sources: The same.
        clock: The same.
        rows: Asks the database.
        posted: Feeds the intake with what is posted.
    """

    def __init__(
        self,
        sources: Sources,
        commands: Commands,
        feed: EventFeed,
        clock: Clock,
        page: PageSettings | None,
        *,
        http: HttpSettings,
    ) -> None:
        self.sources = sources
        self.clock = clock
        self.rows = Rows(sources.wings.ledger)
        self._commands = commands
        self._page = page
        self._http = http
        self._signals: Signals | None = None
        self.posted = Posted(sources.wings.intake)
        self._metrics = Metrics(sources)
        self._recent = Recent()
        self._day = Day(sources.wings, clock)
        self._snapshots = Snapshots(
            *(sources, self.rows, self._day, self._recent, clock),
            actions=page is not None and page.actions,
        )
        self._live = Live(self._snapshots, self._recent, sources.wings)
        feed.follow(self._metrics.happened)
        if page is not None:
            feed.follow(self._day.skipped, "skipped")
            feed.follow(self._recent.happened)

    async def run(self) -> None:
        """Note each midnight, and send what is new to who looks, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._day.run, name="page day")
            nursery.start_soon(self._live.run, name="page live")

    def metrics_app(self) -> ASGIApp:
        """Return what answers where only figures are served."""
        from snexec.web.site import metrics_app  # noqa: PLC0415 - Starlette is slow

        return metrics_app(self._metrics)

    def signals_app(self) -> ASGIApp:
        """Return what answers where only signals are taken."""
        from snexec.web.site import signals_app  # noqa: PLC0415 - so is this

        return signals_app(self._taking())

    def page_app(self, key: PageKey, *, port: int) -> ASGIApp:
        """Return what answers where the page is served.

        Args:
            key: Opens it.
            port: Where it listens.
        """
        from snexec.web.access import Access  # noqa: PLC0415 - so is Hypercorn
        from snexec.web.site import Shown, page_app  # noqa: PLC0415

        page = self._page
        assert page is not None  # noqa: S101 - it is served
        access = Access(
            key=key,
            host=page.host_and_port()[0],
            port=port,
            hosts=frozenset(page.hosts),
            actions=page.actions,
            is_tls=page.certificate is not None,
        )
        shown = Shown(
            snapshots=self._snapshots,
            live=self._live,
            rows=self.rows,
            charts=Charts(self.rows, self._day, self.clock, self._mode),
            commands=self._commands,
            signals=self._taking() if self._http.enabled else None,
        )
        return page_app(self._metrics, shown, access)

    def _taking(self) -> Signals:
        """Return what takes signals: one for all addresses, so that it counts them all."""
        from snexec.web.signals import Signals  # noqa: PLC0415 - as slow

        if self._signals is None:
            self._signals = Signals(self.posted, self._http)
        return self._signals

    def _mode(self) -> Mode:
        return self.sources.wings.live.now.mode
