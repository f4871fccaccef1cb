"""
Connectors by name: each is a package beside this module that has a `procedure`.

Nothing else lists them: a new package is found by itself.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, TypeVar

from runbook_lib.errors import BrokenConnectorError, RunbookError, SettingsError, reason_of
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_lib.config.settings import KnownVariables
    from runbook_lib.connectors.review_kit import Kit
    from runbook_lib.core.model import Value
    from runbook_lib.core.procedure import Input, Procedure


T = TypeVar("T")

# The connector where none is named.
DEFAULT = "facebook_marketing"

_PACKAGE = "runbook_lib.connectors"
# Any of these is in a connector alone, so one that has lost its procedure is still one.
_OF_CONNECTORS = ("procedure.py", "checks.py", "practice")
_LONGEST_REASON = 300


@lru_cache(maxsize=1)
def connector_names() -> tuple[str, ...]:
    """Return the name of every connector, sorted, also of one that is broken."""
    return tuple(sorted(_folders()))


def find_procedure(name: str) -> Procedure:
    """
    Return the documented procedure of the connector `name`.

    Raises `SettingsError` if there is none, `BrokenConnectorError` if it cannot be loaded.
    """
    if name not in connector_names():
        from runbook_lib.config.settings import suggestion  # noqa: PLC0415  (slow to import)

        msg = f"There is no connector called {name[:60]!r}.{suggestion(name, connector_names())}"
        raise SettingsError(msg, next_step=f"Known connectors: {', '.join(connector_names())}.")
    loaded = _loaded(name)
    if isinstance(loaded, str):
        raise BrokenConnectorError(loaded)
    return loaded


def working_procedures() -> dict[str, Procedure]:
    """Return the procedure of each connector that is not broken, by its name."""
    loaded = {name: _loaded(name) for name in connector_names()}
    return {name: one for name, one in loaded.items() if not isinstance(one, str)}


def broken_connectors() -> dict[str, BrokenConnectorError]:
    """Return why each connector that cannot be loaded is broken, by its name."""
    loaded = {name: _loaded(name) for name in connector_names()}
    return {name: BrokenConnectorError(one) for name, one in loaded.items() if isinstance(one, str)}


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


def load_texts(names: Iterable[str] = ()) -> None:
    """
    Load all that the connectors called so say, or all of them.

    Raises `SettingsError` for the first mistake; an error text may name a check of any connector.
    """
    from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)
    from runbook_lib.connectors.texts import require_known_checks  # noqa: PLC0415

    asked = tuple(names) or connector_names()
    for name in asked:
        if vendor_of(find_procedure(name)).review_kit is not None:
            kit_of(name, {})
    if broken_connectors():
        # NOTE: nobody knows which checks these would have.
        return
    homes = {path.parent for home in _homes() for path in home.glob("*/known_errors.toml")}
    others = {*connector_names()} - {*asked}
    for folder in sorted(homes):
        if folder.name not in others:
            require_known_checks(folder)


def known_variables() -> KnownVariables:
    """
    Return every variable of every connector whose inputs can be loaded.

    Each counts for all connectors that have the provider's setting, or, with the
    connector's name in it, for that one alone.
    """
    from runbook_lib.config.runner_settings import RUNNER  # noqa: PLC0415  (slow to import)
    from runbook_lib.config.settings import KnownVariables, variables_of  # noqa: PLC0415

    found = {name: _settings(name) for name in connector_names()}
    inputs = {name: (*own, *RUNNER) for name, own in found.items() if not isinstance(own, str)}
    return KnownVariables(
        variables_of({"": RUNNER, **inputs}), is_complete=len(inputs) == len(found)
    )


def practice_attestations(connector: str, scenario: str, today: date) -> str:
    """
    Return what people have said in `scenario` by then, as TOML; empty for nothing.

    The days of words that end, and of one that waits, follow from Monday of last week, so that
    they count `today` and are the same in each run of a week. Raises `BrokenConnectorError` for a
    connector that does not have them.
    """
    folder = _folders()[connector]
    try:
        package = import_module(f"{_PACKAGE}.{connector}")
        return _words(package, folder / "practice" / "words.toml", scenario, today)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise BrokenConnectorError(_why_broken(folder / "__init__.py", error)) from error


def _words(package: Any, path: Path, scenario: str, today: date) -> str:
    unsaid = set(package.UNSAID.get(scenario, ()))
    only_elsewhere = getattr(package, "SAID_ONLY_IN", {})
    unsaid.update(*(said for name, said in only_elsewhere.items() if name != scenario))
    text = path.read_text(encoding="utf-8")
    heading, *entries = text.split("\n\n[[")
    words = [entry for entry in entries if not unsaid & _named(entry)]
    ago = {"asked": 61, "renewed": 10, "due": 1, "submitted": 0, "granted": -3}
    ago |= getattr(package, "SAID_AGO", {}).get(scenario, {})
    monday = today - timedelta(days=today.weekday() + 7)
    days = {name: monday - timedelta(days=number) for name, number in ago.items()}
    return "" if "" in unsaid else Template("\n\n[[".join([heading, *words])).substitute(days)


def _named(entry: str) -> set[str]:
    """Return the names of an entry: its step, its kind with the step, and that with its answer."""
    kind, step = entry.partition("]")[0], _value(entry, "step")
    return {step, f"{kind} {step}", f"{kind} {step} {_value(entry, 'answer') or 'done'}"}


def _value(entry: str, name: str) -> str:
    return entry.partition(f'{name} = "')[2].partition('"')[0]


def _homes() -> list[Path]:
    """Return the folders that connectors are in."""
    return [Path(home) for home in sys.modules[_PACKAGE].__path__]


def _folders() -> dict[str, Path]:
    """Return the folder of each connector, by its name."""
    return {
        path.parent.name: path.parent
        for home in _homes()
        for part in _OF_CONNECTORS
        for path in home.glob(f"*/{part}")
    }


@lru_cache
def _loaded(name: str) -> Procedure | str:
    """Return the procedure of a connector, or why it is broken, once for this process."""

    def load() -> Procedure:
        from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)
        from runbook_lib.core.procedure import Procedure  # noqa: PLC0415

        procedure = import_module(f"{_PACKAGE}.{name}.procedure").PROCEDURE
        if not isinstance(procedure, Procedure):
            raise SettingsError("its PROCEDURE is no procedure.")
        if procedure.id != name:
            msg = f"its PROCEDURE is that of {procedure.id[:60]}."
            raise SettingsError(msg)
        vendor_of(procedure)
        return procedure

    settings = _settings(name)
    return settings if isinstance(settings, str) else _tried(name, "procedure.py", load)


@lru_cache
def _settings(name: str) -> tuple[Input, ...] | str:
    """Return the inputs of a connector and its providers, or why it is broken, once."""

    def load() -> tuple[Input, ...]:
        from runbook_lib.core.procedure import Input  # noqa: PLC0415  (slow to import)

        # NOTE: without its texts, which only one connector's command reads.
        own = import_module(f"{_PACKAGE}.{name}.inputs")
        items = (*own.INPUTS, *(item for each in own.PROVIDERS for item in each.settings))
        if not all(isinstance(item, Input) for item in items):
            raise SettingsError("not all of its INPUTS are inputs.")
        return items

    return _tried(name, "inputs.py", load)


def _tried(name: str, file: str, load: Callable[[], T]) -> T | str:
    """Return what `load` returns of a connector's `file`, or why it is broken, whatever that is."""
    try:
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (a package may end the program, too)
        return _why_broken(_folders()[name] / file, error)


def _why_broken(file: Path, error: BaseException) -> str:
    """Return which connector is broken, where, and why; `file` is what was loaded."""
    path, line = _place_of(file, error)
    try:
        reason = _reason_of(path, error)
    except Exception:  # noqa: BLE001  (its error may be as broken)
        reason = type(error).__name__
    place = f"{'/'.join(path.parts[-2:])}{f', line {line}' if line else ''}"
    reason = one_line(" ".join(reason.split())).rstrip(".")[:_LONGEST_REASON]
    return f"The connector {file.parent.name} is broken ({place}): {reason}."


def _reason_of(file: Path, error: BaseException) -> str:
    """
    Return why a connector's file cannot be loaded.

    NOTE: the text of an unknown error may contain anything, even a credential.
    """
    own = f"{_PACKAGE}.{file.parent.name}.{file.stem}"
    if isinstance(error, ModuleNotFoundError) and error.name == own:
        return "the file is missing"
    if isinstance(error, SyntaxError):
        return error.msg
    if isinstance(error, ImportError | RunbookError):
        return str(error)
    if isinstance(error, OSError):
        return reason_of(error)
    if isinstance(error, AttributeError) and error.name:
        return f"there is no {error.name}"
    if isinstance(error, SystemExit):
        return "it ends the program (SystemExit)"
    return type(error).__name__


def _place_of(file: Path, error: BaseException) -> tuple[Path, int]:
    """Return the connector's file where an error arose, else `file`, and the line if known."""
    folder = file.parent
    if isinstance(error, SyntaxError | OSError) and isinstance(error.filename, str):
        named = Path(error.filename)
        if named.is_relative_to(folder):
            return named, getattr(error, "lineno", None) or 0
    if isinstance(error, ModuleNotFoundError):
        package, _, module = str(error.name).rpartition(".")
        if package == f"{_PACKAGE}.{folder.name}":
            return folder / f"{module}.py", 0
    frames = traceback.walk_tb(error.__traceback__)
    places = [(Path(frame.f_code.co_filename), line) for frame, line in frames]
    inside = [(path, line) for path, line in places if path.is_relative_to(folder)]
    return inside[-1] if inside else (file, 0)
