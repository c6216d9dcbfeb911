"""What became of the shares of rows that were found: kept, or sold (SPEC 8, 11)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.found import FoundOrder, FoundRow
from snexec.ledger.rows import OrderRef
from snexec.reconciliation.conclusions import Conclusions, has_bought, is_over
from tests.fakes import MOMENT, row_of, warnings_of

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


def find(
    rig: Rig, row_id: str, symbol: str = "KO", *, hours: int = 1, bought: str = "2"
) -> FoundRow:
    """Write the row of an order that was found, placed so many hours ago."""
    order = FoundOrder(
        trade_id=row_id,
        symbol=symbol,
        mode="paper",
        order_id=f"o-{row_id}",
        notional=Decimal(100),
        placed_at=MOMENT - timedelta(hours=hours),
    )
    assert rig.store.found.adopt(order) is not None
    ref = OrderRef(mode="paper", order_id=f"o-{row_id}", client_order_id=row_id)
    if Decimal(bought):
        rig.store.apply_fill(ref, price=Decimal(50), quantity=Decimal(bought))
    else:
        rig.store.apply_ended(ref, "canceled", price=None, quantity=Decimal(0))
    return read(rig, row_id)


def read(rig: Rig, row_id: str) -> FoundRow:
    found = rig.store.found.row(row_id)
    assert found is not None
    return found


def said(rig: Rig, row_id: str) -> tuple[object, object]:
    row = row_of(rig.store, row_id)
    return row["status"], row["exitReason"]


def opened(rig: Rig) -> tuple[Conclusions, FoundRow]:
    """Make conclusions that are to come to one of an open row."""
    row = find(rig, "sn-1")
    conclusions = Conclusions(rig.ledger)
    conclusions._left["paper"].add("sn-1")
    return conclusions, row


def left(conclusions: Conclusions) -> list[str]:
    return conclusions.left("paper", besides=())


# What is left to conclude


async def test_an_earlier_run_has_left_some(rig: Rig) -> None:
    rig.ledger.unconcluded = {"paper": ["sn-2", "sn-1"], "live": ["sn-3"]}
    conclusions = Conclusions(rig.ledger)
    conclusions.load()
    assert left(conclusions) == ["sn-1", "sn-2"]
    assert conclusions.left("live", besides=()) == ["sn-3"]
    assert conclusions.left("paper", besides=["sn-1"]) == ["sn-2"]


async def test_nobody_is_sent_twice_to_the_same_row(rig: Rig) -> None:
    conclusions, _row = opened(rig)
    conclusions.begin(["sn-1"])
    assert left(conclusions) == []
    conclusions.end(["sn-1", "another"])
    assert left(conclusions) == ["sn-1"]


async def test_a_row_that_its_order_may_still_change_is_to_be_concluded(
    rig: Rig,
) -> None:
    row = find(rig, "sn-1")
    conclusions = Conclusions(rig.ledger)
    conclusions.add(row)
    assert left(conclusions) == []
    conclusions.add(row._replace(is_settled=False))
    assert left(conclusions) == ["sn-1"]


@pytest.mark.parametrize(
    ("status", "is_settled", "shares", "over", "bought"),
    [
        ("open", True, 2.0, True, True),
        ("open", False, 2.0, False, False),
        ("missed", True, None, True, False),
        ("missed", True, 2.0, True, True),
        ("closed", True, 2.0, True, False),
        ("closed", False, 2.0, True, False),
    ],
)
def test_a_row_is_over_and_has_bought_by_the_brokers_last_word(
    *, status: str, is_settled: bool, shares: float | None, over: bool, bought: bool
) -> None:
    row = FoundRow(
        "sn-1", "KO", "paper", status, None, "o-1", shares, 50.0, "t", is_settled
    )
    assert (is_over(row), has_bought(row)) == (over, bought)


# Conclusions


async def test_a_row_of_which_nothing_is_held_any_more_is_closed(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    conclusions, row = opened(rig)
    await conclusions.conclude([row], {"KO": Decimal(0)})
    assert said(rig, "sn-1") == ("closed", "rebuilt")
    assert left(conclusions) == []
    assert warnings_of(caplog) == [
        "KO trade=sn-1: the account holds none of it any more; its row is closed"
        " (rebuilt)"
    ]


async def test_one_of_which_something_is_held_is_kept_and_no_question_any_more(
    rig: Rig,
) -> None:
    conclusions, row = opened(rig)
    held: dict[str, Decimal | None] = {"KO": Decimal("0.5")}
    await conclusions.conclude([row], held)
    assert said(rig, "sn-1") == ("open", None)
    assert left(conclusions) == []
    assert rig.store.unconcluded.of("paper") == []
    assert held["KO"] == 0, "and no more than that is left for others"


async def test_where_the_account_does_not_say_nothing_is_concluded(rig: Rig) -> None:
    conclusions, row = opened(rig)
    await conclusions.conclude([row], {"KO": None})
    assert said(rig, "sn-1") == ("open", None)
    assert left(conclusions) == ["sn-1"]


async def test_what_is_held_is_rather_the_newest_rows(rig: Rig) -> None:
    newer = find(rig, "newer", hours=1)
    older = find(rig, "older", hours=2)
    assert said(rig, "older") == ("missed", "order_found_late")
    conclusions = Conclusions(rig.ledger)
    await conclusions.conclude([older, newer], {"KO": Decimal(2)})
    assert said(rig, "newer") == ("open", None)
    assert said(rig, "older") == ("closed", "rebuilt")


async def test_what_a_row_has_sold_it_does_not_claim(rig: Rig) -> None:
    conclusions, row = opened(rig)
    held: dict[str, Decimal | None] = {"KO": Decimal(3)}
    await conclusions.conclude([row._replace(sold=Decimal("1.5"))], held)
    assert held["KO"] == Decimal("2.5")


async def test_one_that_has_bought_nothing_is_no_question_any_more(rig: Rig) -> None:
    row = find(rig, "sn-1", bought="0")
    conclusions = Conclusions(rig.ledger)
    conclusions._left["paper"].add("sn-1")
    await conclusions.conclude([row], {})
    assert left(conclusions) == []


async def test_one_whose_order_still_works_is_left(rig: Rig) -> None:
    conclusions, row = opened(rig)
    await conclusions.conclude([row._replace(is_settled=False)], {"KO": Decimal(0)})
    assert said(rig, "sn-1") == ("open", None)
    assert left(conclusions) == ["sn-1"]
