"""What became of every signal of a run, as a table of bounded length."""

import itertools
import re

import pytest

from snexec.cli.run_report import RunReport
from snexec.events import EventFeed
from snexec.intake.admission import Answer
from snexec.signals import parse_signal
from tests.fakes import make_trade
from tests.input_helpers import FixedClock, signal_line

HEADS = ("signal", "symbol", "dollars", "outcome", "detail")


def accepted(number: int, *, symbol: str = "AAPL") -> Answer:
    signal = parse_signal(signal_line(id=f"n-{number}", symbol=symbol))
    return Answer(status="accepted", id=signal.id, signal=signal, sequence=number)


class Run:
    """A report behind a feed, as the daemon wires it."""

    def __init__(self) -> None:
        self.report = RunReport()
        self._feed = EventFeed(clock=FixedClock())
        self._feed.follow(self.report.happened)
        self.publish = self._feed.publish

    def accept(self, number: int = 1, *, symbol: str = "AAPL") -> None:
        self.report.answered(accepted(number, symbol=symbol))
        self.report.leaving(make_trade(f"t-{number}", symbol), number)

    def place(self, number: int = 1, *, notional: str = "100.00") -> None:
        self.publish(
            "placed",
            {"mode": "paper", "notional": notional, "orderId": f"o-{number}"},
            signal_id=f"n-{number}",
            trade_id=f"t-{number}",
            symbol="AAPL",
            sequence=number,
        )

    def fill(
        self, number: int = 1, *, part: bool = False, shares: float | None = 0.5
    ) -> None:
        self.publish(
            "partial_fill" if part else "fill",
            {"orderId": f"o-{number}", "shares": shares, "entryPrice": 187.25},
            signal_id=f"n-{number}",
            trade_id=f"t-{number}",
            symbol="AAPL",
        )

    def close(self, number: int = 1, *, pnl: float | None = -3.82) -> None:
        price = None if pnl is None else 180.02
        self.publish(
            "closed",
            {"mode": "paper", "exitPrice": price, "pnl": pnl},
            trade_id=f"t-{number}",
            symbol="AAPL",
            reason="stop_loss",
        )

    def settle(self, number: int = 1, *, reason: str | None = None) -> None:
        self.publish(
            "settled",
            {"status": "missed" if reason else "open", "shares": None},
            signal_id=f"n-{number}",
            trade_id=f"t-{number}",
            symbol="AAPL",
            reason=reason,
        )

    @property
    def lines(self) -> list[str]:
        return self.report.table().splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table, by the width of its columns."""
        head, rule, *rows = self.lines
        assert head.split() == list(HEADS)
        widths = [len(dashes) for dashes in rule.split("  ")]
        cells = []
        for row in itertools.takewhile(lambda line: line.startswith("n-"), rows):
            rest, found = row, []
            for width in widths[:-1]:
                found.append(rest[:width].strip())
                rest = rest[width + 2 :]
            cells.append([*found, rest.strip()])
        return cells

    @property
    def total(self) -> str:
        return self.lines[-1]


def test_a_run_without_a_line_says_so() -> None:
    assert Run().report.table() == "0 signals: nothing was read"


def test_the_table_has_a_row_for_each_line_and_totals_below() -> None:
    run = Run()
    run.accept(1)
    run.accept(2, symbol="BRK.B")
    run.place(1)
    run.fill(1)
    run.settle(1)

    assert run.lines == [
        "signal    symbol    dollars    outcome    detail",
        "--------  --------  ---------  ---------  --------------------",
        "n-1       AAPL      100.00     filled     0.5 shares at 187.25",
        "n-2       BRK.B                pending",
        "2 signals: 1 filled, 1 pending",
    ]


@pytest.mark.parametrize(
    ("status", "error", "reason", "detail"),
    [
        ("invalid", "symbol: Field required", None, "symbol: Field required"),
        ("repeated", None, None, ""),
        ("overloaded", None, None, ""),
        ("overloaded", None, "the database cannot be written", "the database"),
        ("starting", None, None, ""),
        ("stopping", None, None, ""),
    ],
)
def test_a_line_that_was_not_taken_is_listed_with_its_answer(
    status: str, error: str | None, reason: str | None, detail: str
) -> None:
    run = Run()
    run.report.answered(
        Answer(status=status, id="n-1", error=error, reason=reason)  # type: ignore[arg-type]
    )

    [row] = run.rows
    assert row[:4] == ["n-1", "", "", status]
    assert row[4].startswith(detail)
    assert run.total == f"1 signal: 1 {status}"


def test_a_line_that_is_no_signal_has_neither_id_nor_symbol() -> None:
    run = Run()
    run.report.answered(Answer(status="invalid", error="not JSON: EOF"))

    assert run.lines[2].split() == ["invalid", "not", "JSON:", "EOF"]


def test_a_signal_that_was_not_taken_shows_its_symbol() -> None:
    run = Run()
    signal = parse_signal(signal_line(symbol="KO"))
    run.report.answered(Answer(status="repeated", id="n-1", signal=signal))

    assert run.rows == [["n-1", "KO", "", "repeated", ""]]


@pytest.mark.parametrize("outcome", ["skipped", "refused"])
def test_a_signal_that_bought_nothing_shows_the_reason(outcome: str) -> None:
    run = Run()
    run.accept()
    run.publish(outcome, reason="why not", sequence=1)  # type: ignore[arg-type]

    assert run.rows == [["n-1", "AAPL", "", outcome, "why not"]]


def test_an_order_is_placed_until_more_is_known() -> None:
    run = Run()
    run.accept()
    run.place(notional="75.50")

    assert run.rows == [["n-1", "AAPL", "75.50", "placed", ""]]


def test_a_part_of_a_fill_is_shown_as_one() -> None:
    run = Run()
    run.accept()
    run.place()
    run.fill(part=True, shares=0.25)

    assert run.rows == [
        ["n-1", "AAPL", "100.00", "partly filled", "0.25 shares at 187.25"]
    ]


def test_a_part_whose_position_could_not_be_read_shows_no_none() -> None:
    run = Run()
    run.accept()
    run.place()
    run.fill(part=True, shares=None)

    assert run.rows[0][3] == "partly filled"
    assert "None" not in run.report.table()


def test_a_fill_that_follows_a_part_wins() -> None:
    run = Run()
    run.accept()
    run.place()
    run.fill(part=True, shares=0.25)
    run.fill()
    run.settle()

    assert run.rows == [["n-1", "AAPL", "100.00", "filled", "0.5 shares at 187.25"]]


def test_a_fill_that_comes_before_the_reply_is_not_undone_by_it() -> None:
    run = Run()
    run.accept()
    run.publish(
        "fill",
        {"shares": 0.5, "entryPrice": 187.25},
        trade_id="t-1",
        sequence=1,
    )
    run.place()

    assert run.rows == [["n-1", "AAPL", "100.00", "filled", "0.5 shares at 187.25"]]


@pytest.mark.parametrize("part", [True, False])
def test_a_fill_that_comes_before_placed_is_told(part: bool) -> None:
    run = Run()
    run.accept()
    # Fills know the row only: what the broker tells has no place in the input.
    run.fill(part=part)
    early = run.rows
    run.place()

    outcome = "partly filled" if part else "filled"
    assert early == [["n-1", "AAPL", "", outcome, "0.5 shares at 187.25"]]
    assert run.rows == [["n-1", "AAPL", "100.00", outcome, "0.5 shares at 187.25"]]


@pytest.mark.parametrize(
    "reason", ["alpaca_rejected", "alpaca_canceled", "order_not_found"]
)
def test_an_order_that_came_to_nothing_is_missed_with_its_reason(reason: str) -> None:
    run = Run()
    run.accept()
    run.place()
    run.settle(reason=reason)

    assert run.rows == [["n-1", "AAPL", "100.00", "missed", reason]]
    assert run.total == "1 signal: 1 missed"


def test_events_about_other_orders_change_nothing() -> None:
    run = Run()
    run.accept(1)
    run.place(1)
    before = run.report.table()

    run.place(2)
    run.fill(2)
    run.settle(2, reason="alpaca_rejected")
    run.publish("mode", {"mode": "live"}, reason="was paper")
    run.publish("stream", {"state": "waiting"})

    assert run.report.table() == before


def test_two_signals_of_one_id_are_told_apart() -> None:
    run = Run()
    run.accept(1)
    signal = parse_signal(signal_line(id="n-1"))
    run.report.answered(Answer(status="repeated", id="n-1", signal=signal))
    run.place(1)

    assert [row[3] for row in run.rows] == ["placed", "repeated"]


def test_numbers_are_shown_as_they_are() -> None:
    run = Run()
    signal = parse_signal(signal_line(id="n-007", symbol="1000"))
    run.report.answered(
        Answer(status="accepted", id=signal.id, signal=signal, sequence=1)
    )
    run.place(1, notional="100.00")

    assert run.rows == [["n-007", "1000", "100.00", "placed", ""]]


def test_an_id_cannot_forge_a_row_nor_reach_the_terminal_raw() -> None:
    run = Run()
    signal = parse_signal(signal_line(id="n-1\nn-2 \x1b[2J"))
    run.report.answered(
        Answer(status="accepted", id=signal.id, signal=signal, sequence=1)
    )

    assert len(run.lines) == 4
    assert "\x1b" not in run.report.table()


def test_a_long_run_lists_its_last_1000_signals_and_counts_all() -> None:
    run = Run()
    for number in range(1, 2_501):
        run.accept(number)
        run.place(number)

    assert len(run.rows) == 1_000
    assert run.rows[0][0] == "n-1501"
    assert run.rows[-1][0] == "n-2500"
    assert run.lines[-2:] == [
        "2500 signals: 2500 placed",
        "(the last 1000 are listed)",
    ]


def test_a_long_run_counts_what_becomes_of_signals_that_it_lists_no_longer() -> None:
    run = Run()
    for number in range(1, 1_201):
        run.accept(number)
        run.place(number)
    run.fill(1)
    run.settle(1)
    run.settle(2, reason="canceled")

    assert run.lines[-2] == "1200 signals: 1198 placed, 1 filled, 1 missed"


def test_a_long_run_remembers_no_more_than_it_lists_and_what_is_not_final() -> None:
    run = Run()
    for number in range(1, 2_501):
        run.accept(number)
        run.place(number)
        if number != 7:
            run.fill(number)
            run.settle(number)

    assert len(run.report._by_sequence) == 1_001
    assert len(run.report._by_trade) == 1_001
    assert run.lines[-2] == "2500 signals: 2499 filled, 1 placed"
    assert run.rows[-1][3] == "filled"


def test_what_was_sold_has_its_price_its_reason_and_its_result() -> None:
    run = Run()
    for number in (1, 2, 3):
        run.accept(number)
        run.place(number)
        run.fill(number)
        run.settle(number)
    run.close(1)
    run.close(2, pnl=None)
    run.fill(1)  # told late
    head, _, first, second, third, totals, result = run.report.table().splitlines()
    heads = "signal symbol dollars outcome exit P&L detail"
    assert head.split() == heads.split()
    assert re.split(" {2,}", first) == [
        *("n-1", "AAPL", "100.00", "closed", "180.02 stop_loss", "-$3.82"),
        "0.5 shares at 187.25",
    ]
    assert re.split(" {2,}", second)[3:6] == ["closed", "stop_loss", "-"]
    assert re.split(" {2,}", third)[3:] == ["filled", "0.5 shares at 187.25"]
    assert totals == "3 signals: 2 closed, 1 filled"
    assert result == "2 closed: P&L -$3.82 before fees, 1 not known"


def test_where_nothing_was_sold_there_are_no_columns_for_it() -> None:
    run = Run()
    run.accept()
    run.fill()
    assert tuple(run.report.table().splitlines()[0].split()) == HEADS


def test_a_row_of_an_earlier_run_counts_when_it_is_closed() -> None:
    run = Run()
    run.close(7, pnl=2.5)
    assert run.report.table().splitlines()[-1] == "1 closed: P&L +$2.50 before fees"
