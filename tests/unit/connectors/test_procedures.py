"""Rules that the procedure of every connector keeps."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import groupby
from pathlib import Path

import pytest

from facebook_cyclr_sandbox.scenarios import SCENARIOS
from runbook_lib.config.attestations import read_attestations
from runbook_lib.config.runner_settings import RUNNER, inputs_of
from runbook_lib.connectors.facebook.permission_uses import permission_uses
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.registry import connector_names, find_procedure, practice_attestations
from runbook_lib.core.model import AttestationKind
from runbook_lib.core.procedure import Input, Procedure, Step, StepKind
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.unit.bodies import APP_ID

PROCEDURES = [find_procedure(name) for name in connector_names()]
DEFAULTS = {
    procedure.id: {
        item.name: item.default for item in inputs_of(procedure) if item.default is not None
    }
    for procedure in PROCEDURES
}
# Inputs that no step asks for; they are set in advance.
_NOT_ASKED = {"graph_version"}

procedures = pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda each: each.id)
steps = pytest.mark.parametrize(
    ("procedure", "step"),
    [(procedure, step) for procedure in PROCEDURES for step in procedure.steps],
    ids=lambda each: each.id,
)
inputs = pytest.mark.parametrize(
    "item",
    {item.name: item for procedure in PROCEDURES for item in inputs_of(procedure)}.values(),
    ids=lambda item: item.name,
)


@procedures
def test_a_procedure_is_found_by_its_own_name(procedure: Procedure) -> None:
    """The package name and the procedure's id are the same."""
    assert find_procedure(procedure.id) is procedure
    assert procedure.title
    assert procedure.version


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_steps_before_there_is_an_app_are_about_none(name: str) -> None:
    """A typing error in the App ID voids none of these; every other step is about something."""
    procedure = find_procedure(name)
    about_none = [step.id for step in procedure.steps if not step.subject]

    assert about_none == ["fb-01-log-in", "fb-02-developer-account", "fb-03-my-apps"]


@procedures
def test_ids_and_sentences_are_unique_and_ids_valid_as_cell_ids(procedure: Procedure) -> None:
    """A step's id is its notebook cell's id (nbformat 4.5: 1 to 64 of A-Z a-z 0-9 - _)."""
    ids = [step.id for step in procedure.steps]
    sentences = [step.own_sentence for step in procedure.steps]
    checks = [check.id for step in procedure.steps for check in step.checks]

    for unique in (ids, sentences, checks):
        assert len(unique) == len(set(unique))
    assert all(re.fullmatch(r"[a-z]{2,4}-[0-9]{2}[a-z]?-[a-z0-9-]+", each) for each in ids)
    assert all(len(f"{each}-text") <= 64 for each in ids)
    assert not {section.id for section in procedure.sections} & set(ids)


@procedures
def test_documented_steps_are_in_the_documented_order(procedure: Procedure) -> None:
    """Ids carry the documented step numbers; a step that is not documented has a letter."""
    partner_app = procedure.sections[0].steps
    numbers = [step.source.step for step in partner_app if step.source.step]

    advice = "number the steps of the first section, the app at the vendor, from 1 on"
    assert numbers == list(range(1, len(numbers) + 1)), advice
    for step in partner_app:
        number = step.id.split("-")[1]
        assert number[-1].isalpha() == (step.source.step is None)
        assert step.source.step is None or step.source.step == int(number)


@steps
def test_a_step_says_what_to_do_and_what_is_confirmed(procedure: Procedure, step: Step) -> None:
    """Every step has a title, a text of today without placeholders, and a sentence to confirm."""
    assert step.title
    assert step.instructions.endswith(".")
    assert not step.prose or step.prose.endswith((".", ")"))
    assert "{" not in step.prose + step.instructions + step.title
    assert step.own_sentence.endswith(".")


def words(*texts: str) -> int:
    """Return the number of words; a mark alone (`>`) is none."""
    return sum(any(map(str.isalnum, word)) for text in texts for word in text.split())


@steps
def test_an_open_step_is_short(procedure: Procedure, step: Step) -> None:
    """
    Instructions have at most 60 words; with heading, fields and sentence a step has 90.

    A list is filled in by the step that asks for it first; later ones only name it.
    """
    earlier = procedure.steps[: procedure.steps.index(step)]
    lists = {item for other in earlier for item in other.inputs if isinstance(item.default, tuple)}
    fields = [item.label if item in lists else f"{item.label} {item.help}" for item in step.inputs]
    pasted = [paste.label for paste in step.pastes]

    assert 0 < words(step.instructions) <= 60
    assert words(step.title, step.instructions, *fields, *pasted, step.sentence) <= 90


@procedures
def test_sections_begin_briefly_and_are_done_in_groups(procedure: Procedure) -> None:
    """An introduction has at most 40 words; a group's steps are consecutive, of one section."""
    assert [section.id for section in procedure.sections if words(section.intro) > 40] == []
    for section in procedure.sections:
        assert all(step.group for step in section.steps)
    headings = [
        (section.id, group)
        for section in procedure.sections
        for group, _ in groupby(section.steps, key=lambda step: step.group)
    ]

    assert len({group for _, group in headings}) == len(headings)


@steps
def test_a_step_names_inputs_and_earlier_steps_only(procedure: Procedure, step: Step) -> None:
    """A step needs inputs, requires earlier steps, and is about the app or the console."""
    ids = [each.id for each in procedure.steps]
    assert set(step.requires) <= set(ids[: ids.index(step.id)])
    for check in step.checks:
        assert set(check.needs) <= {item.name for item in inputs_of(procedure)}
        assert getattr(check.run, "func", check.run).__doc__
    assert all(item in procedure.inputs for item in step.inputs)
    assert set(step.subject) <= {item.name for item in procedure.inputs}
    app = vendor_of(procedure).client_id.name
    about = {app, "cyclr_client_id", "service_domain"} & set(step.subject)
    assert about or step.subject == ()


@procedures
def test_every_input_is_asked_for_by_a_step(procedure: Procedure) -> None:
    """Steps ask for each input, none of them the runner's; a key input is a step's subject."""
    asked = {item.name for step in procedure.steps for item in step.inputs}
    subjects = {name for step in procedure.steps for name in step.subject}

    unasked = {item.name for item in procedure.inputs} - asked - _NOT_ASKED
    assert unasked == set(), f"name {unasked} in the `inputs` of a step"
    assert not {item.name for item in procedure.settings} & {item.name for item in RUNNER}
    needed = {"app_id", "app_secret", "service_domain", "account_api_id"}
    assert needed <= subjects, f"name {needed - subjects} in the `subject` of a step"


@steps
def test_every_link_works_before_and_after_the_app_id_is_known(
    procedure: Procedure, step: Step
) -> None:
    """With the App ID a link is a complete https address; before, it may say that it needs it."""
    known = DEFAULTS[procedure.id]
    for link in step.links:
        before = link.shown(known)
        after = link.shown({**known, "app_id": APP_ID})
        assert re.fullmatch(r"https://[a-z0-9.]+(/[^{}\s]*)?", after["url"])
        assert after["label"] == link.label
        assert before == after or before == {
            "label": f"{link.label} (needs the {vendor_of(procedure).client_id.label})",
            "url": "",
        }


@procedures
def test_no_secret_is_ever_shown_to_be_pasted(procedure: Procedure) -> None:
    """No link and no text to paste contains a secret."""
    secrets = {item.name for item in inputs_of(procedure) if item.secret}
    templates = [part.template for step in procedure.steps for part in (*step.links, *step.pastes)]

    assert {"app_secret", "cyclr_client_secret", "signing_passphrase"} <= secrets
    assert not any(f"{{{name}}}" in template for name in secrets for template in templates)


@inputs
def test_an_input_can_be_given(item: Input) -> None:
    """An input's name gives a parameter and variables; its default and example are valid."""
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", item.name)
    has_prefix = bool(item.provider) and not item.name.startswith("cyclr_")
    prefix = f"{item.provider}_" if has_prefix else ""
    assert item.variable == f"RUNBOOK_{prefix.upper()}{item.name.upper()}"
    assert item.variable_for("some_connector") == f"RUNBOOK_SOME_CONNECTOR_{item.name.upper()}"
    assert item.variable_for("") == item.variable
    assert item.label
    assert item.help.endswith("."), f"give the input {item.name} a `help` that is a sentence"
    assert not (item.secret and (item.default or item.example))
    if item.example:
        assert item.parse(item.example)
    if isinstance(item.default, str):
        assert item.parse(item.default) == item.default
    if isinstance(item.default, tuple):
        assert item.parse(",".join(item.default)) == item.default


@procedures
def test_changes_in_cyclr_are_off_by_default(procedure: Procedure) -> None:
    """The settings that allow changes in Cyclr are false by default."""
    assert DEFAULTS[procedure.id]["install_connector"] is False
    assert DEFAULTS[procedure.id]["create_test_account"] is False


@procedures
def test_the_digest_changes_with_the_prose_of_any_step(procedure: Procedure) -> None:
    """The digest changes with any step's prose, so a record shows which text was used."""
    section = procedure.sections[0]
    digests = {procedure.digest}
    for number, step in enumerate(section.steps):
        altered = [*section.steps]
        altered[number] = replace(step, prose=f"{step.prose} Really.")
        sections = (replace(section, steps=tuple(altered)), *procedure.sections[1:])
        digests.add(replace(procedure, sections=sections).digest)

    assert len(digests) == len(section.steps) + 1


@procedures
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_attestations_of_practice_are_valid(
    procedure: Procedure, scenario: str, tmp_path: Path
) -> None:
    """Practice attestations are about existing steps, and all by the sandbox operator."""
    path = tmp_path / "attestations.toml"
    now = datetime(2027, 3, 1, tzinfo=UTC)
    path.write_text(practice_attestations(procedure.id, scenario, now.date()), encoding="utf-8")
    said = read_attestations(path, procedure, now=now)

    assert bool(said) == (scenario != "fresh")
    kinds = {AttestationKind.ATTESTED, AttestationKind.SUBMITTED}
    assert {remark.statement.kind for remark in said} <= kinds
    assert {remark.statement.by for remark in said} <= {"Sandbox operator"}
    assert "SANDBOX" in path.read_text(encoding="utf-8") or not said


@procedures
def test_attestations_of_practice_that_end_or_wait_follow_the_day(
    procedure: Procedure, tmp_path: Path
) -> None:
    """In any year they count, and nothing waits for longer than some weeks."""
    path = tmp_path / "attestations.toml"
    now = datetime(2031, 5, 7, tzinfo=UTC)
    path.write_text(practice_attestations(procedure.id, "approved", now.date()), encoding="utf-8")
    ending = {step.id for step in procedure.steps if step.valid_days}

    said = [
        remark
        for remark in read_attestations(path, procedure, now=now)
        if remark.statement.kind is AttestationKind.SUBMITTED or remark.step in ending
    ]

    is_expected = any(step.valid_days or step.usual_days for step in procedure.steps)
    advice = "date these attestations with $names in practice/attestations.toml (SAID_AGO)"
    assert len(said) > 5 or not is_expected, advice
    assert all(
        now - datetime.fromisoformat(remark.statement.at) < timedelta(days=90) for remark in said
    )


@procedures
def test_a_scenario_leaves_out_only_attestations_that_exist(procedure: Procedure) -> None:
    """Each scenario leaves out exactly the words that it names, and names no other step."""
    unsaid = import_module(f"runbook_lib.connectors.{procedure.id}").UNSAID
    today = date(2026, 11, 28)
    everything = practice_attestations(procedure.id, "approved", today)

    assert set(unsaid) <= set(SCENARIOS)
    for scenario, names in unsaid.items():
        words = practice_attestations(procedure.id, scenario, today)
        for name in names:
            kind, step, answer = [*name.split(), ""][:3] if " " in name else ("", name, "")
            entry = f'[[{kind}]]\nstep = "{step}"' if kind else f'step = "{step}'
            assert entry in everything
            assert words.count(entry) == (1 if answer else 0)


@procedures
def test_every_setting_is_a_providers_and_every_address_is_a_setting(procedure: Procedure) -> None:
    """Each setting of a connector is one of its providers', each shared setting of theirs too."""
    providers = {each.name: each for each in procedure.providers}
    assert {item.provider for item in procedure.inputs} <= set(providers)
    assert {each.provider for each in RUNNER} == {""}
    everything = {item.name: item for name in connector_names() for item in _inputs(name)}
    for provider in providers.values():
        assert {item.provider for item in provider.settings} == {provider.name}
        assert {everything[name].provider for name in provider.addresses} == {provider.name}
    for step in procedure.steps:
        assert {item.provider for item in step.inputs} <= set(providers)


def test_no_variable_has_two_meanings() -> None:
    """No variable of one connector is that of another provider's setting, or another setting's."""
    meanings: dict[str, set[tuple[str, str]]] = {}
    for name in connector_names():
        for item in _inputs(name):
            for variable in (item.variable, item.variable_for(name)):
                meanings.setdefault(variable, set()).add((item.provider, item.name))

    assert not {name: each for name, each in meanings.items() if len(each) > 1}


def _inputs(connector: str) -> tuple[Input, ...]:
    return inputs_of(find_procedure(connector))


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_an_attestation_about_a_gate_has_its_time(name: str) -> None:
    """Grants of others are confirmed again after a year, public pages after 90 days."""
    steps = {step.id: step for step in find_procedure(name).steps}
    timed = {
        re.sub("^fb-[0-9a-z]+-", "", name): step.valid_days
        for name, step in steps.items()
        if step.valid_days and name.startswith("fb-")
    }
    timed.pop("public-profile", None)

    assert {name for name, step in steps.items() if step.kind is StepKind.WAIT} <= {
        name for name, step in steps.items() if step.valid_days
    }
    assert {name.replace("submit-review", "app-review"): days for name, days in timed.items()} == {
        "business-verification": 365,
        "access-verification": 365,
        "public-pages": 90,
        "data-access-renewal": 365,
        "app-review": 365,
        "publish": 365,
    }


@pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
def test_facts_that_nothing_shows_are_named(name: str) -> None:
    """Whether it works, tokens' ends, access levels, the redirect list, the Graph version."""
    unverifiable = find_procedure(name).unverifiable

    for topic in ("works", "tokens end", "Advanced Access", "Redirect URIs", "Graph version"):
        assert len([text for text in unverifiable if topic in text]) == 1


def test_the_permissions_in_use_are_chosen_at_first() -> None:
    """The permissions that are chosen at first include all that the connector uses."""
    procedure = find_procedure("facebook_marketing")
    item = next(item for item in procedure.inputs if item.name == "permissions")
    used = {use.name for use in permission_uses("facebook_marketing").uses if not use.is_feature}
    chosen = set(item.with_needs(item.default))

    assert used <= chosen
