from __future__ import annotations

import pytest

from snexec.reconciliation.executions import Executions


def test_an_execution_is_repeated_from_its_second_time_on() -> None:
    executions = Executions()
    said = [executions.is_repeated("fill", "paper", "o-1", "e-1") for _ in range(3)]
    assert said == [False, True, True]


@pytest.mark.parametrize("place", range(4))
def test_it_is_another_one_by_its_event_account_order_or_id(place: int) -> None:
    executions = Executions()
    one = ["fill", "paper", "o-1", "e-1"]
    executions.is_repeated(*one)
    other = [*one[:place], "another", *one[place + 1 :]]
    assert not executions.is_repeated(*other)
    assert executions.is_repeated(*one)


def test_what_has_no_id_is_never_repeated() -> None:
    executions = Executions()
    said = [executions.is_repeated("fill", "paper", "o-1", None) for _ in range(2)]
    assert said == [False, False]


def test_what_is_remembered_is_bounded() -> None:
    executions = Executions()
    for number in range(10_000):
        executions.is_repeated("fill", "paper", "o-1", f"e-{number}")
    kept = executions._seen
    assert 2048 <= len(kept._newer) + len(kept._older) <= 2 * 2048
    assert executions.is_repeated("fill", "paper", "o-1", "e-9999")
