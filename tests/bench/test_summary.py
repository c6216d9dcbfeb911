from __future__ import annotations

import pytest

from snexec.latency import percentile
from tests.bench.figures import made_up_run


def test_rounds_come_to_their_medians_and_losses_to_their_sum() -> None:
    summary = made_up_run(800.0, 5000.0, 900.0)

    snexec = summary.stand_in["snexec"]
    assert snexec.latency_us == {50: 900.0, 90: 1800.0, 99: 1800.0}
    assert (snexec.signals, snexec.lost, snexec.out_of_order) == (150, 3, 6)
    assert snexec.lookups == 9
    assert summary.exchange["snexec"].out_of_order is None
    assert summary.commit_us[50] == 250.0
    assert sum(summary.counts["snexec"]) == 6


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (90, 90.0), (99, 99.0), (100, 100.0)]
)
def test_a_percentile_is_a_sample(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_percentiles_of_few_samples() -> None:
    assert percentile([3.0], 50) == percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 51) == 2.0
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)
