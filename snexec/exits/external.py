"""What others did to a row's position: judgements, pure (SPEC 12.7, 12.8a).

A row's claim comes first: it loses shares only when the account holds less than the row
has left. The rules in the order in which they are asked; the first that answers decides:

| rule | seen | judgement |
| --- | --- | --- |
| `just_traded` | a sell of ours has not ended, or we bought or sold within 15 s | forget |
| `unconfirmed` | the list is without it | ask for the one position; it is there: forget |
| `new_here` | never seen, bought on an earlier day | ask what happened since |
| `undated` | a split is known, not what the buy bought | ask for the buy |
| `nothing` | all is there | whole; a known split does not show yet: its prices rest |
| `first_sight` | it was not like this before | begin; by one ratio: its prices rest |
| `patience` | for less than 10 s; nothing left: less than the grace | wait |
| `stranger` | the buy is not known to this account | stranger: nothing changes |
| `unasked` | not yet known what happened | ask |
| `split` | by one ratio, or a split that shows | split |
| `by_us` | more sold by orders of ours than the row knows | ours: their evidence decides |
| `sold` | sells that are not ours, of all that is missing | sold, at their mean price |
| `corporate` | a merger, another name, a spin-off | sold without a price; some left: rest |
| `unclear` | some is left after a split of which the ratio is not known | rest |
| `bought` | more is held, and was bought by others | whole |
| `jump` | more is held, and nobody bought it | rest |
| `untraced` | less is held, and nobody sold it, for the grace | sold without a price |
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.broker import Activity
from snexec.exits.splits import is_nearer, still_due, times
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from snexec.exits.sights import Case

QUIET_SECONDS = 15.0  # positions have been seen to lag 10 s behind their orders
APART_SECONDS = 10.0
_ZERO = Decimal(0)
_CORPORATE = {
    "MA": "a merger",
    "NC": "another name",
    "REORG": "a reorganisation",
    "SPIN": "a spin-off",
}

Kind = Literal[
    "forget",  # nothing is known, and what was seen before does not count
    "whole",  # nothing is wrong
    "begin",  # something is, seen for the first time
    "wait",
    "ask_position",
    "ask_buy",
    "ask_activities",
    "stranger",
    "ours",
    "sold",
    "split",
    "rest",  # price rules must not be asked for it, and somebody has to look
]


class Judgement(NamedTuple):
    """What follows for a row.

    Attributes:
        why: In words, for the log.
        rests: Why no price rule may be asked for it; None where they may.
        reason: Of a sale, as the row will have it.
        quantity: Shares that were sold.
        price: Dollars a share; None if it is not known.
        at: When the last of them went, if that is known.
        ratio: New shares for each old one.
        used: The activities that it is made of.
    """

    kind: Kind
    why: str = ""
    rests: str | None = None
    reason: Literal["external", "corporate_action"] = "external"
    quantity: Decimal = _ZERO
    price: Decimal | None = None
    at: datetime | None = None
    ratio: Fraction = Fraction(1)
    used: frozenset[str] = frozenset()


def judge(case: Case) -> Judgement:
    """Return what a case comes to, or what has to be asked first."""
    return next(found for rule in RULES if (found := rule(case)) is not None)


def _just_traded(case: Case) -> Judgement | None:
    if case.claim.is_selling or case.claim.quiet_seconds < QUIET_SECONDS:
        return Judgement("forget")
    return None


def _unconfirmed(case: Case) -> Judgement | None:
    if case.is_listed or case.is_gone:
        return None
    if case.is_gone is None:
        # Once when it begins, and once more when it counts.
        waits = case.is_begun and case.stands_since < _patience_of(case)
        return Judgement("wait") if waits else Judgement("ask_position")
    return Judgement("forget", "the list of positions is without it, and it is there")


def _new_here(case: Case) -> Judgement | None:
    is_older = case.claim.entry_day < day_of_trade(case.now.moment)
    if is_older and not case.is_surveyed and case.activities is None:
        return Judgement("ask_activities")
    return None


def _undated(case: Case) -> Judgement | None:
    if case.splits and case.bought is None and case.buy is None:
        return Judgement("ask_buy")
    return None


def _nothing(case: Case) -> Judgement | None:
    if case.is_smaller or case.has_grown or _ratio_of(case) is not None:
        return None
    due = _due(case)
    if case.splits and due is None:
        rests = "a split is known, and not whether the row has been through it"
    elif due not in (None, 1):
        rests = f"a split, {due} for 1, does not show in its position yet"
    else:
        rests = None
    return Judgement("whole", rests=rests)


def _first_sight(case: Case) -> Judgement | None:
    if case.is_begun:
        return None
    ratio = _ratio_of(case)
    if ratio is None:
        return Judgement("begin")
    return Judgement("begin", rests=f"its position looks split, {ratio} for 1")


def _patience(case: Case) -> Judgement | None:
    return Judgement("wait") if case.stands_since < _patience_of(case) else None


def _stranger(case: Case) -> Judgement | None:
    if case.buy is None:
        return Judgement("ask_buy")
    if not case.buy.is_known:
        return Judgement("stranger", "the account does not know its buy")
    return None


def _unasked(case: Case) -> Judgement | None:
    return Judgement("ask_activities") if case.activities is None else None


def _split(case: Case) -> Judgement | None:
    ratio = _ratio_of(case)
    if ratio is None:
        return None
    return Judgement("split", f"split {ratio} for 1", ratio=ratio)


def _by_us(case: Case) -> Judgement | None:
    if not (case.is_smaller and case.is_unbooked):
        return None
    return Judgement(
        "ours", "an order of ours has sold of it, and its row does not know"
    )


def _sold(case: Case) -> Judgement | None:
    if not case.is_smaller:
        return None
    missing, dollars, used = case.missing, _ZERO, list[Activity]()
    for each in _sells(case):
        is_counted = each.id in case.used or each.order_id in case.used
        if each.order_id in case.ours or is_counted or not missing:
            continue
        shares = min(_shares(each), missing)
        if not shares:
            continue
        missing -= shares
        used.append(each)
        dollars += shares * (each.price or _ZERO)
    if not used or missing > case.claim.slack:
        return None
    is_priced = all(each.price is not None for each in used)
    return Judgement(
        "sold",
        "sold by others",
        quantity=case.missing,  # what is missing beyond them is dust, or a fee
        price=dollars / (case.missing - missing) if is_priced else None,
        at=used[0].at,
        used=frozenset(each.id for each in used),
    )


def _corporate(case: Case) -> Judgement | None:
    since = day_of_trade(case.since)
    found = [
        each
        for each in case.activities or ()
        if each.kind in _CORPORATE
        and each.is_about(case.claim.symbol)
        and each.at.date() >= since
        and each.id not in case.used
    ]
    if not found:
        return None
    why = " and ".join(sorted({_CORPORATE[each.kind] for each in found}))
    if not case.is_none_left:
        return Judgement("rest", why, rests=f"{why} has changed its position")
    return Judgement(
        "sold",
        why,
        reason="corporate_action",
        quantity=case.missing,
        used=frozenset(each.id for each in found),
    )


def _unclear(case: Case) -> Judgement | None:
    if not case.splits or _due(case) is not None or case.is_none_left:
        return None
    why = "a split, and its ratio does not show"
    return Judgement("rest", why, rests=why)


def _bought(case: Case) -> Judgement | None:
    if not case.has_grown:
        return None
    bought = sum(
        (
            _shares(each)
            for each in _fills(case)
            if each.side == "buy" and each.order_id != case.claim.order_id
        ),
        _ZERO,
    )
    return Judgement("whole") if case.growth - bought <= case.claim.slack else None


def _jump(case: Case) -> Judgement | None:
    if not case.has_grown:
        return None
    why = f"{case.growth:f} more are held, and nobody bought them"
    return Judgement("rest", why, rests=why)


def _untraced(case: Case) -> Judgement:
    due = _due(case)
    if due is not None and due != 1 and _holds(case, due):
        rests = f"a split, {due} for 1, shows in part of its position only"
        return Judgement("rest", rests, rests=rests)
    if case.stands_since < case.grace_seconds:
        return Judgement("wait")  # an activity may come later than its sale
    return Judgement(
        "sold", "gone, and no activity says who sold it", quantity=case.missing
    )


RULES: tuple[Callable[[Case], Judgement | None], ...] = (
    *(
        _just_traded,
        _unconfirmed,
        _new_here,
        _undated,
        _nothing,
        _first_sight,
        _patience,
    ),
    *(_stranger, _unasked, _split, _by_us, _sold, _corporate, _unclear),
    *(_bought, _jump, _untraced),
)


def _patience_of(case: Case) -> float:
    """Return for how long it has to stand: a program that sold may write the row."""
    if case.is_smaller and case.is_none_left:
        return max(APART_SECONDS, case.grace_seconds)
    return APART_SECONDS


def _ratio_of(case: Case) -> Fraction | None:
    """Return by what the position shows that it was split, beyond the row."""
    if (ratio := case.restated) is not None:
        return ratio
    due, average, entry_price = _due(case), case.now.average, case.claim.entry_price
    if due is None or due == 1 or average is None or entry_price is None:
        return None
    return due if is_nearer(average, entry_price, due) else None


def _due(case: Case) -> Fraction | None:
    """Return by what the row has still to be split; None if that is not known."""
    if case.bought is None:
        return None
    average, entry_price = case.now.average, case.claim.entry_price
    # One that the account has been through, and that does not show, was before the buy.
    counts = [
        split
        for split in case.splits
        if not split.is_done
        or split.ratio is None
        or average is None
        or entry_price is None
        or is_nearer(average, entry_price, split.ratio)
        or case.claim.shares != case.bought
    ]
    return still_due(counts, case.claim.shares, case.bought)


def _holds(case: Case, ratio: Fraction) -> bool:
    """Return whether the account holds what the row would have after a split."""
    return case.now.quantity >= times(case.claim.remaining, ratio) - case.claim.slack


def _sells(case: Case) -> Iterator[Activity]:
    return (each for each in _fills(case) if each.side == "sell")


def _fills(case: Case) -> Iterator[Activity]:
    """Yield the executions of the symbol that may have to do with it, newest first."""
    return (
        each
        for each in case.activities or ()
        if each.kind == "FILL"
        and each.is_about(case.claim.symbol)
        and each.at >= case.since
    )


def _shares(activity: Activity) -> Decimal:
    return activity.quantity or _ZERO
