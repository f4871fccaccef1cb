"""
Floors: a module imports only from strictly lower ones, so that reading goes one way.

Kept on the syntax tree, so that imports inside functions count too; what
only a type checker imports does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "runbook_lib"

# From low to high; a folder is one room, and its files run one way too.
ROOMS = (
    "plain_text",
    "errors",
    "core",
    "config",
    "remote",
    "evidence",
    "connectors",
    "fork_engine",
    "engine",
    "walkthrough",
    "notebook",
    "cli",
)
FLOORS = {room: floor for floor, room in enumerate(ROOMS)}
# The program's two doors: `python -m runbook_lib`, and the package itself.
DOORS = {"__main__": len(ROOMS), "": 0}
APART = ("sandbox",)
# Who may start the sandbox.
HOSTS = ("engine.practice", "cli")
MOST_ENTRIES = 17


@dataclass(frozen=True)
class Module:
    """A module of the package: its dotted name below it, its file, its tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """Return the first part of the name."""
        return self.name.partition(".")[0]


def modules(root: Path) -> dict[str, Module]:
    """Return every module of the package at `root`, by dotted name; the package itself is ''."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, but not what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if is_for_types_only(child):
            for other in child.orelse:  # type: ignore[attr-defined]
                yield other
                yield from nodes(other)
            continue
        yield child
        yield from nodes(child)


def imported(module: Module, known: dict[str, Module]) -> set[str]:
    """Return the modules of the package that `module` imports, by name below it."""
    names: set[str] = set()
    for node in nodes(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}: imports are absolute"
            base = node.module or ""
            for alias in node.names:
                below = f"{base}.{alias.name}".removeprefix(f"{PACKAGE}.")
                is_module = base.split(".")[0] == PACKAGE and below in known
                names.add(f"{PACKAGE}.{below}" if is_module else base)
    mine = (name for name in names if name.split(".")[0] == PACKAGE)
    return {name.removeprefix(PACKAGE).removeprefix(".") for name in mine}


def floor(room: str) -> int:
    return DOORS[room] if room in DOORS else FLOORS[room]


def wrong_ways(known: dict[str, Module]) -> list[str]:
    """Return every import that does not lead to a lower floor."""
    wrong = []
    for module in known.values():
        for target in imported(module, known):
            room = target.partition(".")[0]
            if module.room == room:
                continue
            if module.room in APART:
                wrong.append(f"{module.name} stands apart, but imports {target}")
            elif room in APART:
                if not {module.name, module.room} & set(HOSTS):
                    wrong.append(f"{module.name} imports {target}, which stands apart")
            elif target and not floor(room) < floor(module.room):
                wrong.append(f"{module.name} imports {target}, which is not on a lower floor")
    return wrong


def circles(known: dict[str, Module]) -> list[list[str]]:
    """Return each circle of imports."""
    graph = {name: imported(module, known) - {name} for name, module in known.items()}
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            found.append(trail[trail.index(name) :])
        elif name not in done:
            for target in graph.get(name, ()):
                visit(target, [*trail, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


KNOWN = modules(ROOT)
every_module = pytest.mark.parametrize(
    "module", KNOWN.values(), ids=lambda each: each.name or PACKAGE
)


def test_every_room_has_its_floor() -> None:
    """A new module is given a floor before it is used."""

    rooms = {module.room for module in KNOWN.values()}

    assert rooms - set(APART) == {*ROOMS, *DOORS}
    assert len(KNOWN) > 50


def test_the_package_is_a_dozen_rooms() -> None:
    """What lies at the top of the package can be taken in at a glance."""

    entries = [path.name for path in (ROOT / PACKAGE).iterdir() if path.name != "__pycache__"]

    assert len(entries) <= MOST_ENTRIES


def test_imports_lead_to_lower_floors_only() -> None:
    """No module knows of one that stands on its floor or above."""

    assert wrong_ways(KNOWN) == []


def test_no_imports_go_in_a_circle() -> None:
    """Inside a folder, too, files run one way."""

    assert circles(KNOWN) == []


@every_module
def test_a_module_says_what_lives_in_it(module: Module) -> None:
    """Every module opens with a docstring."""

    assert (ast.get_docstring(module.tree) or "").strip()


@every_module
def test_nothing_is_printed_past_the_terminal(module: Module) -> None:
    """What a person reads goes out through `terminal` or `click`."""

    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]

    assert "print" not in [ast.unparse(call.func) for call in calls]


def tree(root: Path, **files: str) -> dict[str, Module]:
    """Write a small package and return its modules; `__` in a name is a folder."""
    for name, source in {"": "", **files}.items():
        path = root / PACKAGE / (name.replace("__", "/") or "__init__")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(source)
    return modules(root)


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("errors", "import runbook_lib.core.redaction"),
        ("errors", "from runbook_lib.core.redaction import Secret"),
        ("errors", "from runbook_lib.core import redaction"),
        ("errors", "def f():\n    from runbook_lib.core.redaction import Secret"),
        ("core__redaction", "from runbook_lib.config.settings import Settings"),
        ("remote__graph", "from runbook_lib.connectors.context import x"),
        ("cli__main", "if TYPE_CHECKING:\n    pass\nelse:\n    import runbook_lib.__main__"),
        ("sandbox__server", "from runbook_lib.errors import RunbookError"),
        ("engine__run", "from runbook_lib.sandbox.server import Sandbox"),
        ("notebook__session", "from runbook_lib.cli.main import main"),
    ],
)
def test_a_wrong_way_is_seen(tmp_path: Path, importer: str, source: str) -> None:
    """However it is written, an import to the same floor, upwards or across shows."""

    others = ("errors", "core__redaction", "config__settings", "connectors__context")
    empty = dict.fromkeys((*others, "sandbox__server", "cli__main", "__main__"), "")
    known = tree(tmp_path, **{**empty, importer: source})

    assert len(wrong_ways(known)) == 1


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("core__redaction", "from runbook_lib.errors import RunbookError"),
        ("errors", "if TYPE_CHECKING:\n    from runbook_lib.engine.run import Run"),
        ("errors", "if typing.TYPE_CHECKING:\n    from runbook_lib.engine.run import Run"),
        ("engine__practice", "def f():\n    from runbook_lib.sandbox.server import Sandbox"),
        ("cli__main", "from runbook_lib.sandbox.server import Sandbox"),
        ("remote__graph", "from runbook_lib.remote.transport import Session"),
        ("sandbox__server", "from runbook_lib.sandbox import control"),
    ],
)
def test_a_right_way_is_let_be(tmp_path: Path, importer: str, source: str) -> None:
    """Downwards, within a folder, for types alone, and to the sandbox from its hosts."""

    names = ("errors", "engine__run", "sandbox__control", "sandbox__server", "remote__transport")
    known = tree(tmp_path, **{**dict.fromkeys(names, ""), importer: source})

    assert wrong_ways(known) == []
    assert circles(known) == []


def test_a_circle_is_seen(tmp_path: Path) -> None:
    """Two files of one folder that know each other show."""

    known = tree(
        tmp_path,
        remote__a="from runbook_lib.remote.b import x",
        remote__b="def f():\n    from runbook_lib.remote import c",
        remote__c="import runbook_lib.remote.a",
    )

    assert sorted(circles(known)[0]) == ["remote.a", "remote.b", "remote.c"]
