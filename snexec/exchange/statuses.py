"""Alpaca's words for how an order stands (ALPACA 1.4)."""

from typing import Literal

EndStatus = Literal["canceled", "expired", "rejected", "replaced"]
# Nothing more may happen to such an order for a day, or ever; it is not over.
RestingStatus = Literal[
    "calculated",
    "done_for_day",
    "held",
    "pending_cancel",
    "pending_replace",
    "stopped",
    "suspended",
]
Status = (
    Literal["accepted", "pending_new", "new", "partially_filled", "filled"]
    | EndStatus
    | RestingStatus
)

TERMINAL: frozenset[Status] = frozenset(
    {"filled", "canceled", "expired", "rejected", "replaced"}
)
