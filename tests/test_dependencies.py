"""The product declares every dependency that it imports, and its types are visible."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.declared_dependencies import ROOT, declared

PACKAGES = (ROOT / "runbook_lib", ROOT / "facebook_cyclr_sandbox")

# Declared although no module imports it, with the reason.
NOT_IMPORTED = {
    "ipykernel": "the kernel in JupyterLab, started by name",
    "ipywidgets": "the base of anywidget's widgets, in the version that JupyterLab 4 shows",
    "jsonschema": "nbformat loads it, in a version that does not build parsers at import",
    "jupyterlab-widgets": "shows panels in the browser, in a version that waits for them",
    "python-multipart": "Starlette reads the sandbox's forms with it",
    "voila": "`runbook lab --app` loads it as a server extension, by name",
}


def imported(source: str) -> set[str]:
    """Return the top-level names that a module imports, inside functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def sources() -> dict[Path, str]:
    """Return the text of each module that is in the wheel."""
    paths = (path for package in PACKAGES for path in package.rglob("*.py"))
    return {path: path.read_text("utf-8") for path in paths}


def distributions() -> set[str]:
    """Return the distributions from which the product imports, by their normalised names."""
    names = set().union(*map(imported, sources().values()))
    foreign = names - sys.stdlib_module_names - {package.name for package in PACKAGES}
    known = packages_distributions()
    return {known[name][0].lower().replace("_", "-") for name in foreign}


def test_every_import_is_declared() -> None:
    """Every imported distribution is declared, since a transitive one may disappear."""
    assert distributions() - declared("cluster", "apprise") == set()


def test_every_declared_dependency_is_used() -> None:
    """Every declared dependency is imported or has a reason here."""
    assert declared() - distributions() == set(NOT_IMPORTED)


@pytest.mark.parametrize(
    ("extra", "user"), [("distributed", "cluster.py"), ("apprise", "apprise.py")]
)
def test_an_optional_package_is_imported_in_one_place(extra: str, user: str) -> None:
    """One module alone imports what an extra brings, and only where a setting asks for it."""
    users = [path.name for path, source in sources().items() if extra in imported(source)]

    assert users == [user]


def test_every_form_of_import_is_found() -> None:
    """An import in a function, for a type checker only, or with a dotted name is found."""
    source = "import a.b\ndef f():\n    from c.d import e\nif TYPE_CHECKING:\n    import g as h"

    assert imported(source) == {"a", "c", "g"}


def test_the_packages_say_that_they_are_typed() -> None:
    """Without the marker, type checkers ignore an installed package's annotations (PEP 561)."""
    assert all((package / "py.typed").is_file() for package in PACKAGES)
