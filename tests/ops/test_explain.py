"""What each gate says of a signal, and what follows from all of them together."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from snexec.ledger.rows import trade_id
from snexec.ops.explain import Question, RowFacts, explain, read_row_facts
from snexec.risk.limits import Counts, Snapshot
from tests.fakes import make_settings, make_signal, make_trade

if TYPE_CHECKING:
    from snexec.ledger.store import Store

UNREADABLE = RowFacts(problem="the database cannot be read: disk I/O error")
CLEAR = RowFacts(counts=Counts())


def question(bot: dict[str, Any] | None = None, **about: Any) -> Question:  # noqa: ANN401
    return Question(
        signal=make_signal("AAPL", id="n-1"),
        settings=make_settings(bot=bot or {}),
        **about,
    )


def gates(answer: dict[str, Any]) -> dict[str, tuple[str, str | None, str]]:
    return {
        one["gate"]: (one["result"], one["reason"], one["detail"])
        for one in answer["gates"]
    }


def verdict(answer: dict[str, object]) -> tuple[object, object, object]:
    return answer["verdict"], answer["reason"], answer["unknown"]


def test_a_signal_that_nothing_stops_would_be_an_order() -> None:
    answer = explain(question(), CLEAR)

    assert verdict(answer) == ("order", None, [])
    assert {result for result, _, _ in gates(answer).values()} == {"pass", "not set"}
    assert [*answer] == [
        *("verdict", "reason", "unknown", "daemon", "mode", "symbol", "stars"),
        *("dollars", "gates"),
    ]


def test_the_first_gate_that_stops_it_is_the_reason_and_all_are_asked() -> None:
    facts = RowFacts(counts=Counts(open_positions=3), open_row="sn-1")
    asked = question(
        {"state": "paused", "max_concurrent_positions": 3}, door="overloaded"
    )
    answer = explain(asked, facts)

    assert verdict(answer) == ("skip", "overloaded", [])
    found = gates(answer)
    assert next(iter(found)) == "intake"
    assert found["state"][:2] == ("stop", "paused")
    assert found["open row"] == ("stop", "symbol_open", "AAPL has one: sn-1")
    assert found["max_concurrent_positions"][:2] == ("stop", "max_positions")


def test_rows_that_cannot_be_read_leave_open_what_asks_them_and_nothing_else() -> None:
    asked = question({"max_orders_per_day": 3})
    answer = explain(asked, UNREADABLE)

    assert verdict(answer) == (
        "unknown",
        None,
        ["id", "open row", "max_orders_per_day"],
    )
    found = gates(answer)
    assert found["open row"] == ("unknown", None, UNREADABLE.problem)
    assert found["max_concurrent_positions"] == ("not set", None, "")
    assert found["state"][0] == "pass"


def test_what_is_known_to_stop_it_outweighs_what_is_not_known() -> None:
    answer = explain(question({"state": "paused", "max_orders_per_day": 3}), UNREADABLE)

    assert verdict(answer)[:2] == ("skip", "paused")


def test_a_market_that_nobody_can_ask_about_is_unknown_and_not_closed() -> None:
    bot = {"require_market_open": True}

    answer = explain(question(bot, market_unknown=True), CLEAR)
    assert verdict(answer) == ("unknown", None, ["require_market_open"])
    answer = explain(question(bot), CLEAR)
    assert verdict(answer) == ("skip", "market_closed", [])
    answer = explain(question(bot, seen=Snapshot(market_open=True)), CLEAR)
    assert verdict(answer) == ("order", None, [])


@pytest.mark.parametrize(
    ("about", "facts", "said"),
    [
        ({}, CLEAR, ("pass", None, "n-1 is new")),
        ({"id_taken": True}, CLEAR, ("stop", "repeated", "n-1 was taken already")),
        ({"id_taken": True}, UNREADABLE, ("stop", "repeated", "n-1 was taken already")),
        (
            {},
            RowFacts(counts=Counts(), id_status="missed"),
            ("stop", "repeated", "n-1 has a row already, missed"),
        ),
    ],
)
def test_an_id_is_new_once(
    about: dict[str, Any], facts: RowFacts, said: tuple[str, str | None, str]
) -> None:
    assert gates(explain(question(**about), facts))["id"] == said


def test_a_signal_without_an_id_is_new() -> None:
    asked = Question(signal=make_signal("AAPL"), settings=make_settings())

    said = gates(explain(asked, UNREADABLE))["id"]
    assert said == ("pass", None, "it has none, so it is new")


def test_keys_that_are_missing_stop_a_signal() -> None:
    seen = Snapshot(has_keys=False)
    found = gates(explain(question(seen=seen), CLEAR))
    assert found["keys"] == ("stop", "no_keys", "there are none for this mode")


def test_without_a_daemon_nobody_knows_the_keys_that_it_would_have() -> None:
    answer = explain(question(seen=Snapshot(has_keys=False), daemon=False), CLEAR)
    assert (answer["verdict"], answer["unknown"]) == ("unknown", ["keys"])
    assert gates(answer)["keys"] == (
        *("unknown", None),
        "there are none here; a daemon may be given some",
    )


# What the rows say --------------------------------------------------------------------


def facts_of(store: Store, asked: Question) -> RowFacts:
    return read_row_facts(asked, lambda: nullcontext(store), recently=None)


def test_the_rows_say_what_they_know_of_id_symbol_and_limits(store: Store) -> None:
    limited = {"max_concurrent_positions": 3}
    assert facts_of(store, question(limited)) == RowFacts(counts=Counts(cents=100_00))
    store.open_trade(make_trade("sn-other", "AAPL"))
    store.open_trade(make_trade(trade_id("paper", "n-1"), "KO"))

    facts = facts_of(store, question(limited))
    assert (facts.id_status, facts.open_row) == ("open", "sn-other")
    assert facts.counts is not None
    assert facts.counts.open_positions == 2


def test_rows_of_the_other_mode_count_for_no_limit(store: Store) -> None:
    store.open_trade(make_trade("sn-live", "GE", mode="live"))
    store.open_trade(make_trade("sn-paper", "KO", mode="paper"))

    facts = facts_of(store, question({"max_concurrent_positions": 3}))

    assert facts.counts is not None
    assert facts.counts.open_positions == 1


def test_an_id_of_another_simulation_is_another(store: Store) -> None:
    store.open_trade(make_trade(trade_id("paper", "n-1", salt="one"), "KO"))

    assert facts_of(store, question(id_salt="one")).id_status == "open"
    assert facts_of(store, question(id_salt="two")).id_status is None


def test_rows_that_cannot_be_opened_are_a_fact_too(store: Store) -> None:
    store._db.close()

    facts = facts_of(store, question())
    assert facts.counts is None
    assert facts.problem.startswith("the database cannot be read: ")
