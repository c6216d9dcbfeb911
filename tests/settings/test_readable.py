"""What can be read of a file with a mistake in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.errors import ConfigError
from snexec.settings import read_what_can_be

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
database = "mine.db"
[intake]
socket = "mine.sock"
max_pending = 7
[bot]
trade_size_stars3 = 51.0
"""


@pytest.mark.parametrize(
    "mistake",
    [
        "",
        "[bots]\nx = 1\n",
        "[notify]\nwebhok = 1\n",
        "[alpaca]\nsimulate = ture\n",
        "[alpaca]\nsimulate\n",
        "[alpaca]\napi_key = 'x'\n",
        "[metrics]\nlisten = 12\n",
        "[exits]\nhard_stop_loss_pct = -1.0\nno_such = 2\n",
        "[exchange.symbols.AAPL]\npath = 'up'\n",
        '[stream]\nreconnect_delay_sec = "soon\n',
        "= = =\n]]\n{\n",
        "[alpaca]\nlive_url = \xff\n",
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_everything_else_is_read(tmp_path: Path, mistake: str, *, first: bool) -> None:
    path = tmp_path / "c.toml"
    top, rest = GOOD.split("\n", 1)
    text = f"{top}\n{mistake}{rest}" if first else GOOD + mistake
    path.write_bytes(text.encode("latin-1"))

    settings = read_what_can_be(path)

    assert settings.database == str(tmp_path / "mine.db")
    assert settings.intake.socket == str(tmp_path / "mine.sock")
    assert settings.intake.max_pending == 7
    assert settings.bot.trade_size_stars3 == 51


def test_a_wrong_value_is_its_default_and_its_neighbours_stay(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(GOOD.replace('"mine.sock"', "5"))

    settings = read_what_can_be(path)

    assert settings.intake.socket == str(tmp_path / "snexec.sock")
    assert settings.intake.max_pending == 7


def test_a_file_of_nothing_but_mistakes_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("]\n" * 10_000)

    with pytest.raises(ConfigError, match="nothing in it can be read"):
        read_what_can_be(path)
