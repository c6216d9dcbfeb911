"""A row's id: one signal has one, in each mode."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.exit_rows import exit_id
from snexec.ledger.rows import is_foreign, is_ours, trade_id

if TYPE_CHECKING:
    from snexec.model import Mode


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_an_id_is_derived_from_mode_and_signal_id(mode: Mode) -> None:
    same = trade_id(mode, "n-1")
    assert re.fullmatch(r"sn-[0-9a-f]{32}", same)
    assert trade_id(mode, "n-1") == same
    assert trade_id(mode, "n-1", salt="") == same
    others = {
        trade_id(mode, "n-2"),
        trade_id("live" if mode == "paper" else "paper", "n-1"),
        trade_id(mode, "n-1", salt="a"),
        trade_id(mode, "n-1", salt="b"),
        trade_id(mode, "\0n-1"),
        trade_id(mode, ""),
    }
    assert len(others | {same}) == 7


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize("signal_id", ["n-1", None])
def test_every_id_of_ours_is_known_as_one(mode: Mode, signal_id: str | None) -> None:
    assert is_ours(trade_id(mode, signal_id))
    assert is_ours(trade_id(mode, signal_id, salt="a"))


@pytest.mark.parametrize(
    "foreign",
    [
        *("", "sn-", "sn-1", "b28e2b24-b1b2-40cc-8979-63f45e8edc02", "sn-" + "a" * 31),
        *("sn-" + "a" * 33, "sn-" + "A" * 32, "sn-" + "g" * 32, "xsn-" + "a" * 32),
        *("sn-" + "a" * 32 + "\n", "sn-" + "a" * 32 + "-x1", "sn-" + "\u0661" * 32),
    ],
)
def test_no_other_programs_id_is_taken_for_one(foreign: str) -> None:
    assert not is_ours(foreign)


def test_ids_stay_what_they_were_in_earlier_versions() -> None:
    assert trade_id("paper", "n-1") == "sn-" + PAPER_N1
    assert trade_id("live", "n-1") == "sn-" + LIVE_N1


# sha256 of mode, NUL, salt, NUL and id: rows of earlier runs must be found again.
PAPER_N1 = "cfa0dc2b148736355c072e1208489e3c"
LIVE_N1 = "c93c070212ffe7325112868a24d7f46a"


def test_a_signal_without_an_id_gets_one_of_its_own() -> None:
    assert len({trade_id("paper", None) for _ in range(100)}) == 100


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize("signal_id", ["n-1", None])
def test_no_order_of_ours_is_taken_for_another_programs(
    mode: Mode, signal_id: str | None
) -> None:
    ours = trade_id(mode, signal_id)
    ids = [ours, exit_id(ours, "sell", 1), exit_id(ours, "stop", 2), None]
    assert not any(map(is_foreign, ids))
    assert is_foreign("by-hand")
    assert is_foreign("")
