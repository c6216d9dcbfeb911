"""The faults of the exchange that a run of the sweep draws from its seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from snexec.exchange.faults import RestFault, StreamFaults
from snexec.exchange.settings import Behaviour

if TYPE_CHECKING:
    import random

    from snexec.exchange.account import Account

# How one symbol's orders go. The delays stay below `unknown_grace_sec`, after which an
# order may count as not found, and the time-outs above `order_timeout_sec`.
BEHAVIOURS: dict[str, Behaviour] = {
    "fills": Behaviour(),
    "fills slowly": Behaviour(fill_delay_sec=0.3),
    "fills before the reply": Behaviour(fill_before_reply=True),
    "replies slowly": Behaviour(reply_delay_sec=0.2),
    "replies too late": Behaviour(reply_delay_sec=0.8),
    "fills in parts": Behaviour(partial_fills=2, fill_delay_sec=0.2),
    "fills in parts, no position": Behaviour(partial_fills=1, position_404_times=2),
    "stays partly filled": Behaviour(partial_fills=1, end_status="never"),
    "stays unfilled": Behaviour(end_status="never"),
    "partly filled, canceled": Behaviour(partial_fills=1, end_status="canceled"),
    "partly filled, expired": Behaviour(partial_fills=2, end_status="expired"),
    "canceled": Behaviour(end_status="canceled", fill_delay_sec=0.1),
    "expired": Behaviour(end_status="expired"),
    "rejected": Behaviour(reject=True),
    "rejected before the reply": Behaviour(reject=True, fill_before_reply=True),
    "refused": Behaviour(refuse=403, refuse_message="insufficient buying power"),
    "refused twice": Behaviour(refuse=422, refuse_message="not tradable", times=2),
    "reply reset": Behaviour(lose="after_accept"),
    "reply hangs": Behaviour(lose="after_accept", lose_how="hang"),
    "reply 500": Behaviour(lose="after_accept", lose_how="500", no_events=True),
    "reply 502 in HTML": Behaviour(lose="after_accept", lose_how="502_html"),
    "reply 504, look-ups blind": Behaviour(
        lose="after_accept", lose_how="504_html", lookup_404_sec=0.5, no_events=True
    ),
    "reply cut": Behaviour(lose="after_accept", lose_how="garbage_200"),
    "reply lost, look-ups blind": Behaviour(
        lose="after_accept", lose_how="close", lookup_404_sec=0.5
    ),
    "POST reset": Behaviour(lose="before_accept"),
    "POST hangs": Behaviour(lose="before_accept", lose_how="hang"),
    "POST 500": Behaviour(lose="before_accept", lose_how="500"),
    "events twice": Behaviour(duplicate_events=2, partial_fills=1),
    "events late": Behaviour(late_event_sec=2.0, partial_fills=1),
    "no events": Behaviour(no_events=True),
    "no events, expired": Behaviour(no_events=True, end_status="expired"),
    "no events, partly canceled": Behaviour(
        no_events=True, partial_fills=1, end_status="canceled"
    ),
}

# What may befall a whole account for a few requests.
_ORDERS = {"path": "/v2/orders", "times": 1}
REST_FAULTS: dict[str, RestFault] = {
    "POST 429": RestFault(
        how="rate_limit",
        method="POST",
        rate_headers=False,
        retry_after_sec=0,
        **_ORDERS,
    ),
    "POST 429 without headers": RestFault(
        how="rate_limit", method="POST", rate_headers=False, **_ORDERS
    ),
    "POST late": RestFault(how="delay", delay_sec=0.7, method="POST", **_ORDERS),
    "POST lost": RestFault(how="reset", method="POST", **_ORDERS),
    "POST done, 502": RestFault(
        how="502_html", after_work=True, method="POST", **_ORDERS
    ),
    "look-ups 500": RestFault(how="500", method="GET", path="/v2/orders", times=3),
    "look-up hangs": RestFault(how="hang", method="GET", **_ORDERS),
    "look-up reset": RestFault(how="reset", method="GET", **_ORDERS),
    "look-up cut": RestFault(how="garbage_200", method="GET", **_ORDERS),
    "look-up 429": RestFault(
        how="rate_limit", method="GET", rate_headers=False, retry_after_sec=1, **_ORDERS
    ),
    "positions 500": RestFault(how="500", method="GET", path="/v2/positions", times=2),
}

STREAM_FAULTS: dict[str, StreamFaults] = {
    "stream in text frames": StreamFaults(text_frames=True),
    "stream's slot held": StreamFaults(slot_hold_sec=0.4),
    "stream refused": StreamFaults(refuse_upgrade=503),
    "stream not authorized": StreamFaults(unauthorized=True),
    "stream without updates": StreamFaults(withhold_trade_updates=True),
}

Disturbance = Literal["drop", "close", "starve", "black hole"]
DISTURBANCES: tuple[Disturbance, ...] = get_args(Disturbance)


def disturb(account: Account, what: Disturbance) -> None:
    """Do something to the connections that an account's stream has now."""
    match what:
        case "drop":
            account.feed.drop()
        case "close":
            account.feed.close(1001)
        case "starve":
            account.feed.starve()
        case "black hole":
            account.feed.black_hole()


def draw_account_faults(rng: random.Random, account: Account) -> list[str]:
    """Set some faults of a whole account, or none, and name them."""
    drawn = rng.sample(list(REST_FAULTS), rng.choice((0, 0, 1, 2, 3)))
    for name in drawn:
        account.rest_faults.add(REST_FAULTS[name])
    account.feed.faults = StreamFaults()
    if rng.random() < 0.3:
        name = rng.choice(list(STREAM_FAULTS))
        account.feed.faults = STREAM_FAULTS[name]
        drawn.append(name)
    return drawn
