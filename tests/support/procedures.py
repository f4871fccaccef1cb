"""Steps and procedures with the few fields that a test needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.core.model import Finding
from runbook_lib.core.procedure import (
    Check,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)

CheckFunction = Callable[[CheckContext], Finding | None]


def plain_step(name: str, **more: Any) -> Step:
    """Return a step without checks or subject, unless they are given."""
    usual = {
        "id": name,
        "title": f"Do {name}",
        "kind": StepKind.CALL,
        "source": Source(1),
        "instructions": "",
        "own_sentence": f"I did {name}.",
        "subject": (),
    }
    return Step(**{**usual, **more})


def step(name: str, *checks: Check | CheckFunction, requires: tuple[str, ...] = ()) -> Step:
    """Return a step with these checks; a function becomes a check of its name."""
    all_checks = tuple(
        check if isinstance(check, Check) else Check(check.__name__, check) for check in checks
    )
    return plain_step(name, checks=all_checks, requires=requires)


def plain_procedure(*steps: Step, **more: Any) -> Procedure:
    """Return a procedure of one section, by default without inputs."""
    section = Section(id="01", title="One", intro="", steps=steps)
    given = {"inputs": (), "providers": (FACEBOOK, CYCLR), **more}
    return Procedure(**{"id": "p", "version": "1", "title": "P", "sections": (section,), **given})
