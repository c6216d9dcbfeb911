"""Prices from a file that others write, such as a recording or a feed's own output."""

import csv
import logging
from decimal import Decimal, InvalidOperation
from pathlib import Path

import trio

from snexec.exchange.prices import Prices

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_MAX_BYTES = 16 * 1024 * 1024


class PriceFile:
    """Keeps symbols at the prices of a file: a line each, as in ``KO,62.10``.

    Lines that are none, such as a head, are passed over; the last of a symbol counts.

    Args:
        path: The file, read again whenever it has changed.
        prices: Where they are fixed.
    """

    def __init__(self, path: Path, prices: Prices) -> None:
        self._path = path
        self._prices = prices
        self._version: tuple[int, int, int] | None = None

    def read(self) -> int:
        """Read the file if it has changed, and return how many prices were fixed.

        Raises:
            OSError: It cannot be read.
        """
        found = self._path.stat()
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if version == self._version:
            return 0
        with self._path.open(encoding="utf-8", errors="replace", newline="") as file:
            text = file.read(_MAX_BYTES)
        self._version = version
        fixed = dict(filter(None, map(_parsed, csv.reader(text.splitlines()))))
        for symbol, price in fixed.items():
            self._prices.fix(symbol, price)
        return len(fixed)

    async def run(self) -> None:
        """Follow the file until cancelled; one that is gone changes nothing."""
        problem = ""
        while True:
            await trio.sleep(_LOOK_SECONDS)
            try:
                self.read()
            except OSError as exc:
                if problem != str(exc):
                    log.warning("the file of prices cannot be read: %s", exc)
                problem = str(exc)
            else:
                problem = ""


def _parsed(cells: list[str]) -> tuple[str, Decimal] | None:
    if len(cells) < 2:
        return None
    try:
        price = Decimal(cells[1].strip().removeprefix("$"))
    except InvalidOperation:
        return None
    symbol = cells[0].strip().upper()
    return (symbol, price) if symbol and price.is_finite() and price > 0 else None
