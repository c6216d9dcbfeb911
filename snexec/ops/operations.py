"""Operations as the rest of the daemon sees it: built where wanted, run beside it."""

from __future__ import annotations

from datetime import date, time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.ops.commands import Commands
from snexec.ops.control import Control
from snexec.ops.gaps import Gaps
from snexec.ops.health import Health
from snexec.ops.outages import Outages
from snexec.ops.reload import Reloader
from snexec.ops.signal_log import OUTCOMES, SignalLog
from snexec.ops.skipped import SkippedSummary
from snexec.ops.sources import Sources
from snexec.ops.watchdog import Watchdog, knock_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.logs import SecretMask
    from snexec.ops.daily import Daily
    from snexec.ops.notify import Notify
    from snexec.ops.sources import Web
    from snexec.ops.systemd import Systemd
    from snexec.ops.wings import Wings


class Operations:
    """What the operator sees of the daemon and may ask of it.

    Args:
        wings: What it reports on.
        feed: The events, for every part that follows them.
        clock: Gives reports their time.
        systemd: The service manager, if there is one.
        web: Serves the page and metrics, where they are on.
        mask: Takes secrets out of what is sent.
        stop_deadline: Returns when a stop must be over, on Trio's clock.
        dropped_lines: Returns how many log lines were dropped.

    Attributes:
        commands: Answers the requests that come over the socket.
    """

    def __init__(
        self,
        wings: Wings,
        feed: EventFeed,
        *,
        clock: Clock,
        systemd: Systemd,
        web: Web | None,
        mask: SecretMask,
        stop_deadline: Callable[[], float],
        dropped_lines: Callable[[], int],
    ) -> None:
        settings = wings.live.now
        outages = Outages(began=timestamp(clock.now()))
        health = Health(wings, stream_grace_seconds=settings.metrics.stream_grace_sec)
        control = Control(wings, outages, health)
        watchdog = Watchdog(wings, partial(knock_at, settings.intake.socket))
        self._reloader = Reloader(wings, feed, systemd)
        self.commands = Commands(control, self._reloader.reload, mask)
        feed.follow(outages.happened, "mode", "stream", "placed", "settled")
        skipped = SkippedSummary()
        feed.follow(skipped.happened, "skipped")
        if systemd.is_on:
            feed.follow(systemd.happened)
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "gaps": Gaps(wings, clock).run,
            "outages": outages.run,
            "skipped signals": skipped.run,
            "service manager": partial(
                systemd.run, status=control.status_line, hung=watchdog.hung
            ),
        }

        if settings.log.signals:
            signal_log = SignalLog(wings)
            feed.follow(signal_log.happened, *OUTCOMES)
            self._tasks["log of signals"] = signal_log.run

        # The rest takes time to import, so it is imported only where it is wanted.
        notify: Notify | None = None
        if settings.notify.is_on:
            from snexec.ops.notify import Notify  # noqa: PLC0415

            notify = Notify(
                settings=settings.notify,
                health=health,
                clock=clock,
                mask=mask.apply,
                tls=wings.accounts.tls,
                latest=stop_deadline,
                account=wings.accounts.name_of,
            )
            feed.follow(notify.happened)
            self._tasks["notifications"] = notify.run
            if settings.notify.daily_at is not None:
                daily = self._daily(notify, settings.notify.daily_at, wings, clock)
                self._tasks["daily report"] = daily.run
        if web is not None:
            sources = Sources(
                wings=wings,
                health=health,
                outages=outages,
                dropped_lines=dropped_lines,
                notify=notify,
            )
            web.watch(sources, self.commands, feed, clock)
            self._tasks["web"] = web.run

    @staticmethod
    def _daily(notify: Notify, at: str, wings: Wings, clock: Clock) -> Daily:
        """Build what sends the day's report."""
        from snexec.ops.daily import Daily  # noqa: PLC0415
        from snexec.ops.daily_report import daily_report  # noqa: PLC0415

        live = wings.live
        return Daily(
            at=time.fromisoformat(at),
            record=Path(f"{live.now.database}.reported"),
            clock=clock,
            report=lambda day: daily_report(live.path, day, live.now.mode),
            send=notify.report,
            on_duty=lambda: _is_on_duty(wings),
            claim=lambda day: _claim(wings, day),
        )

    async def run(self) -> None:
        """Report, deliver and serve, until cancelled."""
        with self._reloader.rereader:
            async with trio.open_nursery() as nursery:
                for name, task in self._tasks.items():
                    nursery.start_soon(task, name=name)

    async def reload(self) -> None:
        """Read the configuration again, beside all else (SPEC 2)."""
        await self._reloader.reload()


def _is_on_duty(wings: Wings) -> bool:
    """Return whether this host speaks for all."""
    return wings.redis is None or wings.redis.status().lease != "standby"


async def _claim(wings: Wings, day: date) -> bool | None:
    """Return whether no other host has reported a day; None where that is not known."""
    return True if wings.redis is None else await wings.redis.claim(f"reported:{day}")
