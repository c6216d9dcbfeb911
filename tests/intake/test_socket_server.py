"""The Unix socket, over real sockets: answers in order, clients that misbehave."""

import json
import logging
import select
import socket
import tracemalloc
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.intake import socket_server
from snexec.intake.admission import Phase
from snexec.intake.socket_server import encode
from snexec.signals import MAX_LINE_BYTES
from tests.conftest import LoggedErrors
from tests.input_helpers import (
    FLUSH,
    NOW_TEXT,
    Client,
    Served,
    World,
    served,
    signal_line,
    within,
)

STATUS = b'{"command":"status"}'
EVENTS = b'{"command":"events"}'


def accepted(signal_id: str) -> dict[str, Any]:
    return {"status": "accepted", "id": signal_id}


def test_an_answer_is_one_line_of_json() -> None:
    assert encode({"status": "invalid", "error": "a\nb\u2028ä"}) == (
        b'{"status":"invalid","error":"a\\nb\\u2028\\u00e4"}\n'
    )


# Lines and answers ------------------------------------------------------------------


@within(5)
async def test_a_signal_is_answered_and_handed_on() -> None:
    async with served() as it, it.client() as client:
        before = trio.current_time()
        assert await client.ask(signal_line()) == accepted("n-1")

        [queued] = it.world.orders.taken()
        assert queued.signal.symbol == "AAPL"
        assert before <= queued.read_at <= trio.current_time()


@within(5)
async def test_what_lines_of_one_read_began_leaves_together_before_their_answers() -> (
    None
):
    async with served() as it, it.client() as client:
        both = signal_line(id="a", symbol="A") + b"\n" + signal_line(id="b", symbol="B")
        assert await client.ask(both) == accepted("a")
        assert it.world.orders.steps == ["A", "B", FLUSH]


@within(5)
async def test_each_line_has_the_answer_of_the_table() -> None:
    world = World(max_pending=2, phase=Phase.STARTING)
    async with served(world) as it, it.client() as client:
        assert await client.ask(signal_line()) == {"status": "starting", "id": "n-1"}
        world.intake.open()
        assert await client.ask(signal_line()) == accepted("n-1")
        assert await client.ask(signal_line()) == {"status": "repeated", "id": "n-1"}
        assert await client.ask(signal_line(id=None)) == {
            "status": "accepted",
            "id": None,
        }
        assert await client.ask(signal_line(id="n-2")) == {
            "status": "overloaded",
            "id": "n-2",
        }
        assert await client.ask(signal_line(symbol="")) == {
            "status": "invalid",
            "id": "n-1",
            "error": "symbol: must be 1 to 15 characters: groups of A-Z 0-9 joined by"
            " single . - or / (got '')",
        }
        assert await client.ask(b"hello") == {
            "status": "invalid",
            "error": "not JSON: expected value at line 1 column 1",
        }
        world.intake.close()
        assert await client.ask(signal_line(id="n-3")) == {
            "status": "stopping",
            "id": "n-3",
        }


@within(30)
async def test_thousands_of_lines_are_answered_one_each_and_in_order() -> None:
    lines, expected = [], []
    for number in range(6_000):
        signal_id = f"n-{number}"
        match number % 3:
            case 0:
                lines.append(signal_line(id=signal_id))
                expected.append(("accepted", signal_id))
            case 1:
                lines.append(signal_line(id=signal_id, catalystTier=9))
                expected.append(("invalid", signal_id))
            case _:
                lines.append(signal_line(id=f"n-{number - 2}"))
                expected.append(("repeated", f"n-{number - 2}"))

    async with served() as it, it.client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, *lines)
            answers = [await client.answer() for _ in lines]

        assert [(a["status"], a["id"]) for a in answers] == expected
        assert it.dropped_answers == 0
        assert [t.signal.id for t in it.world.orders.taken()] == [
            f"n-{number}" for number in range(0, 6_000, 3)
        ]


@within(5)
async def test_a_line_may_come_byte_by_byte() -> None:
    async with served() as it, it.client() as client:
        for number in signal_line() + b"\n":
            await client.stream.send_all(bytes([number]))

        assert await client.answer() == accepted("n-1")


@within(5)
async def test_empty_lines_are_passed_over() -> None:
    async with served() as it, it.client() as client:
        await client.send(b"", b"  ", b"\r", b"\t \x0b\x0c", signal_line() + b"\r", b"")
        await client.stream.send_eof()

        assert await client.rest() == [accepted("n-1")]
        assert it.world.counts == {"accepted": 1}


@within(5)
async def test_many_empty_lines_hide_no_line_behind_them() -> None:
    async with served() as it, it.client() as client:
        for count in (15, 16, 17, 32, 1_000):
            await client.stream.send_all(b"\n" * count)
            answer = await client.ask(signal_line(id=f"n-{count}"))
            assert answer == accepted(f"n-{count}")


@within(5)
async def test_a_last_line_without_a_newline_counts() -> None:
    async with served() as it, it.client() as client:
        await client.send(signal_line(id="n-1"))
        await client.stream.send_all(signal_line(id="n-2"))
        await client.stream.send_eof()

        assert await client.rest() == [accepted("n-1"), accepted("n-2")]


@within(5)
async def test_a_line_of_64_kib_is_taken() -> None:
    line = signal_line(padding="")
    line = signal_line(padding="x" * (MAX_LINE_BYTES - len(line)))
    assert len(line) == 65_536

    async with served() as it, it.client() as client:
        assert await client.ask(line) == accepted("n-1")


@within(5)
async def test_a_longer_line_is_invalid_and_the_connection_lives_on() -> None:
    line = signal_line(padding="")
    line = signal_line(padding="x" * (MAX_LINE_BYTES - len(line) + 1))
    too_long = {"status": "invalid", "error": "line: longer than 65536 bytes"}

    async with served() as it, it.client() as client:
        assert await client.ask(line) == too_long
        assert await client.ask(signal_line()) == accepted("n-1")
        assert await client.ask(b"x" * 300_000) == too_long
        assert await client.ask(signal_line(id="n-2")) == accepted("n-2")


@within(10)
async def test_a_line_without_end_is_one_invalid_line() -> None:
    async with served() as it, it.client() as client:
        for _ in range(160):  # 10 MB
            await client.stream.send_all(b"x" * 65_536)
        async with it.client() as other:
            assert await other.ask(signal_line()) == accepted("n-1")

        assert (await client.ask(b""))["status"] == "invalid"
        assert await client.ask(signal_line(id="n-2")) == accepted("n-2")


@within(5)
async def test_a_half_closed_client_still_has_all_its_answers() -> None:
    lines = [signal_line(id=f"n-{number}") for number in range(3_000)]

    async with served() as it, it.client() as client:
        await client.send(*lines)
        await client.stream.send_eof()

        answers = await client.rest()
        assert answers == [accepted(f"n-{number}") for number in range(3_000)]


@within(5)
async def test_a_free_slot_is_taken_before_a_line_finds_no_room() -> None:
    world = World(max_pending=1)

    async def work_off() -> None:
        async for _ in world.orders:
            world.orders.started()

    async with served(world) as it, it.client() as client, trio.open_nursery() as n:
        n.start_soon(work_off)
        lines = [signal_line(id=f"n-{number}") for number in range(100)]
        await client.send(*lines)
        statuses = [(await client.answer())["status"] for _ in lines]
        n.cancel_scope.cancel()

    assert statuses == ["accepted"] * 100


# Clients that misbehave -------------------------------------------------------------


@within(5)
async def test_a_client_that_vanishes_in_a_line_takes_nothing_with_it() -> None:
    async with served() as it, it.client() as other:
        async with it.client() as client:
            assert await client.ask(signal_line(id="n-1")) == accepted("n-1")
            await client.stream.send_all(signal_line(id="n-2")[:40])

        assert await other.ask(signal_line(id="n-3")) == accepted("n-3")
        assert [t.signal.id for t in it.world.orders.taken()] == ["n-1", "n-3"]


@within(5)
async def test_a_client_that_vanishes_has_its_signals_taken_all_the_same() -> None:
    async with served() as it, it.client() as other:
        async with it.client() as client:
            await client.send(*(signal_line(id=f"n-{n}") for n in range(300)))
        while it.world.counts["accepted"] < 300:
            assert (await other.ask(b"x"))["status"] == "invalid"

        assert [t.signal.id for t in it.world.orders.taken()] == [
            f"n-{n}" for n in range(300)
        ]


@within(20)
async def test_a_client_that_never_reads_slows_nobody() -> None:
    flood = [signal_line(id=f"n-{number}") for number in range(25_000)]

    async with served() as it, it.client() as mute, it.client() as other:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mute.send, *flood)
            for number in range(20):
                with trio.fail_after(30):
                    answer = await other.ask(signal_line(id=f"other-{number}"))
                assert answer == accepted(f"other-{number}")
        while it.world.counts["accepted"] < 25_020:
            await other.ask(b"x")

        assert it.dropped_answers > 0
        # What was not dropped is still in order, and nothing else is missing.
        await mute.stream.send_eof()
        numbers = [int(a["id"].removeprefix("n-")) for a in await mute.rest()]
        assert len(numbers) + it.dropped_answers == 25_000
        assert numbers == sorted(set(numbers))


@within(5)
async def test_a_client_that_reads_nothing_to_the_end_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_server, "_FLUSH_SECONDS", 0.05)
    lines = [signal_line(id=f"n-{number}") for number in range(12_000)]

    async with served() as it, it.client() as client:
        await client.send(*lines)
        await client.stream.send_eof()

        hung_up = select.poll()
        hung_up.register(client.stream.socket.fileno(), 0)
        await trio.to_thread.run_sync(hung_up.poll, 4_000)
        assert hung_up.poll(0) == [(client.stream.socket.fileno(), select.POLLHUP)]


@within(10)
async def test_a_client_that_reads_no_more_may_still_send() -> None:
    async with served() as it, it.client() as client, it.client() as other:
        client.stream.socket.shutdown(socket.SHUT_RD)
        await client.send(*(signal_line(id=f"n-{n}") for n in range(500)))
        while it.world.counts["accepted"] < 500:
            await other.ask(b"x")


@within(10)
async def test_a_hundred_clients_are_served_at_once() -> None:
    async def ask(it: Served, number: int) -> None:
        async with it.client() as client:
            for part in range(3):
                signal_id = f"n-{number}-{part}"
                answer = await client.ask(signal_line(id=signal_id))
                assert answer == accepted(signal_id)

    async with served() as it:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(ask, it, number)

        assert it.world.counts == {"accepted": 300}


@within(5)
async def test_a_fault_ends_its_own_connection_alone(
    logged_errors: LoggedErrors,
) -> None:
    async with served() as it, it.client() as client, it.client() as other:
        it.control.failure = RuntimeError("status is broken")
        await client.send(STATUS)
        assert await client.rest() == []

        assert await other.ask(signal_line()) == accepted("n-1")
    assert logged_errors.take() == ["a client's connection failed; the others go on"]


# Control ----------------------------------------------------------------------------


@within(5)
async def test_status_answers_what_control_says() -> None:
    async with served() as it, it.client() as client:
        it.control.fields = {"pid": 7, "signals": {"accepted": 0}, "stream": "waiting"}

        assert await client.ask(STATUS) == {"status": "ok", **it.control.fields}
        assert await client.ask(b' { "command" : "status" } \r') == {
            "status": "ok",
            **it.control.fields,
        }
        assert it.world.counts == {}


@within(5)
async def test_a_slow_status_keeps_the_order_and_holds_up_no_other_client() -> None:
    async with served() as it, it.client() as client, it.client() as other:
        it.control.gate = trio.Event()
        await client.send(signal_line(id="n-1"), STATUS, signal_line(id="n-2"))
        assert await client.answer() == accepted("n-1")
        assert await other.ask(signal_line(id="n-3")) == accepted("n-3")
        assert it.world.counts["accepted"] == 2

        it.control.gate.set()
        assert await client.answer() == {"status": "ok", "pid": 7}
        assert await client.answer() == accepted("n-2")


@pytest.mark.parametrize(
    "command",
    [b'"stop"', b'"Status"', b'""', b"5", b"true", b'["status"]', b'{"x":"status"}'],
)
@within(5)
async def test_an_unknown_command_is_invalid(command: bytes) -> None:
    async with served() as it, it.client() as client:
        assert await client.ask(b'{"command":' + command + b"}") == {
            "status": "invalid",
            "error": "command: must be 'status', 'events', 'halt', 'resume', 'reload',"
            " 'explain', 'positions', 'close', 'settle' or 'rebuild'",
        }
        assert it.control.asked == 0
        assert await client.ask(signal_line()) == accepted("n-1")


@pytest.mark.parametrize(
    ("command", "status"), [("status", "ok"), ("events", "ok"), ("stop", "invalid")]
)
@within(5)
async def test_an_answer_to_a_command_repeats_its_id(command: str, status: str) -> None:
    async with served() as it, it.client() as client:
        answer = await client.ask(
            json.dumps({"command": command, "id": "c-1"}).encode()
        )

        assert answer["status"] == status
        assert answer["id"] == "c-1"


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (
            b'{"command":"halt","reason":"fire","by":"me"}',
            {"status": "ok", "halted": True, "reason": "fire", "by": "me"},
        ),
        (
            b'{"command":"halt"}',
            {
                "status": "ok",
                "halted": True,
                "reason": "no reason was given",
                "by": "the socket",
            },
        ),
        (b'{"command":"resume"}', {"status": "ok", "halted": False}),
        (
            b'{"command":"explain","signal":' + signal_line() + b"}",
            {"status": "ok", "symbol": "AAPL"},
        ),
    ],
)
@within(5)
async def test_a_command_is_carried_out(
    request_line: bytes, answer: dict[str, Any]
) -> None:
    async with served() as it, it.client() as client:
        assert await client.ask(request_line) == answer
        assert it.world.orders.taken() == []


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        (b'{"command":"explain"}', "signal: not a JSON object"),
        (
            b'{"command":"explain","signal":' + signal_line(catalystTier=9) + b"}",
            "signal: catalystTier: Input should be less than or equal to 4 (got 9)",
        ),
    ],
)
@within(5)
async def test_a_command_that_cannot_be_understood_is_invalid(
    request_line: bytes, error: str
) -> None:
    async with served() as it, it.client() as client:
        assert await client.ask(request_line) == {"status": "invalid", "error": error}


@pytest.mark.parametrize("length", [60_000, 70_000, 300_000])
@within(5)
async def test_a_halt_may_say_so_last_however_long_it_is(length: int) -> None:
    async with served() as it, it.client() as client:
        for line in (
            b'{"reason":"' + b"x" * length + b'","command":"halt"}',
            b'{"by":"me","command":"halt","reason":"' + b"x" * length + b'"}',
        ):
            answer = await client.ask(line)
            assert (answer["status"], answer["halted"]) == ("ok", True)


@pytest.mark.parametrize(
    "more",
    [
        b'"reason":5',
        b'"reason":" "',
        b'"by":"' + b"x" * 501 + b'"',
        b'"reason":"\\ud83d"',
        b'"reason":"caf\xe9"',
        b'"reason":"' + b"x" * 65_000 + b'"',
        b'"reason":"' + b"x" * 300_000 + b'"',  # longer than a line may be
        b'"reason":"cut',
        b'"id":{},"more":[5]',
    ],
    ids=lambda more: more[:16],
)
@within(5)
async def test_a_halt_halts_whatever_it_says_and_the_connection_lives_on(
    more: bytes,
) -> None:
    async with served() as it, it.client() as client:
        answer = await client.ask(b'{"command":"halt",' + more + b"}")
        assert (answer["status"], answer["halted"]) == ("ok", True)
        assert await client.ask(b'\xef\xbb\xbf{"command":"resume"}\r') == {
            "status": "ok",
            "halted": False,
        }
        assert await client.ask(signal_line()) == accepted("n-1")


@within(5)
async def test_a_line_that_is_too_long_and_no_halt_is_invalid_still() -> None:
    async with served() as it, it.client() as client:
        await client.ask(b'{"command":"halt","reason":"' + b"x" * 100_000 + b'"}')
        answer = await client.ask(b'{"command":"resume","x":"' + b"x" * 100_000 + b'"}')
        assert answer == {"status": "invalid", "error": "line: longer than 65536 bytes"}


@pytest.mark.parametrize("bad", [5, None, ["c-1"], "x" * 129])
@within(5)
async def test_an_id_that_is_none_is_not_repeated(bad: object) -> None:
    async with served() as it, it.client() as client:
        line = json.dumps({"command": "status", "id": bad}).encode()

        assert await client.ask(line) == {"status": "ok", "pid": 7}


@pytest.mark.parametrize(
    "line",
    [
        b'{"command":null}',
        b'["command"]',
        b'"command"',
        b'{"command"',
        b'{"x":{"command":"status"}}',
    ],
)
@within(5)
async def test_a_line_that_only_looks_like_a_command_is_invalid(line: bytes) -> None:
    async with served() as it, it.client() as client:
        assert (await client.ask(line))["status"] == "invalid"
        assert it.control.asked == 0


@within(5)
async def test_a_signal_may_speak_of_a_command() -> None:
    async with served() as it, it.client() as client:
        line = signal_line(catalystCategory='"command"')

        assert await client.ask(line) == accepted("n-1")


# The feed ---------------------------------------------------------------------------


@within(5)
async def test_a_feed_begins_with_ok_and_then_tells_what_happens() -> None:
    async with served() as it, it.client() as client:
        it.feed.publish("stream", {"state": "connecting"})  # before: not told
        assert await client.ask(EVENTS) == {"status": "ok"}
        it.feed.publish(
            "placed",
            {"notional": "100.00"},
            signal_id="n-1",
            trade_id="t-1",
            symbol="AAPL",
        )
        it.feed.publish("mode", {"mode": "live"}, reason="was paper")

        nobody = {"signalId": None, "tradeId": None, "symbol": None}
        assert await client.answer() == {
            "event": "placed",
            "at": NOW_TEXT,
            "signalId": "n-1",
            "tradeId": "t-1",
            "symbol": "AAPL",
            "reason": None,
            "notional": "100.00",
        }
        assert await client.answer() == {
            "event": "mode",
            "at": NOW_TEXT,
            **nobody,
            "reason": "was paper",
            "mode": "live",
        }


@within(5)
async def test_a_feed_survives_the_half_close_of_its_client() -> None:
    async with served() as it, it.client() as client:
        await client.follow()
        await client.stream.send_eof()
        # The daemon has read the end once another has been answered after it.
        async with it.client() as other:
            await other.ask(signal_line())
            await other.ask(signal_line())

        for number in range(3):
            it.feed.publish("stream", {"number": number})
            assert (await client.answer())["number"] == number


@within(5)
async def test_a_connection_that_follows_may_still_send_signals() -> None:
    async with served() as it, it.client() as client:
        await client.follow()

        assert await client.ask(signal_line()) == accepted("n-1")
        assert await client.ask(STATUS) == {"status": "ok", "pid": 7}


@within(5)
async def test_an_event_comes_behind_the_answer_to_its_line() -> None:
    async with served() as it, it.client() as client, trio.open_nursery() as nursery:

        async def tell_of_each() -> None:
            async for taken in it.world.orders:
                it.feed.publish("skipped", signal_id=taken.signal.id)

        nursery.start_soon(tell_of_each)
        await client.follow()
        for number in range(40):
            await client.send(signal_line(id=f"n-{number}") + b"\n")
            assert await client.answer() == accepted(f"n-{number}")
            assert (await client.answer())["event"] == "skipped"
        nursery.cancel_scope.cancel()


@within(5)
async def test_asking_twice_for_the_feed_gives_each_event_once() -> None:
    async with served() as it, it.client() as client:
        await client.follow()
        await client.follow()
        it.feed.publish("stream", {"number": 1})
        it.feed.publish("stream", {"number": 2})

        assert [(await client.answer())["number"] for _ in range(2)] == [1, 2]


@within(5)
async def test_every_follower_has_every_event() -> None:
    async with served() as it, it.client() as one, it.client() as two:
        await one.follow()
        await two.follow()
        for number in range(100):
            it.feed.publish("stream", {"number": number})

        for client in (one, two):
            told = [(await client.answer())["number"] for _ in range(100)]
            assert told == list(range(100))


@within(5)
async def test_a_follower_that_goes_away_is_forgotten_and_disturbs_no_other() -> None:
    async with served() as it, it.client() as other:
        await other.follow()
        async with it.client() as client:
            await client.follow()
        for number in range(3):
            it.feed.publish("stream", {"number": number})
            assert (await other.answer())["number"] == number
        await wait_all_tasks_blocked(0.01)

        assert len(it.feed._followers) == 1


@within(5)
async def test_a_follower_that_goes_away_is_forgotten_though_nothing_happens() -> None:
    async with served() as it:
        for _ in range(10):
            async with it.client() as client:
                await client.follow()
        with trio.move_on_after(1):
            while it.feed._followers:
                await wait_all_tasks_blocked(0.01)

        assert len(it.feed._followers) == 0


@within(10)
async def test_a_follower_that_never_reads_loses_the_newest_and_is_counted() -> None:
    async with served() as it, it.client() as mute, it.client() as other:
        await mute.follow()
        for number in range(20_000):
            it.feed.publish("stream", {"number": number})
            if number % 1_000 == 0:
                await other.ask(b"x")

        assert it.dropped_answers > 0
        kept = 20_000 - it.dropped_answers
        numbers = [(await mute.answer())["number"] for _ in range(kept)]
        assert numbers == sorted(set(numbers))
        # Once it reads again, it is told again.
        it.feed.publish("stream", {"number": 20_000})
        assert (await mute.answer())["number"] == 20_000


@within(30)
async def test_followers_that_never_read_wait_for_one_copy_of_each_event() -> None:
    async with served() as it, AsyncExitStack() as stack:
        for _ in range(100):
            await (await stack.enter_async_context(it.client())).follow()
        tracemalloc.start()
        try:
            for _ in range(2_000):
                it.feed.publish("skipped", reason="x" * 1_000)
                await trio.lowlevel.checkpoint()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert most < 10_000_000, "one copy each would be 200 MB"
        assert it.dropped_answers > 0


@within(20)
async def test_lines_that_never_end_hold_a_bounded_room_together() -> None:
    async with served() as it, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(it.client()) for _ in range(400)]
        tracemalloc.start()
        try:
            for client in clients:
                await client.stream.send_all(b"x" * 60_000)
            await wait_all_tasks_blocked(0.01)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 20_000_000, "all of them would be 24 MB"

        answers = [await client.ask(b"") for client in clients]
        errors = {answer["error"].partition(":")[0] for answer in answers}
        assert errors == {"not JSON", "line"}
        assert await clients[-1].ask(signal_line(id="n-1")) == accepted("n-1")


# The end ----------------------------------------------------------------------------


@within(5)
async def test_a_stop_closes_every_connection_at_once() -> None:
    async with served() as it, it.client() as idle, it.client() as follower:
        await follower.follow()
        await idle.ask(signal_line())
        await idle.stream.send_all(b"half a line")

        it.stop()
        with trio.CancelScope(shield=True), trio.fail_after(30):
            assert await no_more(idle)
            assert await no_more(follower)
    assert it.feed._followers == {}


async def no_more(client: Client) -> bool:
    """Wait until the daemon has closed the connection; tell that it said nothing."""
    try:
        return await client.rest() == []
    except trio.BrokenResourceError:
        return True


@within(5)
async def test_a_client_that_goes_away_is_not_worth_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with served() as it, it.client() as other:
        async with it.client() as client:
            await client.send(*(signal_line(id=f"n-{n}") for n in range(100)))
        async with it.client() as client:
            await client.follow()
        it.feed.publish("stream")
        it.feed.publish("stream")
        assert json.dumps(await other.ask(STATUS))

    assert caplog.record_tuples == []
