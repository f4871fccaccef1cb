"""The state folded from the journal's lines: never better than what was checked and attested."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.core.advice import next_step
from runbook_lib.core.attestation_rules import Subject, bind
from runbook_lib.core.index import JournalIndex
from runbook_lib.core.journal import JournalLine, LineRef
from runbook_lib.core.model import (
    DATA,
    FORMAT_VERSION,
    EventType,
    Finding,
    HostCalls,
    JournalEntry,
    Outcome,
    RunOutcome,
)
from runbook_lib.core.procedure import (
    AnswerOption,
    Check,
    Procedure,
    Provider,
    ProviderBehaviour,
    Section,
    Source,
    Step,
    StepKind,
)
from runbook_lib.core.run_state import History, RunState, StepState, blocking_failure, fold
from runbook_lib.errors import ChainError, ExitCode
from tests.support.journals import entry
from tests.support.wording import refused, wording

AT = "2026-11-24T09:30:00Z"


def step(name: str, *requires: str) -> Step:
    return Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.MANUAL,
        source=Source(1),
        instructions="",
        own_sentence=f"I did {name}.",
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
RUN = {
    "format_version": FORMAT_VERSION,
    "tenant": "x",
    "procedure": {"id": "p", "version": "1", "digest": "0" * 64},
    "mode": "headless",
    "sandbox": False,
    "parameters": {},
    "credentials": (),
    "fingerprints": {},
    "resumes": "",
    "environment": {},
}
ENDED = {"outcome": "incomplete"}


def t(number: int) -> str:
    """Return the time of the line with this number."""
    return f"2026-11-24T09:{number:02}:00Z"


def binding(name: str) -> dict[str, Any]:
    """Return the binding of this step, as the journal has it."""
    found = next(one for one in PROCEDURE.steps if one.id == name)
    return to_builtins(bind(found, SUBJECT))


class Lines:
    """Numbered journal lines; the clock shows the number."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def add(self, event: str, step: str = "", *, run: str = "r1", **data: Any) -> Lines:
        """Add a line."""
        seq = len(self.entries) + 1
        known = {field.name for field in structs.fields(DATA[event])}
        more = {
            "binding": binding(step) if "binding" in known and step else {},
            "sentence": "I did it.",
            **(RUN if event == EventType.RUN_STARTED else {}),
            **(ENDED if event == EventType.RUN_FINISHED else {}),
        }
        data = {**{name: value for name, value in more.items() if name in known}, **data}
        self.entries.append(entry(seq, event, data, at=t(seq), run_id=run, step=step))
        return self

    def history(self) -> History:
        """Return these lines as a history."""
        lines = (JournalLine(line, LineRef(line.seq, "", 0, 0)) for line in self.entries)
        index = JournalIndex().fold(lines)
        return History(index, lambda ref: self.entries[ref.seq - 1])

    def checked(self, step: str, *outcomes: Outcome, run: str = "r1", unchecked: str = "") -> Lines:
        """Add a check's findings."""
        findings = [
            {"outcome": outcome, "code": "a-code", "reason": f"{step} {outcome}."}
            for outcome in outcomes
        ]
        return self.add(
            EventType.STEP_CHECKED, step, run=run, findings=findings, unchecked=unchecked
        )

    def attested(self, step: str, *, by: str = "Operator", at: str = AT, **data: Any) -> Lines:
        """Add an attestation."""
        return self.add(EventType.STEP_ATTESTED, step, by=by, at=at, **data)

    def skipped(self, step: str, note: str = "not needed", **data: Any) -> Lines:
        """Add a skip."""
        data = {"by": "Operator", "at": AT, "note": note, **data}
        return self.add(EventType.STEP_SKIPPED, step, **data)

    def asked(self, url: str = "https://api.example/one", *, run: str = "r1", **data: Any) -> Lines:
        """Add an exchange."""
        data = {"method": "GET", "url": url, "sent_on": AT, "elapsed": 0, **data}
        return self.add(EventType.EXCHANGE_RECORDED, run=run, **data)

    def rests(self, step: str, *numbers: int) -> Lines:
        """Add a check that rests on the exchanges with these numbers."""
        finding = {
            "outcome": "verified",
            "code": "a-code",
            "reason": "ok",
            "check": "a",
            "exchanges": numbers,
        }
        return self.add(EventType.STEP_CHECKED, step, findings=[finding])

    def given(self, name: str, value: Any) -> Lines:
        """Add the value of an input."""
        return self.add(EventType.INPUT_GIVEN, name=name, value=value)

    def fold(self, run: str | None = "r1") -> RunState:
        """Return the state of these lines."""
        return fold(self.history(), SUBJECT, run)


NO_LONGER_COUNTS = wording("reasons.no-longer-counts", again="")


def outcomes(state: RunState) -> str:
    return " ".join(one.conclusion.outcome for one in state.steps.values())


def started(*four_eyes: str, **parameters: Any) -> Lines:
    """Return the start of a run in which two people must attest these steps."""
    more = {"four_eyes": four_eyes} if four_eyes else {}
    return Lines().add(EventType.RUN_STARTED, parameters={**more, **parameters})


def test_without_a_line_nothing_has_run() -> None:
    """With an empty journal, every step is `not_run`."""
    state = Lines().fold(None)

    assert list(state.steps) == ["a", "b", "c", "d"]
    assert outcomes(state) == "not_run not_run not_run not_run"
    assert state.outcome is RunOutcome.INCOMPLETE
    assert (state.run_id, state.started_on, state.finished_on, state.started) == ("", "", "", None)


def test_only_findings_of_the_run_count() -> None:
    """The findings of an earlier run do not count in this one."""
    lines = Lines().checked("a", Outcome.VERIFIED, run="r0").checked("d", Outcome.VERIFIED)

    assert outcomes(lines.fold("r1")) == "not_run not_run not_run verified"
    assert outcomes(lines.fold("r0")) == "verified not_run not_run not_run"
    assert outcomes(lines.fold(None)) == "verified not_run not_run verified"


def test_the_newest_finding_of_a_step_counts() -> None:
    """The last one of several checks of a step counts."""
    lines = Lines().checked("a", Outcome.VERIFIED).checked("a", Outcome.FAILED)

    state = lines.fold().steps["a"]
    assert state.conclusion.outcome is Outcome.FAILED
    assert state.checked_on == t(2)


def test_a_check_that_never_returned_is_not_run() -> None:
    """A check that was interrupted leaves `not_run`, and the reason says so."""
    begun = Lines().add(EventType.STEP_STARTED, "a").fold()

    assert begun.steps["a"].conclusion.outcome is Outcome.NOT_RUN
    assert "interrupted" in begun.steps["a"].conclusion.reason
    assert "cut off" not in begun.steps["b"].conclusion.reason
    assert begun.steps["a"].checked_on == ""


def test_attestations_count_across_runs() -> None:
    """Attestations and skips count in later runs; the last one of a step counts."""
    lines = Lines().attested("a", note="old").attested("a", note="new").skipped("d")
    lines.add(EventType.RUN_STARTED, run="r2")

    state = lines.fold("r2")

    assert outcomes(state) == "attested not_run not_run skipped"
    assert state.steps["a"].attestation is not None
    assert state.steps["a"].attestation.note == "new"
    assert state.steps["d"].attestation is not None


def test_the_last_of_attestation_and_skip_counts() -> None:
    """The later one of an attestation and a skip counts."""
    assert outcomes(Lines().skipped("a").attested("a").fold()).startswith("attested")
    assert outcomes(Lines().attested("a").skipped("a").fold()).startswith("skipped")


def test_the_reason_of_an_unchecked_step_is_kept() -> None:
    """The reason of an unchecked step says what was missing."""
    reason = "Not checked: App ID not given."
    state = Lines().checked("a", unchecked=reason).fold()

    assert state.steps["a"].conclusion.reason == reason
    assert state.steps["a"].checked_on == t(1)


def test_a_failure_blocks_all_dependent_steps() -> None:
    """A failed step blocks all steps that depend on it; the reason names the step to complete."""
    state = Lines().checked("a", Outcome.FAILED).checked("d", Outcome.VERIFIED).fold()

    assert outcomes(state) == "failed skipped skipped verified"
    assert not state.steps["b"].is_skipped_by_person
    for step, number, title in (("b", 1, "Do a"), ("c", 2, "Do b")):
        blocked = wording("reasons.blocked", number=number, title=title)
        assert state.steps[step].conclusion.reason == blocked
    assert state.outcome is RunOutcome.FAILED


@pytest.mark.parametrize("outcome", [Outcome.WAITING, Outcome.INCONCLUSIVE, Outcome.NOT_RUN])
def test_only_a_failure_is_an_obstacle(outcome: Outcome) -> None:
    """A step that waits, is inconclusive or is not run blocks no other."""
    state = Lines().checked("a", outcome).fold()

    assert blocking_failure(PROCEDURE.steps[1], state.steps) == ""


def test_an_unknown_requirement_is_no_obstacle() -> None:
    """A required step without a state blocks nothing."""
    assert blocking_failure(PROCEDURE.steps[1], {}) == ""


@pytest.mark.parametrize(
    ("said", "seen", "run"),
    [
        # A step skipped by a person blocks no other.
        ("skipped attested", "skipped attested not_run not_run", "incomplete"),
        # A run is complete if every step is verified, attested or skipped by a person.
        ("verified attested skipped", "verified attested skipped not_run", "incomplete"),
        ("verified attested skipped attested", "verified attested skipped attested", "complete"),
        # A step that is skipped because of a failure leaves the run failed.
        ("failed - attested attested", "failed skipped skipped attested", "failed"),
        # A run is only as good as its worst step.
        ("attested attested attested waiting", "", "incomplete"),
        ("attested attested attested inconclusive", "", "incomplete"),
        ("attested attested attested not_run", "", "incomplete"),
        ("attested attested attested failed", "", "failed"),
        ("attested attested attested verified", "", "complete"),
    ],
)
def test_the_steps_decide_a_run(said: str, seen: str, run: str) -> None:
    """Checks and attestations decide each step's outcome, and the run's."""
    lines = Lines()
    for name, attestation in zip("abcd", said.split(), strict=False):
        if attestation == "attested":
            lines.attested(name)
        elif attestation == "skipped":
            lines.skipped(name)
        elif attestation != "-":
            lines.checked(name, Outcome(attestation))

    state = lines.fold()

    assert (outcomes(state), state.outcome) == (seen or said, RunOutcome(run))


def test_a_step_that_is_verified_in_part_does_not_complete_a_run() -> None:
    """Until a person has confirmed what its check cannot see, the step is open and comes next."""
    check = Check("seen", lambda _: None, needs_confirmation="It is so.")
    asking = replace(step("b"), checks=(check,))
    section = replace(PROCEDURE.sections[0], steps=(step("a"), asking))
    procedure = replace(PROCEDURE, sections=(section,))
    finding = Finding(
        outcome=Outcome.VERIFIED, code="a-code", reason="Yes.", check="seen", limits=("More.",)
    )
    subject = Subject(procedure, {})
    bound = to_builtins(bind(asking, subject))
    lines = Lines().add(EventType.RUN_STARTED).attested("a")
    lines.add(EventType.STEP_CHECKED, "b", findings=[to_builtins(finding)], binding=bound)

    before = fold(lines.history(), subject, "r1")
    after = fold(lines.attested("b", binding=bound).history(), subject, "r1")

    assert before.outcome is RunOutcome.INCOMPLETE
    assert before.steps["b"].conclusion.outcome is Outcome.VERIFIED
    assert not before.steps["b"].is_settled
    following = next_step(before)
    assert following is not None
    assert (following[0].step.id, following[1]) == (
        "b",
        wording("advice.check-then-confirm", sentence="It is so."),
    )
    assert after.outcome is RunOutcome.COMPLETE
    assert next_step(after) is None


def test_a_runs_beginning_and_end_are_read() -> None:
    """A run's start and end come from its own lines; an interrupted run has no end."""
    lines = Lines()
    lines.add(EventType.RUN_STARTED, run="r0", tenant="x").add(EventType.RUN_FINISHED, run="r0")
    lines.add(EventType.RUN_STARTED, run="r1", tenant="y")
    lines.add(EventType.RUN_INTERRUPTED, run="r1", reason="by a signal")

    state = lines.fold("r1")

    assert (state.run_id, state.started and state.started.tenant) == ("r1", "y")
    assert (state.started_on, state.finished_on) == (t(3), "")
    assert lines.fold("r0").finished_on == t(2)
    assert lines.history().last_run == "r1"
    assert Lines().history().last_run == ""


def test_facts_of_later_findings_win() -> None:
    """Facts of later findings take precedence."""
    lines = Lines()
    for name, facts in (("a", {"x": 1, "y": ["p", "q"]}), ("b", {"x": 2})):
        finding = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="ok", facts=facts)  # type: ignore[arg-type]
        lines.add(EventType.STEP_CHECKED, name, findings=[to_builtins(finding)])

    assert lines.fold().facts == {"x": 2, "y": ("p", "q")}


def test_the_last_value_of_an_input_counts() -> None:
    """The last value of an input counts; lists are read as tuples."""
    lines = Lines().given("app_id", "1").given("app_id", "2").given("permissions", ["a", "b"])

    assert lines.history().index.given == {"app_id": "2", "permissions": ("a", "b")}


def test_remembered_credentials_are_references_until_forgotten() -> None:
    """A stored credential is a reference until it is removed; the last line counts."""
    lines = Lines()
    for name, reference in (("a", "keyring:s/a"), ("b", "keyring:s/b"), ("b", "")):
        lines.add(EventType.CREDENTIAL_SAVED, name=name, reference=reference)
    lines.given("c", "x")

    assert lines.history().index.credentials == {"a": "keyring:s/a"}


def test_a_step_has_the_exchanges_on_which_its_check_rests() -> None:
    """The exchanges that a check names by number are in the state, and their lines in evidence."""
    lines = Lines().asked().asked("https://api.example/two").rests("a", 2)

    state = lines.fold().steps["a"]

    assert {n: exchange.url for n, exchange in state.exchanges.items()} == {
        2: "https://api.example/two"
    }
    assert [ref.seq for ref in state.lines] == [3, 2]


def test_two_checks_may_rest_on_one_exchange() -> None:
    """A step has the exchange that another step's check names too; a run's end lets it go."""
    lines = Lines().asked().asked().rests("a", 1).rests("b", 1).add(EventType.RUN_FINISHED)

    history = lines.history()
    states = lines.fold().steps

    assert [[*states[name].exchanges] for name in ("a", "b")] == [[1], [1]]
    assert [ref.seq for ref in history.index.checked["b"].exchanges] == [1]
    assert history.index.runs["r1"].exchanges == ()


def test_a_run_counts_the_answers_of_each_host() -> None:
    """Every response counts, also without a check that rests on it; the newest share is shown."""
    lines = Lines()
    hosts = ("graph.example", "graph.example", "api.example")
    for number, host in enumerate(hosts):
        headers = {"x-app-usage": f'{{"call_count":{number * 10}}}'}
        lines.asked(f"https://{host}/{number}", status=200, headers=headers)
    lines.asked("https://graph.example/3").asked("graph.example", method="DNS").rests("a", 1, 2)

    class CountingBehaviour(ProviderBehaviour):
        def usage_share(self, headers: Any, /) -> float | None:
            header = headers.get("x-app-usage")
            return json.loads(header)["call_count"] if header else None

    provider = Provider(name="v", title="V", behaviour=CountingBehaviour())
    state = replace(lines.fold("r1"), providers=(provider,))

    assert state.calls == (
        HostCalls(host="api.example", calls=1, share=None),
        HostCalls(host="graph.example", calls=2, share=10),
    )


@pytest.mark.parametrize(
    "begin", [partial(Lines.asked, run="r2"), partial(Lines.checked, step="b")]
)
def test_a_check_rests_on_exchanges_of_its_own_run(begin: Callable[[Lines], Lines]) -> None:
    """A check that names another run's exchange, or a line that is none, is not believed."""
    lines = begin(Lines()).rests("a", 1)

    with refused(ChainError, "not-an-exchange", line=2, other=1):
        lines.fold()


@pytest.mark.parametrize("demanded", ["a", "all"])
def test_four_eyes_need_two_persons(demanded: str) -> None:
    """With four_eyes, an attestation waits for another person; the same person twice is one."""
    lines = started(demanded).attested("a", by="First", at=t(51), note="done")
    lines.attested("a", by="FIRST", at=t(52))
    alone = lines.fold("r1").steps["a"].conclusion
    lines.attested("a", by="Second", at=t(53))

    state = lines.fold("r1").steps["a"]
    confirmed = state.conclusion

    assert (alone.outcome, alone.needs_another) == (Outcome.WAITING, True)
    assert wording("confirm.another-person-must") in alone.reason
    assert (confirmed.outcome, confirmed.needs_another) == (Outcome.ATTESTED, False)
    assert confirmed.reason.startswith("Second on ")
    assert ", confirming FIRST" in confirmed.reason
    assert [(each.by, each.at) for each in state.confirmed_by] == [("FIRST", t(52))]


def test_without_four_eyes_one_person_is_enough() -> None:
    """four_eyes applies to the named steps only, and a skip resets the count."""
    lines = started("b").attested("a", by="First", at=t(51)).attested("a", by="Second", at=t(51))
    lines.attested("b", by="First", at=t(51)).skipped("b", "not now", by="First", at=t(52))
    lines.attested("b", by="Second", at=t(53))

    steps = lines.fold("r1").steps
    assert steps["a"].conclusion.outcome is Outcome.ATTESTED
    assert "confirming" not in steps["a"].conclusion.reason
    assert steps["a"].confirmed_by == ()
    assert steps["b"].conclusion.outcome is Outcome.WAITING


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        ((Outcome.WAITING, Outcome.WAITING), t(1)),
        ((Outcome.FAILED, Outcome.WAITING, Outcome.WAITING), t(2)),
        ((Outcome.WAITING, Outcome.VERIFIED, Outcome.WAITING), t(3)),
        ((Outcome.WAITING, Outcome.INCONCLUSIVE, Outcome.WAITING), t(1)),
        ((Outcome.WAITING, Outcome.VERIFIED), ""),
    ],
)
def test_a_wait_lasts_since_checks_saw_it_first(seen: tuple[Outcome, ...], since: str) -> None:
    """A wait that only checks saw began at the first of them; one that could not tell is no end."""
    lines = Lines()
    for outcome in seen:
        lines.checked("a", outcome)

    assert lines.fold(None).steps["a"].waiting_since == since


def test_a_wait_lasts_since_a_person_says_so() -> None:
    """A submitted step waits since then, a half-confirmed one since its first attestation."""
    submitted = Lines().checked("a", Outcome.WAITING)
    submitted.add(EventType.STEP_SUBMITTED, "a", by="Operator", at=AT)
    half = started("a").attested("a")

    assert submitted.fold(None).steps["a"].waiting_since == AT
    assert half.fold("r1").steps["a"].waiting_since == AT
    assert half.fold("r1").steps["b"].waiting_since == ""


# --- attestations that end, and other answers --------------------------------------------------
NOT_ASKED = AnswerOption(
    name="not", label="Not asked", sentence="It is not asked for.", valid_days=90
)
ASKED = AnswerOption(name="asked", label="Asked for", sentence="It is asked for.", due_days=60)
YEARLY = replace(step("a"), valid_days=365, answers=(NOT_ASKED, ASKED))
GATE = replace(
    PROCEDURE, sections=(replace(PROCEDURE.sections[0], steps=(YEARLY, step("b", "a"))),)
)


def gate(lines: Lines, today: str, run: str | None = None, **values: Any) -> RunState:
    """Return the state of these lines on this day."""
    return fold(lines.history(), Subject(GATE, values, today=today), run)


def first(lines: Lines, today: str, run: str | None = None, **values: Any) -> StepState:
    """Return the state of the first step on this day."""
    return gate(lines, today, run, **values).steps["a"]


def answer(lines: Lines, answer: AnswerOption | None = None, **days: str) -> Lines:
    """Add the attestation of this answer, or of the step's own sentence."""
    sentence = answer.sentence if answer else YEARLY.sentence
    bound = to_builtins(bind(YEARLY, Subject(GATE, {}), None, sentence))
    return lines.attested("a", sentence=sentence, binding=bound, **days)


def test_an_answer_is_named_in_the_reason() -> None:
    """The reason says which answer was given, and until when it counts."""
    lines = answer(Lines(), NOT_ASKED, until="2027-02-22")

    conclusion = first(lines, "2027-02-22").conclusion
    assert conclusion.outcome is Outcome.ATTESTED
    assert conclusion.reason == wording(
        "reasons.answered", at=AT, answer="Not asked", until="2027-02-22", by="Operator"
    )


def test_an_attestation_that_has_ended_is_asked_for_again() -> None:
    """The day on which the state is read decides, also where an earlier state is carried on."""
    lines = answer(Lines(), until="2027-11-24")
    before = gate(lines, "2027-11-24")
    state = fold(lines.history(), Subject(GATE, {}, today="2027-11-25"), None, before)
    after = state.steps["a"]

    assert before.steps["a"].is_settled
    assert (after.conclusion.outcome, after.attestation) == (Outcome.NOT_RUN, None)
    expired = wording("reasons.expired", days=366, until="2027-11-24")
    assert f"{expired}{NO_LONGER_COUNTS}" in after.conclusion.reason


def test_a_run_that_has_ended_is_judged_on_its_own_day() -> None:
    """A run keeps the attestations of its last day; the state of all runs is today's."""
    lines = answer(Lines().add(EventType.RUN_STARTED), until="2026-11-24")
    while_open = first(lines, "2026-11-25", "r1")
    lines.add(EventType.RUN_FINISHED)

    assert not while_open.is_settled
    assert first(lines, "2026-11-25", "r1").is_settled
    assert not first(lines, "2026-11-25").is_settled


def test_a_run_that_has_ended_keeps_its_own_setting() -> None:
    """A run keeps its own limit of days for attestations; later runs may have less."""
    lines = answer(started(attestation_days=100)).add(EventType.RUN_FINISHED)

    sealed = first(lines, "2026-12-25", "r1", attestation_days=10)
    assert (sealed.is_settled, sealed.ends_on) == (True, "2027-03-04")
    assert not first(lines, "2026-12-25", attestation_days=10).is_settled


def test_a_state_knows_when_the_attestations_end_that_settle_it() -> None:
    """The earliest end of the attestations that count; none once they ended, or settle nothing."""
    lines = answer(Lines(), until="2027-11-24")
    settled = first(lines, "2026-11-24")
    old = first(lines, "2027-11-25")

    assert (settled.ends_on, settled.has_expired) == ("2027-11-24", False)
    assert not settled.ends_soon(date(2027, 10, 24))
    assert settled.ends_soon(date(2027, 10, 25))
    assert (old.ends_on, old.has_expired) == ("", True)
    assert first(answer(Lines(), ASKED, due="2026-12-24"), "2026-11-25").ends_on == ""
    assert first(answer(started("a"), until="2027-11-24"), "2026-11-25", "r1").ends_on == ""


def test_a_state_has_what_nothing_shows() -> None:
    """It is the procedure's, for the record and the report."""
    facts = ("When tokens end.",)
    subject = Subject(replace(GATE, unverifiable=facts), {})

    assert fold(Lines().history(), subject, None).unverifiable == facts


def test_a_skip_grows_old_too() -> None:
    """A skip of a gate settles it for as long as a confirmation does, and says so."""
    bound = to_builtins(bind(YEARLY, Subject(GATE, {})))
    lines = Lines().skipped("a", "ours only", run="", binding=bound)
    before = first(lines, "2027-11-24")
    after = first(lines, "2027-11-25")

    assert before.conclusion.reason == wording(
        "reasons.skip-counts", note="ours only", until="2027-11-24", by="Operator"
    )
    assert (before.is_settled, after.is_settled) == (True, False)
    skipped = wording("reasons.skipped-by", by="Operator", at=AT)
    expired = wording("reasons.expired", days=366, until="2027-11-24")
    end = wording("reasons.no-longer-counts", again=wording("reasons.say-again"))
    assert after.void_attestations[0].sentence == f"{skipped}{expired}{end}"


def test_a_requested_step_waits_until_its_due_day() -> None:
    """Asked for and not done: the step waits for a person and is next; a late one is no failure."""
    lines = answer(Lines(), ASKED, due="2026-12-24")
    waits = gate(lines, "2026-12-24")
    late = gate(lines, "2026-12-26")

    asked = waits.steps["a"]
    assert asked.conclusion.outcome is Outcome.WAITING
    assert asked.conclusion.reason == wording(
        "reasons.requested", at=AT, due="2026-12-24", answer="Asked for", by="Operator"
    )
    assert (asked.due, asked.waiting_since, asked.is_settled) == ("2026-12-24", AT, False)
    assert next_step(waits) == (asked, wording("advice.do-by", due="2026-12-24"))
    overdue = late.steps["a"]
    assert overdue.conclusion.outcome is Outcome.WAITING
    assert (late.outcome, late.outcome.exit_code) == (RunOutcome.INCOMPLETE, ExitCode.INCOMPLETE)
    assert overdue.conclusion.reason.endswith("due 2026-12-24 (overdue)")
    assert overdue.overdue_days(date(2026, 12, 26)) == 2
    again = wording("status.was-due-on", due="2026-12-24")
    assert next_step(late) == (overdue, again)
    assert late.steps["b"].conclusion.outcome is Outcome.NOT_RUN


def test_a_request_needs_no_second_person() -> None:
    """If two people must attest, one is enough for a request; done needs both."""
    begun = started("all")
    asked = first(answer(begun, ASKED, due="2026-12-24"), "2026-12-01", "r1")
    done = first(answer(begun, NOT_ASKED), "2026-12-01", "r1")

    assert (asked.conclusion.needs_another, asked.sentence) == (False, YEARLY.sentence)
    assert done.conclusion.needs_another
    seen = wording("reasons.have-seen-it")
    assert done.sentence == f"{NOT_ASKED.sentence} {seen}"


def test_the_earlier_due_day_counts() -> None:
    """A colleague's day and the outside party's: the step is due on the earlier one."""
    lines = answer(Lines(), ASKED, due="2026-12-24")
    for day, due in (("2026-12-01",) * 2, ("2027-01-01", "2026-12-24"), ("", "2026-12-24")):
        lines.add(EventType.STEP_ASSIGNED, "a", by="Operator", at=AT, to="A colleague", due=day)
        assert first(lines, "2026-11-30").due == due
