"""SIGHUP and ``reload``: read the file again, and apply what needs no restart (SPEC 2, 11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.errors import ConfigError
from snexec.ops.rereading import Rereader
from snexec.settings import changes, say_open_secrets

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.ops.systemd import Systemd
    from snexec.ops.wings import Wings
    from snexec.settings import Reload, Settings

log = logging.getLogger("Daemon")


class Reloader:
    """Puts new settings in force, everywhere or nowhere.

    Args:
        wings: What follows the settings.
        feed: Where a change of mode is published.
        systemd: Sent the beginning and the end of each reload.

    Attributes:
        rereader: Reads the file; its block is the caller's.
    """

    def __init__(self, wings: Wings, feed: EventFeed, systemd: Systemd) -> None:
        self._wings = wings
        self._feed = feed
        self._systemd = systemd
        self.rereader = Rereader(wings.live.path)
        self._reading = trio.Lock()
        self._asked = 0  # how often
        self._answered = 0  # up to which of those
        self._refusal: str | None = None

    async def reload(self) -> str | None:
        """Read the file again; one that cannot be used changes nothing.

        Asked for again meanwhile, it is read once more after that.

        Returns:
            Why it is refused; None where it is in force.
        """
        self._asked += 1
        asked = self._asked
        async with self._reading:
            if self._answered < asked:
                latest = self._asked
                with self._systemd.reloading():
                    self._refusal = await self._reload()
                self._answered = latest
            return self._refusal

    async def _reload(self) -> str | None:
        wings, live = self._wings, self._wings.live
        try:
            # Whatever may refuse comes first.
            read = await self.rereader.read()
            reload = live.compare(read.settings, read.content)
            before, endpoint = live.now, wings.accounts.endpoint(live.now.mode)
            wings.accounts.reconfigure(reload.settings)
        except (ConfigError, OSError) as exc:
            log.error(  # noqa: TRY400 - the message says it all
                "the configuration is refused, and the old one stays: %s", exc
            )
            return str(exc)
        if read.open_secrets:
            say_open_secrets(live.path, read.open_secrets)
        live.put_in_force(reload)
        wings.market.settings_changed()
        wings.exits.settings_changed()
        if reload.held:
            log.warning(
                "%s changed in %s: that needs a restart, the old values stay",
                ", ".join(reload.held),
                live.path,
            )
        log.info(
            "configuration read again; changed: %s",
            ", ".join(reload.applied) or "nothing",
        )
        _log_values(before, reload)
        mode = live.now.mode
        if before.mode != mode:
            log.warning("mode is %s now (was %s)", mode, before.mode)
            self._feed.publish("mode", {"mode": mode}, reason=f"was {before.mode}")
        is_moved = wings.accounts.endpoint(mode) != endpoint
        if is_moved and (missing := wings.missing_keys):
            log.warning("%s", missing)
        # One whose keys are refused waits for its minute, or for anything new (SPEC 7).
        if is_moved or (reload.applied and wings.stream.is_unauthorized):
            wings.stream.restart()
        return None


def _log_values(before: Settings, reload: Reload) -> None:
    """Log the old and the new value of every key that changed."""
    for change in changes(before, reload.read, reload.applied):
        if change.name != "mode":  # which has its own line
            log.info("%s is %s now (was %s)", change.name, change.after, change.before)
    for change in changes(before, reload.read, reload.held):
        log.info(
            "%s is %s until a restart (the file says %s)",
            change.name,
            change.before,
            change.after,
        )
