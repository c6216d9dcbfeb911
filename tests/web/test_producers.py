"""Who has a token, and how many signals a minute."""

from __future__ import annotations

import hmac
import statistics
import time

import pytest
import trio

from snexec.web.producers import Producer, Producers
from tests.web.posting import OTHER_TOKEN, TOKEN, http_settings


def test_a_producer_is_known_by_its_whole_token_alone() -> None:
    producers = Producers(http_settings())
    for token, name in ((TOKEN, "tv"), (OTHER_TOKEN, "model")):
        producer = producers.who_has(token)
        assert producer is not None
        assert producer.name == name
    wrong = ["", "x", TOKEN[:-1], f"{TOKEN} ", TOKEN.lower(), TOKEN + TOKEN, "tv"]
    assert [producers.who_has(token) for token in [*wrong, "\udcff", "é" * 500]] == (
        [None] * 9
    )


def test_every_token_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known)
        return known == given

    producers = Producers(http_settings())
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (TOKEN, OTHER_TOKEN, TOKEN[:-1], "x"):
        compared.clear()
        producers.who_has(token)
        assert len(set(compared)) == 2, "also those behind the one that is found"
    assert not any(TOKEN.encode() in known for known in compared)


def test_one_wrong_token_takes_as_long_as_another() -> None:
    producers = Producers(http_settings())
    wrong = {"first": "x" + TOKEN[1:], "last": TOKEN[:-1] + "x", "all": "x" * 32}
    took: dict[str, list[int]] = {name: [] for name in wrong}
    for _ in range(2_000):
        for name, token in wrong.items():
            before = time.perf_counter_ns()
            producers.who_has(token)
            took[name].append(time.perf_counter_ns() - before)
    medians = [statistics.median(each) for each in took.values()]
    assert max(medians) < 1.5 * min(medians)


@pytest.mark.jumping_time
async def test_so_many_a_minute_and_then_others_as_the_first_grow_old() -> None:
    producer = Producer("tv", per_minute=3)
    assert producer.wait_for(3) == 0
    producer.count(1)
    await trio.sleep(20)
    producer.count(2)
    assert producer.wait_for(1) == 40
    assert producer.wait_for(2) == 60
    assert producer.wait_for(4) == 60, "more than ever fit"
    await trio.sleep(40)
    assert producer.wait_for(1) == 0
    assert producer.wait_for(2) == 20
    await trio.sleep(20)
    assert producer.wait_for(3) == 0


@pytest.mark.jumping_time
async def test_one_producers_flood_is_no_other_ones() -> None:
    producers = Producers(http_settings(per_minute=1))
    first, second = producers.who_has(TOKEN), producers.who_has(OTHER_TOKEN)
    assert first is not None
    assert second is not None
    first.count(1)
    assert first.wait_for(1) == 60
    assert second.wait_for(1) == 0
