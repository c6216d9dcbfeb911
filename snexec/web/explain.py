"""What would become of a signal typed in, or what sells a position (SPEC 14)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from snexec.web.answers import Answer, NotAnsweredError, in_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.ops import Commands


async def explain(commands: Commands, text: str) -> Answer:
    """Answer for a signal in JSON, or a position's symbol.

    Raises:
        NotAnsweredError: It is neither.
    """
    text = text.strip()
    if not text:
        raise NotAnsweredError("signal: give a signal's JSON, or a symbol", status=400)
    try:
        signal = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError) as exc:
        raise NotAnsweredError(f"signal: is no JSON: {exc}", status=400) from None
    what = {"position": text} if signal is None else {"signal": signal}
    answer = await commands.answer({"command": "explain", **what})
    if "error" in answer:
        status = 400 if answer.get("status") == "invalid" else 404
        raise NotAnsweredError(str(answer["error"]), status=status)
    return in_json(_of_position(answer) if signal is None else _of_signal(answer))


def _of_signal(answer: Mapping[str, Any]) -> dict[str, object]:
    match answer["verdict"]:
        case "order":
            words = (
                f"would be ordered: ${answer['dollars']} of {answer['symbol']}"
                f" ({answer['stars']} stars, {answer['mode']})"
            )
        case "skip":
            words = f"would be skipped: {answer['reason']}"
        case _:
            words = f"not known: {', '.join(answer['unknown'])}"
    return {
        "about": "signal",
        "symbol": answer["symbol"],
        "mode": answer["mode"],
        "verdict": answer["verdict"],
        "words": words,
        "lines": [
            {
                "name": line["gate"],
                "result": line["result"],
                "reason": line["reason"],
                "detail": line["detail"],
            }
            for line in answer["gates"]
        ],
    }


def _of_position(answer: Mapping[str, Any]) -> dict[str, object]:
    words = (
        f"{answer['symbol']} ({answer['mode'] or 'another program'}): {answer['state']}"
    )
    if not answer["rules"]:
        words += ", no rule is asked about it"
    if answer["blockedBy"]:
        words += f"; {answer['blockedBy']}"
    return {
        "about": "position",
        "symbol": answer["symbol"],
        "mode": answer["mode"],
        "verdict": answer["state"],
        "words": words,
        "lines": [
            {
                "name": line["rule"],
                "result": "on" if line["on"] else "off",
                "reason": None,
                "detail": "; ".join(
                    str(each) for each in (line["threshold"], line["distance"]) if each
                ),
            }
            for line in answer["rules"]
        ],
    }
