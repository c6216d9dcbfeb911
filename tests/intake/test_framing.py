"""Bytes become bounded lines, whatever the pieces they come in."""

import itertools
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snexec.intake.framing import LineSplitter, LongLines

LONGEST = 8


def split(pieces: list[bytes], *, max_bytes: int = LONGEST) -> list[bytes | None]:
    """Give the lines of all pieces, to the end."""
    splitter = LineSplitter(max_bytes)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return [*lines, *splitter.finish()]


def lines_of(data: bytes) -> list[bytes | None]:
    """Tell what the lines are, all at once and without a thought of memory."""
    *lines, last = data.split(b"\n")
    if last:
        lines.append(last)
    return [line if len(line) <= LONGEST else None for line in lines]


@st.composite
def data_and_cuts(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    texts = st.binary(max_size=LONGEST + 3) | st.just(b"x" * LONGEST)
    data = b"\n".join(draw(st.lists(texts, max_size=12)))
    places = draw(st.lists(st.integers(0, len(data)), max_size=20))
    bounds = [0, *sorted(places), len(data)]
    return data, [data[a:b] for a, b in itertools.pairwise(bounds)]


@given(data_and_cuts())
def test_the_cuts_do_not_change_the_lines(case: tuple[bytes, list[bytes]]) -> None:
    data, pieces = case

    assert split(pieces) == lines_of(data)


@given(st.text("x\n", max_size=60))
@example("x" * LONGEST + "\n")
@example("x" * (LONGEST + 1) + "\n")
def test_single_bytes_give_the_same_lines_as_all_at_once(text: str) -> None:
    data = text.encode()

    assert split([data[i : i + 1] for i in range(len(data))]) == lines_of(data)
    assert split([data]) == lines_of(data)


@given(data_and_cuts())
def test_a_bytearray_that_is_used_again_changes_no_line(
    case: tuple[bytes, list[bytes]],
) -> None:
    data, pieces = case
    splitter = LineSplitter(LONGEST)
    lines: list[bytes | None] = []
    for piece in pieces:
        buffer = bytearray(piece)
        lines += splitter.feed(buffer)
        buffer[:] = b"\n" * len(buffer)

    assert [*lines, *splitter.finish()] == lines_of(data)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"\n"], [b""]),
        ([b"\n\n"], [b"", b""]),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a\r\n"], [b"a\r"]),
        ([b"a\0b\n"], [b"a\0b"]),
        ([b"a", b"b", b"\n", b"c"], [b"ab", b"c"]),
    ],
)
def test_a_newline_ends_a_line_and_so_does_the_end(
    pieces: list[bytes], lines: list[bytes]
) -> None:
    assert split(pieces) == lines


def test_a_line_comes_as_soon_as_it_is_complete() -> None:
    splitter = LineSplitter(LONGEST)

    assert list(splitter.feed(b"a\nb")) == [b"a"]
    assert list(splitter.feed(b"")) == []
    assert list(splitter.feed(b"c\n")) == [b"bc"]


def test_it_is_within_a_line_from_its_first_byte_to_its_end() -> None:
    splitter = LineSplitter(8)
    within = [splitter.is_within_line]
    for data in (b"a\nb", b"c", b"\n", b"x" * 20, b"y", b"\nlast"):
        list(splitter.feed(data))
        within.append(splitter.is_within_line)
    assert within == [False, True, True, False, True, True, True]
    list(splitter.finish())
    assert not splitter.is_within_line


def test_there_is_nothing_after_the_end() -> None:
    splitter = LineSplitter(LONGEST)
    list(splitter.feed(b"a\nb"))

    assert list(splitter.finish()) == [b"b"]
    assert list(splitter.finish()) == []


def test_a_line_of_the_limit_is_given_and_one_more_byte_is_not() -> None:
    assert split([b"x" * LONGEST + b"\n"]) == [b"x" * LONGEST]
    assert split([b"x" * LONGEST]) == [b"x" * LONGEST]
    assert split([b"x" * (LONGEST + 1) + b"\n"]) == [None]
    assert split([b"x" * (LONGEST + 1)]) == [None]


def test_a_line_that_is_too_long_is_given_once_and_when_it_ends() -> None:
    splitter = LineSplitter(LONGEST)

    assert list(splitter.feed(b"x" * 100)) == []
    assert list(splitter.feed(b"x" * 100)) == []
    assert list(splitter.feed(b"x\na\n")) == [None, b"a"]
    assert list(splitter.finish()) == []


def test_a_line_without_end_does_not_grow_memory() -> None:
    splitter, piece = LineSplitter(64 * 1024), b"x" * (64 * 1024)
    tracemalloc.start()
    try:
        for _ in range(1_000):
            assert list(splitter.feed(piece)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 512 * 1024  # of 64 MB
    assert list(splitter.finish()) == [None]


def test_how_a_line_that_is_too_long_began_and_ended_is_known() -> None:
    splitter = LineSplitter(5000)
    data = b"".join(b"%04d" % number for number in range(3000))

    for size in (1, 900, 1500, 12_000):
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        assert [line for piece in pieces for line in splitter.feed(piece)] == []
        assert list(splitter.feed(b"\n")) == [None]
        assert splitter.too_long == data[:1024] + data[-256:]


# The room of all clients ---------------------------------------------------------------


def test_unfinished_lines_of_all_clients_share_one_bound() -> None:
    room = LongLines(100_000)
    clients = [LineSplitter(65_536, room) for _ in range(50)]
    for client in clients:
        assert list(client.feed(b"x" * 60_000)) == []

    lines = [line for client in clients for line in client.feed(b"\n")]
    assert [len(line) for line in lines if line is not None] == [60_000]
    assert clients[1].lost == (
        "longer than 4096 bytes, and long lines of other clients take all the room"
    )


def test_a_signal_finds_room_whatever_others_hold() -> None:
    room = LongLines(65_536)
    greedy, other = LineSplitter(65_536, room), LineSplitter(65_536, room)
    list(greedy.feed(b"x" * 65_536))

    assert list(other.feed(b"y" * 4096 + b"\n")) == [b"y" * 4096]
    assert list(other.feed(b"y" * 4097 + b"\n")) == [None]


@pytest.mark.parametrize("end", [b"\n", b"x" * 10_000, b""])
def test_room_is_given_back(end: bytes) -> None:
    room = LongLines(65_536)
    with LineSplitter(65_536, room) as splitter:
        list(splitter.feed(b"x" * 30_000))
        list(splitter.feed(b"x" * 30_000))
        list(splitter.feed(end))

    assert room.take(65_536)
    assert not room.take(1)


def test_a_line_that_is_too_long_for_anybody_says_so() -> None:
    splitter = LineSplitter(65_536, LongLines(1_000_000))
    assert list(splitter.feed(b"x" * 65_537 + b"\n")) == [None]
    assert splitter.lost == "longer than 65536 bytes"
