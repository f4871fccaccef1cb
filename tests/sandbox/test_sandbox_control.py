"""The controls of the sandbox: faults, time, state and limits."""

import json
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.hourly_rate_limit import HourlyRateLimit
from tests.sandbox.graph_texts import UNAVAILABLE, upgrade_warning

from .conftest import CompleteDialog, Graph, Open, OpenCyclr, Start, dialog, error_of


def control(graph: Graph, name: str, document: Any, method: str = "POST") -> httpx.Response:
    url = f"{graph.given['graph_url']}/_sandbox/{name}"
    return graph.http.request(method, url, json=document)


def test_a_server_error_is_graphs_own(own: Graph) -> None:
    """A server error is Graph's code 2, HTTP 400 with is_transient; the next call is answered."""
    control(own, "faults", {"faults": [{"kind": "server-error", "remaining": 1}]})
    response = own.get("me")
    assert response.status_code == 400
    error = error_of(response)
    assert list(error) == ["message", "type", "is_transient", "code", "fbtrace_id"]
    assert error["message"] == UNAVAILABLE
    assert error["type"] == "OAuthException"
    assert own.get("me").status_code == 200


@pytest.mark.parametrize("code", [1, 2, 4, 17, 32, 341, 368, 613, 80000, 80001, 80004, 80005])
def test_any_transient_error_can_be_set(own: Graph, code: int) -> None:
    """Each transient error can be set by its code, and is removed by DELETE."""
    control(own, "faults", {"faults": [{"kind": "graph-error", "code": code}]})
    assert error_of(own.get("me"))["code"] == code
    control(own, "faults", None, "DELETE")
    assert own.get("me").status_code == 200


def test_error_data_is_a_text(own: Graph) -> None:
    """`error_data` holds its JSON as a text, after the code."""
    control(own, "faults", {"faults": [{"kind": "graph-error", "code": 100}]})
    error = error_of(own.get("me"))
    assert list(error) == ["message", "type", "code", "error_data", "fbtrace_id"]
    assert json.loads(error["error_data"]) == {"blame_field_specs": [["account_id"]]}


def test_head_is_answered_like_get(own: Graph) -> None:
    """HEAD of a control has the status of GET, and no body; nothing else has that path."""
    url = f"{own.given['graph_url']}/_sandbox"
    response = own.http.head(f"{url}/time")
    assert (response.status_code, response.content) == (200, b"")
    assert own.http.head(f"{url}/nowhere").status_code == 404


def test_truncated_and_slow_responses(own: Graph) -> None:
    """A response can be reset, truncated, HTML instead of JSON, or slow."""
    control(own, "faults", {"faults": [{"kind": "reset", "remaining": 1}]})
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        own.get("me")
    control(own, "faults", {"faults": [{"kind": "truncated", "remaining": 1}]})
    with pytest.raises(json.JSONDecodeError):
        own.get("me").json()
    control(own, "faults", {"faults": [{"kind": "html", "remaining": 1}]})
    response = own.get("me")
    assert (response.status_code, response.headers["content-type"]) == (
        500,
        "text/html; charset=utf-8",
    )
    control(own, "faults", {"faults": [{"kind": "slow", "seconds": 0.3, "remaining": 1}]})
    with pytest.raises(httpx.ReadTimeout):
        own.http.get(f"{own.base}/me", timeout=0.1)
    assert control(own, "faults", None, "GET").json()["injected_count"] == 4


def test_a_fault_is_confined_to_its_site(own: Graph, cyclr_of: OpenCyclr) -> None:
    """A fault for Cyclr does not affect Facebook."""
    cyclr = cyclr_of(own.sandbox)
    control(own, "faults", {"faults": [{"kind": "server-error", "site": "cyclr-api"}]})
    assert cyclr.get("accounts").status_code == 503
    assert own.get("me").status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        {"faults": "all"},
        {"faults": [1]},
        {"faults": [{"kind": "flood"}]},
        {"faults": [{"kind": "slow", "seconds": "long"}]},
        {"faults": [{"kind": "slow", "share": 2}]},
        {"faults": [{"kind": "slow", "remaining": 0}]},
        {"faults": [{"kind": "slow", "site": "moon"}]},
        {"faults": [{"kind": "slow", "colour": "red"}]},
        {"dialog_error": "x"},
        {"other": 1},
        [],
    ],
)
def test_an_invalid_fault_is_refused(own: Graph, document: Any) -> None:
    """An invalid fault gets 400 with the reason, and nothing changes."""
    response = control(own, "faults", document)
    assert response.status_code == 400
    assert response.json()["error"]
    assert own.get("me").status_code == 200


def test_the_dialog_can_fail(own: Graph, complete_dialog: CompleteDialog) -> None:
    """The dialog can fail with error_code and error_message but no error, as Facebook's does."""
    control(own, "faults", {"dialog_error": ["1349220", "Feature Unavailable"]})
    location = complete_dialog(own.sandbox, dialog(own.sandbox, state="s")).headers["location"]
    assert location == (
        f"{own.given['redirect_uri']}?error_code=1349220&error_message=Feature+Unavailable&state=s#_=_"
    )


def test_time_can_be_moved(own: Graph) -> None:
    """Moving the sandbox's clock lets a token expire; it can be moved back."""
    before = control(own, "time", None, "GET").json()["now"]
    after = control(own, "time", {"advance": 61 * 86_400}).json()["now"]
    assert 61 * 86_400 <= after - before < 61 * 86_400 + 60
    assert error_of(own.get("me"))["error_subcode"] == 463
    assert control(own, "time", {"offset": 0}).json()["offset"] == 0
    assert own.get("me").status_code == 200
    assert control(own, "time", {"advance": "a day"}).status_code == 400
    assert control(own, "time", {"advance": 1e12}).status_code == 400


def test_review_can_be_decided(start: Start, graph_of: Open) -> None:
    """Approving the review makes every requested permission live and lists public_profile."""
    graph = graph_of(start("review-pending"))
    path = f"{graph.given['app_id']}/permissions"
    assert graph.get(path, "app").json()["data"] == []
    assert control(graph, "review", {"outcome": "pending"}).status_code == 400
    decided = control(graph, "review", {"outcome": "approved"}).json()["decided"]
    assert decided == [graph.given["app_id"]]
    rows = graph.get(path, "app").json()["data"]
    assert {row["status"] for row in rows} == {"live"}
    assert {"public_profile", "leads_retrieval"} <= {row["permission"] for row in rows}


def test_state_is_json(own: Graph) -> None:
    """The whole state can be read as JSON, with stores as their sizes."""
    state = control(own, "state", None, "GET").json()
    app_id = str(own.given["app_id"])
    assert state["facebook"]["apps"][app_id]["redirect_uris"] == [own.given["redirect_uri"]]
    assert state["facebook"]["tokens"]["stored"] >= 2
    assert control(own, "nothing", None, "GET").status_code == 404
    assert control(own, "description", None, "GET").json() == own.given


# --- scenarios -------------------------------------------------------------------------------
def test_rate_limited_counts_and_recovers(start: Start, graph_of: Open) -> None:
    """
    In `rate-limited` all calls are used up; after five minutes they are answered and counted
    again.
    """
    graph = graph_of(start("rate-limited"))
    response = graph.get("me")
    assert error_of(response)["code"] == 4
    assert error_of(response)["is_transient"] is True
    assert json.loads(response.headers["x-app-usage"])["call_count"] == 100
    control(graph, "time", {"advance": 361})
    assert graph.get("me").status_code == 200
    used = json.loads(graph.get("me").headers["x-app-usage"])["call_count"]
    assert 0 < used < 100


def test_page_limits_show_the_minutes_to_wait(own: Graph) -> None:
    """
    Page, leads and ad account have their own limits (80001, 80005, 17) with the minutes to wait.
    """
    state = own.sandbox.state
    page = state.facebook.pages[str(own.given["page_id"])]
    page.rate_limit = HourlyRateLimit(1)
    page.lead_rate_limit = HourlyRateLimit(1)
    account = state.facebook.ad_accounts[str(own.given["ad_account_id"])]
    account.rate_limit = HourlyRateLimit(1)
    paths = {
        f"{page.id}/leadgen_forms": ("page", 80001),
        f"{own.given['leadgen_form_id']}/leads": ("user", 80005),
        f"act_{account.id}": ("user", 17),
    }
    for path, (token, code) in paths.items():
        assert own.get(path, token).status_code == 200
        refused = own.get(path, token)
        assert error_of(refused)["code"] == code
        usage = json.loads(refused.headers["x-business-use-case-usage"])
        entry = next(iter(usage.values()))[0]
        assert entry["call_count"] == 100
        assert 58 <= entry["estimated_time_to_regain_access"] <= 60
    ads = json.loads(own.get(f"act_{account.id}").headers["x-ad-account-usage"])
    assert ads["acc_id_util_pct"] == 100
    assert ads["reset_time_duration"] > 3_400


def test_flaky_repeats_with_its_seed(graph_of: Open) -> None:
    """In `flaky`, the same seed breaks the same requests."""
    runs = []
    for _ in range(2):
        with Sandbox("flaky", seed=5) as sandbox:
            graph = graph_of(sandbox)
            sandbox.state.faults.active = [
                fault for fault in sandbox.state.faults.active if fault.kind != "slow"
            ]
            runs.append([outcome(graph) for _ in range(40)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 2


def outcome(graph: Graph) -> str:
    try:
        response = graph.get("me")
    except httpx.TransportError as error:
        return type(error).__name__
    return f"{response.status_code} {len(response.content)}"


def test_version_expired(start: Start, graph_of: Open) -> None:
    """In `version-expired`, v27.0 serves v26.0, and Marketing calls have a warning header."""
    graph = graph_of(start("version-expired"))
    assert graph.get("me").headers["facebook-api-version"] == "v27.0"
    assert graph.get("me/adaccounts").headers["x-ad-api-version-warning"] == (
        upgrade_warning("v27.0", "v26.0")
    )
