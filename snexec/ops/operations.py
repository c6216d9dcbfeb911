"""Operations as the rest of the daemon has it: built where wanted, run beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.ops.commands import Commands
from snexec.ops.control import Control
from snexec.ops.health import Health
from snexec.ops.outages import Outages
from snexec.ops.reload import Reloader
from snexec.ops.watchdog import Watchdog, knock_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.logs import SecretMask
    from snexec.ops.notify import Notify
    from snexec.ops.pages import PageServer
    from snexec.ops.systemd import Systemd
    from snexec.ops.wings import Wings


class Operations:
    """What whoever runs the daemon sees of it and may ask of it.

    Args:
        wings: What is looked at.
        feed: What happens, for all that follow it.
        clock: Dates what is reported.
        systemd: The service manager, which need not be there.
        pages: Where to serve metrics, if anywhere.
        mask: Takes secrets out of what is sent.
        stop_deadline: Returns until when, on Trio's clock, a stop may take.
        dropped_lines: Returns how many log lines were dropped.

    Attributes:
        commands: Answers what is asked over the socket.
    """

    def __init__(
        self,
        wings: Wings,
        feed: EventFeed,
        *,
        clock: Clock,
        systemd: Systemd,
        pages: list[trio.SocketListener] | None,
        mask: SecretMask,
        stop_deadline: Callable[[], float],
        dropped_lines: Callable[[], int],
    ) -> None:
        settings = wings.live.now
        self._systemd = systemd
        self._outages = Outages(began=timestamp(clock.now()))
        feed.follow(self._outages.happened)
        health = Health(wings, stream_grace_seconds=settings.metrics.stream_grace_sec)
        self._control = Control(wings, self._outages, health)
        self.commands = Commands(self._control)
        self._watchdog = Watchdog(wings, partial(knock_at, settings.intake.socket))
        self._reloader = Reloader(wings, feed, systemd)
        self._notify: Notify | None = None
        if settings.notify.is_on:
            # Imported only where it is used, as are the metrics.
            from snexec.ops.notify import Notify  # noqa: PLC0415

            self._notify = Notify(
                settings=settings.notify,
                health=health,
                clock=clock,
                mask=mask.apply,
                tls=wings.accounts.tls,
                latest=stop_deadline,
                account=wings.accounts.name_of,
            )
            feed.follow(self._notify.happened)
        self._pages = pages
        self._page_server: PageServer | None = None
        if pages is not None:
            from snexec.ops.metrics import Metrics, Sources  # noqa: PLC0415
            from snexec.ops.pages import PageServer  # noqa: PLC0415

            metrics = Metrics(
                Sources(
                    wings=wings,
                    health=health,
                    outages=self._outages,
                    dropped_lines=dropped_lines,
                    notify=self._notify,
                )
            )
            feed.follow(metrics.happened)
            self._page_server = PageServer(metrics.pages())
        if systemd.is_on:
            feed.follow(systemd.happened)

    async def run(self) -> None:
        """Report, deliver and serve, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._outages.run, name="outages")
            if self._notify is not None:
                nursery.start_soon(self._notify.run, name="notifications")
            if self._page_server is not None and self._pages is not None:
                nursery.start_soon(self._page_server.run, self._pages, name="metrics")
            nursery.start_soon(
                partial(
                    self._systemd.run,
                    status=self._control.status_line,
                    hung=self._watchdog.hung,
                ),
                name="service manager",
            )

    def reload(self) -> None:
        """Read the configuration again (SPEC 2)."""
        self._reloader.reload()
