"""What may be asked of the daemon: how each request is read, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.logs import SecretMask
from snexec.ops.commands import Commands
from snexec.ops.control import Control
from tests.fakes import SECRET

if TYPE_CHECKING:
    from snexec.ledger.standing import End
    from snexec.ops.exits import CloseRequest
    from snexec.signals import Signal

SIGNAL = {
    "symbol": "AAPL",
    "catalystCategory": "fda_approval",
    "catalystTier": 1,
    "priceAtSignal": 187.2,
    "id": "n-1",
}
LONGEST = "x" * 500


class Recorder(Control):
    """Obeys nothing, and notes what it was asked to."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.refusal: str | None = None

    async def status(self) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append("status")
        return {"pid": 7}

    def halt(self, reason: str, *, by: str, for_all: bool = False) -> dict[str, object]:
        self.asked.append(("halt", reason, by, *(["all"] if for_all else [])))
        return {"halted": True}

    def resume(self, *, by: str | None = None) -> dict[str, object]:
        self.asked.append("resume" if by is None else ("resume", by))
        return {"halted": False}

    async def reload(self) -> str | None:
        self.asked.append("reload")
        return self.refusal

    async def settle(
        self, trade_id: str, how: End, price: Decimal | None, *, dry_run: bool
    ) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append((trade_id, how, price, dry_run))
        return {"settled": True}

    async def rebuild(self, since: datetime | None) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append(("rebuild", since))
        return {"rows": []}

    async def close(self, asked: CloseRequest, *, dry_run: bool) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append((*asked, dry_run))
        return {"rows": []}

    async def positions(self) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append("positions")
        return {"rows": []}

    async def explain_position(self, symbol: str) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append(("position", symbol))
        return {"verdict": "keep"}

    async def explain(self, signal: Signal) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        self.asked.append(signal)
        return {"verdict": "order"}


@pytest.fixture
def control() -> Recorder:
    return Recorder()


@pytest.fixture
def commands(control: Recorder) -> Commands:
    return Commands(control, control.reload)


@pytest.mark.parametrize(
    ("request_fields", "asked", "answer"),
    [
        ({"command": "status"}, "status", {"pid": 7}),
        (
            {"command": "halt", "reason": "fire", "by": "me"},
            ("halt", "fire", "me"),
            {"halted": True},
        ),
        (
            {"command": "halt", "reason": LONGEST, "by": LONGEST},
            ("halt", LONGEST, LONGEST),
            {"halted": True},
        ),
        (
            {"command": "halt", "reason": "fire", "by": "me", "all": True},
            ("halt", "fire", "me", "all"),
            {"halted": True},
        ),
        ({"command": "resume"}, "resume", {"halted": False}),
        ({"command": "positions"}, "positions", {"rows": []}),
        (
            {"command": "explain", "position": "AAPL"},
            ("position", "AAPL"),
            {"verdict": "keep"},
        ),
        (
            {"command": "close", "symbols": ["AAPL", "btcusd"]},
            (("AAPL", "btcusd"), False, "operator", False),
            {"rows": []},
        ),
        (
            {"command": "close", "symbols": "all", "at_open": True, "dryRun": True},
            (None, True, "operator", True),
            {"rows": []},
        ),
        ({"command": "reload"}, "reload", {}),
        (
            {"command": "settle", "trade": "sn-1", "as": "missed"},
            ("sn-1", "missed", None, False),
            {"settled": True},
        ),
        (
            {
                "command": "settle",
                "trade": "sn-1",
                "as": "closed",
                "price": "9.5",
                "dryRun": True,
            },
            ("sn-1", "closed", Decimal("9.5"), True),
            {"settled": True},
        ),
        ({"command": "rebuild"}, ("rebuild", None), {"rows": []}),
        (
            {"command": "rebuild", "since": "2026-01-05T14:30:00Z"},
            ("rebuild", datetime(2026, 1, 5, 14, 30, tzinfo=UTC)),
            {"rows": []},
        ),
        (
            {"command": "rebuild", "since": "2026-01-05"},
            ("rebuild", datetime(2026, 1, 5, tzinfo=UTC)),
            {"rows": []},
        ),
    ],
)
async def test_a_request_is_passed_on_as_it_was_written(
    commands: Commands,
    control: Recorder,
    request_fields: dict[str, object],
    asked: object,
    answer: dict[str, object],
) -> None:
    assert await commands.answer(request_fields) == answer
    assert control.asked == [asked]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"trade": None}, "trade: must be a row's id"),
        ({"trade": 5}, "trade: must be a row's id"),
        ({"trade": "half \ud83d"}, "trade: must be a row's id"),
        ({"as": "open"}, "as: must be 'closed' or 'missed'"),
        ({"as": ["closed"]}, "as: must be 'closed' or 'missed'"),
        ({"price": 0}, "price: must be dollars a share above 0, of a closed row"),
        ({"price": "dear"}, "price: must be dollars a share above 0, of a closed row"),
        (
            {"as": "missed", "price": 5},
            "price: must be dollars a share above 0, of a closed row",
        ),
    ],
)
async def test_a_settlement_that_is_mistyped_settles_nothing(
    commands: Commands, control: Recorder, wrong: dict[str, object], error: str
) -> None:
    asked = {"command": "settle", "trade": "sn-1", "as": "closed", **wrong}
    assert await commands.answer(asked) == {"status": "invalid", "error": error}
    assert control.asked == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"symbols": "AAPL"}, "symbols: must be a list of symbols, or 'all'"),
        ({"symbols": []}, "symbols: must be a list of symbols, or 'all'"),
        ({"symbols": None}, "symbols: must be a list of symbols, or 'all'"),
        ({"symbols": {"AAPL": 1}}, "symbols: must be a list of symbols, or 'all'"),
        ({"symbols": ["AAPL", 5]}, "symbols: must be a symbol such as 'AAPL'"),
        ({"symbols": [""]}, "symbols: must be a symbol such as 'AAPL'"),
        ({"symbols": ["x" * 65]}, "symbols: must be a symbol such as 'AAPL'"),
        ({"symbols": ["half \ud83d"]}, "symbols: must be a symbol such as 'AAPL'"),
        ({"at_open": "yes"}, "at_open: must be true or false"),
    ],
)
async def test_a_close_that_is_mistyped_closes_nothing(
    commands: Commands, control: Recorder, wrong: dict[str, object], error: str
) -> None:
    asked = {"command": "close", "symbols": ["AAPL"], **wrong}
    assert await commands.answer(asked) == {"status": "invalid", "error": error}
    assert control.asked == []


@pytest.mark.parametrize(
    "since", ["yesterday", "", "0001-01-01T00:00+14:00", 5, ["2026-01-05"], True]
)
async def test_a_rebuild_since_no_time_does_nothing(
    commands: Commands, control: Recorder, since: object
) -> None:
    assert await commands.answer({"command": "rebuild", "since": since}) == {
        "status": "invalid",
        "error": "since: must be a time as 2026-01-05T14:30Z",
    }
    assert control.asked == []


async def test_a_reload_that_is_refused_says_why(
    commands: Commands, control: Recorder
) -> None:
    control.refusal = "c.toml: mode: must be paper or live"
    assert await commands.answer({"command": "reload"}) == {
        "status": "refused",
        "error": "c.toml: mode: must be paper or live",
    }


@pytest.mark.parametrize(
    "missing", [{}, {"reason": None, "by": None}, {"reason": "", "by": " \t"}]
)
async def test_a_halt_without_words_has_words_of_its_own(
    commands: Commands, control: Recorder, missing: dict[str, object]
) -> None:
    await commands.answer({"command": "halt", **missing})
    assert control.asked == [("halt", "no reason was given", "the socket")]


async def test_a_signal_to_be_explained_is_read_as_a_feeders_line_is(
    commands: Commands, control: Recorder
) -> None:
    answer = await commands.answer({"command": "explain", "signal": SIGNAL})
    assert answer == {"verdict": "order"}
    [signal] = control.asked
    assert (signal.symbol, signal.id) == ("AAPL", "n-1")  # type: ignore[attr-defined]


async def test_fields_that_nobody_knows_are_no_fault(
    commands: Commands, control: Recorder
) -> None:
    asked = {"command": "status", "id": "c-1", "reason": 5, "more": [1]}
    assert await commands.answer(asked) == {"pid": 7}
    assert control.asked == ["status"]


@pytest.mark.parametrize(
    "command", ["stop", "Status", " status", "", "knock", 5, True, None, ["status"], {}]
)
async def test_an_unknown_command_is_invalid_and_nothing_is_done(
    commands: Commands, control: Recorder, command: object
) -> None:
    assert await commands.answer({"command": command}) == {
        "status": "invalid",
        "error": (
            "command: must be 'status', 'events', 'halt', 'resume', 'reload', 'explain',"
            " 'positions', 'close', 'settle' or 'rebuild'"
        ),
    }
    assert control.asked == []


@pytest.mark.parametrize(
    ("words", "mended"),
    [
        ("x" * 501, "x" * 500),
        ("a\nb\0", "a\\nb\\x00"),
        ("half \ud83d", "half \\ud83d"),
        (5, "5"),
        (10**5000, "words that cannot be shown"),
        (float("nan"), "NaN"),
        (True, "true"),
        (["fire"], '["fire"]'),
        ({"a": "\u2028"}, '{"a": "\\u2028"}'),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_halt_mends_its_words_and_halts_whatever_they_are(
    commands: Commands, control: Recorder, words: object, mended: str
) -> None:
    request = {"command": "halt", "reason": words, "by": words}
    assert await commands.answer(request) == {"halted": True}
    assert control.asked == [("halt", mended, mended)]


@pytest.mark.parametrize(
    ("signal", "error"),
    [
        ({}, "signal: symbol: Field required; "),
        (None, "signal: not a JSON object"),
        ("AAPL", "signal: not a JSON object"),
        ([SIGNAL], "signal: not a JSON object"),
        (
            SIGNAL | {"catalystTier": 9},
            "signal: catalystTier: Input should be less than or equal to 4 (got 9)",
        ),
        (SIGNAL | {"priceAtSignal": float("nan")}, "signal: priceAtSignal: "),
        (SIGNAL | {"symbol": "\ud800"}, "signal: "),
    ],
)
async def test_what_is_no_signal_is_not_explained(
    commands: Commands, control: Recorder, signal: object, error: str
) -> None:
    answer = await commands.answer({"command": "explain", "signal": signal})
    assert answer.keys() == {"status", "error"}
    assert answer["status"] == "invalid"
    assert str(answer["error"]).startswith(error)
    assert control.asked == []


async def test_no_signal_at_all_is_not_explained(
    commands: Commands, control: Recorder
) -> None:
    assert await commands.answer({"command": "explain"}) == {
        "status": "invalid",
        "error": "signal: not a JSON object",
    }
    assert control.asked == []


async def test_a_fault_of_ours_is_not_passed_off_as_the_askers(
    commands: Commands, control: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*, by: str | None) -> dict[str, object]:
        raise ZeroDivisionError(by)

    monkeypatch.setattr(control, "resume", broken)
    with pytest.raises(ZeroDivisionError):
        await commands.answer({"command": "resume"})


@pytest.mark.parametrize(
    "request_",
    [
        {"command": "halt", "reason": f"bad {SECRET}"},
        {"command": "explain", "signal": {**SIGNAL, "symbol": f"bad {SECRET}"}},
        {"command": "explain", "signal": {**SIGNAL, "symbol": "x" * 50 + SECRET}},
    ],
)
async def test_no_answer_holds_a_secret(request_: dict[str, object]) -> None:
    class Echo(Recorder):
        def halt(
            self, reason: str, *, by: str, for_all: bool = False
        ) -> dict[str, object]:
            del for_all
            return {"halted": {"reason": reason, "by": [by, None]}}

    mask = SecretMask()
    mask.learn([SECRET])
    control = Echo()
    commands = Commands(control, control.reload, mask)
    said = json.dumps(await commands.answer(request_))
    assert "***" in said
    assert not any(SECRET[at : at + 4] in said for at in range(len(SECRET) - 3))


@pytest.mark.parametrize("before", [0, 480])
async def test_a_halt_hands_on_no_secret(control: Recorder, before: int) -> None:
    mask = SecretMask()
    mask.learn([SECRET])
    words = "x" * before + f" {SECRET}"
    request = {"command": "halt", "reason": words, "by": words}
    await Commands(control, control.reload, mask).answer(request)
    kept = "x" * before + " ***"
    assert control.asked == [("halt", kept, kept)]
