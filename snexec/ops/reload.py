"""SIGHUP: read the file again, and apply what needs no restart (SPEC 2, 11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from snexec.errors import ConfigError
from snexec.settings import warn_open_keys

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.ops.systemd import Systemd
    from snexec.ops.wings import Wings

log = logging.getLogger("Daemon")


class Reloader:
    """Puts new settings in force, everywhere or nowhere.

    Args:
        wings: What follows the settings.
        feed: Where a change of mode is published.
        systemd: Sent the beginning and the end of each reload.
    """

    def __init__(self, wings: Wings, feed: EventFeed, systemd: Systemd) -> None:
        self._wings = wings
        self._feed = feed
        self._systemd = systemd

    def reload(self) -> None:
        """Read the file again; one that cannot be used changes nothing."""
        with self._systemd.reloading():
            self._reload()

    def _reload(self) -> None:
        wings, live = self._wings, self._wings.live
        before, endpoint = live.now, wings.accounts.endpoint(live.now.mode)
        try:
            # Whatever may refuse comes first.
            reload = live.read_again()
            wings.accounts.reconfigure(reload.settings)
        except (ConfigError, OSError) as exc:
            log.error(  # noqa: TRY400 - the message says it all
                "the configuration is refused, and the old one stays: %s", exc
            )
            return
        warn_open_keys(live.path, reload.read)
        live.put_in_force(reload)
        wings.market.settings_changed()
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
        mode = live.now.mode
        if before.mode != mode:
            log.warning("mode is %s now (was %s)", mode, before.mode)
            self._feed.publish("mode", {"mode": mode}, reason=f"was {before.mode}")
        if wings.accounts.endpoint(mode) != endpoint:
            if missing := wings.missing_keys:
                log.warning("%s", missing)
            wings.stream.restart()
