"""
Load papermill without what a headless run has no use for: most of its start-up.

Nothing that is left out here is missing for others: it is loaded when it is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType, SimpleNamespace
from typing import Any

from runbook_lib.core.compiled_schemas import compiled_schema

__all__ = ["load_papermill"]

# Validators of formats that no notebook's schema uses; jsonschema copes with their absence, and
# they are half of what papermill takes to import.
_FORMATS = (
    "fqdn",
    "isoduration",
    "jsonpointer",
    "rfc3339_validator",
    "rfc3986_validator",
    "uri_template",
    "webcolors",
)

# What papermill's retries would work with too.
_OTHER_LOOPS = ("tornado",)

# What papermill needs for notebooks that are at an address.
_FOR_ADDRESSES = ("requests",)
_CLIENT = "papermill.clientwrap"


def load_papermill() -> Any:
    """Return papermill, loaded once."""
    with (
        _without(_FORMATS),
        _without(_OTHER_LOOPS),
        _deferring(_FOR_ADDRESSES),
        _kernels_later(),
        _own_engines(),
    ):
        import papermill  # noqa: PLC0415  (slow to import; a failed setting need not pay for it)

        json_compat: Any = import_module("nbformat.json_compat")
    # NOTE: nbformat compiles the schema of notebooks in each process, and that takes longer than
    # to validate one.
    json_compat.fastjsonschema = SimpleNamespace(compile=compiled_schema)
    return papermill


@contextmanager
def _kernels_later() -> Iterator[None]:
    """Let papermill load nbclient, Jupyter's client and its sockets with the first kernel."""
    if "papermill" in sys.modules:
        yield
        return
    client = ModuleType(_CLIENT)
    client.PapermillNotebookClient = _client  # type: ignore[attr-defined]
    sys.modules[_CLIENT] = client
    try:
        yield
    finally:
        del sys.modules[_CLIENT]


@contextmanager
def _own_engines() -> Iterator[None]:
    """Let papermill register its own engines and stores, without a search of what is installed."""
    if "entrypoints" in sys.modules:
        yield
        return
    search = ModuleType("entrypoints")
    search.get_group_all = lambda _group: []  # type: ignore[attr-defined]
    sys.modules[search.__name__] = search
    try:
        yield
    finally:
        del sys.modules[search.__name__]


def _client(*arguments: Any, **options: Any) -> Any:
    """Return papermill's client of a kernel."""
    from papermill.clientwrap import PapermillNotebookClient  # noqa: PLC0415

    return PapermillNotebookClient(*arguments, **options)


class _Deferred(MetaPathFinder):
    """Finds packages that are loaded when they are first used."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load one of the packages; nothing for another one."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def _deferring(names: Collection[str]) -> Iterator[None]:
    """Defer the loading of the packages `names`, where they are imported meanwhile."""
    finder = _Deferred(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Declare the packages `names` absent for a while, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
