"""Log records, and what becomes of them, for the tests of log lines."""

import logging
import re

from snexec.logs.lines import LineFormatter
from snexec.logs.mask import SecretMask
from tests.input_helpers import NOW

SECRET = 'aB3"c/d+e\\f'
HEAD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \[\w+\] ")


def mask_of(*secrets: str) -> SecretMask:
    mask = SecretMask()
    mask.learn(secrets)
    return mask


def record(
    text: str, *args: object, level: int = logging.INFO, error: Exception | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("TradingWs", level, __file__, 1, text, args, exc_info)
    made.created = NOW.timestamp()
    return made


def formatted(
    text: str, *args: object, error: Exception | None = None, secret: str = SECRET
) -> str:
    return LineFormatter(mask_of(secret)).format(record(text, *args, error=error))


def raised(text: str, cause: str | None = None) -> Exception:
    """Give an error with a traceback, and perhaps another behind it."""
    try:
        try:
            if cause is not None:
                raise KeyError(cause)
        finally:
            raise ValueError(text)
    except ValueError as exc:
        return exc


def runs_shown(secret: str, shown: str) -> set[str]:
    """Return the runs of eight characters of a secret that a text shows."""
    letters = re.sub("[^0-9a-z]", "", shown.lower())
    runs = (secret[start : start + 8].lower() for start in range(len(secret) - 7))
    return {run for run in runs if run in letters}
