"""Two people: one with a role on the app, and a customer without any."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from tests.support.wording import wording

from .conftest import Form, Graph, Open, Start, app_of, dialog, error_of, login_of


def test_both_people_are_themselves(graph: Graph) -> None:
    """/me, IDs and grants are those of the token's person; each sees only themselves."""
    operator = graph.get("me").json()
    customer = graph.get("me", "customer").json()
    assert (operator["name"], customer["name"]) == ("Sandbox Operator", "Sandbox Customer")
    assert operator["id"] != customer["id"]
    assert graph.get(customer["id"], "customer").json()["id"] == customer["id"]
    assert error_of(graph.get(operator["id"], "customer"))["error_subcode"] == 33
    token = str(graph.given["customer_access_token"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert data["user_id"] == customer["id"]


def test_the_customer_reads_what_was_approved(graph: Graph) -> None:
    """Page, leads and ad account can be read with the customer's token."""
    page = graph.get("me/accounts", "customer").json()["data"][0]
    assert page["id"] == graph.given["page_id"]
    forms = graph.get(f"{page['id']}/leadgen_forms", page["access_token"]).json()["data"]
    leads = graph.get(f"{forms[0]['id']}/leads", page["access_token"])
    assert len(leads.json()["data"]) == 2
    assert graph.get(f"act_{graph.given['ad_account_id']}", "customer").status_code == 200


def test_the_customer_is_no_developer(graph: Graph) -> None:
    """debug_token refuses the customer's own token as a caller."""
    token = str(graph.given["customer_access_token"])
    assert error_of(graph.get("debug_token", token, input_token=token))["code"] == 100


def test_a_permission_that_is_not_live_any_more_leaves_the_customer_only(own: Graph) -> None:
    """Without Advanced Access the app uses a permission of people with a role alone."""
    app = app_of(own.sandbox)
    app.permissions["ads_read"] = app.permissions["ads_management"] = "unapproved"
    assert error_of(own.get("me/adaccounts", "customer"))["code"] == 200
    assert own.get("me/adaccounts").status_code == 200


def test_revoking_concerns_one_person(own: Graph) -> None:
    """A permission that the customer revokes stays granted by the operator."""
    token = str(own.given["customer_access_token"])
    url = f"{own.base}/me/permissions"
    assert own.http.delete(url, params={"access_token": token}).json() == {"success": True}
    assert error_of(own.get("me", "customer"))["error_subcode"] == 458
    assert own.get("me").status_code == 200


def test_the_dialog_asks_the_customer_for_live_permissions(
    start: Start, http: httpx.Client
) -> None:
    """The dialog requests approved permissions of a customer, who consents for themselves."""
    sandbox = start("partly-declined")
    url = dialog(sandbox, scope="ads_read,leads_retrieval")
    page = http.post(url, data=login_of(sandbox, "customer"))
    assert "Sandbox Customer" in page.text
    form = Form(page.text)
    assert form.choices == ["public_profile", "ads_read"]
    action = str(sandbox.description["dialog_url"]).partition("/v26.0")[0] + form.action
    login = login_of(sandbox, "customer")
    response = http.post(action, data={**form.fields, **login, "decision": "continue"})
    code = parse_qs(urlsplit(response.headers["location"]).query)["code"][0]
    found = sandbox.state.facebook.codes.get(code)
    assert found is not None
    assert found.user_id == sandbox.state.facebook.customer.id


def test_another_person_can_log_in_at_the_dialog(approved: Sandbox, http: httpx.Client) -> None:
    """`Log in as someone else` ends the session and asks for the log-in again."""
    url = dialog(approved, scope="ads_read")
    assert "Sandbox Operator" in http.post(url, data=login_of(approved)).text
    assert "Sandbox Operator" in http.get(url).text
    assert "<h1>Log in</h1>" in http.post(url, data={"switch": "1"}).text
    assert "<h1>Log in</h1>" in http.get(url).text


def test_a_browser_is_redirected_to_the_log_in(approved: Sandbox) -> None:
    """A logged-out browser goes to login.php and from there back to the dialog."""
    headers = {"Accept": "text/html"}
    with httpx.Client(headers=headers, follow_redirects=True) as browser:
        page = browser.get(dialog(approved, scope="ads_read", state="x y"))
        assert page.url.path == "/login.php"
        data = {**Form(page.text).fields, **login_of(approved)}
        page = browser.post(str(page.url.join("/login")), data=data)
    assert page.url.path == "/v26.0/dialog/oauth"
    assert wording("sandbox.asks-for-access") in page.text
    assert Form(page.text).fields["state"] == "x y"


def test_the_customer_has_no_apps(approved: Sandbox) -> None:
    """The dashboard shows the customer no app, by list or by address."""
    given = approved.description
    at = given["dashboard_url"]
    with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        browser.post(f"{at}/login", data=login_of(approved, "customer"))
        assert str(given["app_id"]) not in browser.get(f"{at}/apps/").text
        page = browser.get(f"{at}/apps/{given['app_id']}/settings/basic/")
        assert page.status_code == 404
        creation = browser.get(f"{at}/apps/creation/")
    assert "Create App" not in creation.text


def test_roles_of_the_app(graph: Graph) -> None:
    """The app's token reads who has a role on it, as an edge and as a field."""
    app_id = graph.given["app_id"]
    mine = graph.get("me").json()["id"]
    row = {"app_id": app_id, "user": mine, "role": "administrators"}
    assert graph.get(f"{app_id}/roles", "app").json()["data"] == [row]
    response = graph.get(str(app_id), "app", fields="roles").json()
    assert response["roles"]["data"] == [row]
    assert response["id"] == app_id
    assert error_of(graph.get(f"{app_id}/roles"))["code"] == 15


def test_roles_have_pages(own: Graph) -> None:
    """`roles.limit(n).after(cursor)` reads them one page after another."""
    app_id = str(own.given["app_id"])
    app = app_of(own.sandbox)
    app.roles |= {"11": "developers", "12": "testers"}
    seen = []
    fields = "roles.limit(2)"
    while fields:
        roles = own.get(app_id, "app", fields=fields).json()["roles"]
        seen += [row["user"] for row in roles["data"]]
        after = roles["paging"]["cursors"]["after"]
        fields = f"roles.limit(2).after({after})" if "next" in roles["paging"] else ""
    assert seen == list(app.roles)


@pytest.mark.parametrize(
    ("scenario", "status"), [("approved", "verified"), ("test-calls-missing", None)]
)
def test_the_business_says_whether_it_is_verified(
    start: Start, graph_of: Open, scenario: str, status: str | None
) -> None:
    """/me/businesses shows verification_status, to a token with business_management."""
    graph = graph_of(start(scenario))
    response = graph.get("me/businesses", fields="id,name,verification_status")
    if status is None:
        assert error_of(response)["code"] == 200
        return
    (business,) = response.json()["data"]
    assert (business["name"], business["verification_status"]) == ("Sandbox Partner", status)
    assert graph.get(business["id"], fields="verification_status").json() == {
        "verification_status": status,
        "id": business["id"],
    }


def test_the_customer_does_not_see_the_partners_business(graph: Graph) -> None:
    """The business belongs to the operator."""
    business = graph.get("me/businesses").json()["data"][0]["id"]
    assert graph.get("me/businesses", "customer").json() == {"data": []}
    assert error_of(graph.get(business, "customer"))["error_subcode"] == 33


@pytest.mark.parametrize("who", ["user_access_token", "customer_access_token"])
def test_a_page_behind_a_portfolio_is_not_listed(start: Start, graph_of: Open, who: str) -> None:
    """`/me/accounts` is empty; the token's permissions for pages name it, and its node is read."""
    graph = graph_of(start("portfolio-pages"))
    token = str(graph.given[who])
    page = str(graph.given["page_id"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    named = {row["scope"]: row.get("target_ids") for row in data["granular_scopes"]}
    assert graph.get("me/accounts", token).json() == {"data": []}
    assert named["pages_show_list"] == named["leads_retrieval"] == [page]
    assert named["ads_read"] is None
    node = graph.get(page, token, fields="name,access_token,leadgen_tos_accepted").json()
    assert (node["id"], node["leadgen_tos_accepted"]) == (page, True)
    assert node["access_token"].startswith("EAA")


def test_a_business_lists_the_pages_in_its_portfolio(start: Start, graph_of: Open) -> None:
    """Both edges can be expanded below `/me/businesses`; other pages are in none."""
    graph = graph_of(start("portfolio-pages"))
    ordinary = graph_of(start("approved"))
    fields = "owned_pages{id,access_token},client_pages{id}"
    (business,) = graph.get("me/businesses", fields=fields).json()["data"]
    (page,) = business["owned_pages"]["data"]
    assert (page["id"], "access_token" in page) == (graph.given["page_id"], True)
    assert business["client_pages"] == {"data": []}
    assert graph.get(f"{business['id']}/owned_pages").json()["data"][0]["id"] == page["id"]
    refusal = error_of(graph.get(f"{business['id']}/owned_pages", "customer"))
    assert refusal["error_subcode"] == 33
    (business,) = ordinary.get("me/businesses", fields=fields).json()["data"]
    assert business["owned_pages"] == {"data": []}


def test_calls_count_for_the_permissions_that_they_use(start: Start, graph_of: Open) -> None:
    """A successful call by a person or a page is remembered; a refused one is not."""
    graph = graph_of(start("test-calls-missing"))
    app = app_of(graph.sandbox)
    assert graph.get("me/businesses").status_code == 403
    graph.get(str(graph.given["app_id"]), "app")
    assert app.test_calls == {}
    graph.get("me")
    assert set(app.test_calls) == {"public_profile"}
    graph.get(f"act_{graph.given['ad_account_id']}/campaigns")
    assert set(app.test_calls) == {"public_profile", "ads_read"}


def test_each_permission_of_the_connectors_can_be_used(own: Graph) -> None:
    """Calls exist for all permissions that the two connectors need."""
    app = app_of(own.sandbox)
    app.test_calls.clear()
    page = own.given["page_id"]
    form = own.given["leadgen_form_id"]
    for path in ("me", "me/accounts", "me/adaccounts", "me/businesses", str(page)):
        assert own.get(path).status_code == 200
    for path in (f"{page}/leadgen_forms", f"{form}/leads", f"{page}/subscribed_apps"):
        assert own.get(path, "page").status_code == 200
    assert set(app.permissions) - set(app.test_calls) == {"pages_messaging"}
