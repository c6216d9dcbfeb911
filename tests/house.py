"""The house rules, as functions over a source tree: who may import whom, by which door.

Each returns what breaks the rule, as ``file: what``; nothing is imported to find out.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# From the ground up. Each wing may use the ground, itself, and the wings named.
WINGS: dict[str, set[str]] = {
    "risk": set(),
    "broker": set(),
    "intake": set(),
    "redis": {"risk", "intake"},
    "ledger": {"risk"},
    "stream": {"broker"},
    "market": {"broker", "stream"},
    "reconciliation": {"broker", "ledger"},
    "orders": {"risk", "broker", "ledger", "reconciliation"},
    "exits": {"broker", "ledger", "market", "reconciliation", "orders"},
}
WINGS["ops"] = set(WINGS)
WINGS["web"] = set(WINGS)
# Loaded in whole only where it is switched on: its face is a side door, the rest is its own.
LATE_WINGS = {"web"}
GROUND = {
    *("assets", "boot_clock", "clock", "errors", "events", "http", "latency"),
    *("locks", "logs", "model", "recent", "settings", "signals", "small_files"),
    *("access", "names", "permissions", "sheets", "threads", "trading_days", "turns"),
}
# The rest: what stands on top of the wings, and what stands apart.
ABOVE: dict[str, set[str]] = {
    "stages": {*WINGS},
    "app": {*WINGS, "stages"},
    "cli": {*WINGS, "stages", "app", "exchange", "bench"},
    "exchange": set(),
    "bench": {"cli", "exchange", "ledger"},
    "__main__": {"cli"},
    "__init__": set(),
}
NO_GROUND = {"exchange"}  # it is as foreign as the broker that it stands for
# What the ground may use beside itself: the settings of the exchange are settings.
GROUND_USES = {"snexec.exchange.settings"}
# Loaded only where they are used, so not through the wing's face.
SIDE_DOORS = {
    "snexec.stream.connection",
    "snexec.redis.client",
    *(f"snexec.broker.{name}" for name in ("lookups", "data", "splits", "calendar")),
    *(f"snexec.market.{name}" for name in ("calendar", "snapshots", "data_stream")),
    *(f"snexec.market.{name}" for name in ("data_line", "data_session", "ticks")),
    *(f"snexec.market.{name}" for name in ("tick_frames", "data_settings")),
    "snexec.web",
    *(f"snexec.ops.{name}" for name in ("explain", "settle", "rebuild")),
    *(f"snexec.ops.{name}" for name in ("closing", "positions")),
    *(f"snexec.ops.{name}" for name in ("notify", "notices", "couriers")),
    "snexec.ops.limit_notices",
    *(f"snexec.ops.{name}" for name in ("daily", "daily_report")),
    "snexec.ops.exit_words",
    "snexec.ops.lease_words",
    "snexec.web.redis_families",
    "snexec.exits.watching",
}
MOST_LINES = 350
MOST_LINES_OF_ROOT = 120


@dataclass(frozen=True)
class Import:
    """One import.

    Attributes:
        file: The importing file, relative to the package's folder.
        module: What is imported, ``snexec.`` included.
        late: Whether it stands inside a function.
    """

    file: Path
    module: str
    late: bool

    @property
    def room(self) -> str:
        """The top room of the importing file."""
        return self.file.parts[0].removesuffix(".py")

    @property
    def target(self) -> str:
        """The top room of what is imported."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else "__init__"

    def __str__(self) -> str:
        return f"{self.file}: {self.module}"


@cache
def imports(root: Path) -> tuple[Import, ...]:
    """Return every import of the package's own modules, TYPE_CHECKING's included."""
    return tuple(
        found
        for path in sorted(root.rglob("*.py"))
        for found in _imports_of(path, root)
    )


def wrong_floor(root: Path) -> list[str]:
    """Name the imports of what a room may not use."""
    wrong = []
    for found in imports(root):
        if found.room == found.target or found.module in GROUND_USES:
            continue
        if found.room in GROUND:
            allowed = set(GROUND)
        else:
            allowed = WINGS.get(found.room, ABOVE.get(found.room, set()))
            allowed = allowed | (set() if found.room in NO_GROUND else GROUND)
        if found.target not in {*allowed, "__init__"}:
            wrong.append(str(found))
    return wrong


def wrong_door(root: Path) -> list[str]:
    """Name the imports that enter a wing beside its face."""
    return [
        str(found)
        for found in imports(root)
        if found.target in WINGS
        and found.room != found.target
        and found.module != f"snexec.{found.target}"
        and found.module not in SIDE_DOORS
    ]


def eager_side_doors(root: Path) -> list[str]:
    """Name the imports that load at the start what is to be loaded where it is used."""
    return [
        str(found)
        for found in _runtime_imports(root)
        if found.module in SIDE_DOORS
        and not found.late
        and found.room not in LATE_WINGS
        and f"snexec.{'.'.join(found.file.with_suffix('').parts)}" not in SIDE_DOORS
    ]


def circles(root: Path) -> list[str]:
    """Name modules that import each other, round any number of corners."""
    modules = {_module_of(path, root) for path in root.rglob("*.py")}
    edges: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports(root):
        source = _module_of(root / found.file, root)
        # A face is made of its modules; it is no circle that they are reached by it.
        if found.module in modules and found.target != source.split(".")[-1]:
            edges[source].add(found.module)
    return sorted(module for module in modules if _reaches(module, module, edges))


def long_files(root: Path) -> list[str]:
    """Name the daemon's files that are too long to be one idea."""
    counts = {
        path.relative_to(root): len(path.read_text().splitlines())
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] not in {"exchange", "bench", "cli"}
    }
    return [
        f"{file}: {lines} lines"
        for file, lines in counts.items()
        if lines > (MOST_LINES_OF_ROOT if file == Path("app.py") else MOST_LINES)
    ]


def poor_faces(root: Path) -> list[str]:
    """Name the wings whose face is no paragraph and a list of names."""
    wrong = []
    for wing in WINGS:
        tree = ast.parse((root / wing / "__init__.py").read_text())
        if len((ast.get_docstring(tree) or "").split()) < 30:
            wrong.append(f"{wing}: it does not say what it owns and never does")
        for node in tree.body[1:]:
            names = node.names if isinstance(node, ast.ImportFrom) else []
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if not names or not (future or all(n.asname == n.name for n in names)):
                wrong.append(f"{wing}: line {node.lineno} is no `import Name as Name`")
    return wrong


def late_bindings(root: Path) -> list[str]:
    """Name the lambdas in the root, which would bind one wing to another later."""
    tree = ast.parse((root / "app.py").read_text())
    return [
        f"app.py: a lambda in line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
    ]


def _imports_of(path: Path, root: Path) -> Iterator[Import]:
    file, tree = path.relative_to(root), ast.parse(path.read_text())
    late = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == root.name or module.startswith(f"{root.name}."):
                yield Import(file, module, node in late)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith(f"{root.name}."):
                    yield Import(file, name.name, node in late)


def _runtime_imports(root: Path) -> Iterator[Import]:
    """Yield the imports that are made when a program runs."""
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        checked = {
            node
            for block in ast.walk(tree)
            if isinstance(block, ast.If)
            and isinstance(block.test, ast.Name)
            and block.test.id == "TYPE_CHECKING"
            for node in ast.walk(block)
        }
        typed = {node.module for node in checked if isinstance(node, ast.ImportFrom)}
        for found in _imports_of(path, root):
            if found.late or found.module not in typed:
                yield found


def _module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join((root.name, *parts)).removesuffix(".__init__")


def _reaches(start: str, end: str, edges: dict[str, set[str]]) -> bool:
    seen: set[str] = set()
    ahead = list(edges[start])
    while ahead:
        module = ahead.pop()
        if module == end:
            return True
        if module not in seen:
            seen.add(module)
            ahead += edges[module]
    return False
