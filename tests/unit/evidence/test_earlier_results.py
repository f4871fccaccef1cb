"""A run that carries an earlier result spends nothing, and `verify` follows it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.clock import timestamp
from runbook_lib.core.journal import Journal
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.core.outcome import label_of
from runbook_lib.core.procedure import Check, Input, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.engine.watch.watch_state import Problem, ProblemKind, open_state
from runbook_lib.errors import ChainError, ContentError
from runbook_lib.evidence.record import parse_record, record_text
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import TrustAnchors
from tests.conftest import NOON
from tests.support.resigned_statements import STATEMENT, payload, resign_everything
from tests.support.wording import field_missing, wording
from tests.unit.evidence.conftest import AT, Change, errors_of, lost, new, seal_run

LINK = "fb-02-link"
LOOK = "fb-03-look"
SECRET = "fb-04-secret"
FIRST = "0000000a"
SECOND = "0000000b"
THIRD = "0000000c"


@dataclass
class Remote:
    """A remote system as the checks see it, which counts the calls of each."""

    made: list[str] = field(default_factory=list)
    outcome: Outcome = Outcome.VERIFIED
    refuses: tuple[str, ...] = ()
    permitted: list[bool] = field(default_factory=list)
    """Whether the check that can also look was permitted, each time."""

    def check(self, name: str) -> Callable[[CheckContext], Finding]:
        """Return the function of a check."""

        def run(context: CheckContext) -> Finding:
            self.made.append(name)
            if name == "look":
                self.permitted.append(bool(context.values.get("install")))
            context.session.note(
                Exchange(
                    method="GET", url=f"https://api.example/{name}", sent_on=AT, elapsed=0.1,
                    status=200,
                )
            )  # fmt: skip
            is_link = name == "link"
            return Finding(
                outcome=self.outcome if is_link else Outcome.VERIFIED,
                code="a-code",
                reason=f"Seen by {name}.",
                refuses=() if is_link else self.refuses,
            )

        return run


class Desk:
    """One tenant, its runs, and the remote system."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.remote = Remote()
        self.evidence = folder / "evidence"
        self.key = key
        self.values: dict[str, Any] = {"app": "1", "user": "u"}
        self.secret = "client/secret+1"
        self.needs: tuple[str, ...] = ("user", "key")

    @property
    def procedure(self) -> Procedure:
        """The procedure: a step that reads, one that spends, one that can also look."""
        side_effect = {"side_effect": "It uses up a link."}
        checks = {
            "fb-01-app": Check("app", self.remote.check("app")),
            LINK: Check(
                "link", self.remote.check("link"), needs=self.needs, allowed_by=("user",),
                **side_effect,
            ),
            LOOK: Check(
                "look",
                self.remote.check("look"),
                allowed_by=("install",),
                mutates=True,
                **side_effect,
            ),
            SECRET: Check("secret", self.remote.check("secret"), needs=("key",)),
        }  # fmt: skip
        steps = tuple(
            Step(
                id=name,
                title=name,
                kind=StepKind.CALL,
                source=Source(1),
                instructions="",
                own_sentence=f"I did {name}.",
                subject=("app",),
                checks=(check,),
                requires=("fb-01-app",) if name == LINK else (),
            )
            for name, check in checks.items()
        )
        inputs = (
            Input(name="app", label="App ID", help=""),
            Input(name="user", label="User name", help=""),
            Input(name="key", label="Key", help="", secret=True),
            Input(name="install", label="Install it", help="", default=False),
        )
        section = Section(id="01", title="One", intro="", steps=steps)
        return Procedure(id="p", version="1", title="P", sections=(section,), inputs=inputs)

    def open(self, day: int, run_id: str, mode: str = Mode.HEADLESS) -> Run:
        """Return a run on this day."""

        def clock() -> Any:
            return NOON + timedelta(days=day)

        return Run(
            self.procedure,
            Settings(dict(self.values), {"key": Secret(self.secret)}),
            Journal(self.evidence / "acme" / "p" / "journal.jsonl", clock=clock),
            "acme",
            Mode(mode),
            run_id,
            clock=clock,
            **self._key,
        )

    @property
    def _key(self) -> dict[str, Any]:
        from runbook_lib.core.fingerprints import read_key  # noqa: PLC0415

        key = read_key(self.evidence / "acme" / "p")
        return {"key": key} if key else {}

    def night(self, day: int, run_id: str, *, is_sealed: bool = True, **options: Any) -> Run:
        """Perform a whole run on this day, and seal it."""
        run = self.open(day, run_id)
        run.start(**options)
        look = run.start_snapshot(self.procedure.steps)
        for step in self.procedure.steps:
            run.perform(step.id, look)
        run.finish()
        if is_sealed:
            seal_run(run, self.key)
        return run

    def bundle(self, run_id: str) -> Path:
        """Return the bundle of a run."""
        (found,) = (self.evidence / "acme" / "p").glob(f"2*-{run_id}")
        return found

    def resign(self, run_id: str, change: Change) -> None:
        """Change a record, and sign the bundle again, as only the holder of the key can."""
        folder = self.bundle(run_id)
        record = json.loads((folder / "record.json").read_text())
        change(record)
        (folder / "record.json").write_text(json.dumps(record))
        statement = payload(folder / STATEMENT)
        days = {step["id"]: step["verified_on"] for step in record["steps"] if step["verified_on"]}
        statement["predicate"]["runbook_run"]["verified_on"] = days
        resign_everything(folder, self.key, statement)


@pytest.fixture
def desk(tmp_path: Path, key: SigningKey) -> Desk:
    return Desk(tmp_path, key)


@pytest.fixture
def carried(desk: Desk) -> Desk:
    """Return a tenant whose second run carries the first one's result."""
    desk.night(0, FIRST)
    desk.night(1, SECOND)
    return desk


def label(run: Run, step: str = LINK) -> str:
    return label_of(run.state.steps[step].conclusion)


def why(run: Run) -> str:
    return run.state.steps[LINK].conclusion.reason


def test_the_next_run_spends_nothing(desk: Desk) -> None:
    """A check with a side effect is not made again; a check that only reads is."""
    desk.night(0, FIRST)
    assert desk.remote.made.count("link") == 1
    desk.remote.made.clear()

    run = desk.night(30, SECOND)

    assert sorted(desk.remote.made) == ["app", "look", "secret"]
    assert label(run) == f"verified on {NOON.date()}"
    assert (run.state.outcome, label(run, LOOK)) == ("complete", "verified")


def test_once_it_is_due_a_permitted_check_is_made(desk: Desk) -> None:
    """After 30 days the run spends again, and the result counts from then."""
    desk.night(0, FIRST)
    assert label(desk.night(31, SECOND)) == "verified"
    assert label(desk.night(61, THIRD)) == f"verified on {(NOON + timedelta(days=31)).date()}"
    assert desk.remote.made.count("link") == 2


def test_without_its_setting_it_is_carried_and_then_due(desk: Desk) -> None:
    """The result counts where nothing permits the check now; then the step is due, not complete."""
    desk.night(0, FIRST)
    del desk.values["user"]

    assert label(desk.night(30, SECOND)) == f"verified on {NOON.date()}"
    due = desk.night(31, THIRD)
    assert (label(due), due.state.outcome) == ("due", "incomplete")
    assert wording("reasons.carried-until", days=30) in why(due)
    assert why(due).endswith(wording("reasons.not-given", input="User name"))


def test_a_setting_that_is_given_for_the_run_asks_for_its_check(desk: Desk) -> None:
    """A named setting has its check made, whatever an earlier result says."""
    desk.night(0, FIRST)

    assert label(desk.night(1, SECOND, rechecks=["user"])) == "verified"
    assert desk.remote.made.count("link") == 2
    desk.values["user"] = ""
    assert label(desk.night(2, THIRD, rechecks=["user"])).startswith("verified on")


def test_a_run_that_may_not_spend_makes_no_such_check(desk: Desk) -> None:
    """Neither what is due nor what is asked for; what can also look looks without permission."""
    desk.values["install"] = True
    run = desk.night(0, FIRST, may_spend=False, rechecks=["user"])

    assert "link" not in desk.remote.made
    assert (label(run), why(run)) == ("due", wording("reasons.not-permitted", input="user"))
    assert label(run, LOOK) == "verified"
    assert desk.remote.permitted == [False]
    desk.night(1, SECOND)
    assert desk.remote.permitted == [False, True]


def test_in_the_walkthrough_a_check_is_made_whenever_somebody_asks(desk: Desk) -> None:
    """There the earlier check counts anyway, and *Check* makes it again; later runs carry that."""
    desk.night(0, FIRST)
    there = desk.open(2, SECOND, Mode.INTERACTIVE)
    there.start()
    assert there.state.steps[LINK].conclusion.outcome is Outcome.VERIFIED

    there.perform(LINK)

    assert desk.remote.made.count("link") == 2
    night = desk.night(3, THIRD)
    (result,) = night.state.steps[LINK].carried
    assert (result.result.run_id, result.bundle) == (SECOND, "")


@pytest.mark.parametrize("change", ["value", "secret", "needed"])
def test_another_value_is_checked_anew(desk: Desk, change: str) -> None:
    """Another app, another secret or another user: nothing is carried."""
    desk.night(0, FIRST)
    if change == "secret":
        desk.secret = "another/secret+2"
    else:
        desk.values["app" if change == "value" else "user"] = "other"

    assert label(desk.night(1, SECOND)) == "verified"
    assert desk.remote.made.count("link") == 2


def test_a_result_that_differs_ends_it(desk: Desk) -> None:
    """Once the check has found otherwise, an unpermitted run is due, whatever it knew before."""
    desk.night(0, FIRST)
    desk.remote.outcome = Outcome.INCONCLUSIVE
    desk.night(1, SECOND, rechecks=["user"])
    del desk.values["user"]

    due = desk.night(2, THIRD)

    assert label(due) == "due"
    assert "found otherwise" in why(due)


def test_a_secret_that_is_refused_ends_it(desk: Desk) -> None:
    """A result that used a secret is doubtful once that is refused, in the same run too."""
    desk.night(0, FIRST)
    desk.remote.refuses = ("key",)

    run = desk.night(1, SECOND)
    assert (label(run), run.state.outcome) == ("due", "incomplete")
    desk.remote.refuses = ()
    assert label(desk.night(2, THIRD, may_spend=False)) == "due"
    assert desk.remote.made.count("link") == 1


def problem(desk: Desk, step: str, check: str, **more: Any) -> None:
    """Let the watch have seen that a check fails, a day after the first run."""
    on = timestamp(NOON + timedelta(days=1))
    given = {
        "id": check, "tenant": "p/acme", "kind": ProblemKind.FAILED, "step": step, "check": check,
        "title": "It is gone", "since": on, "on": on, **more,
    }  # fmt: skip
    with open_state(desk.evidence, NOON) as state, state.transaction():
        state.problems.write([Problem(**given)])


OVER = {"ended_on": timestamp(NOON + timedelta(days=2))}
BEFORE = {"on": timestamp(NOON - timedelta(days=2)), "since": timestamp(NOON - timedelta(days=2))}


@pytest.mark.parametrize(
    ("step", "check", "more", "ends"),
    [
        (LINK, "link", {}, True),
        (LINK, "link", OVER, True),
        (LINK, "link", {**BEFORE, "ended_on": timestamp(NOON - timedelta(days=1))}, False),
        ("fb-01-app", "app", {}, True),
        (SECRET, "secret", {}, True),
        (LOOK, "look", {}, False),
        (LINK, "confirmation", {}, False),
        (LINK, "link", {"kind": ProblemKind.OUTAGE}, False),
        (LINK, "link", {"tenant": "p/bloom"}, False),
    ],
    ids=str,
)
def test_a_failure_that_the_watch_saw_ends_it(
    desk: Desk, step: str, check: str, more: dict[str, Any], ends: bool
) -> None:
    """A problem at the same check, at a step that it requires, or with its secret; no other."""
    desk.night(0, FIRST)
    problem(desk, step, check, **more)
    del desk.values["user"]

    run = desk.night(3, SECOND)

    assert label(run) == ("due" if ends else f"verified on {NOON.date()}")
    assert (wording("reasons.watch-saw") in why(run)) is ends


def test_a_failure_of_the_check_itself_that_the_watch_saw_ends_it(desk: Desk) -> None:
    """Also of a check that needs no secret."""
    desk.needs = ("user",)
    desk.night(0, FIRST)
    assert label(desk.night(1, SECOND)) == f"verified on {NOON.date()}"
    problem(desk, LINK, "link")
    del desk.values["user"]

    assert label(desk.night(3, THIRD)) == "due"


def test_a_watch_that_cannot_be_read_lets_nothing_count(desk: Desk) -> None:
    """Nobody knows what a damaged file has seen."""
    desk.night(0, FIRST)
    (desk.evidence / "watch.db").write_bytes(b"no database")
    del desk.values["user"]

    assert wording("reasons.watch-not-readable", file="watch.db") in why(desk.night(1, SECOND))


def test_the_record_names_run_bundle_and_line(carried: Desk, trust: TrustAnchors) -> None:
    """The record has the earlier result apart; `verify` follows it to the line in that bundle."""
    record = parse_record(record_text(carried.bundle(SECOND)))
    step = next(step for step in record.steps if step.id == LINK)
    (result,) = step.carried
    lines = (carried.bundle(FIRST) / "journal.jsonl").read_bytes().splitlines(keepends=True)

    assert (step.checks, step.exchanges, step.checked_on) == ((), (), None)
    assert (result.run_id, result.bundle) == (FIRST, carried.bundle(FIRST).name)
    copied = (carried.bundle(SECOND) / "carried.jsonl").read_bytes()
    assert lines[result.line - 1] in copied
    claims = payload(carried.bundle(SECOND) / STATEMENT)["predicate"]
    assert LINK not in claims["passedTests"]
    assert LINK in claims["warnedTests"]
    assert claims["runbook_run"]["verified_on"] == {LINK: step.verified_on}
    assert errors_of(carried.evidence, trust) == [None] * 3
    assert errors_of(carried.bundle(SECOND), trust) == [None]


def test_the_report_shows_the_day_and_that_it_is_not_this_runs(carried: Desk) -> None:
    """The page says when and where it was verified, and that this run did not check it."""
    page = (carried.bundle(SECOND) / "report.html").read_text(encoding="utf-8")
    first = (carried.bundle(FIRST) / "report.html").read_text(encoding="utf-8")

    for text in (
        f"verified on {NOON.date()}",
        "Checked in an earlier run,",
        "and not in this run",
        f"in bundle {carried.bundle(FIRST).name}",
        "1 verified in an earlier run",
    ):
        assert text in page
        assert text not in first


def of_result(**fields: Any) -> Change:
    return new("steps", 1, "carried", 0, **fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of_result(run_id=SECOND), wording("content-altered.differs-from-line")),
        (of_result(sha256="0" * 64), wording("content-altered.differs-from-line")),
        (
            of_result(checked_on="2026-11-25T12:00:00.000Z"),
            wording("content-altered.differs-from-line"),
        ),
        (of_result(code_digest="0" * 64), wording("content-altered.differs-from-line")),
        (of_result(until="2027-11-24"), wording("content-altered.not-carried-here")),
        (of_result(recheck_days=400), wording("content-altered.not-carried-here")),
        (of_result(bundle=""), wording("content-altered.not-of-its-bundle")),
        (of_result(values={"app": "2", "user": "u"}), wording("content-altered.differs-from-line")),
        (of_result(line=1), wording("content-altered.bundle-not-here")),
        (new("steps", 1, "carried", 0, "finding", outcome="failed"), "verified"),
        (
            new("steps", 1, "carried", 0, "finding", reason="Other."),
            wording("content-altered.differs-from-line"),
        ),
        (lost("steps", 1, "carried", 0, "bundle"), field_missing("bundle")),
    ],
)
def test_a_record_that_differs_from_the_line_is_refused(
    carried: Desk, trust: TrustAnchors, change: Change, reason: str
) -> None:
    """Even signed again, a record cannot claim another run, line, day or result."""

    def with_day(record: Any) -> None:
        change(record)
        days = [result.get("checked_on", "")[:10] for result in record["steps"][1]["carried"]]
        record["steps"][1]["verified_on"] = min(days)

    carried.resign(SECOND, with_day)

    (error,) = errors_of(carried.bundle(SECOND), trust)
    assert isinstance(error, ContentError)
    assert reason in str(error)


def test_a_missing_bundle_is_named(carried: Desk, trust: TrustAnchors, tmp_path: Path) -> None:
    """A bundle alone is accepted with a note; in its chain the missing one is refused."""
    alone = tmp_path / "elsewhere" / carried.bundle(SECOND).name
    shutil.copytree(carried.bundle(SECOND), alone)

    (verdict,) = verify_tree(alone, trust)
    assert verdict.verified is not None
    (note,) = verdict.verified.notes
    assert note.startswith(wording("verify.rests-on-line", step=LINK))
    assert wording("verify.earlier-not-here", bundle=carried.bundle(FIRST).name) in note
    shutil.rmtree(carried.bundle(FIRST))
    *_, chain = errors_of(carried.evidence, trust)
    assert isinstance(chain, ChainError)


def test_a_swapped_bundle_is_refused(carried: Desk, trust: TrustAnchors) -> None:
    """The named bundle must be the earlier one, and show the line; another one there does not."""
    carried.resign(SECOND, of_result(bundle=carried.bundle(SECOND).name))

    (alone,) = errors_of(carried.bundle(SECOND), trust)
    (carried.evidence / "acme" / "p" / "journal.jsonl").unlink()
    *_, chain = errors_of(carried.evidence, trust)
    assert wording("content-altered.not-an-earlier-one") in str(alone)
    assert wording("content-altered.not-an-earlier-one") in str(chain)


def test_an_earlier_bundle_without_the_line_is_refused(carried: Desk, trust: TrustAnchors) -> None:
    """A record that names another earlier bundle is refused: its journal has no such line."""
    carried.night(2, THIRD)
    carried.resign(THIRD, of_result(bundle=carried.bundle(SECOND).name))

    (error,) = errors_of(carried.bundle(THIRD), trust)
    second = carried.bundle(SECOND).name
    assert wording("content-altered.earlier-without-line", bundle=second) in str(error)


def test_a_bundle_with_an_unknown_key_is_refused(
    carried: Desk, trust: TrustAnchors, other_key: SigningKey
) -> None:
    """If nobody trusts the key of the named bundle, the one that rests on it is refused."""
    resign_everything(carried.bundle(FIRST), other_key, payload(carried.bundle(FIRST) / STATEMENT))

    (error,) = errors_of(carried.bundle(SECOND), trust)
    first = carried.bundle(FIRST).name
    assert wording("content-altered.rests-on-refused", bundle=first) in str(error)


def test_a_third_run_rests_on_the_first(carried: Desk, trust: TrustAnchors) -> None:
    """A run names the check itself, never a run that only carried it."""
    carried.night(2, THIRD)
    record = parse_record(record_text(carried.bundle(THIRD)))

    assert record.steps[1].carried[0].bundle == carried.bundle(FIRST).name
    assert errors_of(carried.evidence, trust) == [None] * 4
    missing = next(
        bundle for bundle in (carried.bundle(FIRST), carried.bundle(THIRD)) if bundle.exists()
    )
    (missing / "report.html").write_text("altered")
    *_, chain = errors_of(carried.evidence, trust)
    assert wording("verify.rests-on-line", step="Number 2 (0000000b)") in str(chain)
    assert wording("verify.which-is-refused", bundle=missing.name) in str(chain)


def test_an_unsealed_result_is_in_the_bundle_that_carries_it(
    desk: Desk, trust: TrustAnchors
) -> None:
    """A check of a run that was never sealed is in the next bundle's own journal."""
    desk.night(0, FIRST, is_sealed=False)
    desk.night(1, SECOND)

    (result,) = parse_record(record_text(desk.bundle(SECOND))).steps[1].carried
    assert (result.run_id, result.bundle) == (FIRST, "")
    assert errors_of(desk.evidence, trust) == [None] * 2
