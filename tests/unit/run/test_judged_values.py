"""The remote system's answers decide which of the typed values people's words are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Input
from runbook_lib.engine.tenant_run import Run
from runbook_lib.run.journal import Journal
from tests.conftest import NOON
from tests.support.attestations import attested
from tests.support.procedures import plain_procedure, plain_step
from tests.support.wording import wording

APP_ID = Input(name="app_id", label="App ID", help="")


@dataclass
class Remote:
    """A remote system that accepts or refuses the App ID."""

    accepts: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()

    def check(self, _context: CheckContext) -> Finding:
        """Say whether the App ID is right."""
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            code="a-code",
            reason="So.",
            accepts=self.accepts,
            refuses=self.refuses,
        )


def begin(folder: Path, remote: Remote, app_id: str = "", run_id: str = "0a1b2c3d") -> Run:
    """Return a run that has started, in which a person speaks of `said` and a check of `seen`."""
    spoken = plain_step("said", subject=("app_id",))
    check = Check("app", remote.check, needs=("app_id",))
    judged = plain_step("seen", subject=("app_id",), inputs=(APP_ID,), checks=(check,))
    run = Run(
        plain_procedure(spoken, judged, inputs=(APP_ID,)),
        Settings({"app_id": app_id} if app_id else {}),
        Journal(folder / "acme" / "p" / "journal.jsonl", clock=lambda: NOON),
        "acme",
        Mode.INTERACTIVE,
        run_id,
    )
    run.start()
    return run


def outcome(run: Run) -> Outcome:
    """Return the outcome of the step that people spoke about."""
    return run.state.step("said").outcome


@pytest.mark.parametrize(
    ("given", "story"),
    [
        # A later confirmation by Facebook binds no attestation about another App ID.
        ("999", ["counts", "types 111", "accepts", "lapses"]),
        # A word about another App ID does not count for one of which Facebook said nothing yet.
        ("111", ["accepts", "types 999", "lapses"]),
        # A typing error that Facebook refused, even twice, leaves every word as it was.
        (
            "111",
            [
                "types 999",
                "refuses",
                "counts",
                "types 998",
                "refuses",
                "counts",
                "types 111",
                "counts",
            ],
        ),
        # Words about a confirmed App ID outlast an unchecked typing error before a refused one.
        ("111", ["accepts", "types 998", "types 999", "refuses", "counts"]),
        # A word said before any App ID was typed survives refused ones.
        ("", ["types 999", "refuses", "types 111", "accepts", "counts", "types 222", "lapses"]),
        # Once Facebook confirms a value that it had refused, that is the one that counts.
        ("111", ["types 222", "refuses", "counts", "accepts", "lapses"]),
    ],
)
def test_an_attestation_counts_for_the_value_that_it_is_about(
    tmp_path: Path, given: str, story: list[str]
) -> None:
    """Facebook's answers decide which of the typed App IDs counts."""
    remote = Remote()
    run = begin(tmp_path, remote, given)
    run.say([attested("said")])
    for event in story:
        what, _, app_id = event.partition(" ")
        if what == "types":
            run.give("app_id", app_id)
        elif what in ("accepts", "refuses"):
            remote.accepts = ("app_id",) if what == "accepts" else ()
            remote.refuses = ("app_id",) if what == "refuses" else ()
            run.perform("seen")
        else:
            assert outcome(run) is (Outcome.ATTESTED if what == "counts" else Outcome.NOT_RUN)


def test_a_word_about_another_value_says_which(tmp_path: Path) -> None:
    """A later run with another App ID names both."""
    begin(tmp_path, Remote(), "111").say([attested("said")])

    later = begin(tmp_path, Remote(), "222", "00000002")
    reason = wording("reasons.void-of-another-app", name="App ID", was=111, now=222)
    assert reason in later.state.step("said").reason
