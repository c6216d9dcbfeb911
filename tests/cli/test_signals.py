"""Why it did not trade: the log of signals."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import configure_simulated, running, until
from tests.ledger.hands import write

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


@pytest.fixture
def logged(box: Box) -> None:
    """Write decisions, as a daemon does."""
    table = (
        "CREATE TABLE SignalLog (at, signalId, symbol, mode, outcome, reason, figures)"
    )
    rows: list[tuple[object, ...]] = [
        ("2026-01-05T14:30:00.000Z", "n-1", "AAPL", "paper", "placed", None, '{"a":1}'),
        ("2026-01-05T14:31:00.000Z", "n-2", "BRK.B", "paper", "skipped", "stale", None),
        ("2026-01-05T14:32:00.000Z", None, "KO", "live", "refused", "no money", "{"),
    ]
    add = "INSERT INTO SignalLog VALUES (?, ?, ?, ?, ?, ?, ?)"
    write(box.database, table, *((add, list(row)) for row in rows))


@pytest.mark.usefixtures("logged")
def test_each_is_a_line_the_newest_last(desk: Desk, box: Box) -> None:
    lines = [" ".join(line.split()) for line in desk.run(box.config, "signals").lines]

    assert lines == [
        "2026-01-05T14:30:00.000Z AAPL paper placed signal=n-1",
        "2026-01-05T14:31:00.000Z BRK.B paper skipped stale signal=n-2",
        "2026-01-05T14:32:00.000Z KO live refused no money",
        "3 decisions",
    ]


def test_what_was_skipped_shows_its_figures(desk: Desk, box: Box) -> None:
    table = (
        "CREATE TABLE SignalLog (at, signalId, symbol, mode, outcome, reason, figures)"
    )
    add = (
        "INSERT INTO SignalLog VALUES ('2026-01-05T14:30:00.000Z', 'n-1', 'BKNG',"
        " 'paper', 'skipped', ?, ?)"
    )
    price = '{"priceAtSignal": 5187.25, "max_share_price": 1000.0}'
    stars = '{"catalystTier": 3, "aiConfidence": null}'
    write(
        box.database,
        table,
        (add, ["share_price", price]),
        (add, ["no_stars", stars]),
        (add, ["tier_disabled", '{"enabled_catalyst_tiers": [1, 2]}']),
        (add, ["stale", "{"]),
    )
    lines = desk.run(box.config, "signals").lines

    assert [line.partition("skipped")[2].strip() for line in lines[:4]] == [
        "share_price (priceAtSignal 5,187.25, max_share_price 1,000)  signal=n-1",
        "no_stars (catalystTier 3, aiConfidence none)  signal=n-1",
        "tier_disabled (enabled_catalyst_tiers [1, 2])  signal=n-1",
        "stale  signal=n-1",
    ]


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize(
    ("words", "symbols"),
    [
        (("--symbol", "BRK-B"), ["BRK.B"]),
        (("--reason", "no money"), ["KO"]),
        (("--outcome", "placed"), ["AAPL"]),
        (("--since", "2026-01-05T14:31"), ["BRK.B", "KO"]),
        (("--limit", "1"), ["KO"]),
        (("--all",), ["AAPL", "BRK.B", "KO"]),
    ],
)
def test_they_are_found_by_what_is_asked(
    desk: Desk, box: Box, words: tuple[str, ...], symbols: list[str]
) -> None:
    found = desk.run(box.config, "signals", "--format", "json", *words).json()
    assert [each["symbol"] for each in found] == symbols
    text = desk.run(box.config, "signals", "--format", "csv", *words).out
    assert [each["symbol"] for each in csv.DictReader(io.StringIO(text))] == symbols


def test_where_none_are_kept_there_are_none(desk: Desk, box: Box) -> None:
    assert desk.run(box.config, "signals").lines == ["0 decisions"]
    box.configure(log={"signals": False})
    assert "no more are kept" in desk.run(box.config, "signals").out
    assert desk.run(box.config, "signals", "--since", "x").status == 2


def test_a_daemon_says_why_it_did_not_trade(desk: Desk, box: Box) -> None:
    configure_simulated(box)
    with running(box):
        signal = "--category=x", "--tier=4", "--price=60", "--id=n-1"
        assert desk.run(box.config, "send", "--symbol=KO", *signal).status == 0
        until(
            lambda: "no_stars" in desk.run(box.config, "signals").out, "it is written"
        )
        found = desk.run(box.config, "report", "--json").json()["signals"]
    assert found == {"no_stars": 1}
