"""
Layers: a module imports only from lower ones.

The test uses the syntax tree, so that imports inside functions, and those for type checkers alone,
count too. Layers that are there for every connector name no vendor. The sandbox is a package beside
the product, and each knows nothing of the other but for what one module imports by two names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure
from tests.support.layers import LAYERS, PACKAGE, SANDBOX

ROOT = Path(__file__).parents[1]

LEVELS = {layer: level for level, layer in enumerate(LAYERS)}
# The two entry points: `python -m runbook_lib`, and the package itself, which offers names of all.
ENTRY_POINTS = {"__main__": len(LAYERS), "": len(LAYERS)}
# The module that may start the sandbox, and by which names.
HOST = "engine.practice"
PUBLIC = {f"{SANDBOX}.{name}" for name in ("SCENARIOS", "serve")}
MOST_ENTRIES = 17

# Other names that people and programs use for a vendor.
TRADE_NAMES = {
    "facebook": r"\bMeta\b|\bGraph\b|\bgraph_|Messenger|App Review|App Secret|\bfb_?trace|/dialog/",
}
# Places that may name a vendor: its own layers, its connectors, the registry with its default, the
# example of the package.
VENDORS_ROOMS = re.compile(r"connectors/[a-z_]+/|connectors/registry\.py$|__init__\.py$")
# Cyclr, where every connector ends, is named where its settings and answers are, but not here.
WITHOUT_CYCLR = ("core", "notebook")
TEXTS = (".py", ".html", ".css", ".js", ".json", ".md", ".toml", ".ipynb")
# The product's own name, as people and as programs spell it, its sandbox, a class of msgspec.
PRODUCT = re.compile(rf"facebook-marketing-runbook|Facebook Marketing runbook|{SANDBOX}")
MSGSPEC = re.compile(r"import Meta\b|\bMeta\(|\bMeta\.extra|part, Meta\)")


@dataclass
class Module:
    """A module: its package, its dotted name without that, and its file."""

    package: str
    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """The module's syntax tree."""
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def layer(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


def modules(root: Path, package: str = PACKAGE) -> dict[str, Module]:
    """Return every module of `package` at `root`, by dotted name; the package itself is ''."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root / package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(package, name, path)
    return found


def every_import(module: Module) -> set[str]:
    """Return the dotted name of everything that `module` imports."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported(module: Module, known: dict[str, Module]) -> set[str]:
    """Return the modules of its own package that `module` imports, by name."""
    names = (name.partition(".") for name in every_import(module))
    mine = [name for package, _, name in names if package == module.package]
    return {name if name in known else name.rpartition(".")[0] for name in mine}


def level(layer: str) -> int:
    return ENTRY_POINTS[layer] if layer in ENTRY_POINTS else LEVELS[layer]


def wrong_imports(known: dict[str, Module]) -> list[str]:
    """Return every import that does not lead to a lower layer."""
    wrong = []
    for module in known.values():
        for target in imported(module, known):
            layer = target.partition(".")[0]
            if layer not in ("", module.layer) and not level(layer) < level(module.layer):
                wrong.append(f"{module.name} imports {target}, which is not a lower layer")
    return wrong


def wrong_neighbours(root: Path) -> list[str]:
    """Return each import from one package of another, but for the host's of `PUBLIC`."""
    wrong = []
    for package, other in ((PACKAGE, SANDBOX), (SANDBOX, PACKAGE)):
        for module in modules(root, package).values():
            allowed = PUBLIC if (package, module.name) == (PACKAGE, HOST) else set()
            names = sorted(every_import(module) - allowed)
            others = (name for name in names if name.partition(".")[0] == other)
            wrong += [f"{package}.{module.name} imports {name}" for name in others]
    return wrong


def import_cycles(known: dict[str, Module]) -> list[list[str]]:
    """Return each cycle of imports."""
    return cycles({name: imported(module, known) - {name} for name, module in known.items()})


def folder_cycles(known: dict[str, Module]) -> list[list[str]]:
    """Return each cycle of imports between folders within layers, such as `connectors.cyclr`."""
    graph: dict[str, set[str]] = {}
    for module in known.values():
        targets = {folder_of(target) for target in imported(module, known)}
        graph.setdefault(folder_of(module.name), set()).update(targets)
    for name, targets in graph.items():
        targets -= {"", name}
    return cycles({name: targets for name, targets in graph.items() if name})


def folder_of(name: str) -> str:
    """Return the folder within a layer that a module is in; empty for a layer's own files."""
    return ".".join(name.split(".")[:2]) if name.count(".") > 1 else ""


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return each cycle in `graph`, which has the targets of each name."""
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
OTHERS = modules(ROOT, SANDBOX)
each_package = pytest.mark.parametrize("known", [KNOWN, OTHERS], ids=[PACKAGE, SANDBOX])
every_module = pytest.mark.parametrize(
    "module",
    [*KNOWN.values(), *OTHERS.values()],
    ids=lambda module: f"{module.package}.{module.name}",
)


def test_every_layer_has_its_place() -> None:
    """Every module belongs to a listed layer."""
    layers = {module.layer for module in KNOWN.values()}

    assert layers == {*LAYERS, *ENTRY_POINTS}
    assert min(len(KNOWN), len(OTHERS)) > 30


def test_the_package_has_few_entries() -> None:
    """The top folder of the package has at most 17 entries."""
    entries = [path.name for path in (ROOT / PACKAGE).iterdir() if path.name != "__pycache__"]

    assert len(entries) <= MOST_ENTRIES


def test_imports_lead_to_lower_layers_only() -> None:
    """No module imports from its own level in another layer, or from a higher layer."""
    assert wrong_imports(KNOWN) == []


def test_product_and_sandbox_know_nothing_of_each_other() -> None:
    """The sandbox imports nothing of the product, which imports two names of it in one module."""
    assert wrong_neighbours(ROOT) == []
    assert every_import(KNOWN[HOST]) >= PUBLIC


@each_package
def test_there_are_no_import_cycles(known: dict[str, Module]) -> None:
    """There are no import cycles, also within a layer."""
    assert import_cycles(known) == []


@each_package
def test_there_are_no_cycles_between_folders(known: dict[str, Module]) -> None:
    """No two folders of a layer import each other, so each can be read without the other."""
    assert folder_cycles(known) == []


def test_no_class_has_the_name_of_another() -> None:
    """Each class, also a private or nested one, has a name of its own in product and sandbox."""
    places: dict[str, list[str]] = {}
    for module in (*KNOWN.values(), *OTHERS.values()):
        # NOTE: `run` has the next format, beside the present one until it takes its place.
        for node in ast.walk(module.tree) if module.layer != "run" else ():
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{module.package}.{module.name}")

    assert {name: found for name, found in places.items() if len(found) > 1} == {}
    assert len(places) > 300


def named_vendors(root: Path) -> list[str]:
    """Return each place in a generic layer that names a vendor: its file, line and text."""
    vendors = [vendor_of(find_procedure(name)) for name in connector_names()]
    names = {f"(?i:{name})" for vendor in vendors for name in (vendor.name, vendor.title)}
    names |= {TRADE_NAMES[vendor.name] for vendor in vendors if vendor.name in TRADE_NAMES}
    everywhere = re.compile("|".join(sorted(names)))
    with_cyclr = re.compile("(?i:cyclr)")
    found = []
    for path in sorted((root / PACKAGE).rglob("*")):
        place = path.relative_to(root / PACKAGE).as_posix()
        if path.suffix not in TEXTS or VENDORS_ROOMS.match(place):
            continue
        patterns = [everywhere]
        if place.partition("/")[0] in WITHOUT_CYCLR:
            patterns.append(with_cyclr)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            own = MSGSPEC.sub("", PRODUCT.sub("", line))
            if any(pattern.search(own) for pattern in patterns):
                found.append(f"{place}:{number}: {line.strip()}")
    return found


def test_generic_layers_name_no_vendor() -> None:
    """No code, comment, page or text of a layer that serves every connector names a vendor."""
    assert named_vendors(ROOT) == []


@pytest.mark.parametrize(
    ("place", "text", "is_named"),
    [
        ("core/outcome.py", "# Facebook decides.", True),
        ("walkthrough/static/panel.js", 'const text = "the Graph API";', True),
        ("evidence/reports/templates/run.html", "<p>App Review</p>", True),
        ("core/attestation_rules.py", "# As Cyclr has it.", True),
        ("connectors/context.py", "graph_url = 1", True),
        ("evidence/run.py", "# As Cyclr has it.", False),
        ("connectors/facebook/app.py", "# Facebook decides.", False),
        ("remote/client.py", 'AGENT = "facebook-marketing-runbook"', False),
        ("core/outcome.py", "# metadata of a paragraph", False),
    ],
)
def test_a_vendors_name_is_detected(tmp_path: Path, place: str, text: str, is_named: bool) -> None:
    """A vendor's name is detected in every kind of file; the product's own name does not count."""
    path = tmp_path / PACKAGE / place
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert bool(named_vendors(tmp_path)) is is_named


@every_module
def test_every_module_has_a_docstring(module: Module) -> None:
    """Every module begins with a docstring."""
    assert (ast.get_docstring(module.tree) or "").strip()


@every_module
def test_no_module_calls_print(module: Module) -> None:
    """All output goes through `terminal` or `click`, never through `print`."""
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]

    assert "print" not in [ast.unparse(call.func) for call in calls]


# In the names of `tree`'s files; those of `__main__` are its own.
_FOLDER = re.compile(r"(?<=[a-z])__(?=[a-z])")


def tree(root: Path, **files: str) -> dict[str, Module]:
    """Write a small package and return its modules; `__` in a name is a folder."""
    for name, source in {"": "", **files}.items():
        path = root / PACKAGE / (_FOLDER.sub("/", name) or "__init__")
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
        ("remote__oauth", "from runbook_lib.connectors.context import x"),
        ("cli__main", "if TYPE_CHECKING:\n    pass\nelse:\n    import runbook_lib.__main__"),
        ("errors", "if TYPE_CHECKING:\n    from runbook_lib.core.redaction import Secret"),
        ("notebook__session", "from runbook_lib.cli.main import main"),
    ],
)
def test_a_wrong_import_is_detected(tmp_path: Path, importer: str, source: str) -> None:
    """An import to the same level or to a higher layer is detected in every form."""
    others = ("errors", "core__redaction", "config__settings", "connectors__context")
    empty = dict.fromkeys((*others, "cli__main", "__main__"), "")
    known = tree(tmp_path, **{**empty, importer: source})

    assert len(wrong_imports(known)) == 1


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("core__redaction", "from runbook_lib.errors import RunbookError"),
        ("engine__run", "if TYPE_CHECKING:\n    from runbook_lib.errors import RunbookError"),
        ("remote__oauth", "from runbook_lib.remote.check_session import Session"),
    ],
)
def test_a_right_import_is_accepted(tmp_path: Path, importer: str, source: str) -> None:
    """Imports to lower layers and within a layer are accepted."""
    names = ("errors", "engine__run", "remote__check_session")
    known = tree(tmp_path, **{**dict.fromkeys(names, ""), importer: source})

    assert wrong_imports(known) == []
    assert import_cycles(known) == []


@pytest.mark.parametrize(
    ("importer", "source", "is_wrong"),
    [
        (f"{SANDBOX}/server", "from runbook_lib.errors import RunbookError", True),
        (f"{SANDBOX}/server", "def f():\n    import runbook_lib", True),
        (f"{SANDBOX}/server", f"from {SANDBOX} import control_api", False),
        (f"{PACKAGE}/engine/run", f"from {SANDBOX} import serve", True),
        (f"{PACKAGE}/cli/main", f"from {SANDBOX} import SCENARIOS", True),
        (f"{PACKAGE}/engine/practice", f"def f():\n    from {SANDBOX} import serve", False),
        (f"{PACKAGE}/engine/practice", f"from {SANDBOX} import SCENARIOS, serve", False),
        (f"{PACKAGE}/engine/practice", f"from {SANDBOX} import control_api", True),
        (f"{PACKAGE}/engine/practice", f"from {SANDBOX}.server import serve", True),
        (f"{PACKAGE}/engine/practice", f"import {SANDBOX}", True),
    ],
)
def test_an_import_of_the_neighbour_is_detected(
    tmp_path: Path, importer: str, source: str, is_wrong: bool
) -> None:
    """Every import between the packages is detected, but for the two names in the one module."""
    path = (tmp_path / importer).with_suffix(".py")
    path.parent.mkdir(parents=True)
    path.write_text(source)

    assert bool(wrong_neighbours(tmp_path)) is is_wrong


def test_an_import_cycle_is_detected(tmp_path: Path) -> None:
    """A cycle between files of one layer is detected."""
    known = tree(
        tmp_path,
        remote__a="from runbook_lib.remote.b import x",
        remote__b="def f():\n    from runbook_lib.remote import c",
        remote__c="import runbook_lib.remote.a",
    )

    assert sorted(import_cycles(known)[0]) == ["remote.a", "remote.b", "remote.c"]


def test_a_cycle_between_folders_is_detected(tmp_path: Path) -> None:
    """Two folders of a layer that import each other are a cycle, though no two files are."""
    known = tree(
        tmp_path,
        connectors__cyclr__a="from runbook_lib.connectors.facebook import b",
        connectors__cyclr__c="",
        connectors__facebook__b="",
        connectors__facebook__d="if TYPE_CHECKING:\n    from runbook_lib.connectors.cyclr import c",
    )

    assert import_cycles(known) == []
    assert sorted(folder_cycles(known)[0]) == ["connectors.cyclr", "connectors.facebook"]
