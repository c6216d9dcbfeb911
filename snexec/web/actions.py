"""What the operator does on the page: the socket's commands, by "page" (SPEC 14)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from snexec.web.answers import Answer, NotAnsweredError, in_json
from snexec.web.snapshot import CLOSE_ALL_WORD
from snexec.web.spelling import dollars, exactly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.ops import Commands
    from snexec.web.snapshot import Snapshots

log = logging.getLogger("Page")

_BY = "page"
SECONDS = 60.0  # until each sell is on the disk; a lock there takes its time


class Actions(NamedTuple):
    """Carries out what was confirmed in the browser.

    Attributes:
        commands: Those of the socket.
        snapshots: Say whose money it is, and the halt in force.
    """

    commands: Commands
    snapshots: Snapshots

    async def halt(self, asked: Mapping[str, object]) -> Answer:
        """Halt; any words will do."""
        request = {"reason": asked.get("reason"), "all": asked.get("all") is True}
        await self._do({"command": "halt", "by": _BY, **request})
        return in_json({"ok": True, "halt": self.snapshots.halt()})

    async def resume(self, _asked: Mapping[str, object]) -> Answer:
        """End a halt."""
        answer = await self._do({"command": "resume", "by": _BY})
        if answer.get("halted") is not False:
            raise NotAnsweredError(str(answer.get("error")), status=409)
        return in_json({"ok": True})

    async def close(self, asked: Mapping[str, object]) -> Answer:
        """Have one position sold, or all of them."""
        symbol, everything = asked.get("symbol"), asked.get("all", False)
        if (symbol is None) == (everything is not True):
            raise NotAnsweredError('give a "symbol", or "all": true', status=400)
        is_dry = asked.get("dryRun") is True
        needs_word = everything is True and not is_dry and self.snapshots.is_money_real
        if needs_word and asked.get("word") != CLOSE_ALL_WORD:
            why = f"word: must be {CLOSE_ALL_WORD!r}, as it is real money"
            raise NotAnsweredError(why, status=400)
        answer = await self._do(
            {
                "command": "close",
                "by": _BY,
                "symbols": "all" if everything is True else [symbol],
                "at_open": asked.get("atOpen", False),
                "dryRun": is_dry,
            }
        )
        rows = [_row(row) for row in answer.get("rows", ())]
        if "error" in answer:
            raise NotAnsweredError(str(answer["error"]), status=409, rows=rows)
        return in_json({"ok": True, "rows": rows})

    async def _do(self, request: dict[str, object]) -> dict[str, Any]:
        answer = await self.commands.answer(request)
        if answer.get("status") == "invalid":
            raise NotAnsweredError(str(answer["error"]), status=400)
        return answer


def asked_by(body: bytes) -> dict[str, object]:
    """Read what an action's body asks for.

    Raises:
        NotAnsweredError: It is no JSON object.
    """
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise NotAnsweredError("the body is no JSON", status=400) from None
    if not isinstance(asked, dict):
        raise NotAnsweredError("the body must be a JSON object", status=400)
    return asked


def _row(row: Mapping[str, object]) -> dict[str, object]:
    return {
        "id": row["tradeId"],
        "symbol": row["symbol"],
        "mode": row["mode"],
        "shares": exactly(row["shares"]),
        "dollars": dollars(row["dollars"]),
        "dollarsAt": row["dollarsAt"],
        "exitId": row["exitId"],
        "state": row["state"],
        "error": row["error"],
    }
