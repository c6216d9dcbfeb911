"""The house: wings with one face each, floors without a way up, one short root."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import house

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1] / "snexec"
TESTS = Path(__file__).parent

RULES: list[Callable[[Path], list[str]]] = [
    house.wrong_floor,
    house.wrong_door,
    house.eager_side_doors,
    house.circles,
    house.long_files,
    house.poor_faces,
    house.late_bindings,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


def test_every_room_has_its_place() -> None:
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir()}
    known = {*house.WINGS, *house.GROUND, *house.ABOVE}
    assert rooms - {"__pycache__", "py.typed"} == known


@pytest.mark.parametrize("wing", house.WINGS)
def test_a_test_stands_where_its_module_does(wing: str) -> None:
    tests = {path.stem for path in (TESTS / wing).glob("test_*.py")}
    modules = {f"test_{path.stem}" for path in (ROOT / wing).glob("*.py")}
    assert tests <= modules


# The rules find what breaks them.


@pytest.mark.parametrize(
    ("rule", "file", "line", "found"),
    [
        (house.wrong_floor, "risk/halt.py", "import snexec.orders", "snexec.orders"),
        (
            house.wrong_floor,
            "ledger/store.py",
            "from snexec.broker import Accounts",
            "snexec.broker",
        ),
        (house.wrong_floor, "clock.py", "from snexec.risk import Halt", "snexec.risk"),
        (
            house.wrong_floor,
            "exchange/book.py",
            "from snexec.model import Mode",
            "snexec.model",
        ),
        (
            house.wrong_door,
            "orders/executor.py",
            "from snexec.broker.client import AlpacaClient",
            "snexec.broker.client",
        ),
        (
            house.eager_side_doors,
            "ops/operations.py",
            "from snexec.ops.couriers import Webhook",
            "snexec.ops.couriers",
        ),
        (
            house.eager_side_doors,
            "cli/daemon.py",
            "from snexec.web import WebServer",
            "snexec.web",
        ),
        (
            house.wrong_door,
            "cli/daemon.py",
            "from snexec.web.server import Server",
            "snexec.web.server",
        ),
        (house.wrong_floor, "ops/health.py", "import snexec.web", "snexec.web"),
        (
            house.circles,
            "reconciliation/unsettled.py",
            "from snexec.reconciliation.recovery import Recovery",
            "snexec.reconciliation.recovery",
        ),
        (house.long_files, "recent.py", "\n" * 350, "recent.py"),
        (house.long_files, "app.py", "\n" * 100, "app.py"),
        (house.poor_faces, "market/__init__.py", "LIMIT = 3", "market"),
        (house.late_bindings, "app.py", "later = lambda: None", "app.py"),
    ],
)
def test_what_breaks_a_rule_is_named(
    tmp_path: Path,
    rule: Callable[[Path], list[str]],
    file: str,
    line: str,
    found: str,
) -> None:
    copy = tmp_path / "snexec"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    broken = copy / file
    broken.write_text(f"{broken.read_text()}\n{line}\n")
    assert any(found in named for named in rule(copy)), rule(copy)
