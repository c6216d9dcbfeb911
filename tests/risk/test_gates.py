"""All gates together: their order, and which of them are asked."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from snexec.risk.gates import (
    COUNTED,
    EARLY,
    GATES,
    ActiveGates,
    counts_orders,
    limits_set,
)
from snexec.risk.limits import COUNTED_REASONS, Gate, Needs, Snapshot
from tests.fakes import make_signal
from tests.risk.cases import (
    CASES,
    COUNTED_CASES,
    WINS,
    make_bot,
    make_snapshot,
    stopped,
)

if TYPE_CHECKING:
    from snexec.risk.limits import Reason


@pytest.mark.parametrize(
    ("bot", "signal", "seen", "reason"), [case for case in CASES if case[3] is not None]
)
def test_only_the_gate_of_a_reason_stops_it(
    bot: dict[str, Any],
    signal: dict[str, Any],
    seen: dict[str, Any],
    reason: Reason | None,
) -> None:
    made, limits, snapshot = (
        make_signal(**signal),
        make_bot(**bot),
        make_snapshot(**seen),
    )
    told = [gate.check(made, limits, snapshot) for gate in GATES]

    assert [one for one in told if one is not None] == [reason]


def test_the_order_is_the_documented_one() -> None:
    """Two gates that would both stop a signal: the earlier one's reason is told."""
    stopping = {case[3]: case for case in CASES if case[3] is not None}
    order = list(stopping)
    assert order == [
        *("halted", "disabled", "paused", "stopped", "no_keys", "tier_disabled"),
        "no_stars",
        *("symbol", "share_price", "float_shares", "relative_volume", "market_closed"),
        "flattening",
        *("max_positions", "daily_loss", "win_rate", "brake_symbol_cooldown"),
        *("brake_orders_per_minute", "brake_orders_per_day", "brake_notional_per_day"),
    ]
    for first, second in itertools.combinations(order, 2):
        if {first, second} in ({"paused", "stopped"}, {"tier_disabled", "no_stars"}):
            continue
        merged: list[dict[str, Any]] = [
            {**stopping[second][part], **stopping[first][part]}  # type: ignore[dict-item]
            for part in range(3)
        ]
        if first == "tier_disabled":
            merged[1].pop("aiConfidence", None)
        assert stopped(*merged) == first, (first, second)


def test_what_counts_comes_after_what_does_not() -> None:
    assert GATES == EARLY + COUNTED
    counted = {
        case[3]
        for case in CASES
        if ActiveGates().limits(make_signal(), make_bot(**case[0])) is not None
    }
    assert counted - {None} == COUNTED_REASONS


def test_nothing_is_counted_where_no_limit_asks_for_it() -> None:
    signal = make_signal()
    assert ActiveGates().limits(signal, make_bot()) is None
    early = make_bot(
        enabled_catalyst_tiers=[1],
        symbols_allowed=["AAPL"],
        max_share_price=1.0,
        max_float_shares=1.0,
        min_relative_volume=1.0,
        require_market_open=True,
        halt_after_refusals=1,
    )
    assert ActiveGates().limits(signal, early) is None


@pytest.mark.parametrize(
    ("bot", "brake"),
    [
        ({"max_concurrent_positions": 1}, False),
        ({"daily_loss_limit_usd": 1.0}, False),
        (WINS, False),
        ({"symbol_cooldown_sec": 1.0}, True),
        ({"max_orders_per_minute": 1}, True),
        ({"max_orders_per_day": 1}, True),
        ({"max_notional_per_day_usd": 1.0}, True),
    ],
)
def test_each_limit_that_counts_is_counted_for(
    bot: dict[str, object], *, brake: bool
) -> None:
    made = make_bot(**bot)
    limits = ActiveGates().limits(make_signal(), made)
    assert limits is not None
    assert (limits.signal, limits.bot) == (make_signal(), made)
    assert len(limits.checks) == 1
    assert counts_orders(made) is brake


@pytest.mark.parametrize("gate", COUNTED, ids=lambda gate: gate.name)
def test_what_a_gate_looks_at_is_counted_for_it(gate: Gate) -> None:
    """A figure that nobody counts stays 0, and would stop nothing."""
    figures = {
        "positions": {"open_positions"},
        "results": {"realised", "wins", "closed"},
        "orders": {"since_symbol", "last_minute", "today", "cents_today"},
    }
    stopping = [
        snapshot
        for bot, signal, snapshot, _reason in COUNTED_CASES
        if gate.check(make_signal(**signal), make_bot(**bot), make_snapshot(**snapshot))
    ]
    assert stopping, "a case in which it stops"
    looked_at = {figure for snapshot in stopping for figure in snapshot} - {"cents"}
    counted = {
        figure
        for need, asked in zip(Needs._fields, gate.needs, strict=True)
        if asked
        for figure in figures[need]
    }
    assert looked_at <= counted


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_says_its_figures(gate: Any) -> None:  # noqa: ANN401 - a Gate
    for bot, signal, seen, _reason in CASES:
        made, limits = make_signal(**signal), make_bot(**bot)
        if gate.is_set(limits):
            said = gate.figures(made, limits, make_snapshot(**seen))
            assert said
            assert said.isprintable()


def test_the_gates_go_with_the_settings() -> None:
    gates, signal = ActiveGates(), make_signal()
    for _ in range(2):
        assert gates.stopped_early(signal, make_bot(), Snapshot()) is None
        assert gates.limits(signal, make_bot()) is None
        cheap = make_bot(max_share_price=1.0, max_orders_per_day=1)
        assert gates.stopped_early(signal, cheap, Snapshot()) == "share_price"
        assert gates.limits(signal, cheap) is not None


def test_the_limits_that_are_set_are_named() -> None:
    assert limits_set(make_bot()) == []
    assert limits_set(
        make_bot(
            enabled_catalyst_tiers=[1, 2],
            symbols_blocked=["GME", "AMC"],
            max_share_price=20.5,
            require_market_open=True,
            max_notional_per_day_usd=1_000_000.0,
            halt_after_refusals=3,
            **WINS,
        )
    ) == [
        "enabled_catalyst_tiers [1, 2]",
        "symbols_blocked 2",
        "max_share_price 20.5",
        "require_market_open",
        "min_win_rate 0.4",
        "max_notional_per_day_usd 1,000,000",
        "halt_after_refusals 3",
    ]
