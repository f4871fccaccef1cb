"""
Connectors by name: each is a package beside this module that has a `procedure`.

Nothing else lists them: a new package is found by itself.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module, resources
from importlib.resources.abc import Traversable

from runbook_lib.config.runner import inputs_of
from runbook_lib.config.settings import suggestion
from runbook_lib.core.procedure import Procedure
from runbook_lib.errors import SettingsError

__all__ = ["DEFAULT", "connector_names", "find_procedure", "known_variables", "practice_words"]

DEFAULT = "facebook_marketing"
_PACKAGE = "runbook_lib.connectors"
_ALL_WORDS = "connected.toml"


@lru_cache(maxsize=1)
def connector_names() -> tuple[str, ...]:
    """Return the name of every connector, sorted."""
    folders = resources.files(_PACKAGE).iterdir()
    return tuple(sorted(each.name for each in folders if (each / "procedure.py").is_file()))


def find_procedure(name: str) -> Procedure:
    """Return the documented procedure of the connector `name`; raises `SettingsError`."""
    if name not in connector_names():
        msg = f"There is no connector called {name[:60]!r}.{suggestion(name, connector_names())}"
        raise SettingsError(msg, next_step=f"Known are {', '.join(connector_names())}.")
    procedure: Procedure = import_module(f"{_PACKAGE}.{name}.procedure").PROCEDURE
    return procedure


def known_variables() -> frozenset[str]:
    """
    Return the name of every setting of every connector, as a variable.

    Each counts for all connectors that have the setting, or, with the connector's
    name in it, for that one alone.
    """
    procedures = map(find_procedure, connector_names())
    return frozenset(
        name
        for procedure in procedures
        for item in inputs_of(procedure)
        for name in (item.variable, item.variable_for(procedure.id))
    )


def practice_words(connector: str, scenario: str) -> Traversable | None:
    """Return the file of what people have said in `scenario` by then; `None` for nothing."""
    name = import_module(f"{_PACKAGE}.{connector}").PRACTICE.get(scenario, _ALL_WORDS)
    return resources.files(f"{_PACKAGE}.{connector}") / "practice" / name if name else None
