"""Whether the daemon can do its work: confirm fills, and write them down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.intake import Phase
from snexec.logs import roughly

if TYPE_CHECKING:
    from snexec.intake import Intake
    from snexec.ledger import Writer
    from snexec.stream import TradingStream


class Health:
    """Tells what is wrong, part by part.

    Args:
        stream_grace_seconds: How long the stream may be away before that counts.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        stream: TradingStream,
        writer: Writer,
        stream_grace_seconds: float,
    ) -> None:
        self._intake = intake
        self._stream = stream
        self._writer = writer
        self._grace = stream_grace_seconds

    def problems(self) -> dict[str, str]:
        """Return what is wrong by the part it is wrong with; nothing if all is well."""
        found: dict[str, str] = {}
        if self._intake.phase is Phase.STARTING:
            found["recovery"] = "not every row is compared with the broker yet"
        away = self.stream_away_seconds()
        if self._stream.state == "disabled":
            found["stream"] = "disabled: there is no key"
        elif away > self._grace:
            found["stream"] = f"{self._stream.state}, away for {roughly(away)}"
        if not self._writer.healthy:
            waiting = self._writer.status().pending
            found["writer"] = f"the database cannot be written, {waiting} changes wait"
        return found

    def stream_away_seconds(self) -> float:
        """Return for how long the stream has not been authorized; 0 while it is."""
        since = self._stream.away_since
        return 0.0 if since is None else trio.current_time() - since
