"""The ids of sells: derived, and read back."""

from __future__ import annotations

import pytest

from snexec.ledger.exit_rows import ExitKind, exit_id, kind_of_exit, row_of_exit


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("sell", "sn-ab-x3"), ("stop", "sn-ab-s3"), ("external", "sn-ab-e3")],
)
def test_an_id_names_its_row_its_kind_and_its_number(
    kind: ExitKind, expected: str
) -> None:
    made = exit_id("sn-ab", kind, 3)
    assert made == expected
    assert row_of_exit(made) == "sn-ab"
    assert kind_of_exit(made) == kind


@pytest.mark.parametrize(
    "other", [None, "", "sn-ab", "sn-ab-x", "sn-ab-x0", "sn-ab-y1", "x1", "-x1"]
)
def test_another_id_is_no_sells(other: str | None) -> None:
    assert row_of_exit(other) is None
