"""Log lines about an order: which one, in the same words everywhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import pytest

from snexec.logs.order_log import OrderLog, about_order
from tests.fakes import make_trade

if TYPE_CHECKING:
    from snexec.model import AccountName
    from tests.conftest import LoggedErrors

order_log = OrderLog(logging.getLogger("Orders"))


class Order(NamedTuple):
    """An order as the broker knows it."""

    trade_id: str = "sn-1"
    symbol: str = "AAPL"
    mode: AccountName = "paper"
    signal_id: str | None = "n-1"
    order_id: str | None = "o-1"


def only_line(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    (line,) = caplog.records
    return line


def named(line: logging.LogRecord) -> dict[str, object]:
    """Return which order a line is about, for programs."""
    return {k: v for k, v in vars(line).items() if k.startswith("about_")}


def test_a_warning_begins_with_its_order(caplog: pytest.LogCaptureFixture) -> None:
    order_log.warning(Order(), "asked again in %.1f s", 1.5)
    line = only_line(caplog)
    assert line.getMessage() == "AAPL trade=sn-1 signal=n-1: asked again in 1.5 s"
    assert (line.levelname, line.name) == ("WARNING", "Orders")


def test_an_error_begins_with_its_order(
    caplog: pytest.LogCaptureFixture, logged_errors: LoggedErrors
) -> None:
    order_log.error(Order(), "%d rows are %s", 2, "gone")
    assert logged_errors.take() == ["AAPL trade=sn-1 signal=n-1: 2 rows are gone"]
    assert (only_line(caplog).levelname, only_line(caplog).name) == ("ERROR", "Orders")


def test_a_line_names_its_order_to_programs_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order_log.warning(Order(), "it waits")
    assert named(only_line(caplog)) == {
        "about_symbol": "AAPL",
        "about_trade": "sn-1",
        "about_signal": "n-1",
        "about_order": "o-1",
    }


def test_an_error_names_the_brokers_id_where_the_order_does_not_know_it_yet(
    caplog: pytest.LogCaptureFixture, logged_errors: LoggedErrors
) -> None:
    order_log.error(make_trade(signal_id="n-1"), "gone", order_id="o-9")
    assert named(only_line(caplog))["about_order"] == "o-9"
    assert logged_errors.take() == ["AAPL trade=sn-1 signal=n-1: gone"]


def test_what_is_not_known_of_an_order_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order_log.warning(make_trade(), "it waits")
    line = only_line(caplog)
    assert line.getMessage() == "AAPL trade=sn-1 signal=None: it waits"
    assert (named(line)["about_signal"], named(line)["about_order"]) == (None, None)


def test_a_signals_own_percent_sign_is_only_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order_log.warning(Order(signal_id="100%s"), "said %s", "%d")
    assert only_line(caplog).getMessage() == "AAPL trade=sn-1 signal=100%s: said %d"


@pytest.mark.parametrize(
    ("own", "given", "named"),
    [("o-1", None, "o-1"), (None, "o-2", "o-2"), ("o-1", "o-2", "o-2")],
)
def test_the_brokers_id_that_is_given_is_the_one_named(
    own: str | None, given: str | None, named: str
) -> None:
    assert about_order(Order(order_id=own), order_id=given)["about_order"] == named
