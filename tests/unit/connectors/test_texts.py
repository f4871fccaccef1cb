"""Texts are data: a mistake in one is named by file, table and key, and never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib import connectors
from runbook_lib.cli.main import main
from runbook_lib.connectors import registry, texts
from runbook_lib.connectors.check_registry import CLIENT_ID, checks_of, registered_ids
from runbook_lib.connectors.cyclr import connector, cyclr_steps
from runbook_lib.connectors.facebook import app_review_kit, permission_uses
from runbook_lib.connectors.facebook.facebook_steps import SHARED
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.facebook_marketing import checks
from runbook_lib.connectors.facebook_marketing.inputs import PROVIDERS
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.outcome import LONGEST_WAIT_DAYS
from runbook_lib.core.procedure import Input, Procedure
from runbook_lib.errors import ExitCode, TextsError
from tests.support.wording import wording

FOLDER = Path(connectors.__path__[0])
STEPS = "facebook/steps.toml"
OWN = "facebook_marketing/steps.toml"
ERRORS = "facebook/known_errors.toml"
USES = "facebook_marketing/uses.toml"
KIT = "facebook/app_review_kit.toml"
Folder = Callable[[str, str, str], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Folder:
    """Return a copy of the texts, in one file of which a part is replaced by another."""

    def edit(file: str, old: str, new: str) -> Path:
        for path in FOLDER.glob("*/*.toml"):
            copy = tmp_path / path.relative_to(FOLDER)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(path, copy)
        text = (tmp_path / file).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return tmp_path

    return edit


@pytest.fixture
def unread() -> Iterator[None]:
    """Let the texts for a review be read again, in the test and after it."""
    for cached in (permission_uses.permission_uses, app_review_kit._read_kit_texts):
        cached.cache_clear()
    yield
    for cached in (permission_uses.permission_uses, app_review_kit._read_kit_texts):
        cached.cache_clear()


def load(folder: Path) -> Procedure:
    """Return the Marketing procedure of a copy of the texts, once all of them are read."""
    shared = texts.read_part(folder / "facebook", *SHARED.modules)
    for errors in folder.glob("*/known_errors.toml"):
        texts.require_known_checks(errors.parent)
    return texts.read_procedure(
        folder / "facebook_marketing",
        checks,
        providers=PROVIDERS,
        shared=(cyclr_steps.SHARED, shared),
        inputs=PROCEDURE.inputs,
    )


def unknown(kind: str) -> str:
    """Return the sentence about a word of this kind that a file does not know."""
    return wording("texts-invalid.unknown", kind=kind)


MISSING = wording("texts-invalid.missing")
NO_TABLE = wording("texts-invalid.no-table")
SAY_WHERE = wording("texts-invalid.say-where")


def test_every_file_of_every_connector_loads() -> None:
    """No file has a mistake, and the causes of error texts name checks that exist."""
    registry.load_texts()


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (STEPS, "attest_label =", "attest_lable =",
         f"[steps.redirect-uri], attest_lable: {unknown('key')}"),
        (STEPS, "attest_label =", "attest_lable =", "Did you mean attest_label?"),
        (STEPS, '"redirect-uri-is-accepted"]', '"redirect-uri"]', f"checks: {unknown('check')}"),
        (STEPS, 'title = "Log in', 'titel = "Log in', f"[steps.log-in], titel: {unknown('key')}"),
        (STEPS, 'title = "Log in to Facebook"\n', "", f"[steps.log-in], title: {MISSING}"),
        (STEPS, 'title = "Log in to Facebook"', 'title = ""', "[steps.log-in], title: Expected"),
        (STEPS, "valid_days = 90", 'valid_days = "90"', "valid_days: Expected a whole number"),
        (STEPS, "valid_days = 365", "valid_days = -1", "valid_days: Expected"),
        (STEPS, "valid_days = 90", "recheck_days = 90", "recheck_days: none of its checks has"),
        (STEPS, "valid_days = 365", "recheck_days = 0", "recheck_days: Expected"),
        (STEPS, "due_days = 60", "due_day = 60",
         f"[steps.data-access-renewal], due_day: {unknown('key')}"),
        (STEPS, 'kind = "ask"', 'kind = "aks"', "[steps.create-app], kind: Invalid enum value"),
        (STEPS, 'source_off_page = "$USE_CASES"\n', "", f"use-case], source_off_page: {SAY_WHERE}"),
        (STEPS, "$USE_CASES", "$USE_CASE",
         f"[steps.use-case], source_off_page: {unknown('value')}"),
        (STEPS, '["app_id"]', '["app_ids"]', f"[steps.use-case], subject: {unknown('input')}"),
        (STEPS, '"@account"]', '"@acount"]', f"[steps.user-token], subject: {unknown('set')}"),
        (STEPS, '["$credentials"]', '["fb-99"]',
         f"[steps.user-token], requires: {unknown('step')}"),
        (STEPS, "{dashboard_url}/tools", "{dashbord}/tools", f"links: {unknown('name')}"),
        (STEPS, "{app_display_name}", "{app_name}",
         f"[steps.create-app], pastes: {unknown('name')}"),
        (STEPS, "App Display Name | {", "App Display Name: {", "pastes: there is no ` | `"),
        (STEPS, '["creation"]', '["creations"]',
         f"[steps.create-app], known_errors: {unknown('group')}"),
        (STEPS, 'gives = "user_', 'gives = "usr_', f"consent_gives: {unknown('input')}"),
        (
            STEPS,
            "needs_confirmation.service-domain-answers",
            "needs_confirmation.x",
            f"needs_confirmation: {unknown('check')}",
        ),
        (STEPS, 'step = "submit-review"', 'step = "submit"', f"[plan], gates: {unknown('step')}"),
        (STEPS, 'duration = "', 'uration = "', f"[plan], uration: {unknown('key')}"),
        (STEPS, "[steps.log-in]", "[step.log-in]", f"steps.toml, step: {unknown('key')} 'step'"),
        (STEPS, "[steps.my-apps]", "[steps.log-in]", "steps.toml: Cannot declare"),
        (STEPS, "[steps.my-apps]", "[steps.my-apps", "steps.toml: Expected"),
        (STEPS, 'highlight = "Go', 'highlght = "Go',
         f"publish.screen], highlght: {unknown('key')}"),
        (STEPS, 'fields = "App D', 'fields = "P | {x} ', f"screen], fields: {unknown('name')}"),
        (STEPS, 'page = "Business portfolio"', 'page = ""', "verification.screen], page: Expected"),
        (STEPS, 'source = "$page"', 'source = "$pag"',
         f"[steps.my-apps], screen.source: {unknown('value')}"),
        (OWN, '"fb-01-log-in"', '"fb-01-login"', f"partner-app], steps: {unknown('step')} 'login'"),
        (OWN, '"fb-01-log-in"', '"log-in"', "partner-app], steps: 'log-in' is not a step id"),
        (OWN, '"fb-06-facebook-login"', '"fb-06a-log-in"',
         f"log-in], source_off_page: {SAY_WHERE}"),
        (OWN, "page = 1", "pages = 1", f"[sections: partner-app], pages: {unknown('key')}"),
        (OWN, "review_source =", "reviewsource =", f"source_off_page: {unknown('value')}"),
        (ERRORS, 'source = "$MANUAL_FLOW"\n', "", f"[code-spent], source: {MISSING}"),
        (ERRORS, 'source = "$MANUAL_FLOW"', 'source = ""', "[code-spent], source: Expected"),
        (ERRORS, "[redirect-uri-is-accepted]", "[redirect-uri-accepted]",
         f"causes: {unknown('check')}"),
        (ERRORS, "Go to {fb-08-redirect-uri}", "Go to {fb-8}",
         f"[url-blocked], advice: {unknown('name')}"),
        (ERRORS, "Go to {fb-08-redirect-uri}", "Go to {fb-08", "[url-blocked], advice: unmatched"),
        (ERRORS, "codes = [191, ", 'codes = ["191+", ', "[url-blocked], codes[0]: Expected"),
        (ERRORS, '= "the app"', '= "App"', "[bad-secret], fault_domain: Invalid enum"),
        (ERRORS, '"@limits"', '"@limit"', f"[groups], redirect-uri: {unknown('set')} 'limit'"),
        (ERRORS, '["throttled"', '["@limits"', f"[groups], limits: {unknown('set')} 'limits'"),
        (ERRORS, '["throttled"', '["throtled"', f"[groups], limits: {unknown('error')}"),
        (ERRORS, "[url-blocked]", "x = 1\n[url-blocked]", f"[x]: {NO_TABLE}"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_table_and_key(
    edited: Folder, file: str, old: str, new: str, says: str
) -> None:
    """A wrong key, a missing source, an unknown name: the error says where, and nothing else."""
    with pytest.raises(TextsError) as caught:
        load(edited(file, old, new))

    assert str(caught.value).startswith((file, STEPS))
    assert says in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (USES, 'source = "$PERMISSIONS"\n', "", f"[uses.ads_read], source: {MISSING}"),
        (USES, "scene =", "scenes =", f"[uses.business_management], scenes: {unknown('key')}"),
        (USES, "{app} lists the customer", "{ap} lists",
         f"[uses.ads_read], usage: {unknown('name')}"),
        (USES, "- ads_read | it", "- ads_read: it", "[uses.leads_retrieval], depends_on: there is"),
        (USES, "title =", "titel =", f"uses.toml, titel: {unknown('key')}"),
        (USES, "({domain})", "({domains})", f"uses.toml, purpose: {unknown('name')}"),
        (KIT, "declined =", "decline =", f"app_review_kit.toml, decline: {unknown('key')}"),
        (KIT, "{connector}", "{uses}", f"begin: {unknown('name')}"),
        (KIT, "$SUBMISSION", "$SUBMISSIONS", f"sources: {unknown('value')}"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("unread")
def test_notebooks_check_names_a_mistake_in_a_text_for_a_review(
    edited: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    old: str,
    new: str,
    says: str,
) -> None:
    """`runbook notebooks --check` reads every file, and its error names the place."""
    folder = edited(file, old, new)
    monkeypatch.setattr(permission_uses, "_FOLDER", folder / "facebook")
    monkeypatch.setattr(app_review_kit, "_PLACE", texts.TomlTable(folder / KIT))
    with pytest.raises(SystemExit) as ended:
        main(["notebooks", "--check"])

    assert ended.value.code == ExitCode.USAGE
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_screen_without_a_source_has_no_picture(edited: Folder) -> None:
    """Nothing shows that the picture is right."""
    folder = edited(STEPS, 'source = "$RELEASE"\nmenu = "Publish"\n', 'menu = "Publish"\n')
    screens = {step.id: step.screen for step in load(folder).steps}

    assert screens["fb-12a-publish"] is None
    assert screens["fb-04-create-app"] is not None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("One line.", "One line."),
        ("Two\nlines.", "Two lines."),
        ("\nIts quotes\nstand alone.\n", "Its quotes stand alone."),
        ("A paragraph\nof two.\n\nAnother\none.", "A paragraph of two.\n\nAnother one."),
        ("- One\n  item.\n- Another.", "- One item.\n- Another."),
        ("$name costs $5", "value costs $5"),
    ],
)
def test_lines_are_joined(written: str, read: str) -> None:
    """Single line breaks do not count; an empty line and `- ` do, and `$name` is filled in."""
    assert texts.TomlTable(Path("x.toml")).filled(written, {"name": "value"}) == read


def test_line_breaks_change_no_digest(edited: Folder) -> None:
    """A new line break voids no attestation; a reworded sentence does."""
    old = "The app is of type Business, its purpose is Clients"
    wrapped = load(edited(STEPS, old, old.replace(" is ", "\nis ")))
    reworded = load(edited(STEPS, old, old.replace("Clients", "Customers")))

    assert wrapped.digest == PROCEDURE.digest
    assert reworded.digest != PROCEDURE.digest


def test_a_day_is_changed_in_the_text_alone(edited: Folder) -> None:
    """The days that an attestation counts are a number in the file."""
    changed = load(edited(STEPS, "valid_days = 90", "valid_days = 30"))

    assert 30 in [step.valid_days for step in changed.steps]


def test_a_step_says_for_how_long_a_costly_result_counts(edited: Folder) -> None:
    """`recheck_days` is a number in the file, 30 if it is left out, of such a step only."""
    old = 'checks = ["test-calls-are-made"]'
    weekly = load(edited(STEPS, old, f"{old}\nrecheck_days = 7"))

    assert weekly.step("fb-09a-test-calls").recheck_days == 7
    assert PROCEDURE.step("fb-09a-test-calls").recheck_days == 30


def test_a_review_takes_as_long_as_its_step_says() -> None:
    """The step that waits for the review has the longest wait that reports name."""
    (step,) = (step for step in PROCEDURE.steps if step.review_kit)

    assert step.usual_days == LONGEST_WAIT_DAYS


def test_a_check_is_registered_where_it_is_defined() -> None:
    """Each check of a step is the function that its module registers, with what it declares."""
    modules = (*cyclr_steps.SHARED.modules, *SHARED.modules, checks)
    registered = {
        name: made for each in modules for name, made in checks_of(each, FACEBOOK).items()
    }

    for own in (check for step in PROCEDURE.steps for check in step.checks):
        made = registered[own.id]
        assert replace(own, needs_confirmation="", run=made.run) == made
        assert getattr(own.run, "func", own.run) is getattr(made.run, "func", made.run)
    assert set(registered) <= set(registered_ids())


def test_a_check_of_the_vendor_needs_that_vendors_id() -> None:
    """Cyclr's checks are given the vendor, and need its App ID, whatever its input is called."""
    other = replace(FACEBOOK, client_id=Input(name="mail_id", label="Client ID", help=""))
    made = checks_of(connector, other)["console-holds-app-id"]

    assert "mail_id" in made.needs
    assert not {CLIENT_ID, "app_id"} & set(made.needs)
    assert getattr(made.run, "args", ()) == (other,)
