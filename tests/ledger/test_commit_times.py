"""How long commits take: counted in buckets, each with its upper bound."""

from __future__ import annotations

import pytest

from snexec.ledger.commit_times import CommitTimer


def test_each_bound_has_a_bucket_and_what_is_above_all_of_them_has_one_too() -> None:
    times = CommitTimer().times()
    assert list(times.bounds) == sorted(set(times.bounds))
    assert times.counts == (0,) * (len(times.bounds) + 1)
    assert times.total == 0.0


def test_a_commit_is_counted_once_below_the_next_bound() -> None:
    timer = CommitTimer()
    for seconds in (0.0, 0.0007, 0.0007, 0.002, 60.0):
        timer.add(seconds)
    times = timer.times()
    counted = dict(zip((*times.bounds, None), times.counts, strict=True))
    assert {bound: count for bound, count in counted.items() if count} == {
        0.0001: 1,
        0.001: 2,
        0.0025: 1,
        None: 1,
    }
    assert times.total == pytest.approx(60.0034)


def test_a_bound_belongs_to_its_own_bucket() -> None:
    timer = CommitTimer()
    bounds = timer.times().bounds
    for bound in bounds:
        timer.add(bound)
    assert timer.times().counts == (*[1] * len(bounds), 0)


def test_what_was_read_does_not_change_with_the_next_commit() -> None:
    timer = CommitTimer()
    before = timer.times()
    timer.add(0.001)
    assert (sum(before.counts), before.total) == (0, 0.0)
    assert (sum(timer.times().counts), timer.times().total) == (1, 0.001)
