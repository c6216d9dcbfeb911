"""What an account holds: each entry for itself, and nothing from what cannot be read."""

from __future__ import annotations

import itertools
import json
import string
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.budget import Purpose
from snexec.broker.positions import HeldPosition, read_position, read_positions
from snexec.errors import NotFoundError, UnknownOutcomeError
from tests.broker.asking import BASE
from tests.exits.hands import make_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import respx

    from snexec.broker.client import AlpacaClient

KO: dict[str, Any] = {
    "asset_class": "us_equity",
    "avg_entry_price": "86.879891",
    "current_price": "86.88",
    "qty": "0.557436865",
    "qty_available": "0.500000000",
    "side": "long",
    "symbol": "KO",
}
READ = HeldPosition(
    symbol="KO",
    quantity=Decimal("0.557436865"),
    quantity_text="0.557436865",
    available=Decimal("0.5"),
    current_price=Decimal("86.88"),
    average_price=Decimal("86.879891"),
    side="long",
)


def body(*entries: object) -> bytes:
    return json.dumps(entries).encode()


async def test_a_position_is_read_as_alpaca_writes_it() -> None:
    assert list(await read_positions(body(KO))) == [READ]
    assert read_position(json.dumps(KO).encode(), "KO") == READ


async def test_the_brokers_own_spelling_of_the_quantity_is_kept() -> None:
    told = {**KO, "qty": "1.500000000"}
    [text] = await read_positions(body(told))
    [number] = await read_positions(body({**KO, "qty": 1e-9}))
    assert text.quantity_text == "1.500000000"
    assert number.quantity_text == "0.000000001"


@pytest.mark.parametrize(
    ("told", "kind", "symbol"),
    [
        ("BTCUSD", "crypto", "BTC/USD"),
        ("BTC/USD", "crypto", "BTC/USD"),
        ("OPUSD", "crypto", "OP/USD"),
        ("BUSD", "us_equity", "BUSD"),
        ("BRK.B", "us_equity", "BRK.B"),
    ],
)
async def test_a_symbol_has_its_canonical_spelling(
    told: str, kind: str, symbol: str
) -> None:
    entry = {**KO, "symbol": told, "asset_class": kind}
    assert [each.symbol for each in await read_positions(body(entry))] == [symbol]
    assert read_position(json.dumps(entry).encode(), symbol).symbol == symbol


async def test_what_no_row_can_have_is_passed_over() -> None:
    option = {**KO, "symbol": "AAPL240119C00100000", "asset_class": "us_option"}
    positions = await read_positions(body(option, {**KO, "symbol": "ETHBTC"}, KO))
    assert list(positions) == [READ]
    assert positions.speaks_of("AAPL")


@pytest.mark.parametrize(
    "changes",
    [
        {"qty": None},
        {"qty": "many"},
        {"qty": "1e400"},
        {"qty": True},
        {"qty": "--5"},
        {"qty": "-5"},
        {"side": "both"},
        {"side": 5},
    ],
    ids=str,
)
async def test_an_entry_that_cannot_be_read_says_neither_held_nor_gone(
    changes: dict[str, object],
) -> None:
    positions = await read_positions(body({**KO, **changes}, {**KO, "symbol": "GE"}))
    assert [each.symbol for each in positions] == ["GE"]
    assert not positions.speaks_of("KO")
    assert positions.speaks_of("GE")
    assert positions.speaks_of("AAPL")
    assert positions.get("KO") is None


@pytest.mark.parametrize("symbol", [None, 5, "", "A" * 65, "A\u0000B", "Ä", ["KO"]])
async def test_an_entry_without_a_symbol_may_be_any_symbols(symbol: object) -> None:
    positions = await read_positions(
        body({**KO, "symbol": symbol}, {**KO, "symbol": "GE"})
    )
    assert not positions.speaks_of("KO")
    assert positions.speaks_of("GE")


@pytest.mark.parametrize("second", ["KO", "ko"])
async def test_two_entries_of_one_asset_contradict_each_other(second: str) -> None:
    positions = await read_positions(body(KO, {**KO, "symbol": second, "qty": "9"}))
    assert list(positions) == []
    assert not positions.speaks_of("KO")


@pytest.mark.parametrize(
    ("free", "available"),
    [
        ("0", "0"),
        (None, "0.557436865"),
        ("?", "0.557436865"),
        ("9", "0.557436865"),
        ("-1", "0.557436865"),
    ],
)
async def test_what_is_free_is_never_more_than_what_is_held(
    free: object, available: str
) -> None:
    [position] = await read_positions(body({**KO, "qty_available": free}))
    assert position.available == Decimal(available)


@pytest.mark.parametrize("price", [None, "0", "-5", "NaN", "1e19", "x", [], True])
async def test_a_price_that_is_none_hides_no_position(price: object) -> None:
    entry = {**KO, "current_price": price, "avg_entry_price": price}
    assert list(await read_positions(body(entry))) == [
        READ._replace(current_price=None, average_price=None)
    ]


@pytest.mark.parametrize("qty", ["-5", "5", -5])
async def test_what_is_owed_is_not_held(qty: object) -> None:
    [position] = await read_positions(body({**KO, "qty": qty, "side": "short"}))
    assert (position.quantity, position.side) == (Decimal(-5), "short")
    assert (position.held, position.available) == (Decimal(0), Decimal(0))


@pytest.mark.parametrize("entry", [None, 1, "KO", [], True])
async def test_an_entry_that_is_no_position_hides_none_and_shows_none_gone(
    entry: object,
) -> None:
    positions = await read_positions(body(entry, KO))
    assert list(positions) == [READ]
    assert positions.speaks_of("KO")
    assert not positions.speaks_of("GE")


@pytest.mark.parametrize("spelled", ["[%s,%s]", " [ %s ,\n%s\t]\r\n"])
async def test_a_list_is_read_however_json_spaces_it(spelled: str) -> None:
    told = spelled % (json.dumps(KO), json.dumps({**KO, "symbol": "GE"}))
    assert [each.symbol for each in await read_positions(told.encode())] == ["KO", "GE"]
    for none in (b"[]", b" [ ] "):
        assert list(await read_positions(none)) == []


@pytest.mark.parametrize(
    "more",
    [
        {"note": "a}, {b"},
        {"note": "a}"},
        {"note": '"}'},
        {"note": {"a": {}}},
        {"": [{}]},
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_an_entry_is_read_whatever_else_is_in_it(
    more: dict[str, object], at: int
) -> None:
    told = [{**KO, "symbol": symbol} for symbol in ("A", "B", "C")]
    told[at] |= more
    assert [each.symbol for each in await read_positions(body(*told))] == [
        "A",
        "B",
        "C",
    ]


async def test_other_tasks_have_their_turn_while_a_long_list_is_read() -> None:
    names = [f"{a}{b}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    content = body(*[{**KO, "symbol": name} for name in names])
    turns, read = 0, trio.Event()

    async def other() -> None:
        nonlocal turns
        while not read.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        found = await read_positions(content)
        read.set()
    assert [each.symbol for each in found] == names
    assert turns > 10, "it was read in one step"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"null", b"<html>", b"[" * 99_999, b'{"a":[]}', b"\xff", b"["),
        *(b"[{}", b"[{},", b"[{},]", b"[{} {}]", b"[,{}]", b"[{}]]", b"[]{}"),
    ],
)
async def test_what_is_no_list_is_no_answer(content: bytes) -> None:
    with pytest.raises(UnknownOutcomeError, match="no list of positions"):
        await read_positions(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({**KO, "symbol": "GE"}).encode(),
        json.dumps({**KO, "symbol": None}).encode(),
        json.dumps({**KO, "qty": "x"}).encode(),
    ],
)
def test_an_answer_that_does_not_speak_of_the_position_is_none(content: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        read_position(content, "KO")


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(KO)),
            st.one_of(
                st.none(),
                st.booleans(),
                st.floats(),
                st.integers(),
                st.text(max_size=9),
            ),
        )
    )
)
async def test_no_entry_whatsoever_breaks_the_list(
    entries: list[dict[str, object]],
) -> None:
    mixed = await read_positions(body(*[{**KO, **each} for each in entries], {**KO, "symbol": "GE"}))  # fmt: skip
    for position in mixed:
        assert 0 <= position.available <= max(position.quantity, Decimal(0))
        assert Decimal(position.quantity_text).copy_abs() == abs(position.quantity)


async def test_what_is_known_of_a_symbol_already_is_not_kept_twice() -> None:
    known = make_position(
        symbol="KO",
        remaining=Decimal("0.557436865"),
        entry_price=Decimal("86.879891"),
        held="0.557436865",
    )
    listed = await read_positions(body(KO, {**KO, "symbol": "GE"}), {"KO": known}.get)
    ours, other = listed
    assert (ours, other) == (READ, READ._replace(symbol="GE"))
    for field, kept in (
        (ours.symbol, known.symbol),
        (ours.quantity, known.remaining),
        (ours.quantity_text, known.held),
        (ours.average_price, known.entry_price),
    ):
        assert field is kept


async def test_what_has_changed_is_as_the_list_has_it() -> None:
    known = make_position(
        symbol="KO", remaining=Decimal(1), entry_price=Decimal(2), held="1"
    )
    assert list(await read_positions(body(KO), {"KO": known}.get)) == [READ]


async def test_a_client_asks_for_all_of_them_and_for_one(
    respx_mock: respx.MockRouter, client: AlpacaClient
) -> None:
    respx_mock.get(f"{BASE}/v2/positions").respond(json=[KO])
    respx_mock.get(f"{BASE}/v2/positions/BTCUSD").respond(
        json={**KO, "symbol": "BTCUSD", "asset_class": "crypto"}
    )
    respx_mock.get(f"{BASE}/v2/positions/GE").respond(404, json={"code": 40410000})
    for _ in range(3):
        assert client.budget.try_take(Purpose.START)
    assert list(await client.positions()) == [READ]
    assert (await client.position("BTC/USD")).symbol == "BTC/USD"
    with pytest.raises(NotFoundError):
        await client.position("GE")


async def test_an_account_of_ten_thousand_is_read_and_others_have_their_turn(
    nursery: trio.Nursery, make_client: Callable[..., AlpacaClient]
) -> None:
    # As long as Alpaca's own, which has much that is not asked for.
    padding = {f"unrealized_{n}": "0.000000000" for n in range(12)}
    content = body(*({**KO, **padding, "symbol": symbol} for symbol in symbols(10_000)))
    assert len(content) > 5 * 1024 * 1024

    async def serve(stream: trio.SocketStream) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(head + content)

    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    client = make_client(
        f"http://127.0.0.1:{listener.socket.getsockname()[1]}", timeout_seconds=60.0
    )
    assert client.budget.try_take(Purpose.START)
    nursery.start_soon(take_turns)
    with trio.fail_after(60):
        positions = await client.positions()
    assert [each.symbol for each in positions] == list(symbols(10_000))
    assert positions.is_whole
    assert turns > 1000, "an order that comes meanwhile waits for a few entries"
    nursery.cancel_scope.cancel()


def symbols(count: int) -> Iterator[str]:
    """Name as many shares."""
    names = itertools.product(string.ascii_uppercase, repeat=3)
    return map("".join, itertools.islice(names, count))
