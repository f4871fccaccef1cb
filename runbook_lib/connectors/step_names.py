"""
Steps in texts of the runbook's own, named by number and title as a person sees them.

Connectors share steps under other numbers, so a shared text names them by id, or by what
follows the number in it (`data-access-renewal`) where that differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runbook_lib.core.procedure import Procedure, Step


def step_names(procedures: Iterable[Procedure]) -> dict[str, str]:
    """
    Return each step's name by its id, and by its id without section and number.

    One with several numbers, or titles, has all of them.
    """
    numbers: dict[str, dict[str, dict[str, None]]] = {}
    for procedure in procedures:
        for step in procedure.steps:
            for name in (step.id, step.id.split("-", 2)[-1]):
                titles = numbers.setdefault(name, {})
                titles.setdefault(step.title, {})[procedure.numbers[step.id]] = None
    return {
        name: "step "
        + " or ".join(f"{' or '.join(numbered)} ({title})" for title, numbered in titles.items())
        for name, titles in numbers.items()
    }


def with_step_names(procedure: Procedure) -> Procedure:
    """Return `procedure` with the steps named in what its error texts advise."""
    names = step_names([procedure])

    def named(step: Step) -> Step:
        return replace(step, troubles=tuple(trouble.naming(names) for trouble in step.troubles))

    return replace(
        procedure,
        sections=tuple(
            replace(section, steps=tuple(map(named, section.steps)))
            for section in procedure.sections
        ),
    )
