"""Each scenario has the state that its name promises, seen from outside."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from runbook_lib.sandbox.server import SCENARIOS, Sandbox

from .conftest import Cyclr, Graph, error_of

Start = Callable[..., Sandbox]
Open = Callable[[Sandbox], Graph]
OpenCyclr = Callable[[Sandbox], Cyclr]

KEYS = [
    "scenario",
    "graph_url",
    "dialog_url",
    "dashboard_url",
    "cyclr_api_url",
    "cyclr_console_url",
    "service_domain",
    "service_domain_address",
    "ca_file",
    "redirect_uri",
    "app_id",
    "app_secret",
    "app_display_name",
    "cyclr_client_id",
    "cyclr_client_secret",
    "account_api_id",
    "cyclr_username",
    "user_access_token",
    "page_id",
    "page_access_token",
    "leadgen_form_id",
    "ad_account_id",
    "scopes",
    "verify_token",
    "webhook_url",
    "login_email",
    "login_password",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_description_has_every_key(start: Start, scenario: str) -> None:
    """The description has every key; in `fresh`, what does not exist yet is empty."""
    given = start(scenario).description
    assert list(given) == KEYS
    assert given["scenario"] == scenario
    empty = {key for key, value in given.items() if not value}
    expected = {
        "app_id",
        "app_secret",
        "app_display_name",
        "user_access_token",
        "page_id",
        "page_access_token",
        "leadgen_form_id",
        "ad_account_id",
        "scopes",
        "verify_token",
    }
    assert empty == (expected if scenario == "fresh" else set())


def test_an_unknown_scenario_is_refused(start: Start) -> None:
    """An unknown scenario raises an error that lists the known ones."""
    with pytest.raises(ValueError, match="the known ones are: approved, fresh"):
        start("nonsense")


def test_a_seed_repeats_the_secrets() -> None:
    """Two sandboxes with the same seed have the same secrets; without it they differ."""
    first, second, third = (Sandbox("approved", seed=seed).world.answers for seed in (7, 7, None))
    assert first == second
    assert first["app_secret"] != third["app_secret"]


def test_secrets_have_their_real_shapes(graph: Graph) -> None:
    """App ID, App Secret and tokens have Facebook's formats."""
    given = graph.given
    app_id, secret = str(given["app_id"]), str(given["app_secret"])
    assert app_id.isdecimal()
    assert len(app_id) in (15, 16)
    assert len(secret) == 32
    assert set(secret) <= set("0123456789abcdef")
    assert str(given["user_access_token"]).startswith("EAA")


def test_wrong_secret(start: Start, graph_of: Open) -> None:
    """The given secret is not the app's; the console has the right one."""
    sandbox = start("wrong-secret")
    answer = graph_of(sandbox).exchange(grant_type="client_credentials")
    assert error_of(answer)["message"] == "Error validating client secret."
    app = sandbox.world.facebook.apps[str(sandbox.description["app_id"])]
    held = {one.client_secret for one in sandbox.world.cyclr.library.values()}
    assert app.secret in held


def test_unknown_app(start: Start, graph_of: Open) -> None:
    """The given App ID does not exist."""
    answer = graph_of(start("unknown-app")).exchange(grant_type="client_credentials")
    assert error_of(answer)["code"] == 101


def test_redirect_missing(start: Start, graph_of: Open, http: httpx.Client) -> None:
    """The token endpoint and the dialog both refuse the redirect URI."""
    sandbox = start("redirect-missing")
    given = sandbox.description
    uri = str(given["redirect_uri"])
    error = error_of(graph_of(sandbox).exchange(redirect_uri=uri, code="DUMMY"))
    assert error["code"] == 191
    params = {"client_id": str(given["app_id"]), "redirect_uri": uri}
    assert "URL Blocked" in http.get(str(given["dialog_url"]), params=params).text


def test_permission_missing(start: Start, graph_of: Open) -> None:
    """leads_retrieval is neither listed nor granted, and reading leads fails."""
    graph = graph_of(start("permission-missing"))
    rows = graph.get(f"{graph.given['app_id']}/permissions", "app").json()["data"]
    assert "leads_retrieval" not in {row["permission"] for row in rows}
    mine = graph.get("me/permissions").json()["data"]
    assert "leads_retrieval" not in {row["permission"] for row in mine}
    assert graph.get(f"{graph.given['leadgen_form_id']}/leads").status_code == 403


def test_token_expired(start: Start, graph_of: Open) -> None:
    """debug_token says that the token is invalid with 190/463; calls get the same error."""
    graph = graph_of(start("token-expired"))
    token = str(graph.given["user_access_token"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert (data["is_valid"], data["error"]["code"], data["error"]["subcode"]) == (False, 190, 463)
    error = error_of(graph.get("me"))
    assert (error["code"], error["error_subcode"]) == (190, 463)
    assert error["message"].startswith("Error validating access token: Session has expired on ")


def test_cyclr_mismatch(
    start: Start, cyclr_of: OpenCyclr, domain_of: Callable[[Sandbox], httpx.Client]
) -> None:
    """The sign-in link has another existing app's Client ID."""
    sandbox = start("cyclr-mismatch")
    cyclr, domain = cyclr_of(sandbox), domain_of(sandbox)
    hop = domain.get(cyclr.sign_in_link(cyclr.installed()["Id"]))
    location = domain.get(hop.headers["location"]).headers["location"]
    client_id = parse_qs(urlsplit(location).query)["client_id"][0]
    assert client_id != sandbox.description["app_id"]
    assert client_id in sandbox.world.facebook.apps


@pytest.mark.parametrize("scenario", ["fresh", "review-pending", "review-declined"])
def test_not_connected_yet(start: Start, cyclr_of: OpenCyclr, scenario: str) -> None:
    """Setup is empty and no connector is installed."""
    sandbox = start(scenario)
    cyclr = cyclr_of(sandbox)
    assert cyclr.get("account/connectors").json() == []
    assert not sandbox.world.cyclr.library[cyclr.connector_id()].is_set_up
