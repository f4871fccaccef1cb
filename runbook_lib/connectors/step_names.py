"""
Steps in texts of the runbook's own, named by number and title as a person sees them.

Connectors share steps under other numbers, so a shared text names them by id, or by what
follows the number in it (`data-access-renewal`) where that differs.
"""

from __future__ import annotations

from dataclasses import replace

from runbook_lib.core.procedure import Procedure, Step, step_name


def with_step_names(procedure: Procedure) -> Procedure:
    """Return `procedure` with the steps named in what its error texts advise."""
    names = {
        name: step_name(procedure.numbers[step.id], step.title)
        for step in procedure.steps
        for name in (step.id, step.id.split("-", 2)[-1])
    }

    def named(step: Step) -> Step:
        return replace(step, troubles=tuple(trouble.naming(names) for trouble in step.troubles))

    return replace(
        procedure,
        sections=tuple(
            replace(section, steps=tuple(map(named, section.steps)))
            for section in procedure.sections
        ),
    )
