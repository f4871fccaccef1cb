"""
Connectors by name: each is a package beside this module that has a `procedure`.

Nothing else lists them: a new package is found by itself.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from runbook_lib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_lib.connectors.review_kit import Kit
    from runbook_lib.core.model import Value
    from runbook_lib.core.procedure import Input, Procedure


# The connector where none is named.
DEFAULT = "facebook_marketing"

_PACKAGE = "runbook_lib.connectors"
_FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def connector_names() -> tuple[str, ...]:
    """Return the name of every connector, sorted."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/procedure.py")))


def find_procedure(name: str) -> Procedure:
    """Return the documented procedure of the connector `name`; raises `SettingsError`."""
    if name not in connector_names():
        from runbook_lib.config.settings import suggestion  # noqa: PLC0415  (slow to import)

        msg = f"There is no connector called {name[:60]!r}.{suggestion(name, connector_names())}"
        raise SettingsError(msg, next_step=f"Known connectors: {', '.join(connector_names())}.")
    procedure: Procedure = import_module(f"{_PACKAGE}.{name}.procedure").PROCEDURE
    return procedure


def kit_of(connector: str, values: Mapping[str, Value]) -> Kit:
    """
    Return the texts for the review of `connector`, for the known `values` of a run.

    Raises `SettingsError` if its vendor has none.
    """
    from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)

    make = vendor_of(find_procedure(connector)).review_kit
    if make is None:
        msg = f"There is no review kit for the connector {connector}."
        raise SettingsError(msg)
    return make(connector, values)


def load_texts() -> None:
    """
    Load all that connectors say.

    Raises `TextsError` for the first mistake; an error text may name a check of any connector.
    """
    from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)
    from runbook_lib.connectors.texts import require_known_checks  # noqa: PLC0415

    for name in connector_names():
        if vendor_of(find_procedure(name)).review_kit is not None:
            kit_of(name, {})
    for path in sorted(_FOLDER.glob("*/known_errors.toml")):
        require_known_checks(path.parent)


def known_variables() -> set[str]:
    """
    Return every variable of every connector.

    Each counts for all connectors that have the provider's setting, or, with the
    connector's name in it, for that one alone.
    """
    from runbook_lib.config.runner_inputs import RUNNER  # noqa: PLC0415  (slow to import)
    from runbook_lib.config.settings import variables_of  # noqa: PLC0415

    inputs: dict[str, tuple[Input, ...]] = {}
    for name in connector_names():
        # NOTE: without its texts, which only one connector's command reads.
        own = import_module(f"{_PACKAGE}.{name}.inputs")
        settings = (item for provider in own.PROVIDERS for item in provider.settings)
        inputs[name] = (*own.INPUTS, *settings, *RUNNER)
    return variables_of(inputs)


def practice_words(connector: str, scenario: str, today: date) -> str:
    """
    Return what people have said in `scenario` by then, as TOML; empty for nothing.

    The days of words that end, and of one that waits, follow from Monday of last week, so that
    they count `today` and are the same in each run of a week.
    """
    package = import_module(f"{_PACKAGE}.{connector}")
    unsaid = set(package.UNSAID.get(scenario, ()))
    only_elsewhere = getattr(package, "SAID_ONLY_IN", {})
    unsaid.update(*(said for name, said in only_elsewhere.items() if name != scenario))
    text = (_FOLDER / connector / "practice" / "words.toml").read_text(encoding="utf-8")
    heading, *entries = text.split("\n\n[[")
    words = [entry for entry in entries if not unsaid & _named(entry)]
    ago = {"asked": 61, "renewed": 10, "due": 1, "submitted": 0, "granted": -3}
    ago |= package.SAID_AGO.get(scenario, {})
    monday = today - timedelta(days=today.weekday() + 7)
    days = {name: monday - timedelta(days=number) for name, number in ago.items()}
    return "" if "" in unsaid else Template("\n\n[[".join([heading, *words])).substitute(days)


def _named(entry: str) -> set[str]:
    """Return the names of an entry: its step, its kind with the step, and that with its answer."""
    kind, step = entry.partition("]")[0], _value(entry, "step")
    return {step, f"{kind} {step}", f"{kind} {step} {_value(entry, 'answer') or 'done'}"}


def _value(entry: str, name: str) -> str:
    return entry.partition(f'{name} = "')[2].partition('"')[0]
