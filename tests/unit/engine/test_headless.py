"""A tenant's run in one call: it says nothing, tells a listener, and returns what it came to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.workspace import journal_path
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey, keep_key
from runbook_lib.core.journal import Journal
from runbook_lib.core.state import RunState
from runbook_lib.engine import headless
from runbook_lib.engine.execution import Execution
from runbook_lib.engine.headless import (
    OtherAppError,
    RunListener,
    RunRequest,
    RunResult,
    run_tenant,
)
from runbook_lib.engine.notebooks import build, notebook_name
from runbook_lib.engine.run import Run
from runbook_lib.errors import EvidenceError, SettingsError
from runbook_lib.fork_engine import Child
from tests.unit.bodies import APP_SECRET

NAME = notebook_name(PROCEDURE)
REQUEST = RunRequest(
    procedure=PROCEDURE,
    given={"service_domain": "acme-h.cyclr.com"},
    tenant="acme",
    evidence="evidence",
    environ={"RUNBOOK_APP_SECRET": APP_SECRET, "OTHER": "x", "PATH": "/bin"},
)
WORDS = """
[[attestation]]
step = "fb-01-log-in"
by = "Operator"
at = 2026-11-20T09:00:00Z
"""


class Papermill:
    """Takes the place of papermill: notes what it is given, and does what a kernel would."""

    def __init__(self) -> None:
        self.source = Path()
        self.text = ""
        self.parameters: Mapping[str, Any] = {}
        self.environment: Mapping[str, str] = {}
        self.runs: list[Run] = []
        self.does: Callable[[Run], object] = Run.finish_notebook
        self.returns = ""

    def __call__(
        self,
        source: Path,
        output: Path,
        parameters: Mapping[str, Any],
        *,
        environment: Mapping[str, str],
        on_tick: Callable[[], None],
        child: Child | None,
    ) -> Execution:
        """Execute nothing."""
        self.source, self.text = source, source.read_text(encoding="utf-8")
        self.parameters, self.environment = parameters, environment
        on_tick()
        for run in self.runs[-1:]:
            self.does(run)
        on_tick()
        output.write_text(self.text, encoding="utf-8")
        return Execution(self.returns)


class Ear(RunListener):
    """Notes what it hears."""

    def __init__(self, papermill: Papermill) -> None:
        self.heard: list[str] = []
        self.results: list[RunResult] = []
        self._papermill = papermill

    def on_start(self, run: Run) -> None:
        """Note it."""
        self.heard.append("start")
        self._papermill.runs.append(run)

    def on_progress(self, state: RunState) -> None:
        """Note it."""
        self.heard.append("progress")

    def on_sealed(self, result: RunResult) -> None:
        """Note it."""
        self.heard.append("sealed")
        self.results.append(result)


@pytest.fixture
def papermill(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Papermill:
    fake = Papermill()
    monkeypatch.setattr(headless, "execute_notebook", fake)
    return fake


@pytest.fixture
def ear(papermill: Papermill) -> Ear:
    return Ear(papermill)


def journal() -> Journal:
    return Journal(journal_path(Path("evidence"), "acme", PROCEDURE.id))


def types() -> list[str]:
    return [entry.type for entry in journal().entries()]


def bundles() -> list[Path]:
    """Return what lies beside the journal that looks like a bundle, whole or not."""
    home = journal().path.parent
    return [path for path in home.iterdir() if path.is_dir()] if home.is_dir() else []


def test_the_result_says_what_the_run_came_to(ear: Ear, capfd: pytest.CaptureFixture[str]) -> None:
    """Run, state and bundle, in one call; nothing is printed, so that anybody can call it."""

    result = run_tenant(REQUEST, ear)

    assert bundles() == [result.sealed.folder]
    record = json.loads((result.sealed.folder / "record.json").read_text(encoding="utf-8"))
    assert (result.tenant, result.run_id) == ("acme", record["run_id"])
    assert (result.state.outcome, result.broken) == (record["outcome"], "")
    assert (result.archived, result.archive_address, result.archive_error) == ("", "", None)
    assert Path("evidence", "keys", f"{result.key_id}.pub.pem").is_file()
    assert types() == ["run.started", "notebook.finished", "run.finished", "bundle.sealed"]
    assert capfd.readouterr() == ("", "")


def test_a_listener_hears_of_it_in_order(ear: Ear) -> None:
    """Each step's outcome as it comes, and the bundle before it is archived."""

    result = run_tenant(REQUEST, ear)

    assert ear.heard == ["start", "progress", "progress", "sealed"]
    assert ear.results == [result]


def test_nobody_needs_to_listen(papermill: Papermill) -> None:
    """Whoever wants the result alone gives no listener."""

    assert run_tenant(REQUEST).sealed.folder.is_dir()


@pytest.mark.parametrize(
    ("returned", "does", "said"),
    [
        ("the kernel died", lambda _: None, "the kernel died"),
        ("", lambda _: None, "it ended before its last cell"),
        (f"a cell raised X: {APP_SECRET}", Run.finish_notebook, "a cell raised X: **********"),
    ],
)
def test_why_a_notebook_broke_off_is_in_the_result(
    ear: Ear, papermill: Papermill, returned: str, does: Any, said: str
) -> None:
    """In words without a credential; the evidence is sealed all the same."""

    papermill.returns, papermill.does = returned, does

    result = run_tenant(REQUEST, ear)

    assert result.broken == said
    assert result.sealed.folder.is_dir()


def test_settings_are_read_from_the_environment_that_is_given(
    ear: Ear, papermill: Papermill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from this process's: a fleet runs many tenants side by side."""

    monkeypatch.setenv("RUNBOOK_APP_SECRET", "f" * 32)
    monkeypatch.setenv("RUNBOOK_APP_ID", "999999999999999")

    run_tenant(REQUEST, ear)

    (run,) = papermill.runs
    assert run.settings.secrets["app_secret"].reveal() == APP_SECRET
    assert "app_id" not in run.settings.values
    assert papermill.environment == {"RUNBOOK_APP_SECRET": APP_SECRET, "PATH": "/bin"}


def test_the_kernel_opens_the_same_run(ear: Ear, papermill: Papermill) -> None:
    """By its id, folder and values; what signs and archives the evidence stays out of it."""

    given = {**REQUEST.given, "queue_seconds": 5, "archive_seconds": 9}
    result = run_tenant(replace(REQUEST, given=given), ear)

    assert papermill.parameters == {
        "service_domain": "acme-h.cyclr.com",
        "queue_seconds": 5,
        "env_file": "",
        "evidence": "evidence",
        "run_id": result.run_id,
        "tenant": "acme",
        "mode": "headless",
    }


def test_the_projects_notebook_is_executed(ear: Ear, papermill: Papermill, folder: Path) -> None:
    """The one that is reviewed and committed, as it is."""

    path = build(PROCEDURE, folder / "notebooks")
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    run_tenant(REQUEST, ear)

    assert papermill.source == path
    assert papermill.text == path.read_text(encoding="utf-8")


def test_without_a_project_a_notebook_is_built_for_the_run(
    ear: Ear, papermill: Papermill, folder: Path
) -> None:
    """From the wheel, in an empty folder, nothing but evidence is left there."""

    result = run_tenant(REQUEST, ear)

    assert papermill.source.name == NAME
    assert not papermill.source.exists()
    assert [path.name for path in folder.iterdir()] == ["evidence"]
    assert (result.sealed.folder / NAME).is_file()


def test_a_persons_own_copy_is_not_what_is_executed(
    ear: Ear, papermill: Papermill, folder: Path
) -> None:
    """Whatever somebody tried out in the walkthrough, a headless run performs the procedure."""

    copy = build(PROCEDURE, folder / "walkthrough")
    copy.write_text("{}", encoding="utf-8")

    run_tenant(REQUEST, ear)

    assert papermill.source.parent != copy.parent
    assert copy.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"given": {}}, "service_domain .* is missing"),
        ({"given": {"nonsense": 1}}, "no parameter called nonsense"),
        ({"tenant": "../x"}, "is not a tenant name"),
        ({"env_file": "none.env"}, "cannot be read"),
        ({"attestations": "none.toml"}, "none.toml"),
        ({"given": {**REQUEST.given, "archive": "ftp://x/"}}, "archive"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    ear: Ear, folder: Path, change: dict[str, Any], said: str
) -> None:
    """Nothing was done, nobody heard of it, and the folder is as it was."""

    with pytest.raises(SettingsError, match=said):
        run_tenant(replace(REQUEST, **change), ear)

    assert ear.heard == []
    assert list(folder.iterdir()) == []


def test_peoples_words_are_in_the_run(ear: Ear, folder: Path) -> None:
    """A file of attestations is read before the run, and counts in it."""

    (folder / "said.toml").write_text(WORDS, encoding="utf-8")

    result = run_tenant(replace(REQUEST, attestations="said.toml"), ear)

    assert result.state.steps["fb-01-log-in"].conclusion.outcome == "attested"
    assert types()[:2] == ["run.started", "step.attested"]


def test_an_interruption_leaves_no_half_bundle(
    ear: Ear, papermill: Papermill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says so, and the next run is not kept waiting."""

    def interrupt(_: Run) -> None:
        raise KeyboardInterrupt

    papermill.does = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_tenant(REQUEST, ear)

    assert types() == ["run.started", "run.interrupted"]
    assert bundles() == []
    papermill.does = Run.finish_notebook
    given = {**REQUEST.given, "queue_seconds": 0}
    assert run_tenant(replace(REQUEST, given=given), ear).sealed.folder.is_dir()


def test_a_tenant_that_has_another_key_meanwhile_is_not_begun(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first run began in another process, which practises with another app."""

    mine, kept, opened = FingerprintKey(), FingerprintKey(), headless._opened

    def opened_meanwhile(request: RunRequest) -> Any:
        run, words = opened(request)
        keep_key(run.journal.path.parent, kept)
        return run, words

    monkeypatch.setattr(headless, "_opened", opened_meanwhile)
    with pytest.raises(OtherAppError):
        run_tenant(replace(REQUEST, key=mine), ear)

    assert ear.heard == []
    assert not journal().path.exists()
    assert run_tenant(replace(REQUEST, key=kept), ear).sealed.folder.is_dir()


def test_a_bundle_is_copied_to_the_archive(ear: Ear, folder: Path) -> None:
    """The result says where it is."""

    given = {**REQUEST.given, "archive": f"file://{folder / 'archive'}"}

    result = run_tenant(replace(REQUEST, given=given), ear)

    assert result.sealed.folder.name in result.archived
    assert list((folder / "archive").rglob("record.json"))
    assert (result.archive_error, ear.results[0].archived) == (None, "")


def test_an_archive_that_refuses_is_part_of_the_result(
    ear: Ear, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence is sealed and stays: whoever asked is told what to do with it."""

    refusal = EvidenceError("Access denied.", next_step="Give the role the right to write.")

    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(headless, "archive_bundle", refuse)
    address = str(folder / "archive")
    result = run_tenant(replace(REQUEST, given={**REQUEST.given, "archive": address}), ear)

    assert (result.archive_error, result.archive_address) == (refusal, address)
    assert result.archived == ""
    assert bundles() == [result.sealed.folder]
    assert ear.heard[-1] == "sealed"


@pytest.mark.parametrize("is_given", [True, False])
def test_practice_is_archived_only_where_this_run_says_so(
    ear: Ear, folder: Path, *, is_given: bool
) -> None:
    """An archive of the environment is for real evidence."""

    address = f"file://{folder / 'archive'}"
    given = {**REQUEST.given, "graph_url": "http://127.0.0.1:9"}
    environ = {**REQUEST.environ, "RUNBOOK_ARCHIVE": address}
    if is_given:
        given["archive"] = address

    result = run_tenant(replace(REQUEST, given=given, environ=environ), ear)

    assert bool(result.archived) is is_given
