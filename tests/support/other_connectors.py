"""A connector of another company, put beside the product's for a test; it may be broken."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook_lib import connectors
from runbook_lib.connectors import registry

NAME = "plainpost"
_SOURCE = Path(__file__).parent / NAME


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Let the product find the connectors in `folder`; the first one is a copy of Plainpost's."""
    shutil.copytree(_SOURCE, folder / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connectors, "__path__", [*connectors.__path__, str(folder)])
        forget()
        try:
            yield folder / NAME
        finally:
            forget()
    forget()


def forget() -> None:
    """Forget its loaded modules, and the list of connectors."""
    for name in [name for name in sys.modules if name.startswith(f"{connectors.__name__}.{NAME}")]:
        del sys.modules[name]
    if hasattr(connectors, NAME):
        delattr(connectors, NAME)
    for kept in (registry.connector_names, registry._load_procedure, registry._load_inputs):
        kept.cache_clear()
