"""The functions that a notebook's cells call, in this process, against a sandbox over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Outcome, RunOutcome
from runbook_lib.engine.practice import practice
from runbook_lib.engine.tenant_run import Run
from runbook_lib.errors import ChainError, SettingsError, StepFailedError, UnknownStepError
from runbook_lib.evidence import rebuild
from runbook_lib.evidence.reports.step_table import StepTable
from runbook_lib.notebook.rendering import END_MIME, STEP_MIME
from runbook_lib.notebook.session import HeadlessRun, InteractiveRun, detected_mode, open_run
from runbook_lib.run.journal import Journal
from runbook_lib.walkthrough import controller as walkthrough_module
from runbook_lib.walkthrough.controller import Walkthrough
from runbook_lib.walkthrough.widgets import PANEL_MIME, FinishPanel, HeaderPanel, StepPanel
from tests.support.wording import refused, refused_naming, wording
from tests.unit.bodies import APP_SECRET
from tests.unit.notebook.cell import Cell
from tests.unit.walkthrough.sample_run import eventually, stopped

EMPTY = {
    **{item.name: None for item in inputs_of(PROCEDURE) if not item.secret},
    **dict.fromkeys(("tenant", "evidence", "env_file", "run_id", "mode")),
}


@pytest.fixture(scope="module")
def sandbox_env() -> Iterator[Mapping[str, str]]:
    """Return the settings files of two sandboxes, which run as long as this module."""
    key = FingerprintKey()
    with (
        practice("approved", PROCEDURE, key) as approved,
        practice("wrong-secret", PROCEDURE, key) as wrong_secret,
    ):
        yield {"approved": approved.env_file, "wrong-secret": wrong_secret.env_file}


Namespace = dict[str, Any]


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every run and walkthrough that a test opened, as the end of a kernel does."""
    runs: list[Run] = []
    walkthroughs: list[Walkthrough] = []
    start = Run.start
    follow = Walkthrough.start

    def followed(walkthrough: Walkthrough) -> None:
        walkthroughs.append(walkthrough)
        follow(walkthrough)

    def noted(run: Run, **options: Any) -> None:
        runs.append(run)
        start(run, **options)

    monkeypatch.setattr(Run, "start", noted)
    monkeypatch.setattr(Walkthrough, "start", followed)
    monkeypatch.setattr(walkthrough_module, "_FOLLOW_SECONDS", 0.01)
    yield
    with ExitStack() as stack:
        for walkthrough in walkthroughs:
            stack.enter_context(stopped(walkthrough))
    for run in runs:
        run.close()


@pytest.fixture
def namespace(folder: Path, sandbox_env: Mapping[str, str]) -> Namespace:
    """Return a notebook's variables as papermill leaves them, with only the settings given."""
    return {
        **EMPTY,
        "env_file": sandbox_env["approved"],
        "tenant": "acme",
        "__name__": "__main__",
        "_ih": [""],
        "In": [""],
        "Out": {},
        "open_run": open_run,
    }


def journal(folder: Path) -> Journal:
    return Journal(folder / "evidence" / "acme" / PROCEDURE.id / "journal.jsonl")


def types(folder: Path) -> list[str]:
    """Return the kinds of lines, without exchanges, which are written as they come."""
    kinds = [line.head.type for line in journal(folder).read_all()]
    return [kind for kind in kinds if kind != "exchange.recorded"]


def opened(namespace: Namespace, **more: Any) -> Any:
    """Return the opened run; of a headless one nothing is under way any more."""
    run = open_run(PROCEDURE.id, {**namespace, **more})
    if isinstance(run, HeadlessRun):
        run.under_way.wait()
    return run


def shown(value: Any) -> dict[str, Any]:
    bundle: dict[str, Any] = value._repr_mimebundle_()
    return bundle


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [
        pytest.param("JPY_SESSION_NAME", "", "headless", id="papermill sets no JPY_SESSION_NAME"),
        pytest.param(
            "JPY_SESSION_NAME",
            "notebooks/facebook_marketing.ipynb",
            "interactive",
            id="JupyterLab sets JPY_SESSION_NAME",
        ),
        pytest.param(
            "SERVER_SOFTWARE",
            "voila/0.5.8",
            "interactive",
            id="SERVER_SOFTWARE names Voila",
        ),
        pytest.param(
            "SERVER_SOFTWARE",
            "gunicorn/22",
            "headless",
            id="another server's name has no effect",
        ),
        ("SERVER_SOFTWARE", "", "headless"),
    ],
)
def test_the_program_that_executes_a_notebook_decides_its_mode(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, mode: str
) -> None:
    """A notebook is interactive in JupyterLab and Voila, and headless in papermill."""
    assert detected_mode() == "headless"
    monkeypatch.setenv(variable, value)

    assert detected_mode() == mode


@pytest.mark.parametrize(
    ("session", "parameter", "mode"),
    [
        ("", "", "headless"),
        ("x.ipynb", "", "interactive"),
        ("x.ipynb", "headless", "headless"),
        ("", "interactive", "interactive"),
    ],
)
def test_a_parameter_overrides_what_is_detected(
    namespace: Namespace,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    session: str,
    parameter: str,
    mode: str,
) -> None:
    """The parameter `mode` takes precedence over the detected mode."""
    monkeypatch.setenv("JPY_SESSION_NAME", session)

    opened(namespace, mode=parameter)

    assert journal(folder).read_all()[0].event.mode == mode


def test_opening_begins_a_run_for_the_tenant(namespace: Namespace, folder: Path) -> None:
    """`open_run` starts a run in the tenant's journal, in the project's evidence folder."""
    run = opened(namespace)

    assert types(folder) == ["run.started"]
    header = shown(run.header())
    assert "tenant acme" in header["text/plain"]
    assert "SANDBOX" in header["text/plain"]
    assert PROCEDURE.title in header["text/html"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("servce_domain", "x.cyclr.com", "no-parameter"),
        ("nonsense", 7, "no-parameter"),
        ("nonsense", ["x"], "no-parameter"),
        ("nonsense", {"a": 1}, "no-parameter"),
        ("nonsense", True, "no-parameter"),
        ("app_secret", APP_SECRET, "parameter-is-secret"),
        ("service_domain", "not a domain", "not-a-domain-name"),
        ("install_connector", "perhaps", "takes-true-or-false"),
        ("permissions", 1.5, "takes-names"),
        ("tenant", "../elsewhere", "invalid-tenant-name"),
        ("env_file", "none.env", "settings-file-not-readable"),
        ("mode", "auto", "takes-a-mode"),
        *(
            (name, value, "takes-a-text")
            for name in ("tenant", "evidence", "env_file", "run_id", "mode")
            for value in (["acme"], {"a": "b"}, 7)
        ),
    ],
)
def test_an_invalid_parameter_is_refused_before_anything_is_written(
    namespace: Namespace, folder: Path, name: str, value: object, said: str
) -> None:
    """An unknown or invalid parameter, of which papermill only warns, raises `SettingsError`."""
    before = set(folder.rglob("*"))

    with refused(SettingsError, said, name=name, value=value) as caught:
        opened(namespace, **{name: value})

    assert APP_SECRET not in str(caught.value)
    assert set(folder.rglob("*")) == before
    assert not (folder / "evidence").exists()


@pytest.mark.parametrize("mode", ["headless", "interactive"])
def test_an_older_journal_gets_no_line(
    mode: str, namespace: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a journal that lacks a bundle no run begins, in a walkthrough neither."""

    def refuse(journal: Journal) -> None:
        raise ChainError(f"{journal.path.name} lacks a bundle.")

    monkeypatch.setattr(rebuild, "require_whole_journal", refuse)

    with pytest.raises(ChainError) as caught:
        opened(namespace, mode=mode)
    assert caught.value.args == ("journal.jsonl lacks a bundle.",)

    assert not journal(folder).path.exists()


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_parameter_is_not_given(namespace: Namespace, nothing: str | None) -> None:
    """`None` and an empty text mean the settings file, or the default; `False` is a value."""
    run = opened({**namespace, **dict.fromkeys(set(EMPTY) - {"tenant", "env_file"}, nothing)}).run

    (version,) = (item.default for item in PROCEDURE.inputs if item.name == "graph_version")
    assert run.values["graph_version"] == version
    assert run.values["make_test_calls"] is True
    assert opened({**namespace, "make_test_calls": False}).run.values["make_test_calls"] is False


def test_jupyters_own_variables_are_no_parameters(namespace: Namespace, folder: Path) -> None:
    """Jupyter's variables are no parameters; in JupyterLab, a person's own are no error either."""
    run = opened(namespace, _private="x", Path=Path, helper=len)

    assert run.run.mode == "headless"
    opened(namespace, mode="interactive", my_note="x")
    assert journal(folder).read_all()[-1].event.mode == "interactive"


def test_a_headless_run_needs_the_service_domain(folder: Path) -> None:
    """A headless run without the Service Domain is an error; nothing is written."""
    with refused_naming(SettingsError, "service_domain (Service Domain) is missing"):
        open_run(PROCEDURE.id, EMPTY)

    assert not (folder / "evidence").exists()


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """Run cells in this process as a kernel of JupyterLab does."""
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    with Cell.in_new_shell() as cell:
        yield cell


def answer(question: Any, text: str, **more: Any) -> dict[str, Any]:
    """Return the form's reply to a text that a person sends by it."""
    sent: list[dict[str, Any]] = []
    question.send = sent.append
    question._handle_custom_msg({"action": "answer", "text": text, **more}, [])
    (result,) = sent
    return result


def test_the_header_asks_for_the_tenant_that_nothing_names(cell: Cell, folder: Path) -> None:
    """In JupyterLab the header is a form, nothing is written before the answer, no cell waits."""
    run = open_run(PROCEDURE.id, EMPTY)
    question = cell.show(run.header())
    for step in PROCEDURE.steps:
        cell.show(run.step(step.id))
    cell.show(run.finish())

    assert question.view["question"] == wording("notebook.tenant-question")
    waiting = [bundle["text/plain"] for bundle in cell.bundles[1:]]
    assert waiting == [wording("notebook.answer-first")] * (len(PROCEDURE.steps) + 1)
    assert not (folder / "evidence").exists()
    with refused(SettingsError, "no-tenant-yet"):
        _ = run.run
    assert run.steps == ()
    assert repr(run.steps) == ""
    with pytest.raises(UnknownStepError):
        run.step("fb-99-nothing")


def test_the_answer_puts_each_panel_in_its_cell(cell: Cell, folder: Path) -> None:
    """Once a tenant is named, header, steps and end take their places, and say what they are."""
    run = open_run(PROCEDURE.id, EMPTY)
    question = cell.show(run.header())
    cell.show(run.step("fb-01-log-in"))
    cell.show(run.finish())
    before = cell.bundles[0][PANEL_MIME]

    assert answer(question, " acme ", is_sure=True)["kind"] == "opened"

    parts = ["header", "fb-01-log-in", "finish"]
    panels = [bundle[PANEL_MIME] for bundle in cell.bundles]
    assert before == {"tenant": "", "connector": PROCEDURE.id, "part": "header"}
    assert panels == [{"tenant": "acme", "connector": PROCEDURE.id, "part": part} for part in parts]
    assert types(folder) == ["run.started"]
    assert isinstance(run.step("fb-01-log-in"), StepPanel)
    assert isinstance(run.header(), HeaderPanel)
    assert len(run.steps) == len(PROCEDURE.steps)
    assert run.run.tenant == "acme"
    answer(question, "other", is_sure=True)
    assert [*(folder / "evidence").iterdir()] == [folder / "evidence" / "acme"]


def test_a_cell_that_runs_again_before_the_answer_gets_the_panel(cell: Cell, folder: Path) -> None:
    """If a cell was run twice, the output that is on the page becomes the panel."""
    run = open_run(PROCEDURE.id, EMPTY)
    question = cell.show(run.header())
    cell.show(run.step("fb-01-log-in"))
    cell.show(run.step("fb-01-log-in"))

    answer(question, "acme", is_sure=True)

    assert [PANEL_MIME in bundle for bundle in cell.bundles] == [True, False, True]


def test_the_form_says_why_an_answer_opens_nothing(
    cell: Cell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name, a new name, and a run that cannot be opened: the form stays and says so."""
    run = open_run(PROCEDURE.id, EMPTY)
    question = cell.show(run.header())

    rejected = answer(question, "Acme Corp")
    assert rejected["kind"] == "problem"
    is_none = wording("setting-invalid.not-a-tenant-name")
    assert rejected["text"].startswith(f"'Acme Corp' {is_none}")
    doubted = answer(question, "https://Acme-h.cyclr.com/")
    assert doubted["kind"] == "doubt"
    assert doubted["text"] == wording("notebook.new-tenant", tenant="acme-h.cyclr.com")
    assert not (folder / "evidence").exists()

    def refuse(journal: Journal) -> None:
        raise ChainError(f"{journal.path.name} lacks a bundle.")

    with monkeypatch.context() as patched:
        patched.setattr(rebuild, "require_whole_journal", refuse)
        broken = answer(question, "acme-h.cyclr.com", is_sure=True)
    assert broken["kind"] == "problem"
    assert "lacks a bundle" in broken["text"]
    assert PANEL_MIME in cell.bundles[0]
    assert "Acme" not in repr(question.get_state())

    assert answer(question, "acme-h.cyclr.com", is_sure=True)["kind"] == "opened"
    again = cell.show(open_run(PROCEDURE.id, EMPTY).header())
    assert again.view["help"].endswith(": acme-h.cyclr.com.")
    assert (
        wording("setting-invalid.did-you-mean", name="acme-h.cyclr.com")
        in answer(again, "acm-h.cyclr.com")["text"]
    )
    assert answer(again, "acme-h.cyclr.com")["kind"] == "opened"


def test_a_configured_service_domain_is_the_tenant(cell: Cell, folder: Path) -> None:
    """With a Service Domain in the settings the walkthrough does not ask."""
    run = open_run(PROCEDURE.id, {**EMPTY, "service_domain": "acme-h.cyclr.com"})

    assert isinstance(run, InteractiveRun)
    assert run.run.tenant == "acme-h.cyclr.com"


def test_there_is_no_form_if_nobody_can_answer(cell: Cell, folder: Path) -> None:
    """Under papermill and voila, an interactive run without a tenant is an error."""
    cell.allow_answers(is_allowed=False)

    with refused(SettingsError, "no-tenant-named"):
        open_run(PROCEDURE.id, EMPTY)

    assert not (folder / "evidence").exists()


def test_without_a_kernel_there_is_no_form(folder: Path) -> None:
    """In plain Python, an interactive run without a tenant is an error."""
    with refused(SettingsError, "no-tenant-named"):
        open_run(PROCEDURE.id, {**EMPTY, "mode": "interactive"})

    assert not (folder / "evidence").exists()


def test_a_step_is_performed_and_shown(namespace: Namespace, folder: Path) -> None:
    """`step` performs and records the step; what it returns is shown, and can be read."""
    run = opened(namespace)
    step = run.step("fb-13-app-id-and-secret")
    bundle = shown(step)

    assert step.outcome == "verified"
    assert step.reason in bundle["text/plain"]
    assert step.checked_on == run.run.state.step("fb-13-app-id-and-secret").checked_on
    assert repr(step).startswith("✔ 13 ")
    with pytest.raises(AttributeError):
        step.outcome = "failed"
    assert set(bundle) == {"text/html", "text/plain", STEP_MIME}
    assert bundle[STEP_MIME]["outcome"] == "verified"
    assert bundle["text/plain"].startswith("SANDBOX ✔ verified")
    assert types(folder)[0] == "run.started"
    assert "step.checked" in types(folder)


def test_an_unknown_connector_is_refused(namespace: Namespace, folder: Path) -> None:
    """An unknown connector raises `SettingsError` with the known ones."""
    with refused(SettingsError, "no-connector", name="facebook_marketting") as caught:
        open_run("facebook_marketting", namespace)

    assert PROCEDURE.id in caught.value.diagnostics()
    assert not (folder / "evidence").exists()


@pytest.mark.parametrize("mode", ["headless", "interactive"])
def test_an_unknown_step_is_refused(namespace: Namespace, mode: str) -> None:
    """An unknown step id raises `UnknownStepError`, in JupyterLab too."""
    with pytest.raises(UnknownStepError):
        opened(namespace, mode=mode).step("fb-99-nothing")


def test_a_headless_run_ends_with_its_notebook(namespace: Namespace, folder: Path) -> None:
    """`finish` counts the steps, and says that nothing is sealed; `steps` is a table of them."""
    run = opened(namespace)
    for step in PROCEDURE.steps:
        run.step(step.id)

    bundle = shown(run.finish())

    steps = bundle[END_MIME]["steps"]
    assert [step["id"] for step in steps] == [step.id for step in PROCEDURE.steps]
    assert types(folder)[-1] == "run.finished"
    end = wording("notebook.not-sealed", command="runbook run --tenant acme")
    assert bundle["text/plain"].endswith(f"\n{end}")
    assert f"<p>{end}</p>" in bundle["text/html"]
    fields = ("id", "number", "outcome", "reason")
    assert [{name: getattr(line, name) for name in fields} for line in run.steps] == [
        {name: step[name] for name in fields} for step in steps
    ]
    assert "_fields" in dir(run.steps[0])
    heading, first, *_ = repr(run.steps).splitlines()
    assert heading.startswith("SANDBOX · tenant acme · ")
    assert first == str(run.steps[0])


def test_a_failed_step_raises_at_the_notebooks_end(
    namespace: Namespace,
    folder: Path,
    sandbox_env: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a step failed, `finish` shows all and raises, so that papermill's exit code shows it."""
    displayed: list[StepTable] = []
    monkeypatch.setattr("runbook_lib.notebook.session.display", displayed.append)
    run = opened(namespace, env_file=sandbox_env["wrong-secret"])
    bundle = shown(run.step("fb-13-app-id-and-secret"))
    assert bundle[STEP_MIME]["outcome"] == "failed"

    with refused_naming(StepFailedError, "fb-13-app-id-and-secret", "runbook run --tenant acme"):
        run.finish()

    # The cell that shows them is not executed any more.
    assert "fb-13-app-id-and-secret" in {
        line.id for line in displayed[0] if line.outcome == "failed"
    }
    assert types(folder)[-1] == "run.finished"
    assert run.run.state.outcome is RunOutcome.FAILED


def test_a_notebook_that_joined_a_run_does_not_end_it(
    namespace: Namespace, folder: Path, sandbox_env: Mapping[str, str]
) -> None:
    """A notebook that joined another process's run leaves its end to that process."""
    run = opened(namespace, env_file=sandbox_env["wrong-secret"], run_id="0a1b2c3d")
    run.step("fb-13-app-id-and-secret")

    bundle = shown(run.finish())

    assert run.lock is None
    assert "Not sealed" not in bundle["text/plain"]
    assert run.run.run_id == "0a1b2c3d"
    assert bundle[END_MIME]["run"] == "0a1b2c3d"
    assert "run.finished" not in types(folder)


def test_nothing_that_was_not_performed_is_claimed(namespace: Namespace) -> None:
    """A step whose cell never ran is `not_run` at the end."""
    bundle = shown(opened(namespace).finish())

    outcomes = {step["outcome"] for step in bundle[END_MIME]["steps"]}
    assert outcomes == {Outcome.NOT_RUN}


def test_no_secret_is_shown(namespace: Namespace, sandbox_env: Mapping[str, str]) -> None:
    """Neither the outputs nor the journal contain a credential."""
    env = Path(sandbox_env["approved"]).read_text(encoding="utf-8")
    names = [item.variable for item in inputs_of(PROCEDURE) if item.secret]
    lines = [line for line in env.splitlines() if line.split("=")[0] in names]
    secrets = [line.split("=", 1)[1].strip('"') for line in lines]
    assert len(secrets) == 4
    run = opened(namespace)

    outputs = [shown(run.step(step.id)) for step in PROCEDURE.steps]
    outputs += [shown(run.header()), shown(run.finish())]

    text = repr(outputs) + run.run.journal.path.read_text(encoding="utf-8")
    assert not [secret for secret in secrets if secret in text]


def test_in_jupyterlab_every_cell_shows_a_panel(namespace: Namespace, folder: Path) -> None:
    """In JupyterLab, header, steps and end are panels of one walkthrough; they check nothing."""
    run = opened(namespace, mode="interactive")

    assert isinstance(run, InteractiveRun)
    header = run.header()
    finish = run.finish()
    assert isinstance(header, HeaderPanel)
    assert isinstance(finish, FinishPanel)
    assert header.view["title"] == PROCEDURE.title
    assert header.view["sandbox"] is True
    assert header.view["total"] == len(PROCEDURE.steps)
    assert finish.view["total"] == len(PROCEDURE.steps)
    seen: list[StepPanel] = []
    for step in PROCEDURE.steps:
        panel = run.step(step.id)
        assert isinstance(panel, StepPanel)
        assert (panel.view["id"], panel.view["title"]) == (step.id, step.title)
        assert (panel.outcome, panel.checked_on) == ("not_run", "")
        assert panel.reason == run.steps[len(seen)].reason
        seen.append(panel)
    assert types(folder) == ["run.started"]


def test_a_typed_credential_stays_known_on_the_next_page(namespace: Namespace) -> None:
    """After a reload in the same kernel nobody types unsaved credentials again."""
    (item,) = [item for item in PROCEDURE.inputs if item.name == "app_secret"]

    def page() -> Run:
        return opened(namespace, mode="interactive").walkthrough.run

    first = page()
    saved = first.settings.secrets["app_secret"].reveal()
    first.set_secret(item, APP_SECRET)

    second = page()
    assert second.settings.secrets["app_secret"].reveal() == APP_SECRET

    second.set_secret(item, saved)
    assert page().settings.secrets["app_secret"].reveal() == saved


def test_a_walkthrough_follows_the_journal(namespace: Namespace) -> None:
    """An open panel shows what a headless run records meanwhile."""
    run = opened(namespace, mode="interactive")
    panel = run.step("fb-13-app-id-and-secret")
    assert panel.view["outcome"] == "not_run"

    opened(namespace).step("fb-13-app-id-and-secret")

    eventually(lambda: panel.view["outcome"] == "verified")


def test_kernels_of_one_walkthrough_share_its_run(namespace: Namespace, folder: Path) -> None:
    """A second or restarted kernel joins the run that the first one started."""
    runs = [opened(namespace, mode="interactive").walkthrough.run for _ in range(3)]

    assert len({run.run_id for run in runs}) == 1
    assert types(folder) == ["run.started"]


def test_no_panel_holds_a_secret(namespace: Namespace, sandbox_env: Mapping[str, str]) -> None:
    """The saved state of the panels contains no credential."""
    run = opened(namespace, mode="interactive")
    secrets = [secret.reveal() for secret in run.walkthrough.run.settings.secrets.values()]
    assert len(secrets) == 4
    panels = [run.step(step.id) for step in PROCEDURE.steps]

    states = repr([each.get_state() for each in [*panels, run.header(), run.finish()]])

    assert not [secret for secret in secrets if secret in states]


def test_parameters_of_the_run_come_from_the_environment_too(
    namespace: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment sets tenant and evidence; a notebook's parameter takes precedence."""
    monkeypatch.setenv("RUNBOOK_TENANT", "other")
    monkeypatch.setenv("RUNBOOK_EVIDENCE", str(folder / "elsewhere"))

    assert opened(namespace, tenant="").run.tenant == "other"
    assert opened(namespace).run.tenant == "acme"
    assert (folder / "elsewhere" / "other" / PROCEDURE.id / "journal.jsonl").is_file()


def test_a_cell_that_is_executed_again_does_not_wait_for_itself(namespace: Namespace) -> None:
    """A second `open_run` in the same kernel releases the first run's lock."""
    first = opened(namespace, queue_seconds=0)
    second = opened(namespace, queue_seconds=0)

    assert first.run.run_id != second.run.run_id
    assert second.lock is not None


def test_a_kernel_that_ends_early_releases_its_locks(tmp_path: Path) -> None:
    """A run that was not finished leaves no lock, and nothing on the error output."""
    script = (
        "import sys\n"
        "from runbook_lib import open_run\n"
        "open_run('facebook_marketing', mode='headless', tenant='acme',"
        " service_domain='acme-h.cyclr.com')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.glob("evidence/acme/*/run.holder"))
    assert list(tmp_path.glob("evidence/acme/*/run.lock"))
