"""The kill switch: what is said of it, and what pulls it."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel

from snexec.risk.active import Active
from snexec.risk.halt import HaltSwitch
from snexec.risk.halt_file import Halt
from tests.fakes import (
    MOMENT_TEXT,
    SECRET,
    FakeClock,
    make_settings,
    warnings_of,
)
from tests.risk.conftest import Desk

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.events import EventName
    from tests.conftest import LoggedErrors

HALT = Halt(reason="fire", since=MOMENT_TEXT, by="me")

# The switch --------------------------------------------------------------------------


async def test_a_halt_waits_for_no_disk_and_the_disk_is_told_all_the_same(
    desk: Desk,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> None:
    may_end, synced = threading.Event(), list[int]()

    def fsync(descriptor: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert may_end.wait(10)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    nursery.start_soon(desk.switch.run)
    assert desk.switch.halt("fire", by="me").reason == "fire"
    assert desk.file.exists()
    assert desk.switch.is_halted()
    assert len(logged_errors.take()) == 1
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert synced == []
    may_end.set()
    wanted = [each.stat().st_ino for each in (desk.file, desk.file.parent)]
    with trio.fail_after(5):
        while synced != wanted:
            await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()


async def test_a_disk_that_does_not_keep_a_halt_is_told_of(
    desk: Desk,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    logged_errors: LoggedErrors,
) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    nursery.start_soon(desk.switch.run)
    desk.switch.halt("fire", by="me")
    with trio.fail_after(5):
        while not warnings_of(caplog):
            await trio.lowlevel.checkpoint()
    assert warnings_of(caplog) == [
        f"{desk.file} may not outlast a power cut: [Errno 5] Input/output error"
    ]
    assert desk.switch.is_halted()
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("quick", [False, True])
def test_a_halt_and_its_end_are_told_once(
    desk: Desk,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
    *,
    quick: bool,
) -> None:
    look = desk.switch.is_known if quick else desk.switch.is_halted
    assert not look()
    desk.file.write_text("fire")
    assert desk.switch.is_known() is False  # nobody has looked since
    assert desk.switch.is_halted()
    assert all(look() for _ in range(3))
    desk.file.unlink()
    assert not any(look() for _ in range(3))
    assert desk.told() == ["halt", "resume"]
    assert (desk.events[0].reason, desk.events[0].more["by"]) == ("fire", None)
    (error,) = logged_errors.take()
    assert error.startswith(
        "HALTED: nothing is bought any more, exits go on (fire; since "
    )
    assert f"remove {desk.file}" in error
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ["RESUMED: orders are placed again"]


def test_a_halt_that_was_there_before_the_start_holds(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    (tmp_path / "halt").touch()
    desk = Desk(tmp_path)
    assert desk.switch.is_halted()
    assert desk.told() == ["halt"]
    assert len(logged_errors.take()) == 1


def test_the_file_that_others_may_read_holds_no_secret(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.live.mask.learn([SECRET])
    halt = desk.switch.halt(f"the key {SECRET} leaked", by=f"{SECRET} (snexec halt)")
    assert halt.reason == "the key *** leaked"
    assert halt.by == "*** (snexec halt)"
    assert SECRET not in desk.file.read_text()
    (error,) = logged_errors.take()
    assert SECRET not in error


def test_a_command_halts_and_resumes(desk: Desk, logged_errors: LoggedErrors) -> None:
    assert desk.switch.halt("fire\n", by="me") == Halt(
        reason="fire\\n", since=MOMENT_TEXT, by="me"
    )
    assert desk.switch.halt("again", by="you").reason == "fire\\n"
    assert desk.switch.is_halted()
    desk.switch.resume()
    assert not desk.switch.is_halted()
    assert desk.switch.current() is None
    assert desk.told() == ["halt", "resume"]
    assert len(logged_errors.take()) == 1


def test_a_resume_says_who_said_it_where_that_is_known(
    desk: Desk, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[object] = []
    desk.feed.follow(lambda event: said.append(event.more.get("by")))
    for by in ("page", None):
        desk.switch.halt("fire", by="me")
        desk.switch.resume(by=by)
    assert said == ["me", "page", "me", None]
    assert "RESUMED: orders are placed again (by page)" in caplog.text
    desk.switch.files[0].touch()
    desk.switch.is_halted()
    desk.switch.files[0].unlink()
    desk.switch.is_halted()
    assert said[-1] is None, "somebody's hand"
    assert len(logged_errors.take()) == 3


def test_a_folder_that_cannot_be_written_is_halted_in_memory(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path / "gone")
    assert desk.switch.halt("fire", by="me").reason == "fire"
    assert desk.switch.is_halted()
    assert desk.switch.current() == HALT
    unwritten, halted = logged_errors.take()
    assert "cannot be written (No such file or directory)" in unwritten
    assert "NOT after a restart" in unwritten
    assert halted.startswith("HALTED")
    desk.switch.resume()
    assert not desk.switch.is_halted()
    assert desk.told() == ["halt", "resume"]


def test_a_folder_that_cannot_be_looked_into_is_halted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    def denied(_name: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", denied)
        patched.setattr(type(desk.file), "lstat", denied)
        assert all(desk.switch.is_halted() for _ in range(5))
        assert desk.switch.is_known()
        found = desk.switch.current()
        assert found is not None
        assert found.reason.endswith("cannot be looked at: Permission denied")
    assert not desk.switch.is_halted()
    assert len(logged_errors.take()) == 1


def test_a_file_that_cannot_be_removed_halts_still(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    desk.switch.halt("fire", by="me")

    def denied(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(desk.file), "unlink", denied)
    with pytest.raises(PermissionError):
        desk.switch.resume()
    assert desk.switch.is_halted()
    assert desk.told() == ["halt"]
    assert len(logged_errors.take()) == 1


# Too many refusals -------------------------------------------------------------------


def test_too_many_refusals_in_a_row_halt(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=3)
    desk.refused()
    desk.feed.publish("rejected", symbol="KO")
    assert not desk.switch.is_halted()
    desk.refused()
    assert desk.switch.is_halted()
    found = desk.switch.current()
    assert found is not None
    assert found.reason == (
        "3 orders in a row were refused or rejected, at last KO: no money"
    )
    assert found.by == "snexec (halt_after_refusals)"
    assert desk.file.exists()
    assert len(logged_errors.take()) == 1


@pytest.mark.parametrize("event", ["placed", "fill", "partial_fill"])
def test_an_order_that_is_taken_or_buys_begins_the_row_anew(
    tmp_path: Path, event: EventName
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=3)
    for _ in range(5):
        desk.refused(2)
        desk.feed.publish(event, symbol="KO")
    assert not desk.switch.is_halted()


def test_refusals_that_are_told_late_stand_where_they_were_heard(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=2)
    desk.switch.refusal_heard("sn-1")
    desk.happened("placed", "sn-2")
    desk.happened("refused", "sn-3")
    desk.happened("refused", "sn-1")
    assert not desk.switch.is_halted(), "one that was taken stands between them"


def test_what_the_broker_never_said_is_no_refusal(tmp_path: Path) -> None:
    desk = Desk(tmp_path, halt_after_refusals=1)
    desk.refused(5, http=None)  # not sent
    for name in ("skipped", "settled"):
        desk.feed.publish(name, symbol="KO")
    assert not desk.switch.is_halted()


def test_a_refusal_that_is_about_one_symbol_is_no_word_on_the_account(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=2)
    desk.refused()
    desk.refused(20, is_about_symbol=True)
    desk.feed.publish("rejected", symbol="KO", is_about_symbol=True)
    assert not desk.switch.is_halted()
    desk.refused()
    assert desk.switch.is_halted(), "nor does it end the row"
    assert len(logged_errors.take()) == 1


def test_orders_that_are_taken_and_then_rejected_halt(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=3)
    for trade_id in ("sn-1", "sn-2", "sn-3"):
        assert not desk.switch.is_halted()
        desk.happened("placed", trade_id)
        desk.happened("rejected", trade_id)
    assert desk.switch.is_halted()
    assert len(logged_errors.take()) == 1


def test_a_resume_begins_the_row_anew(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path, halt_after_refusals=2)
    desk.refused(3)
    desk.switch.resume()
    desk.refused()
    assert not desk.switch.is_halted()
    desk.refused()
    assert desk.switch.is_halted()
    assert len(logged_errors.take()) == 2


def test_without_the_limit_nothing_halts(desk: Desk) -> None:
    desk.refused(1000)
    assert not desk.switch.is_halted()


def test_a_limit_that_is_set_later_counts_what_went_before(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.refused(10)
    desk.live.now = make_settings(bot={"halt_after_refusals": 5})
    desk.refused()
    assert desk.switch.is_halted()
    assert len(logged_errors.take()) == 1


# The watcher -------------------------------------------------------------------------


@pytest.mark.jumping_time
async def test_a_file_that_nobody_told_of_is_noticed_within_a_second(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.switch.run)
        await trio.sleep(5.5)
        desk.file.touch()
        await trio.sleep(1)
        assert desk.told() == ["halt"]
        desk.file.unlink()
        await trio.sleep(1)
        assert desk.told() == ["halt", "resume"]
        nursery.cancel_scope.cancel()
    assert len(logged_errors.take()) == 1


# What stops the sells of exits as well.


def test_halt_stops_what_buys_and_lets_exits_go_on(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.switch.halt("lunch", by="me")
    assert desk.switch.is_halted()
    assert not desk.switch.is_all_halted()
    assert "exits go on (lunch; " in logged_errors.take()[0]
    assert desk.events[0].more["all"] is False


def test_halt_all_stops_every_order(desk: Desk, logged_errors: LoggedErrors) -> None:
    desk.switch.halt("fire", by="me", stops_all=True)
    assert desk.all_file.exists()
    assert not desk.file.exists()
    assert desk.switch.is_halted()
    assert desk.switch.is_all_halted()
    (error,) = logged_errors.take()
    assert "no order leaves any more, the sells of exits neither (fire; " in error
    assert f"remove {desk.all_file}" in error
    assert desk.events[0].more["all"] is True


def test_a_file_named_halt_all_is_enough(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.all_file.touch()
    assert desk.switch.is_all_halted()
    assert desk.switch.is_known(), "buys too"
    halt = desk.switch.current()
    assert halt is not None
    assert halt.reason == "a file named halt-all was made"
    assert len(logged_errors.take()) == 1


def test_what_a_sell_meets_before_its_row_knows_of_a_halt_once_somebody_has_looked(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.all_file.touch()
    assert not desk.switch.is_all_known(), "the last look is the one that counts"
    assert desk.switch.is_all_halted()
    assert desk.switch.is_all_known()
    desk.all_file.unlink()
    assert not desk.switch.is_all_known(), "its end is seen at once"
    assert len(logged_errors.take()) == 1


def test_what_stops_all_after_what_stops_buys_is_told_as_well(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.switch.halt("lunch", by="me")
    desk.switch.halt("fire", by="me", stops_all=True)
    assert [event.reason for event in desk.events] == ["lunch", "fire"]
    assert len(logged_errors.take()) == 2


def test_resume_ends_both(desk: Desk, logged_errors: LoggedErrors) -> None:
    desk.switch.halt("lunch", by="me")
    desk.switch.halt("fire", by="me", stops_all=True)
    desk.switch.resume()
    assert not desk.switch.is_halted()
    assert not desk.switch.is_all_halted()
    assert desk.told() == ["halt", "halt", "resume"]
    logged_errors.take()


def test_a_folder_that_cannot_be_written_halts_all_in_memory(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    desk = Desk(tmp_path / "gone")
    desk.switch.halt("fire", by="me", stops_all=True)
    assert desk.switch.is_all_halted()
    assert desk.switch.is_halted()
    desk.switch.resume()
    assert not desk.switch.is_all_halted()
    assert len(logged_errors.take()) == 2


# The lease ---------------------------------------------------------------------------


async def test_a_lost_lease_is_no_halt_and_lets_nothing_out_all_the_same(
    desk: Desk,
) -> None:
    clock = FakeClock()
    active = Active(clock)
    switch = HaltSwitch(desk.live, desk.feed, clock, active)
    assert not switch.is_standby()
    active.stand_by()
    assert switch.is_standby()
    assert not switch.is_halted()
    assert not desk.switch.is_standby()
