"""A run that carries an earlier result spends nothing, and `verify` follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.core.outcome import label_of
from runbook_lib.core.procedure import Check, Input, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.evidence.record import parse_record, read_record
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.run.journal import Journal
from tests.conftest import NOON
from tests.support.resigned_statements import payload
from tests.support.wording import wording
from tests.unit.evidence.conftest import AT, errors_of, seal_run

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
    return label_of(run.state.step(step))


def why(run: Run) -> str:
    return run.state.step(LINK).reason


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


def test_a_value_that_was_cleared_is_as_last_recorded(desk: Desk, trust: TrustAnchors) -> None:
    """An emptied field permits no check, and the result for its last value counts to its end."""
    desk.night(0, FIRST)
    del desk.values["user"]
    there = desk.open(1, SECOND, Mode.INTERACTIVE)
    there.start()
    there.give("user", "")

    assert label(desk.night(2, THIRD)) == f"verified on {NOON.date()}"
    due = desk.night(31, "0000000d")
    assert label(due) == "due"
    assert wording("reasons.carried-until", days=30) in why(due)
    assert errors_of(desk.evidence, trust) == [None] * 4


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
    assert there.state.step(LINK).outcome is Outcome.VERIFIED

    there.perform(LINK)

    assert desk.remote.made.count("link") == 2
    night = desk.night(3, THIRD)
    (result,) = night.state.step(LINK).earlier.values()
    assert night.journal.read_all()[result.line - 1].head.run == SECOND


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


def test_the_record_names_the_line(carried: Desk, trust: TrustAnchors) -> None:
    """The record has the earlier result apart; its bundle has the line, and `verify` accepts it."""
    bundle = carried.bundle(SECOND)
    step = parse_record(read_record(bundle)).step(LINK)
    (result,) = step.earlier.values()
    lines = (carried.bundle(FIRST) / "journal.jsonl").read_bytes().splitlines(keepends=True)

    assert (step.made_findings, step.exchange_numbers, step.checked_on) == ((), (), "")
    assert lines[result.line - 1] in (bundle / "older.jsonl").read_bytes()
    claims = payload(bundle)["predicate"]
    assert LINK not in claims["passedTests"]
    assert LINK in claims["warnedTests"]
    assert claims["runbook_run"]["verified_on"] == {LINK: step.verified_on}
    assert errors_of(carried.evidence, trust) == [None] * 3
    assert errors_of(bundle, trust) == [None]


def test_an_unsealed_result_is_in_the_bundle_that_counts_it(
    desk: Desk, trust: TrustAnchors
) -> None:
    """The bundle of the next run has the lines of a run that was never sealed."""
    desk.night(0, FIRST, is_sealed=False)
    desk.night(1, SECOND)

    assert label(desk.night(2, THIRD)).startswith("verified on")
    assert errors_of(desk.evidence, trust) == [None] * 3


def test_the_report_shows_the_day_and_that_it_is_not_this_runs(carried: Desk) -> None:
    """The page says when and where it was verified, and that this run did not check it."""
    page = (carried.bundle(SECOND) / "report.html").read_text(encoding="utf-8")
    first = (carried.bundle(FIRST) / "report.html").read_text(encoding="utf-8")

    for text in (
        f"verified on {NOON.date()}",
        "Checked in an earlier run,",
        "and not in this run",
        f"(run {FIRST})",
        "1 verified in an earlier run",
    ):
        assert text in page
        assert text not in first
