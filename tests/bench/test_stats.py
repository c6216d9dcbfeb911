from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snexec.bench.stats import bar, bucket_counts, bucket_edges


def test_buckets_have_round_edges() -> None:
    edges = bucket_edges([95.0, 310.0])

    assert edges == [80.0, 100.0, 150.0, 200.0, 300.0, 400.0]
    assert bucket_counts([95.0, 100.0, 310.0], edges) == [1, 1, 0, 0, 1]
    assert bucket_edges([]) == []
    assert bucket_counts([], []) == []


@given(st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=1))
def test_every_sample_is_in_one_bucket(samples: list[float]) -> None:
    edges = bucket_edges(samples)
    counts = bucket_counts(samples, edges)

    assert edges == sorted(set(edges))
    assert edges[0] <= min(samples) < edges[1]
    assert edges[-2] <= max(samples) < edges[-1]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        assert count == sum(low <= sample < high for sample in samples)


def test_what_is_there_can_be_seen_in_a_bar() -> None:
    assert bar(0, 1000, 30) == ""
    assert bar(1, 1000, 30) == "#"
    assert bar(1000, 1000, 30) == "#" * 30
