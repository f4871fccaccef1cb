"""The steps of a procedure, as a run records them: all that its outcome depends on."""

from __future__ import annotations

from runbook_lib.core.procedure import Procedure, Step
from runbook_lib.run.events import AnswerOption, CheckDefinition, StepDefinition


def define_steps(procedure: Procedure) -> tuple[StepDefinition, ...]:
    """Return the definitions of the steps, in the documented order."""
    return tuple(_define_step(step, procedure) for step in procedure.steps)


def _define_step(step: Step, procedure: Procedure) -> StepDefinition:
    secrets = {item.name for item in procedure.inputs if item.secret}
    return StepDefinition(
        id=step.id,
        number=procedure.numbers[step.id],
        title=step.title,
        off_page=bool(step.source.off_page),
        kind=step.kind,
        sentence=step.sentence,
        answers=tuple(
            AnswerOption(label=answer.label, sentence=answer.sentence, valid_days=answer.valid_days)
            for answer in step.answers
        ),
        subject=step.subject,
        inputs=tuple(item.name for item in step.inputs),
        checks=tuple(
            CheckDefinition(
                id=check.id,
                confirm=check.needs_confirmation,
                needs_human_only=check.needs_human_only,
                secrets=tuple(name for name in check.needs if name in secrets),
            )
            for check in step.checks
        ),
        requires=step.requires,
        valid_days=step.valid_days,
        usual_days=step.usual_days,
    )
