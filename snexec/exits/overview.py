"""What is known of a position, for whoever looks at it (SPEC 12.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.exits.answers import Watch
from snexec.exits.rules import stop_level, target_level, trailing_level

if TYPE_CHECKING:
    from snexec.exits.watched import Watched
    from snexec.settings import ExitSettings


def overview(watched: Watched, elapsed: float, settings: ExitSettings | None) -> Watch:
    """Return what is known of a position at a time of Trio's clock.

    Args:
        watched: The position.
        elapsed: That time.
        settings: In force; None where nothing is watched.
    """
    position, prices = watched.position, watched.prices
    stops, target, left = [], None, None
    if settings is not None and settings.enabled:
        stops = [stop_level(position, settings), trailing_level(position, settings)]
        target = target_level(position, settings)
        if settings.max_hold_duration_sec is not None:
            left = position.held_since + settings.max_hold_duration_sec - elapsed
    return Watch(
        row_id=position.row_id,
        mode=position.mode,
        state=position.state,
        price=prices.last,
        price_source=prices.source,
        price_age_sec=None if prices.source is None else elapsed - prices.at,
        stop=max((each for each in stops if each is not None), default=None),
        target=target,
        seconds_left=None if left is None else max(0.0, left),
    )
