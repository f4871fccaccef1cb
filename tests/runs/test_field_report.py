"""
A run through proxies that change twelve shapes: `compare` names each, and shows no value.

The proxies stand for live systems whose responses differ from the sandbox's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from facebook_cyclr_sandbox.response_sources import LIVE_CALLS
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.engine.field_report import compare_record, known_responses
from runbook_lib.evidence.record import read_record
from tests.runs.conftest import attestations_beside, runbook, settings_of
from tests.support.practice_runs import PractiseOnce
from tests.support.proxy import Forwarded, changed_graph
from tests.support.wording import wording
from tools.shapes import mark_seen, read_report

Alter = Callable[[Forwarded], None]
# Markers in the place of values: a search for them must find nothing.
NAME = "Partner Test Inc."


@dataclass(frozen=True)
class Planted:
    """A change of the responses to some calls, and how `compare` names it."""

    path: str
    """The path of these calls, a regular expression."""

    fields: str
    """The beginning of their `fields`."""

    alter: Alter
    """Changes the response."""

    check: str
    """A check that reads them."""

    kind: str
    """The kind of the difference."""

    where: str
    """The key that the difference names."""

    is_serious: bool
    """Whether a check may misread the response."""

    def is_meant(self, forwarded: Forwarded) -> bool:
        """Return whether a response is one of these."""
        fields = forwarded.fields.get("fields", "")
        return bool(re.fullmatch(self.path, forwarded.path)) and fields.startswith(self.fields)


def rows(body: Any) -> list[Any]:
    """Return the rows of a response, or its one object."""
    data = body.get("data", body) if isinstance(body, dict) else body
    return data if isinstance(data, list) else [data]


def renamed(old: str, new: str) -> Alter:
    """Rename a key."""

    def alter(forwarded: Forwarded) -> None:
        for row in rows(forwarded.body):
            row[new] = row.pop(old)

    return alter


def given(name: str, change: Callable[[Any], Any]) -> Alter:
    """Give a key another value, or add it."""

    def alter(forwarded: Forwarded) -> None:
        for row in rows(forwarded.body):
            row[name] = change(row.get(name))

    return alter


def left_out(name: str) -> Alter:
    """Leave a key out."""

    def alter(forwarded: Forwarded) -> None:
        for row in rows(forwarded.body):
            del row[name]

    return alter


def refused(forwarded: Forwarded) -> None:
    """Answer with an unknown code."""
    error = {"message": NAME, "type": "OAuthException", "code": 4711, "error_subcode": 99}
    forwarded.status = 400
    forwarded.body = {"error": error}


def page(forwarded: Forwarded) -> None:
    """Answer with HTML."""
    forwarded.body = f"<!DOCTYPE html><html><title>{NAME}</title></html>"


def by_id(forwarded: Forwarded) -> None:
    """Answer with an object whose keys are ids, in the place of a list."""
    forwarded.body = {str(row["Id"]): row for row in forwarded.body}


def page_as_number(forwarded: Forwarded) -> None:
    """Give an id as a number."""
    view = forwarded.body["has_lead_access"]
    view["page_id"] = int(view["page_id"])


TOKEN = "user-token-is-valid"
DATA = "marketing-data-is-readable"
LEADS = "lead-data-is-readable"
REGISTERED = "app-is-registered"
AUTHENTICATED = "connector-is-authenticated"
PLANTED = [
    Planted(
        path="me/adaccounts",
        fields="id,name",
        alter=renamed("account_status", "state"),
        check=DATA,
        kind="left out",
        where="data[].account_status",
        is_serious=True,
    ),
    Planted(
        path="me/businesses",
        fields="id,name",
        alter=given("verification_status", lambda _: 7),
        check="business-is-verified",
        kind="other type",
        where="data[].verification_status",
        is_serious=True,
    ),
    Planted(
        path="[0-9]+",
        fields="id,name,owner_business",
        alter=given("brand_new", lambda _: NAME),
        check=REGISTERED,
        kind="more keys",
        where="brand_new",
        is_serious=False,
    ),
    Planted(
        path="[0-9]+/leads",
        fields="id,created_time",
        alter=refused,
        check=LEADS,
        kind="unknown code",
        where="error",
        is_serious=True,
    ),
    Planted(
        path="me/permissions",
        fields="",
        alter=page,
        check=TOKEN,
        kind="not JSON",
        where="",
        is_serious=True,
    ),
    Planted(
        path="connectors/[0-9]+/methods",
        fields="",
        alter=by_id,
        check="permissions-are-seen-through-cyclr",
        kind="other type",
        where="",
        is_serious=True,
    ),
    Planted(
        path="[0-9]+",
        fields="has_lead_access",
        alter=page_as_number,
        check=LEADS,
        kind="other type",
        where="has_lead_access.page_id",
        is_serious=True,
    ),
    Planted(
        path="[0-9]+/permissions",
        fields="",
        alter=given("status", lambda _: None),
        check="review-is-approved",
        kind="other type",
        where="data[].status",
        is_serious=True,
    ),
    Planted(
        path="debug_token",
        fields="",
        alter=left_out("issued_at"),
        check=TOKEN,
        kind="left out",
        where="data.issued_at",
        is_serious=False,
    ),
    Planted(
        path="me/accounts",
        fields="id,name,category",
        alter=given("link", lambda _: {"partner.test": NAME}),
        check=DATA,
        kind="more keys",
        where="data[].link",
        is_serious=False,
    ),
    Planted(
        path="account/connectors",
        fields="",
        alter=given("Authenticated", str),
        check=AUTHENTICATED,
        kind="other type",
        where="[].Authenticated",
        is_serious=True,
    ),
    Planted(
        path="accounts/[^/]+/signintoken",
        fields="",
        alter=given("Token", lambda _: 123456789),
        check="console-holds-app-id",
        kind="other type",
        where="Token",
        is_serious=True,
    ),
]


def planted_in(applied: set[int], forwarded: Forwarded) -> None:
    """Alter a response as the first change that is meant for it."""
    forwarded.headers["X-Brand-New"] = NAME
    for number, planted in enumerate(PLANTED):
        if forwarded.status == 200 and planted.is_meant(forwarded):
            applied.add(number)
            planted.alter(forwarded)
            return


@dataclass(frozen=True)
class Changed:
    """A run through the proxies, and the altered responses."""

    evidence: Path
    applied: set[int]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """Run against the sandbox through the proxies."""
    folder = tmp_path_factory.mktemp("changed")
    applied: set[int] = set()
    with Sandbox("approved") as sandbox, ExitStack() as proxies:
        env_file = settings_of(sandbox, folder / "settings")
        for name in ("graph_url", "cyclr_api_url"):
            target = sandbox.description[name]
            address = proxies.enter_context(changed_graph(target, partial(planted_in, applied)))
            text = env_file.read_text(encoding="utf-8").replace(target, address)
            env_file.write_text(text, encoding="utf-8")
        result = runbook(
            "run",
            "--tenant",
            "acme",
            "--env-file",
            str(env_file),
            "--evidence",
            str(folder / "evidence"),
            "--attestations",
            str(attestations_beside(env_file)),
        )
        assert result.returncode == 3, result.stderr
    return Changed(folder / "evidence", applied)


@pytest.fixture(scope="module")
def report(changed: Changed) -> dict[str, Any]:
    """Return the field report of that run."""
    result = runbook("compare", str(changed.evidence / "acme"), "--json")
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_each_changed_shape_is_named(changed: Changed, report: dict[str, Any], number: int) -> None:
    """With the check that reads it, and whether it matters."""
    planted = PLANTED[number]
    assert number in changed.applied

    found_differences = [
        (set(call["checks"]), difference["matters"])
        for call in report["calls"]
        for difference in call["differences"]
        if (difference["kind"], difference["where"]) == (planted.kind, planted.where)
    ]

    assert any(planted.check in checks for checks, _ in found_differences), report["calls"]
    assert {matters for _, matters in found_differences} == {planted.is_serious}


def test_nothing_else_matters(report: dict[str, Any]) -> None:
    """Unchanged calls are the same; the new header is named without a value."""
    planted = {(difference.kind, difference.where) for difference in PLANTED}

    serious = [
        (difference["kind"], difference["where"])
        for call in report["calls"]
        for difference in call["differences"]
        if difference["matters"]
    ]

    assert set(serious) <= planted
    assert report["headers"] == ["x-brand-new"]


def texts(value: Any) -> Iterator[str]:
    """Yield each value in a JSON document as text."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def test_the_report_shows_no_value_of_the_run(changed: Changed, tmp_path: Path) -> None:
    """A search for every value of the run finds nothing, in the report and in the issue's text."""
    record = json.loads(next(changed.evidence.glob("acme/*/2*/record.json")).read_text("utf-8"))
    values = {NAME, "partner.test", *texts(record["parameters"])}
    for step in record["steps"]:
        for exchange in step["exchanges"]:
            values |= {*texts(exchange["response"]), *texts(exchange.get("request"))}
            parts = map(unquote, exchange["url"].replace("?", "/").split("/"))
            values |= {part for part in parts if not part.isalpha()}
    written = tmp_path / "report.json"
    issue = runbook("compare", str(changed.evidence), "--write", str(written), "--issue").stdout
    shown = written.read_text(encoding="utf-8") + issue

    # NOTE: words of the API, error codes and short numbers stand in the report as such.
    vocabulary = known_responses().words | {*record["procedure"].values(), "4711"}
    own = {value for value in values - vocabulary if len(value) > 3}
    assert len(own) > 100
    assert [value for value in sorted(own) if value in shown] == []


def test_a_person_reads_what_differs(changed: Changed, tmp_path: Path) -> None:
    """In a terminal: first what matters; the report that is written is a few kilobytes."""
    written = tmp_path / "report.json"
    result = runbook("compare", str(changed.evidence), "--write", str(written))

    left_out = wording("compare.left-out", field="data[].account_status", type="number")
    more = wording("compare.more", field="brand_new", type="text")
    assert f"{left_out} {wording('compare.matters')}" in result.stdout
    assert f"{more} {wording('compare.matters-not')}" in result.stdout
    assert wording("compare.read-first", file=written) in result.stdout
    assert written.stat().st_size < 16_000


def test_a_maintainer_reads_what_to_change(changed: Changed, tmp_path: Path) -> None:
    """The same responses, as those of the sandbox to change; the others are marked as seen."""
    written = tmp_path / "report.json"
    runbook("compare", str(changed.evidence), "--write", str(written))
    report = replace(read_report(written), sandbox=False)

    text = mark_seen(f"[a]\n\n[{LIVE_CALLS}]\n", report)

    call = "POST oauth/token client_credentials"
    assert f'"{call}" = "{report.month}"' in text
    assert "me/adaccounts" not in text
    assert mark_seen(text, report) == text


def test_evidence_without_a_bundle_is_refused(tmp_path: Path) -> None:
    """It says what to name."""
    result = runbook("compare", str(tmp_path))

    assert result.returncode == 2
    assert wording("setting-invalid.no-bundle") in result.stderr
    assert "Name a bundle" in result.stderr


@pytest.mark.parametrize("connector", ["facebook_marketing", "facebook_messenger"])
def test_the_sandbox_answers_in_known_shapes(connector: str, practice_run: PractiseOnce) -> None:
    """Else `make shapes` was not run after a change of the sandbox."""
    run = practice_run("approved", connector=connector)

    report = compare_record(read_record(run.bundle))

    assert [call for call in report.calls if call.differences] == []
    assert len(report.calls) > 10


def test_shapes_are_a_tenth_of_the_record_at_most(practice_run: PractiseOnce) -> None:
    """A record's part for a later comparison is small."""
    record = practice_run("approved").record
    whole = len(json.dumps(record))
    for step in record["steps"]:
        for exchange in step["exchanges"]:
            exchange.pop("shape", None)

    assert whole / len(json.dumps(record)) < 1.1
