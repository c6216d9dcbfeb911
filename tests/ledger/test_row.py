"""BotTrade rows: what each word of the broker's makes of them, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snexec.ledger.rows import OrderRef
from snexec.ledger.store import Store
from tests.fakes import (
    MOMENT_TEXT,
    FakeClock,
    make_trade,
    open_store,
    row_of,
    rows_of,
)
from tests.ledger.broker_says import (
    FILLED,
    LATER_TEXT,
    QUANTITY,
    REF,
    SAYS,
    closed_by_monitor,
    said,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LoggedErrors

# What one row becomes: (what was said before, what is said now) → row and outcome

OPEN = ("open", None, None, None, "o-1", False)
PARTIAL = ("open", None, 80.0, 0.02, "o-1", False)
REJECTED = ("missed", "alpaca_rejected", None, None, "o-1", True)
CANCELED = ("missed", "alpaca_canceled", None, None, "o-1", True)
EXPIRED = ("missed", "alpaca_expired", None, None, "o-1", True)
ENDED = ("open", None, 81.0, 0.03, "o-1", True)

TRANSITIONS: list[tuple[list[str], str, tuple[object, ...], str | None]] = [
    ([], "working", OPEN, None),
    (["working"], "working", OPEN, None),
    (["fill"], "working", FILLED, "unchanged"),
    (["partial"], "working", PARTIAL, None),
    (["rejected"], "working", REJECTED, "unchanged"),
    (["canceled"], "working", CANCELED, "unchanged"),
    (["expired"], "working", EXPIRED, "unchanged"),
    ([], "fill", FILLED, "fill"),
    (["working"], "fill", FILLED, "fill"),
    (["partial"], "fill", FILLED, "fill"),
    (["fill"], "fill", FILLED, "unchanged"),
    (["fill"], "other fill", FILLED, "unchanged"),
    (["rejected"], "fill", FILLED, "fill"),
    (["canceled"], "fill", FILLED, "fill"),
    ([], "fill without price", ("open", None, None, 0.057436865, "o-1", False), None),
    ([], "fill without quantity", ("open", None, 86.878, None, "o-1", False), None),
    ([], "fill without both", OPEN, None),
    (["partial"], "fill without both", PARTIAL, None),
    (["fill without price"], "fill", FILLED, "fill"),
    (["fill without quantity"], "fill", FILLED, "fill"),
    (["fill"], "fill without both", FILLED, "unchanged"),
    ([], "partial", PARTIAL, "partial_fill"),
    ([], "partial price", ("open", None, 80.0, None, "o-1", False), "partial_fill"),
    ([], "partial shares", ("open", None, None, 0.02, "o-1", False), "partial_fill"),
    (["partial"], "partial nothing", PARTIAL, "partial_fill"),
    (["fill"], "partial", FILLED, "unchanged"),
    (["fill"], "partial price", FILLED, "unchanged"),
    ([], "rejected", REJECTED, "rejected"),
    (["working"], "rejected", REJECTED, "rejected"),
    (["rejected"], "rejected", REJECTED, "unchanged"),
    (["canceled"], "rejected", CANCELED, "unchanged"),
    (["partial"], "rejected", PARTIAL, "contradicted"),
    (["fill"], "rejected", FILLED, "contradicted"),
    ([], "canceled", CANCELED, "canceled"),
    ([], "expired", EXPIRED, "expired"),
    (["partial"], "canceled", PARTIAL, "contradicted"),
    (["fill"], "canceled", FILLED, "contradicted"),
    (["fill"], "expired", FILLED, "contradicted"),
    ([], "canceled with fills", ENDED, "fill"),
    ([], "expired with fills", ENDED, "fill"),
    (["partial"], "canceled with fills", ENDED, "fill"),
    (["fill"], "canceled with fills", FILLED, "unchanged"),
    (["canceled"], "canceled with fills", ENDED, "fill"),
    (
        [],
        "canceled without quantity",
        ("open", None, 81.0, None, "o-1", False),
        "partial_fill",
    ),
    (
        [],
        "canceled without price",
        ("open", None, None, 0.03, "o-1", False),
        "partial_fill",
    ),
    (
        [],
        "not_found",
        ("missed", "order_not_found", None, None, None, False),
        "not_found",
    ),
    (["working"], "not_found", OPEN, "unchanged"),
    (["partial"], "not_found", PARTIAL, "unchanged"),
    (["fill"], "not_found", FILLED, "unchanged"),
    (["rejected"], "not_found", REJECTED, "unchanged"),
    (["not_found"], "working", OPEN, "working"),
    (["not_found"], "fill", FILLED, "fill"),
    (["not_found"], "partial", PARTIAL, "partial_fill"),
    (["not_found"], "rejected", REJECTED, "rejected"),
    (["not_found"], "canceled", CANCELED, "canceled"),
    (["not_found"], "expired with fills", ENDED, "fill"),
    (["not_found", "fill"], "not_found", FILLED, "unchanged"),
    (["not_found", "working"], "not_found", OPEN, "unchanged"),
]


@pytest.mark.parametrize(
    ("before", "now", "becomes", "outcome"),
    TRANSITIONS,
    ids=[
        f"{'+'.join(t[0]) or 'fresh'}-then-{t[1]}".replace(" ", "_")
        for t in TRANSITIONS
    ],
)
def test_the_broker_says(  # noqa: PLR0917 - a table
    store: Store,
    clock: FakeClock,
    before: list[str],
    now: str,
    becomes: tuple[object, ...],
    outcome: str | None,
) -> None:
    store.open_trade(make_trade(signal_id="n-1"))
    for word in before:
        SAYS[word](store)
    row_before = row_of(store, "sn-1")
    clock.advance(60)
    applied = say(store, now)
    row = row_of(store, "sn-1")
    assert said(row) == becomes
    if outcome is not None:
        assert applied.outcome == outcome
    changed = row != row_before
    assert applied.changed == changed
    assert row["updatedAt"] == (LATER_TEXT if changed else MOMENT_TEXT)
    assert row["createdAt"] == row["entryAt"] == MOMENT_TEXT
    assert (
        applied.trade_id,
        applied.symbol,
        applied.signal_id,
        applied.mode,
        applied.order_id,
        applied.settled,
        applied.status,
        applied.entry_price,
        applied.shares,
        applied.reason,
    ) == (
        "sn-1",
        "AAPL",
        "n-1",
        "paper",
        row["alpacaOrderId"],
        row["settledAt"] is not None,
        row["status"],
        row["entryPrice"],
        row["shares"],
        row["exitReason"],
    )


def test_a_look_up_that_says_nothing_new_changes_nothing(store: Store) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    applied = say(store, "working")
    assert (applied.outcome, applied.changed) == ("unchanged", False)


def test_settled_at_is_when_the_last_word_came(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    say(store, "partial")
    clock.advance(60)
    say(store, "fill")
    assert row_of(store, "sn-1")["settledAt"] == LATER_TEXT
    clock.advance(60)
    say(store, "fill", "partial", "rejected")
    assert row_of(store, "sn-1")["settledAt"] == LATER_TEXT


# Rows that another program closed


@pytest.mark.parametrize(
    ("price", "shares", "expected"),
    [
        (None, None, (86.878, 0.057436865)),
        (70.0, None, (70.0, 0.057436865)),
        (None, 3.0, (86.878, 3.0)),
        (70.0, 3.0, (70.0, 3.0)),
    ],
)
def test_a_late_fill_on_a_closed_row_fills_only_what_is_null(
    store: Store,
    price: float | None,
    shares: float | None,
    expected: tuple[float, float],
) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store, price=price, shares=shares)
    applied = say(store, "fill")
    row = row_of(store, "sn-1")
    assert (row["entryPrice"], row["shares"]) == expected
    assert (row["status"], row["exitReason"]) == ("closed", "take_profit")
    assert (row["exitPrice"], row["pnl"]) == (90.0, 1.5)
    assert row["settledAt"] == MOMENT_TEXT
    assert applied.settled


def test_a_late_fill_on_a_closed_row_replaces_what_is_no_number(store: Store) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store)
    store._db.execute("UPDATE BotTrade SET shares = 'many', entryPrice = 80")
    applied = say(store, "fill")
    assert (applied.shares, applied.entry_price) == (float(QUANTITY), 80)


@pytest.mark.parametrize(
    ("symbol", "held", "bought", "unheld"),
    [
        ("AAPL", 0.5, "0.75", 0.25),
        ("AAPL", 0.5, "0.5", None),
        ("AAPL", 0.5, "0.4", None),
        ("AAPL", 0.1 + 0.2, "0.3", None),
        ("AAPL", None, "0.5", None),
        ("BTC/USD", 0.9975, "1", None),
        ("BTC/USD", 0.5, "1", 0.5),
    ],
)
@pytest.mark.parametrize("settled", [False, True])
def test_what_an_order_buys_beyond_its_closed_row_is_named(  # noqa: PLR0917 - a table
    store: Store,
    symbol: str,
    held: float | None,
    bought: str,
    unheld: float | None,
    settled: bool,
) -> None:
    store.open_trade(make_trade(symbol=symbol))
    closed_by_monitor(store, price=70.0, shares=held)
    if settled:
        store.settle("sn-1", "closed", None)
    applied = store.apply_fill(REF, price=Decimal(80), quantity=Decimal(bought))
    assert applied is not None
    assert applied.unheld == unheld
    assert row_of(store, "sn-1")["status"] == "closed"


@pytest.mark.parametrize("ended", ["canceled", "settled"])
def test_a_missed_row_that_has_bought_after_all_says_that_it_is_open_again(
    store: Store, ended: str
) -> None:
    store.open_trade(make_trade())
    assert not say(store, "working").reopened
    if ended == "settled":
        store.settle("sn-1", "missed", None)
    else:
        say(store, ended)
    assert say(store, "fill").reopened
    assert row_of(store, "sn-1")["status"] == "open"


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("partial", "unchanged"),
        ("rejected", "contradicted"),
        ("canceled", "contradicted"),
        ("expired", "contradicted"),
        ("not_found", "unchanged"),
    ],
)
def test_nothing_else_changes_a_closed_row(
    store: Store, word: str, outcome: str
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    closed_by_monitor(store, price=70.0, shares=3.0)
    before = rows_of(store)
    assert say(store, word).outcome == outcome
    assert rows_of(store) == before


def test_a_working_order_of_a_closed_row_leaves_it_closed(store: Store) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store, price=70.0, shares=3.0)
    say(store, "working")
    assert said(row_of(store, "sn-1")) == (
        *("closed", "take_profit", 70.0, 3.0, "o-1"),
        False,
    )


# Late evidence while the symbol has a newer open row


@pytest.fixture
def overtaken(store: Store) -> Store:
    """Give a store whose row sn-1 was given up, and whose symbol has sn-2 open."""
    store.open_trade(make_trade())
    say(store, "not_found")
    assert store.open_trade(make_trade("sn-2")) == "opened"
    return store


@pytest.mark.parametrize(
    ("word", "becomes", "outcome"),
    [
        (
            "fill",
            ("missed", "order_found_late", 86.878, 0.057436865, "o-1", True),
            "found_late",
        ),
        (
            "canceled with fills",
            ("missed", "order_found_late", 81.0, 0.03, "o-1", True),
            "found_late",
        ),
        (
            "partial",
            ("missed", "order_found_late", 80.0, 0.02, "o-1", False),
            "found_late",
        ),
        (
            "working",
            ("missed", "order_not_found", None, None, "o-1", False),
            "unchanged",
        ),
        ("rejected", REJECTED, "rejected"),
        ("expired", EXPIRED, "expired"),
    ],
)
def test_late_evidence_never_opens_a_second_row_of_a_symbol(
    overtaken: Store, word: str, becomes: tuple[object, ...], outcome: str
) -> None:
    newer = row_of(overtaken, "sn-2")
    assert say(overtaken, word).outcome == outcome
    assert said(row_of(overtaken, "sn-1")) == becomes
    assert row_of(overtaken, "sn-2") == newer


def test_what_was_found_late_is_told_once(overtaken: Store) -> None:
    assert say(overtaken, "fill").changed
    assert not say(overtaken, "fill").changed


def test_a_row_found_late_is_open_again_once_its_symbol_is_free(
    overtaken: Store,
) -> None:
    say(overtaken, "working")
    closed_by_monitor(overtaken, "sn-2")
    say(overtaken, "fill")
    assert said(row_of(overtaken, "sn-1")) == FILLED


# Whatever comes, in whatever order

TOLD = [w for w in SAYS if w != "not_found"]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "say", "say", "say", "give up", "settle", "close"]),
        st.integers(1, 3),
        st.sampled_from(TOLD),
    ),
    max_size=25,
)


@dataclass
class Ledger:
    """Rows of one symbol, and what must hold of each forever."""

    store: Store
    filled: dict[str, tuple[object, object]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, what: str, number: int, word: str) -> None:
        trade_id = f"sn-{number}"
        match what:
            case "open":
                self.store.open_trade(make_trade(trade_id))
            case "say":
                self._say(trade_id, number, word)
            case "give up":
                self.store.mark_not_found(trade_id)
            case "settle":
                self.store.settle_not_found(trade_id)
            case "close":
                self.store._db.execute(
                    "UPDATE BotTrade SET status = 'closed'"
                    " WHERE id = ? AND status = 'open'",
                    [trade_id],
                )
            case _:
                pytest.fail(what)
        self._check()

    def _say(self, trade_id: str, number: int, word: str) -> None:
        ref = OrderRef(mode="paper", order_id=f"o-{number}", client_order_id=trade_id)
        price, quantity = Decimal(10 + number), Decimal(number)
        store = self.store
        match word:
            case "working":
                store.apply_working(ref)
            case "fill":
                store.apply_fill(ref, price=price, quantity=quantity)
            case "rejected":
                store.apply_ended(ref, "rejected", price=None, quantity=Decimal(0))
            case "canceled" | "expired":
                how: Literal["canceled", "expired"] = (
                    "canceled" if word == "canceled" else "expired"
                )
                store.apply_ended(ref, how, price=None, quantity=Decimal(0))
            case "canceled with fills" | "expired with fills":
                store.apply_ended(ref, "canceled", price=price, quantity=quantity / 2)
            case "canceled without price" | "fill without price":
                store.apply_fill(ref, price=None, quantity=quantity / 3)
            case "canceled without quantity" | "fill without quantity":
                store.apply_ended(ref, "expired", price=price / 3, quantity=None)
            case "other fill":
                store.apply_fill(ref, price=price * 7, quantity=quantity * 7)
            case "partial":
                store.apply_partial_fill(ref, price=price / 2, shares=quantity / 5)
            case _:
                store.apply_partial_fill(ref, price=None, shares=quantity / 7)

    def _check(self) -> None:
        rows = rows_of(self.store)
        assert sum(row["status"] == "open" for row in rows.values()) <= 1
        for trade_id, row in rows.items():
            bought = (row["entryPrice"], row["shares"])
            if row["settledAt"] is not None and None not in bought:
                assert self.filled.setdefault(trade_id, bought) == bought
            if row["status"] == "open" and row["settledAt"] is not None:
                assert None not in bought, "nobody would ask about it any more"
            old = self.before.get(trade_id)
            if old is None:
                continue
            assert old["status"] != "closed" or row["status"] == "closed"
            for name in ("settledAt", "entryPrice", "shares", "alpacaOrderId"):
                assert old[name] is None or row[name] is not None, name
            assert old["alpacaOrderId"] in {None, row["alpacaOrderId"]}
        self.before = rows


@pytest.fixture(scope="module")
def endless_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give a store that many examples use, each in a transaction of its own."""
    store = open_store(tmp_path_factory.mktemp("store") / "snexec.db", FakeClock())
    yield store
    store._db.close()


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # of log lines
)
@given(steps=STEPS)
@example(
    steps=[
        ("open", 1, "working"),
        ("say", 1, "rejected"),
        ("say", 1, "fill without price"),
    ]
)
def test_no_order_of_what_is_said_undoes_what_was_final(
    endless_store: Store,
    logged_errors: LoggedErrors,
    steps: list[tuple[str, int, str]],
) -> None:
    store = endless_store
    store.begin()
    try:
        ledger = Ledger(store)
        for step in steps:
            ledger.step(*step)
    finally:
        store.rollback()
        logged_errors.take()  # a row that is open again is said
