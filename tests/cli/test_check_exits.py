"""What the preflight says of exits: what sells, and whether prices can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.exchange.faults import RestFault
from tests.integration.harness import KEYS, alpaca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snexec.exchange.server import Exchange
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

Findings = dict[str, tuple[str, str, str]]
STOP = {"hard_stop_loss_pct": 5.0}


@pytest.fixture
def check(desk: Desk, box: Box) -> Callable[[], Findings]:
    """Give a function that checks, and returns what is said of exits."""

    def check() -> Findings:
        done = desk.run(box.config, "check", "--json")
        return {
            found["check"]: (found["result"], found["detail"], found["advice"])
            for found in done.json()
            if found["check"] in {"exits", "market data", "calendar"}
        }

    return check


@pytest.fixture
def real_box(
    box: Box, broker: Exchange, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """Give a box that takes the exchange for Alpaca, with its market data."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    exits = {**STOP, "data_url": broker.data_url}
    box.configure(alpaca=alpaca(broker), exits=exits)
    yield box
    for account in (broker.paper, broker.live):
        account.rest_faults.clear()
        account.refused_keys = frozenset()


@pytest.mark.parametrize(
    ("exits", "result", "says"),
    [
        (
            {"hard_stop_loss_pct": 5.0, "max_hold_duration_sec": 14_400},
            "OK",
            "hard_stop_loss_pct 5 %, max_hold_duration_sec 14400 s; prices from"
            " positions",
        ),
        (
            {"price_source": "stream", "broker_stop": True, **STOP},
            "OK",
            "hard_stop_loss_pct 5 %; prices from stream; a stop at the broker, 5 %",
        ),
        (
            {"profit_target_pct": "off"},
            "WARN",
            "no rule is set: nothing is sold but by `snexec close`",
        ),
        (
            {"enabled": False, **STOP},
            "WARN",
            "enabled = false: nothing is watched, nothing is sold but by `snexec close`",
        ),
    ],
)
def test_it_is_said_what_sells(
    check: Callable[[], Findings],
    box: Box,
    exits: dict[str, object],
    result: str,
    says: str,
) -> None:
    box.configure(exits=exits)
    found = check()
    assert found["exits"][:2] == (result, says)
    assert set(found) == {"exits"}, "a simulated broker is not asked"


def test_it_is_said_that_nothing_sells_without_the_section(
    check: Callable[[], Findings],
) -> None:
    assert check() == {
        "exits": ("OK", "no [exits]: nothing is sold but by `snexec close`", "")
    }


def test_market_data_and_the_calendar_are_asked_for(
    check: Callable[[], Findings], real_box: Box, broker: Exchange
) -> None:
    del real_box
    found = check()
    shown = f"{broker.data_url}, feed iex: allowed with the paper keys"
    assert found["market data"] == ("OK", shown, "")
    session = "today's session: 09:30 to 16:00 in New York"
    assert found["calendar"] == ("OK", session, "")


@pytest.mark.parametrize(
    ("source", "result"), [("positions", "WARN"), ("stream", "FAIL")]
)
def test_data_that_these_keys_may_not_have_is_worth_what_it_is_needed_for(
    check: Callable[[], Findings],
    real_box: Box,
    broker: Exchange,
    source: str,
    result: str,
) -> None:
    exits = {**STOP, "data_url": broker.data_url, "price_source": source}
    real_box.configure(alpaca=alpaca(broker), exits=exits)
    broker.paper.refused_keys = broker.live.refused_keys = frozenset("*")
    said, detail, advice = check()["market data"]
    assert (said, "HTTP 401" in detail) == (result, True)
    assert advice == (
        "these keys have no such feed: set exits.feed to one they have; positions"
        " stand in"
    )


def test_a_host_that_is_not_there_is_named(
    check: Callable[[], Findings], real_box: Box, broker: Exchange
) -> None:
    exits = {**STOP, "data_url": "http://127.0.0.1:9"}
    real_box.configure(alpaca=alpaca(broker), exits=exits)
    said, detail, advice = check()["market data"]
    assert (said, detail.startswith("http://127.0.0.1:9, feed iex: ")) == ("WARN", True)
    assert advice == "check the network and exits.data_url; positions stand in"


def test_a_calendar_that_cannot_be_read_says_what_is_lost(
    check: Callable[[], Findings], real_box: Box, broker: Exchange
) -> None:
    del real_box
    broker.paper.rest_faults.add(
        RestFault(how="respond", status=500, path="/v2/calendar")
    )
    said, _detail, advice = check()["calendar"]
    assert said == "WARN"
    assert advice == ("prices without a time count from the first poll of a session on")
