"""The fold concludes from lines alone, and from nothing that a line does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import convert, structs, to_builtins

from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Binding,
    Finding,
    ModelStruct,
    Note,
    Outcome,
    RunOutcome,
)
from runbook_lib.errors import ChainError
from runbook_lib.run.events import (
    EarlierResult,
    RunFinished,
    StepChecked,
    ValuesGiven,
    ValuesJudged,
)
from runbook_lib.run.fold import fold, lines_of
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState
from tests.support.line_writer import LineWriter
from tests.support.run_events import AT, BINDING, STEP, exchange, started

FIRST = "aaaaaaaa"
SECOND = "bbbbbbbb"


def checked(outcome: str = "verified", *exchanges: int, **more: Any) -> StepChecked:
    """Return the end of the step's check, with one finding."""
    finding = Finding(
        outcome=Outcome(outcome), code="a-code", reason="So.", check="log-in", exchanges=exchanges
    )
    return StepChecked(findings=(finding,), binding=BINDING, **more)


def attested(by: str = "Ann") -> Attestation:
    """Return a person's confirmation of the step."""
    return Attestation(
        kind=AttestationKind.ATTESTED, by=by, at=AT, sentence=STEP.sentence, binding=BINDING
    )


def lines(*events: tuple[str, ModelStruct]) -> list[Line]:
    """Return a line for each event, each with the id of its run."""
    writer = LineWriter()
    for run, event in events:
        is_about_step = isinstance(event, StepChecked | Attestation | Note)
        writer.write(event, AT, run, STEP.id if is_about_step else "")
    return writer.lines


def test_a_run_has_the_findings_of_its_own_checks() -> None:
    """Findings of other runs do not count, people's attestations do."""
    known = lines(
        (FIRST, started()),
        (FIRST, exchange()),
        (FIRST, checked("verified", 2)),
        (FIRST, RunFinished()),
        (SECOND, started()),
        (SECOND, RunFinished()),
    )
    attestation = lines(("", attested()))[0]

    assert fold(known, FIRST).step(STEP.id).outcome is Outcome.VERIFIED
    assert fold(known, FIRST).outcome is RunOutcome.COMPLETE
    assert fold(known, FIRST).exchanges == {2: exchange()}
    assert fold(known, SECOND).step(STEP.id).outcome is Outcome.NOT_RUN
    assert fold([attestation, *known], SECOND).step(STEP.id).outcome is Outcome.ATTESTED


def test_a_state_is_one_json_document() -> None:
    """The state of a run can be read again from its JSON."""
    known = lines((FIRST, started()), (FIRST, exchange()), (FIRST, checked("failed", 2)))
    state = fold(known, FIRST)

    document = json.loads(json.dumps(to_builtins(state, str_keys=True)))
    assert convert(document, RunState, strict=False) == state


def test_lines_after_the_end_of_a_run_do_not_count() -> None:
    """Later lines change no record."""
    known = lines((FIRST, started()), (FIRST, RunFinished()))
    later = [*known, *lines((FIRST, attested()), (FIRST, checked("failed")))]

    assert fold(later, FIRST) == fold(known, FIRST)


def test_a_withheld_check_is_inconclusive() -> None:
    """The outcome of a check is not kept where its data is not."""
    *before, last = lines((FIRST, started()), (FIRST, checked()))
    state = fold([*before, last.withheld], FIRST).step(STEP.id)

    assert (state.outcome, state.code) == (Outcome.INCONCLUSIVE, "response-withheld")


def test_a_missing_exchange_is_refused() -> None:
    """A finding rests on exchanges that are there."""
    with pytest.raises(ChainError):
        fold(lines((FIRST, started()), (FIRST, checked("verified", 3))), FIRST)


def test_a_withheld_exchange_is_refused() -> None:
    """A finding whose exchange is withheld must be withheld, too."""
    first, second, third = lines(
        (FIRST, started()), (FIRST, exchange()), (FIRST, checked("verified", 2))
    )
    with pytest.raises(ChainError):
        fold([first, second.withheld, third], FIRST)
    assert fold([first, second.withheld, third.withheld], FIRST).outcome is RunOutcome.INCOMPLETE


def test_without_its_beginning_a_run_has_no_state() -> None:
    """The beginning has the steps and the values."""
    with pytest.raises(ChainError):
        fold(lines((FIRST, checked())), FIRST)
    with pytest.raises(ChainError):
        fold([])


def test_an_earlier_result_counts_again() -> None:
    """The step is verified on the day of that run, and says which line it rests on."""
    earlier = {"log-in": EarlierResult(line=3, until="2026-12-30")}
    known = lines(
        (FIRST, started()),
        (FIRST, exchange()),
        (FIRST, checked("verified", 2)),
        (SECOND, structs.replace(started(), earlier=earlier)),
        (SECOND, RunFinished()),
    )
    state = fold(known, SECOND).step(STEP.id)

    assert (state.outcome, state.verified_on) == (Outcome.VERIFIED, AT[:10])
    assert state.earlier == earlier
    assert state.checked_on == ""
    assert FIRST in state.reason
    with pytest.raises(ChainError):
        fold([line for line in known if line.head.seq != 3], SECOND)


def test_a_check_of_the_run_itself_decides_before_an_earlier_one() -> None:
    """A new result replaces the earlier one."""
    earlier = {"log-in": EarlierResult(line=3, until="2026-12-30")}
    known = lines(
        (FIRST, started()),
        (FIRST, exchange()),
        (FIRST, checked("verified", 2)),
        (SECOND, structs.replace(started(), earlier=earlier)),
        (SECOND, checked("failed")),
    )
    state = fold(known, SECOND).step(STEP.id)

    assert (state.outcome, state.verified_on) == (Outcome.FAILED, "")


def test_the_lines_of_a_run_are_enough() -> None:
    """Its own lines, lasting ones, and those that it counts again have the same state."""
    earlier = {"log-in": EarlierResult(line=4, until="2026-12-30")}
    known = lines(
        (FIRST, started()),
        (FIRST, attested()),
        (FIRST, exchange()),
        (FIRST, checked("verified", 3)),
        (FIRST, exchange()),
        (FIRST, Note(by="Ann", at=AT, note="Hm")),
        (SECOND, structs.replace(started(), earlier=earlier)),
        (SECOND, RunFinished()),
        (SECOND, exchange()),
    )
    kept = list(lines_of(known, SECOND))

    assert [line.head.seq for line in kept] == [2, 3, 4, 6, 7, 8]
    assert fold(kept, SECOND) == fold(known, SECOND)


def test_four_eyes_need_another_person() -> None:
    """One person, however the name is spelt, is not two."""
    begun = structs.replace(started(), values={"four_eyes": ("all",)})
    once = lines((FIRST, begun), (FIRST, attested()))
    same = lines((FIRST, begun), (FIRST, attested()), (FIRST, attested(" ANN")))
    both = lines((FIRST, begun), (FIRST, attested()), (FIRST, attested("Ben")))

    assert fold(once, FIRST).step(STEP.id).needs_another
    assert fold(same, FIRST).step(STEP.id).needs_another
    assert fold(both, FIRST).step(STEP.id).outcome is Outcome.ATTESTED


def test_values_of_other_names_than_secrets_are_in_the_state() -> None:
    """A secret's fingerprint is no value of the record."""
    begun = structs.replace(started(), secrets=("app_secret",), values={"app_id": "111"})
    given = ValuesGiven(values={"app_id": "222"}, fingerprints={"app_secret": "k:1"})

    assert fold(lines((FIRST, begun), (FIRST, given)), FIRST).values == {"app_id": "222"}


def test_an_automatic_check_is_no_work() -> None:
    """Only a step that somebody attested or had checked was worked on."""
    by_itself = lines((FIRST, started()), (FIRST, checked("not_run", automatic=True)))
    asked = lines((FIRST, started()), (FIRST, checked("not_run")))

    assert not fold(by_itself, FIRST).step(STEP.id).is_worked_on
    assert fold(asked, FIRST).step(STEP.id).is_worked_on


def about(app: str | None) -> Binding:
    """Return the binding to an app; `None` if it was unknown."""
    return structs.replace(BINDING, subject={"app_id": app})


@pytest.mark.parametrize(("name", "outcome"), [("app_id", "not_run"), ("token", "verified")])
def test_a_result_counts_while_the_values_of_its_step_are_the_same(name: str, outcome: str) -> None:
    """A new value that only its check needs, such as a token, reopens nothing."""
    step = structs.replace(STEP, subject=("app_id",))
    values: dict[str, Any] = {"app_id": "111", "token": "1"}
    begun = structs.replace(started(), steps=(step,), values=values)
    found = structs.replace(checked(), binding=structs.replace(BINDING, subject=values))
    given = ValuesGiven(values={name: "222"})

    state = fold(lines((FIRST, begun), (FIRST, found), (FIRST, given)), FIRST)
    assert state.step(STEP.id).outcome == outcome


def test_a_due_day_stays_when_a_check_verifies_the_step() -> None:
    """A person asked for it by a day; the day is shown although nobody must act for the step."""
    asked = structs.replace(attested(), due="2026-11-20")
    known = lines((FIRST, started()), (FIRST, asked), (FIRST, checked()))
    state = fold(known, FIRST, today="2026-11-22").step(STEP.id)

    assert state.is_settled
    assert (state.due, state.overdue_days, state.waits_for) == ("2026-11-20", 2, None)


def test_an_attestation_is_about_the_first_accepted_value() -> None:
    """A value that was unknown becomes the first one that the remote system names as its own."""
    step = structs.replace(STEP, subject=("app_id",))
    begun = structs.replace(started(), steps=(step,))
    word = structs.replace(attested(), binding=about(None))
    first = ValuesJudged(accepted={"app_id": "111"})
    known = lines((FIRST, begun), (FIRST, word), (FIRST, first))

    def outcome(app: str) -> Outcome:
        given = ValuesGiven(values={"app_id": app})
        later = lines(*((FIRST, line.event) for line in known), (FIRST, given))
        return fold(later, FIRST).step(STEP.id).outcome

    assert outcome("111") is Outcome.ATTESTED
    assert outcome("222") is Outcome.NOT_RUN


def test_a_refused_value_voids_attestations_until_it_is_accepted() -> None:
    """Attestations of the step that takes the value do not count meanwhile."""
    step = structs.replace(STEP, subject=("app_id",), inputs=("app_id",))
    begun = structs.replace(started(), steps=(step,), values={"app_id": "222"})
    word = structs.replace(attested(), binding=about("222"))
    refused = ValuesJudged(refused={"app_id": "222"}, before={"app_id": "111"})
    accepted = ValuesJudged(accepted={"app_id": "222"})
    known = [(FIRST, begun), (FIRST, word), (FIRST, refused)]

    assert fold(lines(*known), FIRST).step(STEP.id).outcome is Outcome.NOT_RUN
    later = lines(*known, (FIRST, accepted))
    assert fold(later, FIRST).step(STEP.id).outcome is Outcome.ATTESTED


def test_an_earlier_result_that_was_not_verified_does_not_count() -> None:
    """A run cannot count a failure, or anything but a verified result, again."""
    earlier = {"log-in": EarlierResult(line=2, until="2026-12-30")}
    known = lines(
        (FIRST, started()),
        (FIRST, checked("failed")),
        (SECOND, structs.replace(started(), earlier=earlier)),
    )
    assert fold(known, SECOND).step(STEP.id).outcome is Outcome.NOT_RUN
