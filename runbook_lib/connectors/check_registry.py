"""
Checks by their ids: `@check` beside a function registers it, and the texts of a step name it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from types import ModuleType
from typing import Any, TypeVar

from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import Check, sentence_digest

F = TypeVar("F", bound=Callable[..., Finding | None])

# Stands in `needs` for the id of the app, since each vendor names that input differently.
CLIENT_ID = "$client_id"

_REGISTERED: defaultdict[str, dict[str, Callable[[Vendor], Check]]] = defaultdict(dict)


def check(
    name: str,
    *,
    needs: tuple[str, ...] = (),
    side_effect: str = "",
    allowed_by: tuple[str, ...] = (),
    mutates: bool = False,
    needs_human_only: bool = False,
    takes_vendor: bool = False,
) -> Callable[[F], F]:
    """
    Register a function as the check with the id `name`; the rest is as in `Check`.

    The function takes a `CheckContext`, and before that the app's vendor if it `takes_vendor`.
    """

    def register(run: F) -> F:
        registered = Check(
            id=name,
            run=run,
            needs=needs,
            side_effect=side_effect,
            allowed_by=allowed_by,
            mutates=mutates,
            needs_human_only=needs_human_only,
        )

        def for_vendor(vendor: Vendor) -> Check:
            known = {CLIENT_ID: vendor.client_id.name}
            needed = tuple(known.get(need, need) for need in needs)
            return replace(registered, run=partial(run, vendor), needs=needed)

        _REGISTERED[run.__module__][name] = for_vendor if takes_vendor else lambda _: registered
        return run

    return register


def checks_of(module: ModuleType, vendor: Vendor) -> Mapping[str, Check]:
    """Return the checks that `module` registers, for an app registered with `vendor`."""
    return {name: make(vendor) for name, make in _REGISTERED[module.__name__].items()}


def code_digest(check: Check) -> str:
    """
    Return the SHA-256 of the source of the module that defines `check`; empty if it has none.

    A package in a zip file has the same source; a package without sources has none.
    """
    function: Any = check.run
    while isinstance(function, partial):
        function = function.func
    return _source_digest(str(getattr(function, "__module__", "")))


@cache
def _source_digest(module: str) -> str:
    import inspect  # noqa: PLC0415  (slow to import)

    try:
        return sentence_digest(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return ""


def registered_ids() -> Mapping[str, None]:
    """Return the id of every check of every module that was imported."""
    return dict.fromkeys(name for checks in _REGISTERED.values() for name in checks)
