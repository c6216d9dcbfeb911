"""Foreign text cannot move a cursor, forge a line, or hide."""

import pytest

from snexec.logs.printing import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 株", "plain, naïve, 株"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("a\u202eb\x9b", r"a\u202eb\x9b"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown
