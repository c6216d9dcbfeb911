"""The README says what is so."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import tomllib
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from pydantic import BaseModel

from snexec.cli import cli
from snexec.clock import SystemClock
from snexec.ledger import open_database
from snexec.settings import ExitSettings, PageSettings, RedisSettings, Settings
from tests import house
from tests.integration.harness import ROOT, Box, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """Return the text below a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str) -> list[list[str]]:
    """Return the cells of every table's rows, without their heads."""
    rows = [
        re.split(r"(?<!\\)\|", line.strip("|"))
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return [[cell.strip() for cell in row] for row in rows]


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name every key of the settings, with its default."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if name == "exits":
            yield from keys(ExitSettings, "exits.")  # which a file may leave out
        elif name == "page":
            yield from keys(PageSettings, "page.")
        elif name == "redis":
            yield from keys(RedisSettings, "redis.")
        elif isinstance(default, BaseModel):
            yield from keys(type(default), f"{name}.")
        else:
            yield prefix + name, default


def test_every_key_is_there_with_its_default() -> None:
    written = {
        row[0].strip("`"): None if row[1] == "none" else tomllib.loads(
            f"value = {row[1].strip('`')}"
        )["value"]
        for row in table(section("Configuration"))
    }  # fmt: skip
    known = {
        name: float(default) if isinstance(default, Decimal) else default
        for name, default in keys(Settings)
    }
    assert written == known


def test_every_command_is_there() -> None:
    words = " ".join(row[0] for row in table(section("Commands")))
    named = set(re.findall(r"`snexec (\w+)", words))
    assert named == set(cli.commands)


def test_every_test_that_pins_a_promise_exists() -> None:
    names = re.findall(r"`(tests/\w+|test_\w+(?:\.py)?)`", section("Promises"))
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert names
    for name in names:
        if name.startswith("tests/"):
            assert (ROOT / name).is_dir(), name
        elif name.endswith(".py"):
            assert name in {path.name for path in tests}, name
        else:
            assert any(f"def {name}(" in text for text in tests.values()), name


@pytest.mark.parametrize("wing", house.WINGS)
def test_every_wing_is_named_by_the_words_of_its_face(wing: str) -> None:
    face = ast.parse((ROOT / "snexec" / wing / "__init__.py").read_text())
    title = (ast.get_docstring(face) or "").splitlines()[0]
    rows = dict(table(section("For whoever reads the code")))
    words = title.partition(": ")[2].removesuffix(".")
    assert rows[f"`snexec/{wing}/`"] == words


def test_the_wings_stand_in_the_order_of_their_floors() -> None:
    rows = table(section("For whoever reads the code"))
    named = [row[0].split("/")[1] for row in rows if row[0].startswith("`snexec/")]
    assert [name for name in named if name in house.WINGS] == list(house.WINGS)


def test_every_file_that_is_named_to_the_reader_exists() -> None:
    text = section("For whoever reads the code")
    names = re.findall(r"`((?:snexec|tests)/[\w/]+\.py)`", text)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []


def models() -> dict[str, dict[str, str]]:
    """Return Prisma's models: each column's type."""
    found = re.findall(r"^model (\w+) {\n(.*?)^}", README, re.DOTALL | re.MULTILINE)
    return {
        name: {line.split()[0]: line.split()[1] for line in body.splitlines()}
        for name, body in found
    }


@pytest.mark.parametrize("table", ["BotTrade", "BotExit"])
def test_prismas_model_is_the_table(tmp_path: Path, table: str) -> None:
    kinds = {
        "TEXT": "String",
        "REAL": "Float",
        "INTEGER": "Int",
        "DATETIME": "DateTime",
    }
    database = open_database(tmp_path / "t.db", simulated=True, clock=SystemClock())
    with closing(database) as connection:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    assert models()[table] == {
        column["name"]: kinds[column["type"]]
        + ("" if column["notnull"] or column["pk"] else "?")
        for column in columns
    }


def example(language: str) -> str:
    """Return the first example in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("language", "program", "symbol"),
    [
        ("python", [sys.executable, "-c"], "NVDA"),
        ("javascript", ["node", "-e"], "AMD"),
        ("sh", ["sh", "-c"], "KO"),
    ],
)
async def test_an_example_of_the_socket_sends_a_signal(
    language: str, program: list[str], symbol: str
) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with short_folder() as folder:
        box = Box(folder)
        box.socket = folder / "snexec.sock"
        box.configure(intake={"socket": "snexec.sock"})
        async with box.daemon() as process:
            with trio.fail_after(20):
                done = await trio.run_process(
                    [*program, example(language)],
                    cwd=folder,
                    env=os.environ | {"PATH": binaries},
                    capture_stdout=True,
                )
            assert b"accepted" in done.stdout
            await box.until(lambda: box.rows(f"symbol = '{symbol}'"), "there is a row")
            assert await box.stop(process) == 0
