"""
Facebook's real answers, through a proxy in front of the sandbox: nine verdicts.

Each response is one that was published (`facebook_cyclr_sandbox/recorded`). The set-up is good but
for the first case.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.engine.tenant_run import open_run
from tests.support.proxy import Change, Forwarded, changed_graph
from tests.support.wording import wording

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
TOKEN_STEP = "test-04-user-token"
REDIRECT_STEP = "fb-08-redirect-uri"
DATA_STEP = "test-05-marketing-data"
APP_STEP = "fb-13-app-id-and-secret"
Check = Callable[..., dict[str, Finding]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a function that checks a step against a scenario behind a proxy; findings by check."""

    def run(
        step: str, change: Change, scenario: str = "approved", **given: Any
    ) -> dict[str, Finding]:
        with (
            Sandbox(scenario) as sandbox,
            changed_graph(sandbox.description["graph_url"], change) as graph_url,
        ):
            known = {
                item.name: sandbox.settings(item.provider).get(item.name)
                for item in inputs_of(PROCEDURE)
            }
            known |= {"graph_url": graph_url, **given}
            environ = {
                item.variable: str(known[item.name])
                for item in inputs_of(PROCEDURE)
                if known.get(item.name)
            }
            opened = open_run(
                PROCEDURE, {}, mode=Mode.HEADLESS, tenant="acme", evidence=str(tmp_path),
                environ=environ,
            )  # fmt: skip
            try:
                results = opened.peek([opened.step(step)])[step]
            finally:
                opened.close()
        return {result.finding.check: result.finding for result in results}

    return run


def unchanged(_: Forwarded) -> None:
    """Leave each response as it is."""


def in_body(path: str, **fields: Any) -> Change:
    """Return a function that changes fields of `data`, or leaves those out that are `None`."""

    def change(forwarded: Forwarded) -> None:
        if forwarded.path != path or not isinstance(forwarded.body, dict):
            return
        data = forwarded.body.get("data", forwarded.body)
        for name, value in fields.items():
            if value is None:
                data.pop(name, None)
            else:
                data[name] = value(data[name]) if callable(value) else value

    return change


def as_numbers(forwarded: Forwarded) -> None:
    """Give every id that consists of digits as a number."""

    def numbered(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: numbered(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [numbered(item, name) for item in value]
        is_id = name == "id" or name.endswith("_id")
        return int(value) if is_id and isinstance(value, str) and value.isdigit() else value

    forwarded.body = numbered(forwarded.body)


def test_1_a_token_of_another_app_fails(check: Check) -> None:
    """Graph refuses to inspect it: paste one of this app."""
    with Sandbox("approved", seed=7) as other:
        foreign = other.description["user_access_token"]

    def refuse(forwarded: Forwarded) -> None:
        if forwarded.path == "debug_token":
            message = "(#100) The App_id in the input_token did not match the Viewing App"
            error = {"message": message, "type": "OAuthException", "code": 100}
            forwarded.status = 400
            forwarded.body = {"error": error}

    finding = check(TOKEN_STEP, refuse, user_access_token=foreign)["user-token-is-valid"]

    assert (finding.outcome, finding.code) == (FAILED, "token-of-another-app")


@pytest.mark.parametrize(
    ("number", "scenario", "step", "checked", "code"),
    [
        (2, "portfolio-page-without-token", DATA_STEP, "lead-data-is-readable", "lead-read"),
        (3, "portfolio-refuses", DATA_STEP, "lead-data-is-readable", "lead-read"),
    ],
)
def test_2_and_3_a_page_in_a_portfolio_is_read(
    check: Check, number: int, scenario: str, step: str, checked: str, code: str
) -> None:
    """A page without a token, or a portfolio that refuses, stops nothing; the reason says it."""
    finding = check(step, unchanged, scenario)[checked]

    assert (finding.outcome, finding.code) == (VERIFIED, code), number
    assert wording("findings.found-by-portfolio") in finding.reason
    assert ("Not read: /" in finding.reason) is (number == 3)


def test_4_a_system_users_token_is_a_question(check: Check) -> None:
    """Unless somebody confirmed that Cyclr keeps such tokens, the check asks."""
    finding = check(TOKEN_STEP, unchanged, "system-user")["user-token-is-valid"]

    assert (finding.outcome, finding.code) == (INCONCLUSIVE, "token-of-system-user")


def test_5_a_code_decides_in_any_language(check: Check) -> None:
    """A refused redirect URI fails by its code; if only text could tell, the reason says so."""
    findings = check(REDIRECT_STEP, unchanged, "answers-in-portuguese")
    finding = findings["redirect-uri-is-accepted"]
    assert finding.outcome is INCONCLUSIVE
    assert wording("findings.another-language") in finding.reason

    def in_hindi(forwarded: Forwarded) -> None:
        if forwarded.fields.get("redirect_uri"):
            message = "URL लोड नहीं कर सकते: इस URL के डोमेन में एप्लिकेशन के डोमेन शामिल नहीं हैं."
            error = {"message": message, "type": "OAuthException", "code": 191}
            forwarded.status = 400
            forwarded.body = {"error": error}

    refused = check(REDIRECT_STEP, in_hindi)["redirect-uri-is-accepted"]
    assert (refused.outcome, refused.code) == (FAILED, "redirect-uri-refused")


@pytest.mark.parametrize("step", [TOKEN_STEP, DATA_STEP, APP_STEP])
def test_6_ids_may_be_numbers(check: Check, step: str) -> None:
    """Digits count as an id in either type."""
    for finding in check(step, as_numbers).values():
        assert finding.outcome is VERIFIED, finding.reason


@pytest.mark.parametrize(
    ("step", "change", "checked", "code"),
    [
        (
            TOKEN_STEP,
            in_body("debug_token", expires_at=None),
            "user-token-is-valid",
            "token-end-unknown",
        ),
        (TOKEN_STEP, in_body("debug_token", issued_at=None), "user-token-is-valid", "token-valid"),
    ],
)
def test_7_fields_may_be_left_out(
    check: Check, step: str, change: Change, checked: str, code: str
) -> None:
    """The reason says which field Facebook left out and what that means; some are not needed."""
    finding = check(step, change)[checked]

    assert finding.code == code
    assert finding.outcome in (VERIFIED, INCONCLUSIVE)
    if finding.outcome is INCONCLUSIVE:
        assert wording("findings.end-left-out", field="expires_at") in finding.reason
    assert "proxy" not in finding.reason


@pytest.mark.parametrize("key", ["", "can_access_lead", "app_has_leads_permission"])
def test_7_lead_access_may_be_left_out(check: Check, key: str) -> None:
    """Without Lead Access Manager's view no finding mentions the leads."""

    def leave_out(forwarded: Forwarded) -> None:
        if isinstance(forwarded.body, dict) and "has_lead_access" in forwarded.body:
            if key:
                del forwarded.body["has_lead_access"][key]
            else:
                del forwarded.body["has_lead_access"]

    finding = check(DATA_STEP, leave_out)["lead-data-is-readable"]

    assert (finding.outcome, finding.code) == (INCONCLUSIVE, "lead-access-not-shown")
    assert (f"has_lead_access.{key}" if key else "field has_lead_access") in finding.reason


def test_8_a_smaller_page_is_asked_for_once(check: Check) -> None:
    """A list that is too much for Facebook is asked for again, smaller; no trace is invented."""
    limits: list[str] = []

    def too_much(forwarded: Forwarded) -> None:
        if forwarded.path == "me/adaccounts":
            limits.append(forwarded.fields["limit"])
            if forwarded.fields["limit"] != "5":
                message = "Please reduce the amount of data you're asking for, then retry"
                forwarded.status = 500
                forwarded.body = {"error": {"message": message, "code": 1}}

    finding = check(DATA_STEP, too_much)["marketing-data-is-readable"]

    assert finding.outcome is VERIFIED
    assert limits[-1] == "5"
    assert limits.count("5") == 1


def test_9_a_code_of_another_address_shows_that_this_one_was_accepted(check: Check) -> None:
    """Subcode 36008 for a made-up code: Facebook had accepted the host."""

    def identical(forwarded: Forwarded) -> None:
        body = forwarded.body
        is_error = isinstance(body, dict) and "error" in body
        if forwarded.fields.get("code") and is_error and body["error"]["code"] == 100:
            body["error"] |= {
                "message": "Error validating verification code. Please make sure your "
                "redirect_uri is identical to the one you used in the OAuth dialog request",
                "error_subcode": 36008,
            }

    finding = check(REDIRECT_STEP, identical)["redirect-uri-is-accepted"]

    assert finding.outcome is VERIFIED
    assert "Facebook accepts" in finding.reason
