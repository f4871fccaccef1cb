"""An earlier result of a check with a side effect counts for a time, if nothing contradicts it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs, to_builtins

from runbook_lib.core.attestation_rules import Subject, bind
from runbook_lib.core.carried_results import EarlierResult, OutdatedResult, basis_of, find_earlier
from runbook_lib.core.index import JournalIndex
from runbook_lib.core.journal import JournalLine, LineRef
from runbook_lib.core.model import (
    DATA,
    FORMAT_VERSION,
    CheckBasis,
    EventType,
    Finding,
    JournalEntry,
    Outcome,
    RunOutcome,
    Value,
    WaitsFor,
)
from runbook_lib.core.outcome import label_of
from runbook_lib.core.procedure import (
    Check,
    Input,
    Procedure,
    Section,
    Source,
    Step,
    StepKind,
)
from runbook_lib.core.run_state import History, RunState, fold, rests_on
from runbook_lib.core.step_record import step_record
from runbook_lib.core.waits import waits_in
from tests.support.journals import entry
from tests.support.wording import refused, wording

CODE = "a" * 64
OTHER_CODE = "b" * 64
FIRST = datetime(2026, 11, 1, 3, tzinfo=UTC)
SECRET = f"0123abcd:{'1' * 64}"
OTHER_SECRET = f"0123abcd:{'2' * 64}"
VALUES: dict[str, Value] = {"app": "1", "user": "u", "key": SECRET, "make_link": False}


def see(_context: object) -> Finding | None:
    """Check nothing."""


def step(name: str, check: Check, **more: Any) -> Step:
    known = {
        "title": name.upper(), "kind": StepKind.CALL, "source": Source(1), "instructions": "Do it.",
        "own_sentence": f"I did {name}.", "subject": ("app",),
    }  # fmt: skip
    return Step(id=name, checks=(check,), **{**known, **more})


LINK = Check(
    "link-leads-there", see, needs=("user", "key"), side_effect="A link.", allowed_by=("user",)
)
LINK_STEP = step("fb-02-link", LINK, requires=("fb-01-app",))
PROCEDURE = Procedure(
    id="p",
    version="1",
    title="P",
    inputs=(
        Input(name="app", label="App ID", help=""),
        Input(name="user", label="User", help=""),
        Input(name="key", label="Key", help="", secret=True),
        Input(name="make_link", label="Make a link", help="", default=False),
    ),
    sections=(
        Section(
            id="1",
            title="",
            intro="",
            steps=(step("fb-01-app", Check("app-is-there", see)), LINK_STEP),
        ),
    ),
)
RUN = {
    "format_version": FORMAT_VERSION, "tenant": "x",
    "procedure": {"id": "p", "version": "1", "digest": "0" * 64},
    "mode": "headless", "sandbox": False, "parameters": {"app": "1", "user": "u"},
    "credentials": (), "fingerprints": {"key": SECRET}, "resumes": "", "environment": {},
}  # fmt: skip


def about(values: dict[str, Value] | None = None, code: str = CODE) -> CheckBasis:
    return basis_of(LINK, LINK_STEP, PROCEDURE, values or VALUES, code)


class Nights:
    """A journal, to which each run adds lines on its day, counted from the first one."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def add(self, event: str, day: int, step: str = "", *, run: str, **data: Any) -> int:
        """Add a line and return its number."""
        seq = len(self.entries) + 1
        at = (FIRST + timedelta(days=day)).isoformat()
        known = {field.name for field in structs.fields(DATA[event])}
        if "binding" in known and "binding" not in data:
            data["binding"] = to_builtins(bind(PROCEDURE.step(step), Subject(PROCEDURE, VALUES)))
        stamp = f"{at[:19]}.000Z"
        self.entries.append(entry(seq, event, data, at=stamp, run_id=run, step=step))
        return seq

    def result(
        self,
        day: int = 0,
        outcome: Outcome = Outcome.VERIFIED,
        *,
        run: str = "r0",
        status: int | None = 200,
        basis: CheckBasis | None = None,
        **finding: Any,
    ) -> Nights:
        """Add a result of the check with the side effect, and its exchange."""
        sent = {
            "method": "GET",
            "url": "https://c.example/x",
            "sent_on": "2026-11-01T03:00:00.000Z",
        }
        failed = {"error": "No answer."} if status is None else {}
        number = self.add(
            EventType.EXCHANGE_RECORDED, day, run=run, **sent, elapsed=0.1, status=status, **failed
        )
        found = {
            "outcome": outcome, "code": "a-code", "reason": "It leads there.", "check": LINK.id,
            "exchanges": [number], **finding,
        }  # fmt: skip
        bases = [to_builtins(basis or about())]
        self.add(EventType.STEP_CHECKED, day, "fb-02-link", run=run, findings=[found], bases=bases)
        return self

    def other(self, day: int, outcome: Outcome, run: str = "r1", **finding: Any) -> Nights:
        """Add a result of the step that the link requires."""
        found = {
            "outcome": outcome, "code": "a-code", "reason": "So.", "check": "app-is-there",
            **finding,
        }  # fmt: skip
        self.add(EventType.STEP_CHECKED, day, "fb-01-app", run=run, findings=[found])
        return self

    def history(self) -> History:
        """Return these lines as a history."""
        lines = (JournalLine(each, LineRef(each.seq, "f" * 64, 0, 0)) for each in self.entries)
        return History(JournalIndex().fold(lines), lambda ref: self.entries[ref.seq - 1])

    def find(
        self, day: int, basis: CheckBasis | None = None
    ) -> EarlierResult | OutdatedResult | None:
        """Return the earlier result for a run on this day."""
        now = FIRST + timedelta(days=day)
        return find_earlier(self.history(), PROCEDURE, LINK_STEP, basis or about(), now)

    def night(self, day: int, run: str = "r9") -> Nights:
        """Add a run that carries the earlier result, and does nothing else."""
        found = self.find(day)
        assert isinstance(found, EarlierResult), found
        self.add(EventType.RUN_STARTED, day, run=run, **RUN)
        carried = [to_builtins(found.result)]
        self.add(EventType.STEP_CHECKED, day, "fb-02-link", run=run, findings=[], carried=carried)
        return self

    def fold(self, day: int, run: str | None = "r9") -> RunState:
        """Return the state on this day."""
        today = (FIRST + timedelta(days=day)).date().isoformat()
        return fold(self.history(), Subject(PROCEDURE, VALUES, today=today), run)


VERIFIED = wording("reasons.verified-on", day="2026-11-01")


def why(found: EarlierResult | OutdatedResult | None) -> str:
    assert isinstance(found, OutdatedResult), found
    return found.reason


def test_a_verified_result_counts_for_the_days_of_its_step() -> None:
    """On the last day it counts, with run, line and digest; on the next one it is due."""
    nights = Nights().result()

    found = nights.find(30)
    assert isinstance(found, EarlierResult)
    assert (found.result.run_id, found.result.line, found.result.sha256) == ("r0", 2, "f" * 64)
    assert (found.result.checked_on, found.result.until) == (
        "2026-11-01T03:00:00.000Z",
        "2026-12-01",
    )
    due = nights.find(31)
    assert isinstance(due, OutdatedResult)
    assert due.reason.startswith(VERIFIED)
    assert wording("reasons.carried-until", days=30) in due.reason
    assert due.reason.endswith(" 2026-12-01.")
    assert due.since == "2026-12-01"


def test_a_step_may_name_other_days() -> None:
    """The step's own `recheck_days` decide."""
    weekly = replace(LINK_STEP, recheck_days=7)
    history = Nights().result().history()

    found = [
        find_earlier(history, PROCEDURE, weekly, about(), FIRST + timedelta(days=day))
        for day in (7, 8)
    ]
    assert [type(each) for each in found] == [EarlierResult, OutdatedResult]


@pytest.mark.parametrize(
    "change", [{"app": "2"}, {"user": "v"}, {"key": OTHER_SECRET}, {"key": f"99999999:{'1' * 64}"}]
)
def test_only_the_same_values_count(change: dict[str, Value]) -> None:
    """Another value that it needs or that the step is about, or another key, has no result."""
    assert Nights().result().find(1, about({**VALUES, **change})) is None


def test_a_switch_that_only_permits_is_no_value() -> None:
    """A result that a switch permitted counts where the switch is off."""
    switched = replace(LINK, needs=("user", "key", "make_link"), allowed_by=("make_link",))
    on, off = (
        basis_of(switched, LINK_STEP, PROCEDURE, {**VALUES, "make_link": flag}, CODE)
        for flag in (True, False)
    )
    assert on == off
    assert "make_link" not in on.values


def test_the_order_of_a_list_is_no_matter() -> None:
    """Lists with the same members are the same value."""
    nights = Nights().result(basis=about({**VALUES, "user": ("a", "b")}))

    assert isinstance(nights.find(1, about({**VALUES, "user": ("b", "a")})), EarlierResult)


def test_other_code_of_the_check_is_due() -> None:
    """A result of another version of the check does not count."""
    assert wording("reasons.check-changed") in why(
        Nights().result().find(1, about(code=OTHER_CODE))
    )


@pytest.mark.parametrize(("minutes", "counts"), [(4, True), (6, False), (60 * 24 * 400, False)])
def test_a_result_later_than_now_does_not_count(minutes: int, counts: bool) -> None:
    """A wrong clock, then or now, lengthens nothing; some minutes are no matter."""
    history = Nights().result().history()
    now = FIRST - timedelta(minutes=minutes)

    found = find_earlier(history, PROCEDURE, LINK_STEP, about(), now)

    assert isinstance(found, EarlierResult) is counts


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.NOT_RUN])
def test_another_result_of_the_check_ends_it(outcome: Outcome) -> None:
    """A later result about the same values that is not verified ends it, in any run."""
    nights = Nights().result().result(2, outcome, run="r1")

    otherwise = wording("reasons.found-otherwise", day="2026-11-03")
    assert why(nights.find(3)) == f"{VERIFIED}{otherwise}"
    again = nights.result(4, run="r2").find(5)
    assert isinstance(again, EarlierResult)
    assert again.result.run_id == "r2"


def test_another_result_about_other_values_ends_nothing() -> None:
    """A failure with another value says nothing about this one."""
    other = about({**VALUES, "user": "v"})

    nights = Nights().result().result(2, Outcome.FAILED, run="r1", basis=other)

    assert isinstance(nights.find(3), EarlierResult)


@pytest.mark.parametrize(
    "ends",
    [{"status": 503}, {"status": 429}, {"status": None}, {"code": "unexpected-response"},
     {"code": "response-timeout"}, {"code": "check-stopped"}, {"code": "check-broken"}],
    ids=str,
)  # fmt: skip
def test_an_outage_ends_nothing(ends: dict[str, Any]) -> None:
    """A check that got no response which says anything leaves the earlier result."""
    nights = Nights().result().result(2, Outcome.INCONCLUSIVE, run="r1", **ends)

    found = nights.find(3)
    assert isinstance(found, EarlierResult)
    assert found.result.run_id == "r0"


def test_a_refused_value_ends_it() -> None:
    """A later check that finds one of its values refused ends it, also of another step."""
    nights = Nights()
    nights.add(EventType.RUN_STARTED, 0, run="r0", **RUN)
    nights.result().other(2, Outcome.INCONCLUSIVE, refuses=["key"])

    refusal = wording("reasons.value-refused-since", name="Key")
    assert why(nights.find(3)) == f"{VERIFIED}, but {refusal}."
    # The value of then, not the one in use now.
    nights = Nights()
    nights.add(EventType.RUN_STARTED, 0, run="r0", **{**RUN, "fingerprints": {"key": OTHER_SECRET}})
    nights.result().other(2, Outcome.INCONCLUSIVE, refuses=["key"])
    assert isinstance(nights.find(3), EarlierResult)


def test_a_refusal_before_it_ends_nothing() -> None:
    """A refusal before the verification does not count."""
    nights = Nights()
    nights.add(EventType.RUN_STARTED, 0, run="r0", **RUN)
    nights.other(0, Outcome.FAILED, refuses=["key"]).result(1)

    assert isinstance(nights.find(3), EarlierResult)


def test_a_failure_of_a_step_that_it_requires_ends_it() -> None:
    """Later it is due, even if that step is verified again."""
    nights = Nights().result().other(2, Outcome.FAILED).other(3, Outcome.VERIFIED)

    assert why(nights.find(4)).endswith(wording("reasons.required-failed", number=1))


def test_a_withheld_result_does_not_count() -> None:
    """A line that stands for one with a secret has no result."""
    nights = Nights().result()
    line = nights.entries[-1]
    withheld = {"sha256": "0" * 64, "checks": [LINK.id], "binding": to_builtins(line.data.binding)}
    history = nights.history()
    instead = entry(
        line.seq, EventType.STEP_WITHHELD, withheld, at=line.at, run_id="r0", step=line.step
    )

    found = find_earlier(
        History(history.index, lambda ref: instead if ref.seq == line.seq else history.read(ref)),
        PROCEDURE,
        LINK_STEP,
        about(),
        FIRST + timedelta(days=1),
    )
    assert found is None


def test_a_later_result_that_is_withheld_ends_it() -> None:
    """A withheld line may say anything, also in a rebuilt journal."""
    nights = Nights().result()
    binding = to_builtins(nights.entries[-1].data.binding)
    withheld = {"sha256": "0" * 64, "checks": [LINK.id], "binding": binding}
    nights.add(EventType.STEP_WITHHELD, 2, "fb-02-link", run="r1", **withheld)

    assert why(nights.find(3)).endswith(wording("reasons.result-withheld", day="2026-11-03"))


def test_a_run_that_carries_is_marked_and_rests_on_the_lines() -> None:
    """Its step is *verified on* that day; the record has the result apart from its checks."""
    state = Nights().result().night(2).other(2, Outcome.VERIFIED, "r9").fold(2)
    carried = state.steps["fb-02-link"]

    assert carried.conclusion.outcome is Outcome.VERIFIED
    assert label_of(carried.conclusion) == "verified on 2026-11-01"
    earlier = wording("reasons.carried-in-run", run="r0", until="2026-12-01", day="2026-11-01")
    assert carried.conclusion.reason == f"{earlier} It leads there."
    assert state.outcome is RunOutcome.COMPLETE
    assert {1, 2} <= {ref.seq for ref in rests_on(state)}
    written = step_record(carried)
    assert (written.checks, written.exchanges, written.checked_on) == ((), (), None)
    assert written.verified_on == "2026-11-01"
    (result,) = written.carried
    assert (result.run_id, result.line, result.bundle) == ("r0", 2, "")
    assert [exchange.number for exchange in result.exchanges] == [1]
    written.require_evidence()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verified_on": ""}, "earlier-day-missing"),
        ({"verified_on": "2026-11-02"}, "earlier-day-missing"),
        ({"carried": ()}, "earlier-day-missing"),
    ],
)
def test_a_record_may_not_hide_or_invent_an_earlier_day(change: dict[str, Any], said: str) -> None:
    """A record that rests on an earlier run says so, and names the day."""
    state = Nights().result().night(2).fold(2)
    written = step_record(state.steps["fb-02-link"])

    with refused(ValueError, said):
        structs.replace(written, **change).require_evidence()


def test_a_step_that_is_blocked_carries_nothing() -> None:
    """If a step that it requires fails in the same run, it is skipped, not verified."""
    state = Nights().result().night(2).other(2, Outcome.FAILED, "r9").fold(2)

    assert state.steps["fb-02-link"].conclusion.outcome is Outcome.SKIPPED
    assert state.outcome is RunOutcome.FAILED


def test_a_step_that_a_person_declined_blocks_it_too() -> None:
    """An obstacle without a failed check blocks carried results, too."""
    nights = Nights().result().night(2)
    said = {
        "by": "Operator", "at": "2026-11-03T03:00:00Z", "sentence": "I did fb-01-app.",
        "binding": to_builtins(bind(PROCEDURE.step("fb-01-app"), Subject(PROCEDURE, VALUES))),
    }  # fmt: skip
    nights.add(EventType.STEP_DECLINED, 2, "fb-01-app", run="r9", **said)

    blocked = nights.fold(2).steps["fb-02-link"]
    assert (blocked.conclusion.outcome, blocked.carried) == (Outcome.SKIPPED, ())


def test_a_refusal_later_in_the_run_ends_it() -> None:
    """A later refusal in the same run makes a step with a carried result due."""
    nights = Nights().result().night(2).other(2, Outcome.INCONCLUSIVE, "r9", refuses=["key"])
    due = nights.fold(2).steps["fb-02-link"]

    assert (due.conclusion.outcome, due.conclusion.due_on) == (Outcome.NOT_RUN, "2026-11-03")
    assert label_of(due.conclusion) == "due"
    assert wording("reasons.value-refused-since", name="Key") in due.conclusion.reason
    assert due.carried == ()


def test_a_run_that_has_ended_is_judged_by_what_it_knew() -> None:
    """Later runs do not change what an earlier one carried."""
    nights = Nights().result().night(2)
    nights.add(EventType.RUN_FINISHED, 2, run="r9", outcome="complete")
    nights.result(3, Outcome.FAILED, run="r10")

    assert nights.fold(50).steps["fb-02-link"].conclusion.verified_on == "2026-11-01"


def test_over_all_runs_the_earlier_check_stays_with_its_day() -> None:
    """A run that only carries a result hides nothing of it; a new check replaces it."""
    nights = Nights().result().night(2)

    state = nights.fold(2, None).steps["fb-02-link"]
    assert label_of(state.conclusion) == "verified on 2026-11-01"
    assert [finding.check for finding in state.findings] == [LINK.id]
    assert state.checked_on == "2026-11-01T03:00:00.000Z"
    again = nights.result(4, run="r10").fold(4, None).steps["fb-02-link"]
    assert label_of(again.conclusion) == "verified"


def test_a_line_that_says_why_it_is_due_shows_as_due() -> None:
    """A run that could carry nothing shows since when the step is due."""
    nights = Nights().result()
    why_due = "Verified on 2026-11-01, which counted for 30 days. Not checked: User not given."
    nights.add(
        EventType.STEP_CHECKED, 40, "fb-02-link", run="r9", findings=[], unchecked=why_due,
        due_on="2026-12-01",
    )  # fmt: skip

    state = nights.fold(40).steps["fb-02-link"]
    assert label_of(state.conclusion) == "due"
    assert state.conclusion.reason == why_due
    assert not state.is_settled
    waiting = {step.step.id: whom for step, whom, _ in waits_in(nights.fold(40))}
    assert waiting["fb-02-link"] is WaitsFor.ANYBODY
