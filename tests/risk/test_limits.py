"""A signal with its limits: the first that stops it gives the reason."""

from __future__ import annotations

from snexec.risk.limits import Counts, Limits, Needs
from tests.fakes import make_signal
from tests.risk.cases import make_bot


def test_the_first_limit_that_stops_a_signal_gives_the_reason() -> None:
    limits = Limits(
        make_signal(),
        make_bot(),
        (
            lambda _signal, _bot, seen: "max_positions" if seen.counts.today else None,
            lambda _signal, _bot, seen: "daily_loss" if seen.counts.wins else None,
        ),
        Needs(),
    )

    assert limits.stop(Counts()) is None
    assert limits.stop(Counts(wins=1)) == "daily_loss"
    assert limits.stop(Counts(wins=1, today=1)) == "max_positions"
