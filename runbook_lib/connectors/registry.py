"""
Connectors by name: each is a package beside this module that has a `procedure`.

No list names them: the registry finds a new package by its folder. Other packages bring further
connectors (`connector_packages`). Their code is loaded only for a command that names them, or that
lists their tenants.
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

from runbook_lib.connectors.connector_packages import LOADED, packaged_connectors
from runbook_lib.errors import (
    BrokenConnectorError,
    RunbookError,
    SettingsError,
    reason_of,
)
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_lib.config.settings import KnownVariables
    from runbook_lib.connectors.review_kit import Kit
    from runbook_lib.core.model import ConnectorPackage, Value
    from runbook_lib.core.procedure import Input, Procedure


T = TypeVar("T")

# The default connector.
DEFAULT = "facebook_marketing"

_PACKAGE = "runbook_lib.connectors"
# Only a connector's folder has one of these, so a connector without its procedure is still found.
_OF_CONNECTORS = ("procedure.py", "checks.py", "practice")
# Their names in settings, attestations and records; the labels are the vendor's words.
_CREDENTIALS = ("app_id", "app_secret")
_LONGEST_REASON = 300


@lru_cache(maxsize=1)
def connector_names() -> tuple[str, ...]:
    """Return the name of each of the runbook's own connectors, sorted, also of a broken one."""
    return tuple(sorted(_connector_folders()))


def packaged_names() -> tuple[str, ...]:
    """Return the name of each connector that an installed package brings; loads no code of it."""
    return tuple(name for name in packaged_connectors() if name not in connector_names())


def require_connector(name: str) -> None:
    """Raise `SettingsError` if there is no connector called `name`; loads no code of it."""
    # NOTE: reading the metadata of all packages takes a while.
    if name in connector_names() or name in packaged_names():
        return
    from runbook_lib.config.settings import suggestion  # noqa: PLC0415  (slow to import)

    names = (*connector_names(), *packaged_names())
    raise SettingsError(
        f"There is no connector called {name[:60]!r}.{suggestion(name, names)}",
        next_step=f"Known connectors: {', '.join(names)}. For another one, install its package.",
    )


def find_procedure(name: str) -> Procedure:
    """
    Return the documented procedure of the connector `name`.

    Raises `SettingsError` if it is unknown, `BrokenConnectorError` if it cannot be loaded.
    """
    require_connector(name)
    loaded = _load_procedure(name)
    if isinstance(loaded, str):
        raise BrokenConnectorError(loaded)
    return loaded


def package_of(name: str) -> ConnectorPackage | None:
    """Return the package that brings a connector; `None` for one of the runbook's own."""
    if name in connector_names() or name not in packaged_connectors():
        return None
    return packaged_connectors()[name].package()


def working_procedures(also: Iterable[str] = ()) -> dict[str, Procedure]:
    """
    Return the procedure of each of the runbook's own connectors that is not broken, by its name.

    Of the connectors that packages bring, only those in `also` are loaded.
    """
    loaded = {name: _load_procedure(name) for name in _names_with(also)}
    return {name: procedure for name, procedure in loaded.items() if not isinstance(procedure, str)}


def broken_connectors(also: Iterable[str] = ()) -> dict[str, BrokenConnectorError]:
    """Return the error of each connector of `working_procedures` that cannot be loaded."""
    loaded = {name: _load_procedure(name) for name in _names_with(also)}
    return {
        name: BrokenConnectorError(reason)
        for name, reason in loaded.items()
        if isinstance(reason, str)
    }


def _names_with(also: Iterable[str]) -> tuple[str, ...]:
    """Return the runbook's own connectors, and those of `also` that a package brings."""
    others = [name for name in dict.fromkeys(also) if name not in connector_names()]
    return (*connector_names(), *(name for name in others if name in packaged_connectors()))


def kit_of(connector: str, values: Mapping[str, Value]) -> Kit:
    """
    Return the texts for the review of `connector`, for the known `values` of a run.

    Raises `SettingsError` if its vendor has none.
    """
    from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)

    make = vendor_of(find_procedure(connector)).review_kit
    if make is None:
        raise SettingsError(f"There is no review kit for the connector {connector}.")
    return make(connector, values)


def load_texts(names: Iterable[str] = ()) -> None:
    """
    Load all texts of the connectors `names`, or of every connector.

    Raises `SettingsError` for the first mistake; a known error may name a check of any connector.
    """
    from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)
    from runbook_lib.connectors.texts import require_known_checks  # noqa: PLC0415

    wanted = tuple(names) or connector_names()
    for name in wanted:
        if vendor_of(find_procedure(name)).review_kit is not None:
            kit_of(name, {})
    if broken_connectors(wanted):
        # NOTE: the checks of a broken connector are unknown.
        return
    homes = {
        path.parent for home in _connector_parents() for path in home.glob("*/known_errors.toml")
    }
    homes |= {LOADED[name] for name in wanted if name in LOADED}
    others = {*connector_names()} - {*wanted}
    for folder in sorted(homes):
        if folder.name not in others:
            require_known_checks(folder)


def known_variables(connector: str = "") -> KnownVariables:
    """
    Return every variable of every own connector whose inputs can be loaded.

    Each counts for all connectors that have the provider's setting, or, with the
    connector's name in it, for that one alone. The variables of a connector that a package brings
    are not known, since its code is not loaded for that; the caller knows those of `connector`.
    """
    from runbook_lib.config.runner_settings import RUNNER  # noqa: PLC0415  (slow to import)
    from runbook_lib.config.settings import KnownVariables, variables_of  # noqa: PLC0415

    settings = {name: _load_inputs(name) for name in connector_names()}
    inputs = {name: (*own, *RUNNER) for name, own in settings.items() if not isinstance(own, str)}
    return KnownVariables(
        variables_of({"": RUNNER, **inputs}),
        is_complete=lambda: len(inputs) == len(settings) and not {*packaged_names()} - {connector},
    )


def practice_attestations(connector: str, scenario: str, today: date) -> str:
    """
    Return people's attestations in `scenario` as TOML; empty without any.

    The days of attestations that expire or wait follow from Monday of last week, so that they count
    `today` and are the same in each run of a week. Raises `BrokenConnectorError` for a connector
    without attestations.
    """
    folder = _folder_of(connector)
    try:
        package = import_module(_module_of(connector))
        return _fill_in_attestations(
            package, folder / "practice" / "attestations.toml", scenario, today
        )
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise BrokenConnectorError(_why_broken(folder / "__init__.py", error)) from error


def _fill_in_attestations(package: Any, path: Path, scenario: str, today: date) -> str:
    unsaid = set(package.UNSAID.get(scenario, ()))
    only_elsewhere = getattr(package, "SAID_ONLY_IN", {})
    unsaid.update(*(names for name, names in only_elsewhere.items() if name != scenario))
    text = path.read_text(encoding="utf-8")
    heading, *entries = text.split("\n\n[[")
    counting = [entry for entry in entries if not unsaid & _names_of_entry(entry)]
    ago = {"asked": 61, "renewed": 10, "due": 1, "submitted": 0, "granted": -3}
    ago |= getattr(package, "SAID_AGO", {}).get(scenario, {})
    monday = today - timedelta(days=today.weekday() + 7)
    days = {name: monday - timedelta(days=number) for name, number in ago.items()}
    return "" if "" in unsaid else Template("\n\n[[".join([heading, *counting])).substitute(days)


def _names_of_entry(entry: str) -> set[str]:
    """Return the names of an entry: its step, its kind with the step, and that with its answer."""
    kind = entry.partition("]")[0]
    step = _value_in_entry(entry, "step")
    return {step, f"{kind} {step}", f"{kind} {step} {_value_in_entry(entry, 'answer') or 'done'}"}


def _value_in_entry(entry: str, name: str) -> str:
    return entry.partition(f'{name} = "')[2].partition('"')[0]


def _connector_parents() -> list[Path]:
    """Return the folders that hold the connectors' folders."""
    return [Path(home) for home in sys.modules[_PACKAGE].__path__]


def _connector_folders() -> dict[str, Path]:
    """Return the folder of each connector, by its name."""
    return {
        path.parent.name: path.parent
        for home in _connector_parents()
        for part in _OF_CONNECTORS
        for path in home.glob(f"*/{part}")
    }


def _module_of(name: str) -> str:
    """Return the import name of a connector's package."""
    is_own = name in connector_names()
    return f"{_PACKAGE}.{name}" if is_own else packaged_connectors()[name].module


def _folder_of(name: str) -> Path:
    """Return the folder of a connector; load nothing of it."""
    if name in connector_names():
        return _connector_folders()[name]
    return LOADED.get(name, Path(name))


def _load_package(name: str) -> None:
    """Load the package of a connector that is not one of the runbook's own."""
    if name not in connector_names():
        connector = packaged_connectors()[name]
        if connector.problem:
            raise SettingsError(connector.problem)
        LOADED[name] = Path(import_module(connector.module).__path__[0])


@lru_cache
def _load_procedure(name: str) -> Procedure | str:
    """Return a connector's procedure, or the reason why it is broken; load once in a process."""

    def load() -> Procedure:
        from runbook_lib.connectors.provider import vendor_of  # noqa: PLC0415  (slow to import)
        from runbook_lib.core.procedure import Procedure  # noqa: PLC0415

        procedure = import_module(f"{_module_of(name)}.procedure").PROCEDURE
        if not isinstance(procedure, Procedure):
            raise SettingsError("its PROCEDURE is no procedure.")
        if procedure.id != name:
            raise SettingsError(f"its PROCEDURE is that of {procedure.id[:60]}.")
        vendor = vendor_of(procedure)
        if (vendor.client_id.name, vendor.client_secret.name) != _CREDENTIALS:
            raise SettingsError("its vendor's credentials are not named app_id and app_secret.")
        return procedure

    settings = _load_inputs(name)
    return settings if isinstance(settings, str) else _try_to_load(name, "procedure.py", load)


@lru_cache
def _load_inputs(name: str) -> tuple[Input, ...] | str:
    """Return the inputs of a connector and its providers, or why it is broken; load once."""

    def load() -> tuple[Input, ...]:
        from runbook_lib.core.procedure import Input  # noqa: PLC0415  (slow to import)

        # NOTE: without its texts, which only one connector's command reads.
        own = import_module(f"{_module_of(name)}.inputs")
        items = (*own.INPUTS, *(item for provider in own.PROVIDERS for item in provider.settings))
        if not all(isinstance(item, Input) for item in items):
            raise SettingsError("not all of its INPUTS are inputs.")
        return items

    return _try_to_load(name, "inputs.py", load)


def _try_to_load(name: str, file: str, load: Callable[[], T]) -> T | str:
    """Load a connector's `file`; return the result of `load`, or the reason why it is broken."""
    try:
        _load_package(name)
        return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (a package may end the program, too)
        return _why_broken(_folder_of(name) / file, error)


def _why_broken(file: Path, error: BaseException) -> str:
    """Return a sentence: the broken connector, the place and the reason; `file` was loaded."""
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
    Return the reason why a connector's file cannot be loaded.

    NOTE: the text of an unknown error may contain anything, even a credential.
    """
    own = f"{_module_of(file.parent.name)}.{file.stem}"
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
        if package == _module_of(folder.name):
            return folder / f"{module}.py", 0
    frames = traceback.walk_tb(error.__traceback__)
    places = [(Path(frame.f_code.co_filename), line) for frame, line in frames]
    inside = [(path, line) for path, line in places if path.is_relative_to(folder)]
    return inside[-1] if inside else (file, 0)
