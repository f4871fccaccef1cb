"""An earlier result of a check that uses something up counts until something contradicts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.core.model import Binding, Finding, ModelStruct, Outcome, RunOutcome, Value
from runbook_lib.run.earlier import EndedResult, PresentCheck, find_earlier
from runbook_lib.run.events import (
    CheckDefinition,
    EarlierResult,
    RunFinished,
    StepChecked,
    ValuesGiven,
    ValuesJudged,
)
from runbook_lib.run.fold import fold
from runbook_lib.run.state import StepState
from tests.support.line_writer import LineWriter
from tests.support.run_events import STEP, started

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
FIRST = "aaaaaaaa"
SECOND = "bbbbbbbb"
CODE = "c" * 64
ACCOUNTS = ("one", "two")
VALUES: dict[str, Value | None] = {"app_id": "111", "accounts": ACCOUNTS}
LABELS = {"app_id": "App ID"}
SPENDING = structs.replace(
    STEP,
    id="test-06-customer-consent",
    number="21a",
    checks=(CheckDefinition(id="spend", confirm="", needs_human_only=False),),
    subject=("app_id",),
    requires=("fb-02-app",),
)
APP = structs.replace(
    STEP,
    id="fb-02-app",
    number="2",
    checks=(CheckDefinition(id="app", confirm="", needs_human_only=False),),
    requires=("fb-01-log-in",),
)
NEIGHBOUR = structs.replace(
    STEP,
    id="fb-13-secret",
    number="13",
    checks=(
        CheckDefinition(id="secret", confirm="", needs_human_only=False, secrets=("app_secret",)),
    ),
)
STEPS = (STEP, APP, SPENDING, NEIGHBOUR)
CHECK = PresentCheck("spend", SPENDING.id, VALUES, CODE, 30)


class Lines(LineWriter):
    """Lines that a test writes, each at a time."""

    def add(
        self, event: ModelStruct, *, hours: float = -1, run: str = FIRST, step: str = ""
    ) -> int:
        """Add a line that was written so many hours from now."""
        at = (NOW + timedelta(hours=hours)).isoformat(timespec="milliseconds")
        return self.write(event, at.replace("+00:00", "Z"), run, step)

    def check(
        self,
        outcome: str = "verified",
        *,
        code: str = "a-code",
        step: str = SPENDING.id,
        check: str = "spend",
        values: Any = VALUES,
        faults: tuple[str, ...] = (),
        hours: float = -1,
        run: str = FIRST,
    ) -> int:
        """Add the end of a check."""
        finding = Finding(outcome=Outcome(outcome), code=code, reason="So.", check=check)
        event = StepChecked(
            findings=(finding,),
            binding=Binding(connector="p", checks=(check,), subject=values),
            code_digests={check: CODE} if check == "spend" else {},
            faults=faults,
        )
        return self.add(event, hours=hours, run=run, step=step)

    def earlier(self, **changed: Any) -> EarlierResult | EndedResult | None:
        """Return the earlier result that counts now, or why none does."""
        return find_earlier(self.lines, CHECK._replace(**changed), STEPS, LABELS, NOW)


@pytest.fixture
def lines() -> Lines:
    """Return lines with one verified result, of yesterday."""
    lines = Lines()
    lines.check(hours=-24)
    return lines


def reason(earlier: object) -> str:
    """Return why an earlier result does not count."""
    assert isinstance(earlier, EndedResult)
    return earlier.reason


def test_a_verified_result_counts_for_its_days(lines: Lines) -> None:
    """It counts until its last day, which is named."""
    assert lines.earlier() == EarlierResult(line=1, until="2026-12-31")
    assert lines.earlier(days=1) == EarlierResult(line=1, until="2026-12-02")
    ended = lines.earlier(days=0)
    assert "2026-12-01" in reason(ended)
    assert ended == EndedResult(reason(ended), "2026-12-01")


def test_the_newest_one_counts(lines: Lines) -> None:
    """A later verified result takes its place."""
    number = lines.check()

    assert lines.earlier() == EarlierResult(line=number, until="2027-01-01")


@pytest.mark.parametrize("name", ["app_id", "accounts"])
def test_only_the_same_values_count(lines: Lines, name: str) -> None:
    """A result for another value is none."""
    assert lines.earlier(values={**VALUES, name: "222"}) is None
    assert lines.earlier(values={**VALUES, "more": "222"}) is None


def test_the_order_of_a_list_is_no_matter(lines: Lines) -> None:
    """A list in another order is the same."""
    assert lines.earlier(values={**VALUES, "accounts": ACCOUNTS[::-1]}) == lines.earlier()


def test_other_code_of_the_check_ends_it(lines: Lines) -> None:
    """The runbook's own check has changed."""
    assert "check has changed" in reason(lines.earlier(code_digest="d" * 64))


@pytest.mark.parametrize(("minutes", "counts"), [(4, True), (6, False)])
def test_a_result_of_the_future_does_not_count(minutes: int, counts: bool) -> None:
    """Clocks of machines may differ by five minutes."""
    lines = Lines()
    lines.check(hours=minutes / 60)

    assert isinstance(lines.earlier(), EarlierResult) is counts


@pytest.mark.parametrize("outcome", ["failed", "inconclusive", "waiting", "not_run"])
def test_another_result_ends_it(lines: Lines, outcome: str) -> None:
    """A later check found otherwise; for other values it says nothing, and nor do other checks."""
    lines.check(outcome, check="another")
    lines.check(outcome, values={**VALUES, "app_id": "222"})
    assert isinstance(lines.earlier(), EarlierResult)

    lines.check(outcome)
    assert "found otherwise" in reason(lines.earlier())


@pytest.mark.parametrize(
    "ends", [{"faults": ("spend",)}, {"code": "check-broken"}, {"code": "input-missing"}]
)
def test_an_outage_ends_nothing(lines: Lines, ends: dict[str, Any]) -> None:
    """A check without a response says nothing about its values."""
    lines.check("inconclusive", **ends)

    assert isinstance(lines.earlier(), EarlierResult)


def test_a_refused_value_ends_it(lines: Lines) -> None:
    """The remote system refused what it was about; a refusal before it ends nothing."""
    refusal = ValuesJudged(refused={"app_id": "111"})
    before = Lines()
    before.add(refusal, hours=-25)
    before.check(hours=-24)
    before.add(ValuesJudged(refused={"app_id": "222"}))
    assert isinstance(before.earlier(), EarlierResult)

    lines.add(refusal)
    assert "App ID was refused" in reason(lines.earlier())


@pytest.mark.parametrize(("step", "check"), [("fb-02-app", "app"), ("fb-01-log-in", "log-in")])
def test_a_failure_of_a_step_that_it_requires_ends_it(lines: Lines, step: str, check: str) -> None:
    """Also of one that is required by such a step; not for other values."""
    lines.check("failed", step=step, check=check, values={"app_id": "222"})
    lines.check("inconclusive", step=step, check=check, values={"app_id": "111"})
    assert isinstance(lines.earlier(), EarlierResult)

    lines.check("failed", step=step, check=check, values={"app_id": "111", "x": "y"})
    assert "has failed since" in reason(lines.earlier())


def test_a_failure_that_the_watch_saw_with_one_of_its_secrets_ends_it() -> None:
    """A line of no run is the watch's; a run's failure, or one without the secret, says nothing."""
    values = {**VALUES, "app_secret": "1"}
    lines = Lines()
    lines.check(values=values, hours=-24)
    lines.check("failed", step=NEIGHBOUR.id, check="secret", values={})
    lines.check("failed", step="fb-13-secret", check="other", values={}, run="")
    assert isinstance(lines.earlier(values=values), EarlierResult)

    lines.check("failed", step=NEIGHBOUR.id, check="secret", values={}, run="")
    assert "step 13 fail" in reason(lines.earlier(values=values))


def test_a_withheld_line_does_not_count(lines: Lines) -> None:
    """Its result is not known; a later one may be another result."""
    lines.check()
    first, second = lines.lines
    lines.lines = [first, second.withheld]
    assert "withheld" in reason(lines.earlier())

    lines.lines = [first.withheld]
    assert lines.earlier() is None


def run_state(lines: Lines, run: str = SECOND) -> StepState:
    """Return the state of the spending step in a run."""
    return fold(lines.lines, run).step(SPENDING.id)


@pytest.fixture
def carried(lines: Lines) -> Lines:
    """Return lines of a second run, which counts the result of the first again."""
    beginning = structs.replace(
        started(),
        steps=STEPS,
        labels=LABELS,
        values={"app_id": "111", "accounts": ACCOUNTS},
        earlier={"spend": EarlierResult(line=1, until="2026-12-31")},
    )
    lines.add(beginning, run=SECOND)
    return lines


def is_counted(lines: Lines) -> bool:
    """Return whether the second run counts the earlier result."""
    state = run_state(lines)
    assert (state.outcome is Outcome.VERIFIED) is bool(state.earlier)
    return bool(state.earlier)


def test_a_run_counts_it_and_names_day_and_run(carried: Lines) -> None:
    """The step is verified on that day, by that line."""
    state = run_state(carried)

    assert (state.outcome, state.verified_on) == (Outcome.VERIFIED, "2026-12-01")
    assert state.earlier == {"spend": EarlierResult(line=1, until="2026-12-31")}
    assert FIRST in state.reason
    assert "2026-12-31" in state.reason


@pytest.mark.parametrize(
    "event",
    [ValuesJudged(refused={"app_id": "111"}), ValuesGiven(values={"app_id": "222"})],
    ids=["refused", "changed"],
)
def test_a_refused_or_changed_value_ends_it_in_the_run(carried: Lines, event: ModelStruct) -> None:
    """A value that is refused or changes later in the run."""
    carried.add(event, run=SECOND)

    assert not is_counted(carried)
    assert "2026-12-01" in run_state(carried).reason


def test_a_failure_in_the_run_ends_it(carried: Lines) -> None:
    """A step that it requires fails later in the run, which also blocks it."""
    carried.check(
        "failed", step="fb-01-log-in", check="log-in", values={"app_id": "111"}, run=SECOND
    )

    assert not is_counted(carried)


def test_another_result_in_the_run_takes_its_place(carried: Lines) -> None:
    """A check that is made again decides."""
    carried.check("failed", run=SECOND)

    assert run_state(carried).outcome is Outcome.FAILED
    assert not run_state(carried).earlier


def test_a_run_that_has_ended_is_judged_by_what_it_knew(carried: Lines) -> None:
    """Later lines change no record, and neither do later days."""
    carried.add(RunFinished(), run=SECOND)
    before = fold(carried.lines, SECOND)
    carried.check("failed", run="cccccccc", hours=1)
    carried.add(ValuesJudged(refused={"app_id": "111"}), run="cccccccc", hours=2)

    assert fold(carried.lines, SECOND, today="2028-01-01") == before
    assert before.outcome is RunOutcome.INCOMPLETE
    assert is_counted(carried)


def test_after_its_last_day_it_no_longer_counts(carried: Lines) -> None:
    """A run that goes on after it."""
    state = fold(carried.lines, SECOND, today="2027-01-01").step(SPENDING.id)

    assert (state.outcome, state.earlier) == (Outcome.NOT_RUN, {})
    assert "2026-12-31" in state.reason


def test_a_withheld_result_is_not_counted(carried: Lines) -> None:
    """Its line has no result any more."""
    first, *others = carried.lines
    carried.lines = [first.withheld, *others]

    assert not is_counted(carried)


def test_a_run_over_all_runs_counts_nothing_twice(carried: Lines) -> None:
    """Over all runs the check itself stays with its day."""
    state = fold(carried.lines, steps=STEPS).step(SPENDING.id)

    assert (state.outcome, state.checked_on[:10]) == (Outcome.VERIFIED, "2026-12-01")
    assert [finding.check for finding in state.findings] == ["spend"]
