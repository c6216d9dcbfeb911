"""Rows dated ahead of the clock are found and named, each once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from snexec.clock import timestamp
from snexec.ledger.ahead import CLOSED, AheadWatch, DatedAhead, find_ahead, named
from tests.fakes import MOMENT, make_trade, warnings_of

if TYPE_CHECKING:
    from snexec.ledger.store import Store

FAR = "2036-01-01T00:00:00.000Z"


def leave_row(store: Store, trade_id: str, **dates: object) -> None:
    """Leave a row whose dates another program has changed."""
    assert store.open_trade(make_trade(trade_id, trade_id.upper())) == "opened"
    for name, value in dates.items():
        store._db.execute(
            f"UPDATE BotTrade SET {name} = ? WHERE id = ?",  # noqa: S608
            [value, trade_id],
        )


def found(store: Store, moment: datetime = MOMENT) -> list[str]:
    return [row.trade_id for row in find_ahead(store._db, moment)]


@pytest.mark.parametrize("name", ["createdAt", "entryAt", "exitAt"])
@pytest.mark.parametrize("status", ["open", "closed", "missed"])
def test_a_row_is_found_by_any_of_its_dates(
    store: Store, name: str, status: str
) -> None:
    leave_row(store, "right")
    leave_row(store, "wrong", **{name: FAR, "status": status})
    assert find_ahead(store._db, MOMENT) == [DatedAhead("wrong", "WRONG", FAR)]


@pytest.mark.parametrize(
    ("date", "is_ahead"),
    [
        (timestamp(MOMENT + timedelta(minutes=4)), False),
        (timestamp(MOMENT + timedelta(minutes=6)), True),
        ("2026-01-06T00:29:00+10:00", False),  # a minute ago, in another zone
        ("2026-01-05T09:40:00-05:00", True),
        ("2026-01-05 14:40:00", True),
        (round(MOMENT.timestamp() * 1000) + 400_000, True),
        (round(MOMENT.timestamp() * 1000) + 200_000, False),
        ("soon", False),
        (None, False),
    ],
)
def test_ahead_is_more_than_five_minutes_however_a_date_is_written(
    store: Store, date: object, *, is_ahead: bool
) -> None:
    leave_row(store, "x", exitAt=date)
    assert found(store) == (["x"] if is_ahead else [])


def test_the_latest_comes_first_and_the_rest_are_counted(store: Store) -> None:
    for number in range(5):
        leave_row(store, f"x{number}", createdAt=f"203{number}-01-01T00:00:00.000Z")
    rows = find_ahead(store._db, MOMENT)
    assert [row.trade_id for row in rows] == ["x4", "x3", "x2", "x1", "x0"]
    assert named(rows).startswith("X4 trade=x4 2034-01-01T00:00:00.000Z, X3 trade=x3")
    assert named(rows).endswith(" and 2 more")


def test_text_of_another_program_that_is_no_utf_8_is_no_fault(store: Store) -> None:
    leave_row(store, "x", createdAt=FAR)
    store._db.execute("UPDATE BotTrade SET symbol = CAST(x'ff41' AS TEXT)")
    [row] = find_ahead(store._db, MOMENT)
    assert row.symbol == "\N{REPLACEMENT CHARACTER}A"


def test_a_start_finds_closed_rows_however_old_and_others_among_the_newest(
    store: Store,
) -> None:
    leave_row(store, "closed", status="closed", exitAt=FAR)
    leave_row(store, "missed", status="missed", createdAt=FAR)
    leave_row(store, "right")
    rows = find_ahead(store._db, MOMENT, rows=1)
    assert [row.trade_id for row in rows] == ["closed"]


def test_each_row_is_warned_of_once_from_the_start_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    watch = AheadWatch(store._db)
    leave_row(store, "x", status="closed", exitAt=FAR)
    watch.look(MOMENT)
    assert warnings_of(caplog) == [], "whoever only reads warns of nothing"

    watch.begin(MOMENT)
    watch.look(MOMENT)
    leave_row(store, "y", status="closed", exitAt=FAR)
    watch.look(MOMENT)
    watch.look(MOMENT)
    rest = (
        "): those of later than tomorrow count for no limit; look at the clock, or"
        " correct the rows"
    )
    assert warnings_of(caplog) == [
        f"rows are dated ahead of this machine's clock (X trade=x {FAR}{rest}",
        f"rows are dated ahead of this machine's clock (Y trade=y {FAR}{rest}",
    ]


def test_what_is_asked_on_an_orders_way_reads_no_more_than_it_must(
    store: Store,
) -> None:
    values = {"loosely": "", "soon": "", "soon_ms": 0}
    plan = store._db.execute(f"EXPLAIN QUERY PLAN {CLOSED}", values)
    read = [row["detail"] for row in plan if "BotTrade" in row["detail"]]
    assert len(read) == 2
    assert all("SEARCH" in line and "BotTrade_closed" in line for line in read), read


def test_a_start_with_right_dates_says_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    leave_row(store, "x")
    AheadWatch(store._db).begin(MOMENT)
    assert warnings_of(caplog) == []
