"""What the journal's lines come to, folded: never better than what was checked and said."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from runbook_lib.core.index import Index
from runbook_lib.core.journal import Entry, EventType, Line, Ref
from runbook_lib.core.procedure import (
    Exchange,
    Finding,
    Outcome,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
    Table,
)
from runbook_lib.core.state import (
    History,
    RunOutcome,
    RunState,
    finding_from_document,
    finding_to_document,
    fold,
    obstacle,
)
from runbook_lib.core.words import Subject, bind

AT = "2026-11-24T09:30:00Z"


def step(name: str, *requires: str) -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.MANUAL,
        source=Source(1),
        prose="",
        confirms=f"I did {name}.",
        subject=(),
        requires=requires,
    )


PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    inputs=(),
    sections=(
        Section(id="01", title="", intro="", steps=(step("a"), step("b", "a"))),
        Section(id="02", title="", intro="", steps=(step("c", "b"), step("d"))),
    ),
)


SUBJECT = Subject(PROCEDURE, {})
RUN = {"tenant": "x", "mode": "headless", "sandbox": False, "parameters": {}, "fingerprints": {}}


def binding(name: str) -> dict[str, Any]:
    """Return what is bound to the step of this name, as the journal holds it."""
    found = next(one for one in PROCEDURE.steps if one.id == name)
    return asdict(bind(found, SUBJECT))


class Lines:
    """Journal lines, numbered as they come; the clock shows the number."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, event: str, step: str = "", *, run: str = "r1", **data: Any) -> Lines:
        """Add a line."""
        seq = len(self.entries) + 1
        if step:
            data = {"binding": binding(step), **data}
        if event == EventType.RUN_STARTED:
            data = {**RUN, **data}
        self.entries.append(Entry(seq, f"t{seq}", event, run, step, data))
        return self

    def history(self) -> History:
        """Return these lines as a history."""
        index = Index()
        for entry in self.entries:
            index = index.fold(Line(entry, Ref(entry.seq, "", 0, 0)))
        return History(index, lambda ref: self.entries[ref.seq - 1])

    def checked(self, step: str, *outcomes: Outcome, run: str = "r1", unchecked: str = "") -> Lines:
        """Add what checks saw."""
        findings = [
            finding_to_document(Finding(outcome=outcome, reason=f"{step} {outcome}."))
            for outcome in outcomes
        ]
        return self.add(
            EventType.STEP_CHECKED, step, run=run, findings=findings, unchecked=unchecked
        )

    def attested(self, step: str, *, by: str = "Operator", **data: Any) -> Lines:
        """Add a person's word."""
        return self.add(EventType.STEP_ATTESTED, step, by=by, at=AT, **data)

    def skipped(self, step: str, note: str = "not needed") -> Lines:
        """Add a person's skip."""
        return self.add(EventType.STEP_SKIPPED, step, by="Operator", at=AT, note=note)

    def fold(self, run: str | None = "r1") -> RunState:
        """Return what the lines come to."""
        return fold(self.history(), SUBJECT, run)


def outcomes(state: RunState) -> str:
    return " ".join(one.conclusion.outcome for one in state.steps.values())


def test_without_a_line_nothing_has_run() -> None:
    """An empty journal promises nothing."""

    state = Lines().fold(None)

    assert list(state.steps) == ["a", "b", "c", "d"]
    assert outcomes(state) == "not_run not_run not_run not_run"
    assert state.outcome is RunOutcome.INCOMPLETE
    assert (state.run_id, state.started_on, state.finished_on, state.started) == ("", "", "", {})


def test_only_findings_of_the_run_count() -> None:
    """What an earlier run verified is not verified in this one."""

    lines = Lines().checked("a", Outcome.VERIFIED, run="r0").checked("d", Outcome.VERIFIED)

    assert outcomes(lines.fold("r1")) == "not_run not_run not_run verified"
    assert outcomes(lines.fold("r0")) == "verified not_run not_run not_run"
    assert outcomes(lines.fold(None)) == "verified not_run not_run verified"


def test_the_newest_finding_of_a_step_counts() -> None:
    """A step that was checked twice is what the second check saw."""

    lines = Lines().checked("a", Outcome.VERIFIED).checked("a", Outcome.FAILED)

    state = lines.fold().steps["a"]
    assert state.conclusion.outcome is Outcome.FAILED
    assert state.checked_on == "t2"


def test_a_check_that_never_returned_is_not_run() -> None:
    """A killed kernel leaves `not_run`, and the reason says that the check was cut off."""

    begun = Lines().add(EventType.STEP_STARTED, "a").fold()

    assert begun.steps["a"].conclusion.outcome is Outcome.NOT_RUN
    assert "interrupted" in begun.steps["a"].conclusion.reason
    assert "cut off" not in begun.steps["b"].conclusion.reason
    assert begun.steps["a"].checked_on == ""


def test_people_s_words_hold_across_runs() -> None:
    """Nobody attests the same thing again for each run."""

    lines = Lines().attested("a", note="old").attested("a", note="new").skipped("d")
    lines.add(EventType.RUN_STARTED, run="r2")

    state = lines.fold("r2")

    assert outcomes(state) == "attested not_run not_run skipped"
    assert state.steps["a"].word is not None
    assert state.steps["a"].word.note == "new"
    assert state.steps["d"].word is not None


def test_an_attestation_overtakes_an_earlier_skip() -> None:
    """Who skips a step and then does it after all has done it."""

    assert outcomes(Lines().skipped("a").attested("a").fold()).startswith("attested")
    assert outcomes(Lines().attested("a").skipped("a").fold()).startswith("skipped")


def test_why_no_check_ran_is_told() -> None:
    """The reason of an unchecked step names what was lacking."""

    state = Lines().checked("a", unchecked="Not checked: App ID not given.").fold()

    assert state.steps["a"].conclusion.reason == "Not checked: App ID not given."
    assert state.steps["a"].checked_on == "t1"


def test_a_failure_makes_what_requires_it_impossible_all_the_way() -> None:
    """An obstacle is passed on; it names the step to mend; others are untouched."""

    state = Lines().checked("a", Outcome.FAILED).checked("d", Outcome.VERIFIED).fold()

    assert outcomes(state) == "failed skipped skipped verified"
    assert not state.steps["b"].is_skipped_by_person
    assert state.steps["b"].conclusion.reason == "Blocked: complete a (Do a) first."
    assert state.steps["c"].conclusion.reason == "Blocked: complete b (Do b) first."
    assert state.outcome is RunOutcome.FAILED


@pytest.mark.parametrize("outcome", [Outcome.WAITING, Outcome.INCONCLUSIVE, Outcome.NOT_RUN])
def test_only_a_failure_is_an_obstacle(outcome: Outcome) -> None:
    """What merely waits or cannot be told does not keep anybody from going on."""

    state = Lines().checked("a", outcome).fold()

    assert obstacle(PROCEDURE.steps[1], state.steps) == ""


def test_a_persons_skip_is_no_obstacle() -> None:
    """Who skips a step with a reason may still do the next."""

    state = Lines().skipped("a").attested("b").fold()

    assert outcomes(state).startswith("skipped attested")


def test_an_unknown_requirement_is_no_obstacle() -> None:
    """A step can be looked at alone."""

    assert obstacle(PROCEDURE.steps[1], {}) == ""


def test_a_run_is_complete_when_every_step_is_settled() -> None:
    """Verified, attested, or skipped by a person: nothing else completes a run."""

    lines = Lines().checked("a", Outcome.VERIFIED).attested("b").skipped("c")

    assert lines.fold().outcome is RunOutcome.INCOMPLETE
    lines.attested("d")
    assert lines.fold().outcome is RunOutcome.COMPLETE


@pytest.mark.parametrize(
    ("outcome", "run"),
    [
        (Outcome.WAITING, RunOutcome.INCOMPLETE),
        (Outcome.INCONCLUSIVE, RunOutcome.INCOMPLETE),
        (Outcome.NOT_RUN, RunOutcome.INCOMPLETE),
        (Outcome.FAILED, RunOutcome.FAILED),
        (Outcome.VERIFIED, RunOutcome.COMPLETE),
    ],
)
def test_one_step_decides_a_run(outcome: Outcome, run: RunOutcome) -> None:
    """A run is as good as its worst step."""

    lines = Lines().attested("a").attested("b").attested("c").checked("d", outcome)

    assert lines.fold().outcome is run


def test_a_step_skipped_by_an_obstacle_does_not_complete_a_run() -> None:
    """A failure that was mended elsewhere does not hide: the run has failed."""

    lines = Lines().checked("a", Outcome.FAILED).attested("c").attested("d")

    assert lines.fold().outcome is RunOutcome.FAILED


def test_a_runs_beginning_and_end_are_read() -> None:
    """When a run began and ended comes from its own lines; one that was cut off has no end."""

    lines = Lines()
    lines.add(EventType.RUN_STARTED, run="r0", tenant="x").add(EventType.RUN_FINISHED, run="r0")
    lines.add(EventType.RUN_STARTED, run="r1", tenant="y")
    lines.add(EventType.RUN_INTERRUPTED, run="r1", reason="by a signal")

    state = lines.fold("r1")

    assert (state.run_id, state.started["tenant"]) == ("r1", "y")
    assert (state.started_on, state.finished_on) == ("t3", "")
    assert lines.fold("r0").finished_on == "t2"
    assert lines.history().last_run == "r1"
    assert Lines().history().last_run == ""


def test_facts_of_later_findings_win() -> None:
    """What a run found out is known to its later steps; newer beats older."""

    lines = Lines()
    for name, facts in (("a", {"x": 1, "y": ["p", "q"]}), ("b", {"x": 2})):
        finding = Finding(outcome=Outcome.VERIFIED, reason="ok", facts=facts)  # type: ignore[arg-type]
        lines.add(EventType.STEP_CHECKED, name, findings=[finding_to_document(finding)])

    assert lines.fold().facts == {"x": 2, "y": ("p", "q")}


def test_inputs_are_remembered_newest_last() -> None:
    """What a person typed in one notebook is known in the next; lists come back as tuples."""

    lines = Lines()
    lines.add(EventType.INPUT_GIVEN, name="app_id", value="1")
    lines.add(EventType.INPUT_GIVEN, name="app_id", value="2")
    lines.add(EventType.INPUT_GIVEN, name="permissions", value=["a", "b"])

    assert lines.history().index.given == {"app_id": "2", "permissions": ("a", "b")}


def test_remembered_credentials_are_references_until_forgotten() -> None:
    """The journal tells where a credential rests, never what it is; the newest line counts."""

    lines = Lines()
    for name, reference in (("a", "keyring:s/a"), ("b", "keyring:s/b"), ("b", "")):
        lines.add(EventType.CREDENTIAL_REMEMBERED, name=name, reference=reference)
    lines.add(EventType.INPUT_GIVEN, name="c", value="x")

    assert lines.history().index.credentials == {"a": "keyring:s/a"}


def test_a_finding_comes_back_from_its_document() -> None:
    """What the journal holds of a finding is the whole finding."""

    exchange = Exchange(
        method="GET",
        url="https://graph.facebook.com/v26.0/me",
        sent_on=AT,
        elapsed=0.125,
        status=200,
        request={"a": [1]},
        headers={"x-fb-trace-id": "DPsOqE2Ubys"},
        response={"b": None},
    )
    finding = Finding(
        outcome=Outcome.VERIFIED,
        reason="ok",
        check="check",
        limits=("l",),
        warnings=("w",),
        changes=("c",),
        facts={"n": 1, "names": ("a", "b")},
        tables=(Table(caption="Pages", columns=("ID", "Name"), rows=(("1", "a"), ("2", "b"))),),
        exchanges=(exchange,),
    )
    document = json.loads(json.dumps(finding_to_document(finding)))

    assert finding_from_document(document) == finding
    assert finding_from_document(
        Lines().checked("a", Outcome.FAILED).entries[0].data["findings"][0]
    )


@pytest.mark.parametrize("demanded", [["a"], ["all"]])
def test_where_four_eyes_are_demanded_one_person_is_not_enough(demanded: list[str]) -> None:
    """An attestation waits for another person; the same one twice is still one."""

    lines = Lines()
    lines.add(EventType.RUN_STARTED, run="r1", parameters={"four_eyes": demanded})
    lines.add(EventType.STEP_ATTESTED, "a", run="r1", by="First", at="t", note="done")
    lines.add(EventType.STEP_ATTESTED, "a", run="r1", by="FIRST", at="u")
    alone = lines.fold("r1").steps["a"].conclusion
    lines.add(EventType.STEP_ATTESTED, "a", run="r1", by="Second", at="v")

    state = lines.fold("r1").steps["a"]
    confirmed = state.conclusion

    assert (alone.outcome, alone.needs_another) == (Outcome.WAITING, True)
    assert "another person must confirm it" in alone.reason
    assert (confirmed.outcome, confirmed.needs_another) == (Outcome.ATTESTED, False)
    assert confirmed.reason.startswith("Second on ")
    assert ", confirming FIRST" in confirmed.reason
    assert [(each.by, each.at) for each in state.others] == [("FIRST", "u")]


def test_elsewhere_one_person_is_enough() -> None:
    """Four eyes are demanded for the named steps only, and a skip begins anew."""

    lines = Lines()
    lines.add(EventType.RUN_STARTED, run="r1", parameters={"four_eyes": ["b"]})
    lines.add(EventType.STEP_ATTESTED, "a", run="r1", by="First", at="t")
    lines.add(EventType.STEP_ATTESTED, "a", run="r1", by="Second", at="t")
    lines.add(EventType.STEP_ATTESTED, "b", run="r1", by="First", at="t")
    lines.add(EventType.STEP_SKIPPED, "b", run="r1", by="First", at="u", note="not now")
    lines.add(EventType.STEP_ATTESTED, "b", run="r1", by="Second", at="v")

    steps = lines.fold("r1").steps
    assert steps["a"].conclusion.outcome is Outcome.ATTESTED
    assert "confirming" not in steps["a"].conclusion.reason
    assert steps["a"].others == ()
    assert steps["b"].conclusion.outcome is Outcome.WAITING
