"""Known secrets, masked in whatever is shown: whole, cut, split, or spelled otherwise.

A broker or a proxy may echo a key cut to ten characters, in capitals, over two lines, or
escaped by its own JSON, URL or HTML. So a text is read without escapes, case and what
stands between letters, and whatever shows eight characters of a secret in a row is
masked (SPEC 11). The time is linear in the text, whatever it holds.
"""

from __future__ import annotations

import base64
import math
import re
import string
import struct
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from snexec.logs.printing import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MASK = "***"
_RUN_CHARS = 8  # of a secret are masked wherever they stand; of a shorter one, all
_MIN_SECRET_CHARS = 6  # masking shorter ones would eat ordinary words
_STRONG_CHARS = 16  # letters and digits: so many are a secret without their punctuation
_GRAM_CHARS = 4
_REMEMBERED_CHARS = 256
_REMEMBERED_TEXTS = 4096
_NUMBERS = frozenset({int, float, bool, Decimal, type(None)})
_SLACK = 4  # how many times as much as is shown is looked at, as masks shorten a text

_ESCAPE = re.compile(
    r"\\+(?:u([0-9a-f]{4})|x([0-9a-f]{2})|[abfnrtv0]?)"  # of JSON, Python, C
    r"|%(?:25)*([0-9a-f]{2})"
    r"|&(?:amp;)*(?:\#([0-9]{1,7})|\#x([0-9a-f]{1,6})|([a-z]{2,8}));",
    re.IGNORECASE,
)
_LOWER = bytes(range(256)).lower()
_LETTERS = frozenset((string.ascii_letters + string.digits).encode())
# `?` stands for whatever is not ASCII; the others may belong to an escape.
_MARKS = frozenset(string.punctuation.encode()) - frozenset(b"?\\%&;#")


class SecretMask:
    """Replaces known secrets by ``***``, however they are echoed."""

    def __init__(self) -> None:
        self._strong = _Reading(_LETTERS)
        self._weak = _Reading(_LETTERS | _MARKS)
        self._readings: list[_Reading] = []
        self._least = math.inf
        # Ids come again in line after line, and most lines hold nothing else.
        self._clean: set[str] = set()

    def learn(self, secrets: Iterable[str], *, only_whole: bool = False) -> None:
        """Add secrets; the old ones stay, as lines that hold them may still come.

        Args:
            secrets: Those of fewer than six characters are no secrets.
            only_whole: Whether a part of one gives nothing away, such as an address.
        """
        for secret in secrets:
            plain = _without_escapes(secret)
            letters = self._strong.read(plain)
            if len(letters) >= _STRONG_CHARS and not only_whole:
                self._strong.learn(letters)
            elif len(marked := self._weak.read(plain)) >= _MIN_SECRET_CHARS:
                self._weak.learn(marked, only_whole=only_whole)
            else:
                continue
            if not only_whole:
                for form in _in_base64(secret):
                    self._strong.learn(self._strong.read(form))
        self._readings = [each for each in (self._strong, self._weak) if each.runs]
        self._least = min((min(each.runs) for each in self._readings), default=math.inf)
        self._clean = set()

    def apply(self, text: str) -> str:
        """Return the text with every secret masked, and every part of one."""
        if len(text) < self._least:
            return text
        if len(text) > _REMEMBERED_CHARS:
            return self._masked(text)
        clean = self._clean  # which another thread may replace, as it learns
        if text in clean:
            return text
        masked = self._masked(text)
        if masked is text:
            self._remember([text], clean)
        return masked

    def are_clean(self, values: Iterable[object]) -> bool:
        """Return whether all are texts or numbers, and no text holds a secret."""
        clean, least = self._clean, self._least
        unknown: list[str] = []
        for value in values:
            if type(value) is str:
                if value not in clean and len(value) >= least:
                    unknown.append(value)
            elif type(value) not in _NUMBERS:
                return False
        if not unknown:
            return True
        together = "\n".join(unknown)  # one look is quicker than one at each
        if self._masked(together) is together:
            if len(together) <= _REMEMBERED_CHARS:
                self._remember(unknown, clean)
            return True
        return all(self.apply(each) is each for each in unknown)

    def _remember(self, texts: list[str], clean: set[str]) -> None:
        if len(clean) >= _REMEMBERED_TEXTS:
            clean.clear()
        clean.update(texts)

    def _masked(self, text: str) -> str:
        plain = _without_escapes(text)
        found: list[tuple[int, int]] = []
        for reading in self._readings:
            if reading.may_hold(plain):
                found += reading.spans(plain)
        if not found:
            return text
        if plain is not text:
            places = list(_places(text))
            found = [(places[begin], places[end]) for begin, end in found]
        shown, at = [], 0
        for begin, end in _joined(found):
            shown += [text[at:begin], MASK]
            at = end
        return "".join([*shown, text[at:]])

    def if_any(self, text: str | None) -> str | None:
        """Return a text, if there is one, with every secret masked."""
        return None if text is None else self.apply(text)

    def beginning(self, text: str, chars: int) -> str:
        """Return the first characters of a text of any length; masked, and then cut."""
        return self.apply(text[: _SLACK * chars])[:chars]

    def shown(self, text: str, chars: int) -> str:
        """Return foreign text fit for a line: masked, printable, and only then cut."""
        whole = printable(self.apply(text[: _SLACK * chars]))
        return whole if len(whole) <= chars else f"{whole[:chars]}…"

    def within(self, value: object) -> object:
        """Return a value that JSON can hold with every text in it masked."""
        match value:
            case str():
                return self.apply(value)
            case dict():
                return {key: self.within(inner) for key, inner in value.items()}
            case list() | tuple():
                return [self.within(inner) for inner in value]
            case _:
                return value


class _Reading:
    """One way to read texts, and what gives a secret away when it is read so.

    Attributes:
        runs: Sequences of characters that are masked, by their length.
    """

    def __init__(self, characters: frozenset[int]) -> None:
        self._characters = characters
        self._passed_over = bytes(set(range(256)) - characters)
        self._grams: set[int] = set()
        self._whole: list[bytes] = []
        self.runs: dict[int, set[bytes]] = {}

    def read(self, text: str) -> bytes:
        """Return what is compared: without case, spaces, and marks that do not count."""
        return text.encode("ascii", "replace").translate(_LOWER, self._passed_over)

    def learn(self, secret: bytes, *, only_whole: bool = False) -> None:
        """Look for a secret, and for every run of its characters unless it is short."""
        if only_whole or len(secret) < _RUN_CHARS:
            self.runs.setdefault(len(secret), set()).add(secret)
            self._whole.append(secret)
            return
        self.runs.setdefault(_RUN_CHARS, set()).update(_parts(secret, _RUN_CHARS))
        for part in _parts(secret, _GRAM_CHARS):
            self._grams.update(_groups_of(1)(part))

    def may_hold(self, text: str) -> bool:
        """Return whether there may be any of it: quick, and hardly ever wrong.

        A run is so long that one of the groups of four that a text falls into lies
        within it, wherever it begins.
        """
        read = self.read(text)
        count = len(read) // _GRAM_CHARS
        if not self._grams.isdisjoint(_groups_of(count)(read)):
            return True
        return bool(self._whole) and any(secret in read for secret in self._whole)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where runs stand in a text, those of one secret as one."""
        read = self.read(text)
        found = [
            (start, start + length)
            for length, runs in self.runs.items()
            for start in range(len(read) - length + 1)
            if read[start : start + length] in runs
        ]
        if not found:
            return
        places = [
            place
            for place, character in enumerate(text.encode("ascii", "replace"))
            if character in self._characters
        ]
        for begin, end in _joined(found):
            yield places[begin], places[end - 1] + 1


@lru_cache(maxsize=256)
def _groups_of(count: int) -> Callable[[bytes], tuple[Any, ...]]:
    """Return what reads the groups of four characters of a text as numbers."""
    return struct.Struct(f"={count}I").unpack_from


def _parts(text: bytes, length: int) -> Iterator[bytes]:
    """Yield every part of this length."""
    return (text[start : start + length] for start in range(len(text) - length + 1))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, with those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _without_escapes(text: str) -> str:
    """Return a text as it was before somebody escaped it; the same one if nobody did."""
    if "\\" in text or "%" in text or "&" in text:
        return _ESCAPE.sub(_meaning, text)
    return text


def _places(text: str) -> Iterator[int]:
    """Yield where each character without escapes begins in the text, and its end."""
    at = 0
    for escape in _ESCAPE.finditer(text):
        yield from range(at, escape.start())
        at = escape.start()
        if (meaning := _meaning(escape)) != escape.group():
            yield from [at] * len(meaning)
            at = escape.end()
    yield from range(at, len(text) + 1)


def _meaning(escape: re.Match[str]) -> str:
    """Return the character that an escape stands for; nothing for a line break."""
    json_code, byte, percent, decimal, code, name = escape.groups()
    if number := json_code or byte or percent or code:
        return _character(int(number, 16))
    if decimal:
        return _character(int(decimal))
    if name:
        import html  # noqa: PLC0415 - 700 kB, for which hardly any text asks

        meaning = html.unescape(f"&{name};")
        return meaning if len(meaning) == 1 else escape.group()
    return ""


def _character(code: int) -> str:
    return chr(code) if code < 128 else "?"


def _in_base64(secret: str) -> Iterator[str]:
    """Yield the characters that a secret alone decides, wherever it begins."""
    content = secret.encode()
    for before in range(3):
        padded = b"\0" * before + content
        first, last = -(-8 * before // 6), 8 * len(padded) // 6
        form = base64.b64encode(padded).decode()[first:last]
        if len(form) >= _RUN_CHARS:
            yield form
