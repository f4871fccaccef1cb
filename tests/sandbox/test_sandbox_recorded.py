"""
The sandbox's bodies against published ones: keys and types, call by call.

A key with its type is written `data[].access_token: string`. It is known if a record of the same
call has it, or Meta's published types of the node, or if it belongs to the form of any list or of
any error. Every other one has a line under `shapes` in `fidelity.toml`, which says why not.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.graph_errors import ErrorDefinition, GraphError
from facebook_cyclr_sandbox.recorded_responses import (
    ResponseProvenance,
    load_field_types,
    load_recorded_responses,
)
from facebook_cyclr_sandbox.response_sources import load_unpublished_keys

from .conftest import Graph, Open, Start, app_of

ANY_ERROR, USAGE = "any error", "usage headers"


# --- shapes ----------------------------------------------------------------------------------
def shape(value: object, key: str = "") -> Iterator[str]:
    """Yield each key of a JSON value, and of what is in it, with its type."""
    match value:
        case dict():
            kind = "object"
        case list():
            kind = "array"
        case bool():
            kind = "boolean"
        case int() | float():
            kind = "number"
        case None:
            kind = "null"
        case _:
            kind = "string"
    if key:
        yield f"{key}: {kind}"
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from shape(inner, f"{key}.{name}" if key else name)
    if isinstance(value, list):
        for inner in value:
            yield from shape(inner, f"{key}[]")


def published(node: str, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the keys that Meta's SDK generator has of a node, and of the nodes in it."""
    nodes = load_field_types()
    for name, kind in nodes[node].items():
        key = f"{prefix}{name}"
        if kind in nodes:
            yield f"{key}: object"
            if kind not in above:
                yield from published(kind, f"{key}.", (*above, kind))
        elif kind.startswith("list<"):
            yield f"{key}: array"
            yield f"{key}[]: {json_type(kind[5:-1])}"
        else:
            yield f"{key}: {json_type(kind)}"


def json_type(kind: str) -> str:
    """Return the JSON type of one of Meta's types; an enumeration is a string."""
    known = {"bool": "boolean", "unsigned int": "number", "string": "string", "datetime": "string"}
    return known.get(kind, "string" if "_" in kind else "object")


RECORDS = load_recorded_responses()
ERRORS = {
    line
    for record in RECORDS
    for line in shape(record.body)
    if record.body.keys() == {"error"} and line.startswith("error")
}
# What each list has around its rows.
LIST = {
    line
    for record in RECORDS
    for line in shape(record.body)
    if line.startswith(("paging", "summary")) or line in ("data: array", "data[]: object")
}


# --- calls -----------------------------------------------------------------------------------
Ask = Callable[[Graph], "httpx.Response | list[httpx.Response]"]


@dataclass(frozen=True)
class Compared:
    """One call of Graph's."""

    call: str
    """Its method and path, as the records name it."""

    ask: Ask
    """Makes the call in all its variants; returns the responses."""

    node: str = ""
    """The node that it answers, or whose rows it lists, in Meta's published types."""

    nested: Mapping[str, str] = field(default_factory=dict)
    """Edge → the call that lists its rows, where a variant expands the edge below a node."""

    is_list: bool = False
    """Whether it answers a list."""

    def known(self) -> set[str]:
        """Return the keys that are published for it."""
        lines = {*ERRORS, *(LIST if self.is_list else ())}
        for record in RECORDS:
            if self.call in {f"{record.method} {record.path}", f"{record.path}"}:
                body = {"data": [record.body]} if record.is_row else record.body
                lines |= set(shape(body))
        if self.node:
            prefix = "data[]." if self.is_list else ""
            lines |= set(published(self.node, prefix))
        for edge, call in self.nested.items():
            (below,) = [compared for compared in COMPARED if compared.call == call]
            at = f"data[].{edge}" if self.is_list else edge
            lines |= {f"{at}: object", *(f"{at}.{line}" for line in below.known())}
        return lines


def given(graph: Graph, name: str) -> str:
    return str(graph.given[name])


def tokens(graph: Graph) -> list[httpx.Response]:
    """Inspect each kind of token that there is."""
    state, app = graph.sandbox.state, app_of(graph.sandbox)
    other = replace(app, id="9999999999999999", secret="f" * 32)
    state.facebook.apps[other.id] = other
    expired = state.issue_user_token(app, app.admin_id, ("public_profile",), issued_at=1)
    revoked = state.issue_user_token(app, "1", ("public_profile",))
    named = ("user_access_token", "page_access_token", "customer_access_token")
    values = [*(given(graph, name) for name in named), graph.app_token, expired.value, "garbage"]
    values += [f"{other.id}|{other.secret}", revoked.value]
    answers = [graph.get("debug_token", "app", input_token=value) for value in values]
    del state.facebook.apps[other.id]
    return answers


def exchanges(graph: Graph) -> list[httpx.Response]:
    """Call the token endpoint with each grant, and be refused in each way."""
    app, uri = app_of(graph.sandbox), given(graph, "redirect_uri")
    code = graph.sandbox.state.issue_code(app, app.admin_id, uri, ("public_profile",)).value
    redeem = {"redirect_uri": uri, "code": code}
    user = given(graph, "user_access_token")
    return [
        graph.exchange(grant_type="client_credentials"),
        graph.exchange(**redeem),
        graph.exchange(**redeem),
        graph.exchange(grant_type="fb_exchange_token", fb_exchange_token=user),
        graph.exchange(grant_type="client_credentials", client_secret="wrong"),
        *(graph.exchange(redirect_uri=x, code="x") for x in (uri, "x", "https://x.example/")),
    ]


def pages(graph: Graph) -> list[httpx.Response]:
    """List pages: as they are, with what the checks ask for, and page by page."""
    state = graph.sandbox.state.facebook
    (page,) = state.pages.values()
    state.pages["1"] = replace(page, id="1")
    fields = "id,name,access_token,category,category_list,tasks,leadgen_tos_accepted"
    first = graph.get("me/accounts", fields=fields, limit="1")
    answers = [graph.get("me/accounts"), first]
    answers.append(graph.http.get(first.json()["paging"]["next"]))
    del state.pages["1"]
    return answers


def business(graph: Graph, *edge: str, **params: str) -> httpx.Response:
    path = (graph.sandbox.state.facebook.business.id, *edge)
    return graph.get("/".join(path), **params)


def at(name: str, *edge: str, token: str = "user", prefix: str = "") -> Callable[..., Ask]:
    """Return what asks for a given object, or for an edge of it, once for each of `fields`."""

    def asking(*fields: str) -> Ask:
        def ask(graph: Graph) -> list[httpx.Response]:
            path = "/".join((prefix + given(graph, name), *edge))
            wanted = [{"fields": one} if one else {} for one in fields or ("",)]
            return [graph.get(path, token, **params) for params in wanted]

        return ask

    return asking


def me(edge: str, *fields: str) -> Ask:
    """Return what asks for an edge of the person, once for each of `fields`."""
    return lambda graph: [graph.get(f"me{edge}", fields=one) for one in ("", *fields)]


def change(graph: Graph, method: str) -> httpx.Response:
    """Subscribe the page to the app, or end that."""
    token = given(graph, "page_access_token") if method == "POST" else graph.app_token
    params = {"access_token": token, "subscribed_fields": "leadgen"}
    path = f"{graph.base}/{given(graph, 'page_id')}/subscribed_apps"
    return graph.http.request(method, path, params=params)


def lead(graph: Graph) -> httpx.Response:
    """Read one lead."""
    row = graph.get(f"{given(graph, 'leadgen_form_id')}/leads").json()["data"][0]
    return graph.get(row["id"])


LEADS = "id,created_time,ad_id,form_id,field_data,is_organic,platform"
FORMS = "id,name,status,locale,created_time,leads_count,page_id,page,questions"
LEAD_ACCESS = "has_lead_access{can_access_lead,app_has_leads_permission,failure_reason}"
APP = "id,name,owner_business,business,category,icon_url,contact_email,app_domains,created_time"
PORTFOLIOS = "id,name,verification_status,owned_pages{id,name,access_token},client_pages{id}"

COMPARED = (
    Compared("GET /debug_token", tokens),
    Compared("/oauth/access_token", exchanges),
    Compared("GET /me", me("", "id,name", "id,first_name,last_name,short_name,email,picture")),
    Compared("GET /me/accounts", pages, "Page", is_list=True),
    Compared("GET /me/permissions", me("/permissions"), "Permission", is_list=True),
    Compared(
        "GET /me/businesses",
        me("/businesses", PORTFOLIOS),
        "Business",
        nested={
            "owned_pages": "GET /{business-id}/owned_pages",
            "client_pages": "GET /{business-id}/client_pages",
        },
        is_list=True,
    ),
    Compared(
        "GET /{business-id}",
        lambda graph: [business(graph, fields=one) for one in ("", "id,name,verification_status")],
        "Business",
    ),
    Compared(
        "GET /{business-id}/owned_pages",
        lambda graph: [
            business(graph, "owned_pages", fields=one) for one in ("", "id,name,access_token,tasks")
        ],
        "Page",
        is_list=True,
    ),
    Compared(
        "GET /{business-id}/client_pages",
        lambda graph: business(graph, "client_pages"),
        "Page",
        is_list=True,
    ),
    Compared(
        "GET /act_{ad-account-id}",
        at("ad_account_id", prefix="act_")("", "name,account_status,currency"),
    ),
    Compared(
        "GET /{app-id}",
        at("app_id", token="app")("", f"{APP},roles.limit(100)", "app_name,link,creator_uid"),
        "Application",
        nested={"roles": "GET /{app-id}/roles"},
    ),
    Compared("GET /{app-id}/roles", at("app_id", "roles", token="app")(), is_list=True),
    Compared(
        "GET /{app-id}/permissions",
        at("app_id", "permissions", token="app")(),
        "Permission",
        is_list=True,
    ),
    Compared(
        "GET /{page-id}",
        at("page_id")("", "id,name,access_token,leadgen_tos_accepted", LEAD_ACCESS),
        "Page",
    ),
    Compared(
        "GET /{page-id}/subscribed_apps",
        at("page_id", "subscribed_apps", token="page")(),
        is_list=True,
    ),
    Compared("POST /{page-id}/subscribed_apps", lambda graph: change(graph, "POST")),
    Compared("DELETE /{page-id}/subscribed_apps", lambda graph: change(graph, "DELETE")),
    Compared(
        "GET /{page-id}/leadgen_forms",
        at("page_id", "leadgen_forms", token="page")("", FORMS),
        "LeadgenForm",
        is_list=True,
    ),
    Compared("GET /{form-id}", at("leadgen_form_id")("", FORMS), "LeadgenForm"),
    Compared(
        "GET /{form-id}/leads", at("leadgen_form_id", "leads")("", LEADS), "Lead", is_list=True
    ),
    Compared("GET /{lead-id}", lead, "Lead"),
)


# --- the comparison --------------------------------------------------------------------------
@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.call)
def test_a_body_has_published_keys_or_a_line_that_says_why_not(
    start: Start, graph_of: Open, compared: Compared
) -> None:
    """
    Each key of each body, with its type, is published, or is in a line of `fidelity.toml`.

    A line that no body needs is refused too.
    """
    lines: set[str] = set()
    for scenario in ("approved", "portfolio-pages", "system-user"):
        graph = graph_of(start(scenario))
        if scenario == "portfolio-pages" and compared.call == "GET /me/accounts":
            continue  # there the list is empty
        answers = compared.ask(graph)
        for answer in answers if isinstance(answers, list) else [answers]:
            lines |= set(shape(answer.json()))

    assert lines - compared.known() == set(load_unpublished_keys().get(compared.call, {}))


def test_an_error_has_published_keys_or_a_line_that_says_why_not() -> None:
    """So does each error that Graph answers with here."""
    known = [one for one in vars(graph_errors).values() if isinstance(one, ErrorDefinition)]
    lines = {line for one in known for line in shape(GraphError(one).body("A"))}

    assert len(known) > 50
    assert lines - ERRORS == set(load_unpublished_keys()[ANY_ERROR])


def usage(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys of the usage headers; an account's or page's number is `{id}`."""
    for name, text in headers.items():
        if re.fullmatch(r"x-(app|ad-account|business-use-case)-usage|x-fb-ads-\S+", name.lower()):
            document = json.loads(re.sub(r'"\d+":', '"{id}":', text))
            yield from shape(document, name.lower())


def test_usage_headers_have_published_keys_or_a_line_that_says_why_not(graph: Graph) -> None:
    """So does each usage header."""
    page, account = given(graph, "page_id"), f"act_{given(graph, 'ad_account_id')}"
    paths = ((page, "user"), (account, "user"), (f"{account}/insights", "user"))
    paths += (
        (f"{page}/leadgen_forms", "page"),
        (f"{given(graph, 'leadgen_form_id')}/leads", "page"),
    )
    lines = {line for path, token in paths for line in usage(graph.get(path, token).headers)}
    known = {line for record in RECORDS for line in usage(record.headers)}

    assert {line.partition(":")[0] for line in lines} >= {"x-app-usage", "x-ad-account-usage"}
    assert lines - known == set(load_unpublished_keys()[USAGE])


def test_each_recorded_call_is_compared() -> None:
    """Each call of which there is a record is compared, and each line is about a compared one."""
    calls = {compared.call for compared in COMPARED}
    recorded = {
        (f"{record.method} {record.path}", record.path) for record in RECORDS if record.path
    }
    assert [names for names in recorded if calls.isdisjoint(names)] == []
    assert set(load_unpublished_keys()) <= {*calls, ANY_ERROR, USAGE}


# --- the records themselves ------------------------------------------------------------------
def test_all_records_are_read() -> None:
    """There are 67, each under its own name, most of them recorded, each with its source."""
    names = {(record.topic, record.id) for record in RECORDS}
    assert (len(RECORDS), len(names)) == (67, 67)
    assert [record.kind for record in RECORDS].count(ResponseProvenance.RECORDED) == 59
    for record in RECORDS:
        assert record.source.repository or record.source.stored_text_id
        assert record.body or record.headers


def test_a_record_keeps_its_request_headers_and_status() -> None:
    """The one full exchange of a refused redirect URI has all of its parts."""
    (record,) = [one for one in RECORDS if one.id == "redirect_not_registered_hindi"]
    assert (record.method, record.path, record.status) == ("POST", "/oauth/access_token", 400)
    assert record.body["error"]["code"] == 191
    challenge = record.headers["www-authenticate"]
    kind = 'OAuth "Facebook Platform" "redirect_uri_mismatch" '
    assert challenge == f'{kind}"{record.body["error"]["message"]}"'


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a JSON value with its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)
    elif isinstance(value, str):
        yield key, value


def test_no_record_holds_a_token() -> None:
    """Tokens are left out, in bodies, parameters and addresses."""
    for record in RECORDS:
        for key, text in strings({"body": record.body, "params": dict(record.params)}):
            assert key not in ("access_token", "after", "before") or text.startswith("<")
            assert not re.search(r"EAA\w|access_token=[^<]", text)


def test_the_published_types_are_read() -> None:
    """Seven nodes have the types of their fields."""
    types = load_field_types()
    assert len(types) == 7
    assert types["HasLeadAccess"]["can_access_lead"] == "bool"
