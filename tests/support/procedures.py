"""Steps and procedures of which a test needs little."""

from __future__ import annotations

from typing import Any

from runbook_lib.connectors.cyclr.inputs import CYCLR
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.core.procedure import Procedure, Section, Source, Step, StepKind


def plain_step(name: str, **more: Any) -> Step:
    """Return a step without checks or subject, unless they are given."""
    given = {"title": f"Do {name}", "kind": StepKind.CALL, "today": "", "subject": (), **more}
    return Step(**{"id": name, "source": Source(1), "confirms": f"I did {name}.", **given})


def plain_procedure(*steps: Step, **more: Any) -> Procedure:
    """Return a procedure of one section, by default without inputs."""
    section = Section(id="01", title="One", intro="", steps=steps)
    given = {"inputs": (), "providers": (FACEBOOK, CYCLR), **more}
    return Procedure(**{"id": "p", "version": "1", "title": "P", "sections": (section,), **given})
