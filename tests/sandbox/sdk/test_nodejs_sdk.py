"""The official Node SDK, driven by `drive.js`: objects, cursors, errors, batches, limits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from tests.sandbox.sdk.conftest import Given, control
from tests.support.npm import installed
from tests.support.programs import needs

pytestmark = needs("node", "npm")

FOLDER = Path(__file__).parents[2] / "support" / "node"
Drive = Callable[[str, Given], Any]


@pytest.fixture(scope="session")
def drive() -> Drive:
    """Return a function that runs one flow of the driver and returns what the SDK reported."""
    installed(FOLDER)

    def run(flow: str, given: Given) -> Any:
        done = subprocess.run(
            ["node", str(FOLDER / "drive.js"), flow],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_objects_are_read(given: Given, drive: Drive) -> None:
    """
    User, page and ad account are read as objects; the newest version answers for the SDK's,
    whose Marketing API has ended.
    """
    seen = drive("objects", given)
    assert (seen["me"], seen["page"]) == ("Sandbox Operator", "Sandbox Bakery")
    assert seen["canAccessLead"] is True
    assert seen["account"]["name"] == "Sandbox Ads"
    assert (seen["version"], seen["servedBy"]) == ("v24.0", "v27.0")
    assert not seen.get("warning")


def test_a_cursor_walks_every_page_and_back(start: Callable[..., Sandbox], drive: Drive) -> None:
    """57 leads come in three pages by `next`, which then ends; `previous` leads back."""
    sandbox = start()
    form = next(iter(sandbox.world.facebook.pages.values())).forms[0]
    first = form.leads[0]
    form.leads[:] = [
        replace(first, id=str(7_000_000 + number), created_on=first.created_on - number)
        for number in range(57)
    ]
    seen = drive("cursor", sandbox.description)
    assert [len(page) for page in seen["pages"]] == [25, 25, 7]
    walked = [lead for page in seen["pages"] for lead in page]
    assert walked == [str(7_000_000 + number) for number in range(57)]
    assert seen["end"]["name"] == "RangeError"
    assert seen["back"] == seen["pages"][1]


def test_a_cursor_of_campaigns(given: Given, drive: Drive) -> None:
    """The cursor links of an upgraded call work, with one campaign per page."""
    assert drive("campaigns", given) == ["Campaign 1", "Campaign 2", "Campaign 3"]


def test_from_user_to_test_lead(given: Given, drive: Drive) -> None:
    """The page token from the user's pages reads its forms and creates a test lead."""
    seen = drive("walk", given)
    assert (seen["page"], seen["form"]) == ("Sandbox Bakery", "Ask for an offer")
    assert seen["made"] == seen["found"]


def test_webhooks_of_a_page(given: Given, drive: Drive) -> None:
    """
    A page is subscribed by a JSON body and lists the subscription; the app's token, and not the
    page's, unsubscribes it by DELETE.
    """
    seen = drive("subscribe", given)
    assert [one["id"] for one in seen["before"]] == [given["app_id"]]
    assert seen["before"][0]["subscribed_fields"] == ["leadgen"]
    assert seen["withPageToken"]["response"]["code"] == 15
    assert seen["after"] == 0


def test_the_app_behind_a_token(given: Given, drive: Drive) -> None:
    """`getAppID` finds the app by debug_token with the token itself."""
    assert drive("appOf", given)["data"]["app_id"] == given["app_id"]


def test_errors(given: Given, drive: Drive) -> None:
    """`FacebookRequestError` has the status, Graph's error object and the challenge."""
    seen = drive("errors", given)
    assert {one["name"] for one in seen.values()} == {"FacebookRequestError"}
    assert {one["status"] for one in seen.values()} == {400}
    codes = {
        name: (one["response"]["code"], one["response"].get("error_subcode"))
        for name, one in seen.items()
    }
    assert codes == {
        "field": (100, None),
        "missing": (100, 33),
        "pageToken": (190, None),
        "badToken": (190, None),
        "unversioned": (2635, None),
    }
    assert seen["field"]["message"] == (
        "(#100) Tried accessing nonexisting field (no_such_field) on node type (User)"
    )
    assert list(seen["missing"]["response"]) == [
        *("message", "type", "code"),
        *("error_subcode", "fbtrace_id"),
    ]
    assert seen["badToken"]["challenge"] == (
        'OAuth "Facebook Platform" "invalid_token" '
        '"Invalid OAuth access token - Cannot parse access token"'
    )


def test_a_missing_permission(start: Callable[..., Sandbox], drive: Drive) -> None:
    """Leads without leads_retrieval are refused with 200 and HTTP 403."""
    seen = drive("leads", start("permission-missing").description)
    assert (seen["status"], seen["response"]["code"]) == (403, 200)
    assert seen["message"] == "(#200) Requires leads_retrieval permission to manage the object"


def test_an_expired_token(start: Callable[..., Sandbox], drive: Drive) -> None:
    """An expired token is refused with 190/463."""
    seen = drive("me", start("token-expired").description)
    assert (seen["response"]["code"], seen["response"]["error_subcode"]) == (190, 463)


def test_a_rate_limit_recovers(start: Callable[..., Sandbox], drive: Drive) -> None:
    """An app at its limit gets 4, which is transient; six minutes later it is answered."""
    given = start("rate-limited").description
    seen = drive("me", given)
    assert (seen["status"], seen["response"]["code"]) == (403, 4)
    assert seen["response"]["is_transient"] is True
    control(given, "time", {"advance": 360})
    assert drive("me", given) == {"answered": "Sandbox Operator"}


@pytest.mark.parametrize("kind", ["html", "reset"])
def test_broken_answers(given: Given, drive: Drive, kind: str) -> None:
    """An HTML page or a broken connection is not read as an answer."""
    control(given, "faults", {"faults": [{"kind": kind, "remaining": 1}]})
    assert "answered" not in drive("me", given)


def test_a_batch(given: Given, drive: Drive) -> None:
    """Two successful calls and a refused one reach their callbacks; nothing is left to repeat."""
    seen = drive("batch", given)
    assert seen["left"] is None
    me, campaigns = seen["good"]
    assert me["name"] == "Sandbox Operator"
    assert [row["name"] for row in campaigns["data"]] == ["Campaign 1"]
    (bad,) = seen["bad"]
    assert (bad["name"], bad["status"]) == ("FacebookRequestError", 400)
    assert bad["response"]["error"]["error_subcode"] == 33
