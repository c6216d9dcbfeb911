"""Rows are read whatever another program wrote into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.ledger.reading import id_of, number_of, seconds_sql, text_of
from tests.fakes import MOMENT
from tests.ledger.hands import NOT_UTF8, add_row, write

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store

AT = MOMENT.timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-01-05T14:30:00.123Z", AT),
        ("2026-01-05 15:30:00.123+01:00", AT),
        (round(AT * 1000), AT),
        (AT, AT),
        (2_460_681.5, None),  # a Julian day
        ("yesterday", None),
        ("11/29/2026", None),
        (b"\xff\xfe", None),
        (float("inf"), None),
        ("1969-01-01", None),
        (0, None),
        (None, None),
    ],
)
def test_a_time_is_text_or_milliseconds_or_seconds_or_none(
    store: Store, value: object, seconds: float | None
) -> None:
    statement = f"SELECT {seconds_sql('one', 'two')} FROM (SELECT ? AS one, ? AS two)"  # noqa: S608
    for pair in ((value, None), (None, value), ("tomorrow", value)):
        (found,) = store._db.execute(statement, pair).fetchone()
        assert found == (None if seconds is None else pytest.approx(seconds, abs=0.001))


def test_values_are_read_as_what_they_should_be_or_not_at_all() -> None:
    assert [text_of(v) for v in ("a", b"\xffa", 5, None)] == ["a", "\ufffda", "5", None]
    assert [number_of(v) for v in (1.5, 2, float("nan"), float("inf"), "3", b"4")] == [
        *(1.5, 2),
        *[None] * 4,
    ]
    assert id_of("sn-1") == "sn-1"
    assert {id_of(v) for v in ("", "x" * 129, "\ufffda", b"a", 5, None)} == {None}


def test_a_text_that_is_not_utf8_fails_no_statement(
    store: Store, database: Path
) -> None:
    add_row(database, id=NOT_UTF8, symbol="AAPL", exitReason=NOT_UTF8)
    assert store.conflict("sn-1", "AAPL") == (None, "\ufffdAAPL")


# Unsettled rows


def test_a_row_without_a_readable_date_is_as_old_as_this_start(
    store: Store, database: Path
) -> None:
    add_row(database, mode="paper", entryAt="soon", createdAt="junk")
    (found,) = store.unsettled()
    assert found.age_seconds == 0, "so that nothing is given up for its age"


def test_the_first_readable_date_of_a_row_is_its_age(
    store: Store, database: Path
) -> None:
    add_row(database, mode="paper", entryAt="soon", createdAt=round(AT * 1000) - 9000)
    (found,) = store.unsettled()
    assert found.age_seconds == pytest.approx(9, abs=0.01)


def test_an_order_id_that_none_has_is_none_and_the_row_is_asked_about_by_its_own(
    store: Store, database: Path
) -> None:
    for number, order_id in enumerate((NOT_UTF8, "", "x" * 1_000_000, 5)):
        add_row(
            database,
            id=f"sn-{number}",
            symbol=f"S{number}",
            mode="paper",
            alpacaOrderId=order_id,
        )
    assert [(row.trade_id, row.order_id) for row in store.unsettled()] == [
        *(("sn-0", None), ("sn-1", None), ("sn-2", None)),
        ("sn-3", "5"),
    ]


def test_a_row_whose_id_no_order_has_is_asked_about_by_nobody(
    store: Store, database: Path
) -> None:
    add_row(database, id=NOT_UTF8, symbol="A", mode="paper")
    add_row(database, id="x" * 1_000_000, symbol="B", mode="paper")
    write(
        database,
        "INSERT INTO BotTrade (id, symbol, status, mode, createdAt, updatedAt)"
        " VALUES (x'00ff', 'C', 'open', 'live', '', '')",
    )
    add_row(database, id="sn-1", symbol="D", mode="live")
    assert [row.trade_id for row in store.unsettled()] == ["sn-1"]
    assert store.count_open() == 4, "and its symbol stays blocked"
