"""
The sandbox's bodies against published ones: keys and types, call by call.

A key with its type is written `data[].access_token: string`. It is known if a record of the same
call has it, or Meta's published types of the node, or if it belongs to any list or any error. Every
other key has a line under `unpublished_keys` in `fidelity.toml` with the reason.
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

ANY_ERROR = "any error"
USAGE = "usage headers"


# --- shapes ----------------------------------------------------------------------------------
def list_typed_keys(value: object, key: str = "") -> Iterator[str]:
    """Yield each key of a JSON value, at any depth, with its type."""
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
            yield from list_typed_keys(inner, f"{key}.{name}" if key else name)
    if isinstance(value, list):
        for inner in value:
            yield from list_typed_keys(inner, f"{key}[]")


def list_published_keys(node: str, prefix: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the keys that Meta's SDK generator has of a node, and of the nodes in it."""
    nodes = load_field_types()
    for name, kind in nodes[node].items():
        key = f"{prefix}{name}"
        if kind in nodes:
            yield f"{key}: object"
            if kind not in above:
                yield from list_published_keys(kind, f"{key}.", (*above, kind))
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
    for line in list_typed_keys(record.body)
    if record.body.keys() == {"error"} and line.startswith("error")
}
# The keys of any list around its rows.
LIST = {
    line
    for record in RECORDS
    for line in list_typed_keys(record.body)
    if line.startswith(("paging", "summary")) or line in ("data: array", "data[]: object")
}


# --- calls -----------------------------------------------------------------------------------
SendCalls = Callable[[Graph], "httpx.Response | list[httpx.Response]"]


@dataclass(frozen=True)
class ComparedCall:
    """One call of Graph's."""

    call: str
    """Its method and path, as the records name it."""

    send_calls: SendCalls
    """Makes the call in all its variants; returns the responses."""

    node: str = ""
    """The node of its response or rows, in Meta's published types."""

    nested: Mapping[str, str] = field(default_factory=dict)
    """Edge that a variant expands below a node → the call that lists its rows."""

    is_list: bool = False
    """Whether its response is a list."""

    def published_keys(self) -> set[str]:
        """Return the keys that are published for it."""
        lines = {*ERRORS, *(LIST if self.is_list else ())}
        for record in RECORDS:
            if self.call in {f"{record.method} {record.path}", f"{record.path}"}:
                body = {"data": [record.body]} if record.is_row else record.body
                lines |= set(list_typed_keys(body))
        if self.node:
            prefix = "data[]." if self.is_list else ""
            lines |= set(list_published_keys(self.node, prefix))
        for edge, call in self.nested.items():
            (below,) = [compared for compared in COMPARED if compared.call == call]
            at = f"data[].{edge}" if self.is_list else edge
            lines |= {f"{at}: object", *(f"{at}.{line}" for line in below.published_keys())}
        return lines


def given_value(graph: Graph, name: str) -> str:
    return str(graph.given[name])


def inspect_tokens(graph: Graph) -> list[httpx.Response]:
    """Inspect each kind of token that there is."""
    state = graph.sandbox.state
    app = app_of(graph.sandbox)
    other = replace(app, id="9999999999999999", secret="f" * 32)
    state.facebook.apps[other.id] = other
    expired = state.issue_user_token(app, app.admin_id, ("public_profile",), issued_at=1)
    revoked = state.issue_user_token(app, "1", ("public_profile",))
    named = ("user_access_token", "page_access_token", "customer_access_token")
    values = [
        *(given_value(graph, name) for name in named),
        graph.app_token,
        expired.value,
        "garbage",
    ]
    values += [f"{other.id}|{other.secret}", revoked.value]
    responses = [graph.get("debug_token", "app", input_token=value) for value in values]
    del state.facebook.apps[other.id]
    return responses


def request_tokens(graph: Graph) -> list[httpx.Response]:
    """Call the token endpoint with each grant, and with each mistake."""
    app = app_of(graph.sandbox)
    uri = given_value(graph, "redirect_uri")
    code = graph.sandbox.state.issue_code(app, app.admin_id, uri, ("public_profile",)).value
    redeem = {"redirect_uri": uri, "code": code}
    user = given_value(graph, "user_access_token")
    return [
        graph.exchange(grant_type="client_credentials"),
        graph.exchange(**redeem),
        graph.exchange(**redeem),
        graph.exchange(grant_type="fb_exchange_token", fb_exchange_token=user),
        graph.exchange(grant_type="client_credentials", client_secret="wrong"),
        *(graph.exchange(redirect_uri=x, code="x") for x in (uri, "x", "https://x.example/")),
    ]


def list_pages(graph: Graph) -> list[httpx.Response]:
    """List pages: without fields, with the fields of the checks, and page by page."""
    state = graph.sandbox.state.facebook
    (page,) = state.pages.values()
    state.pages["1"] = replace(page, id="1")
    fields = "id,name,access_token,category,category_list,tasks,leadgen_tos_accepted"
    first = graph.get("me/accounts", fields=fields, limit="1")
    responses = [graph.get("me/accounts"), first]
    responses.append(graph.http.get(first.json()["paging"]["next"]))
    del state.pages["1"]
    return responses


def read_business(graph: Graph, *edge: str, **params: str) -> httpx.Response:
    path = (graph.sandbox.state.facebook.business.id, *edge)
    return graph.get("/".join(path), **params)


def read_object(
    name: str, *edge: str, token: str = "user", prefix: str = ""
) -> Callable[..., SendCalls]:
    """Return a function that reads a given object or its edge, once for each of `fields`."""

    def for_fields(*fields: str) -> SendCalls:
        def send_calls(graph: Graph) -> list[httpx.Response]:
            path = "/".join((prefix + given_value(graph, name), *edge))
            wanted = [{"fields": names} if names else {} for names in fields or ("",)]
            return [graph.get(path, token, **params) for params in wanted]

        return send_calls

    return for_fields


def read_me(edge: str, *fields: str) -> SendCalls:
    """Return a function that reads an edge of the person, once for each of `fields`."""
    return lambda graph: [graph.get(f"me{edge}", fields=names) for names in ("", *fields)]


def change_subscription(graph: Graph, method: str) -> httpx.Response:
    """Subscribe the page to the app, or unsubscribe it."""
    token = given_value(graph, "page_access_token") if method == "POST" else graph.app_token
    params = {"access_token": token, "subscribed_fields": "leadgen"}
    path = f"{graph.base}/{given_value(graph, 'page_id')}/subscribed_apps"
    return graph.http.request(method, path, params=params)


def read_lead(graph: Graph) -> httpx.Response:
    """Read one lead."""
    row = graph.get(f"{given_value(graph, 'leadgen_form_id')}/leads").json()["data"][0]
    return graph.get(row["id"])


PERSON = "id,first_name,last_name,short_name,name_format,email,picture"
LEADS = "id,created_time,ad_id,ad_name,campaign_id,form_id,field_data,is_organic,platform"
FORMS = "id,name,status,locale,created_time,leads_count,page_id,page,questions"
LEAD_ACCESS = "has_lead_access{can_access_lead,app_has_leads_permission,failure_reason}"
APP = "id,name,owner_business,business,category,icon_url,contact_email,app_domains,created_time"
PORTFOLIOS = "id,name,verification_status,owned_pages{id,name,access_token},client_pages{id}"

COMPARED = (
    ComparedCall("GET /debug_token", inspect_tokens),
    ComparedCall("/oauth/access_token", request_tokens),
    ComparedCall("GET /me", read_me("", "id,name", PERSON)),
    ComparedCall("GET /me/accounts", list_pages, "Page", is_list=True),
    ComparedCall("GET /me/permissions", read_me("/permissions"), "Permission", is_list=True),
    ComparedCall(
        "GET /me/businesses",
        read_me("/businesses", PORTFOLIOS),
        "Business",
        nested={
            "owned_pages": "GET /{business-id}/owned_pages",
            "client_pages": "GET /{business-id}/client_pages",
        },
        is_list=True,
    ),
    ComparedCall(
        "GET /{business-id}",
        lambda graph: [
            read_business(graph, fields=names) for names in ("", "id,name,verification_status")
        ],
        "Business",
    ),
    ComparedCall(
        "GET /{business-id}/owned_pages",
        lambda graph: [
            read_business(graph, "owned_pages", fields=names)
            for names in ("", "id,name,access_token,tasks")
        ],
        "Page",
        is_list=True,
    ),
    ComparedCall(
        "GET /{business-id}/client_pages",
        lambda graph: read_business(graph, "client_pages"),
        "Page",
        is_list=True,
    ),
    ComparedCall(
        "GET /act_{ad-account-id}",
        read_object("ad_account_id", prefix="act_")("", "name,account_status,currency"),
    ),
    ComparedCall(
        "GET /{app-id}",
        read_object("app_id", token="app")(
            "", f"{APP},roles.limit(100)", "app_name,link,creator_uid"
        ),
        "Application",
        nested={"roles": "GET /{app-id}/roles"},
    ),
    ComparedCall(
        "GET /{app-id}/roles", read_object("app_id", "roles", token="app")(), is_list=True
    ),
    ComparedCall(
        "GET /{app-id}/permissions",
        read_object("app_id", "permissions", token="app")(),
        "Permission",
        is_list=True,
    ),
    ComparedCall(
        "GET /{page-id}",
        read_object("page_id")("", "id,name,access_token,leadgen_tos_accepted", LEAD_ACCESS),
        "Page",
    ),
    ComparedCall(
        "GET /{page-id}/subscribed_apps",
        read_object("page_id", "subscribed_apps", token="page")(),
        is_list=True,
    ),
    ComparedCall(
        "POST /{page-id}/subscribed_apps", lambda graph: change_subscription(graph, "POST")
    ),
    ComparedCall(
        "DELETE /{page-id}/subscribed_apps", lambda graph: change_subscription(graph, "DELETE")
    ),
    ComparedCall(
        "GET /{page-id}/leadgen_forms",
        read_object("page_id", "leadgen_forms", token="page")("", FORMS),
        "LeadgenForm",
        is_list=True,
    ),
    ComparedCall("GET /{form-id}", read_object("leadgen_form_id")("", FORMS), "LeadgenForm"),
    ComparedCall(
        "GET /{form-id}/leads",
        read_object("leadgen_form_id", "leads")("", LEADS),
        "Lead",
        is_list=True,
    ),
    ComparedCall("GET /{lead-id}", read_lead, "Lead"),
)


# --- the comparison --------------------------------------------------------------------------
@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.call)
def test_each_key_of_a_body_is_published_or_explained(
    start: Start, graph_of: Open, compared: ComparedCall
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
        responses = compared.send_calls(graph)
        for response in responses if isinstance(responses, list) else [responses]:
            lines |= set(list_typed_keys(response.json()))

    assert lines - compared.published_keys() == set(load_unpublished_keys().get(compared.call, {}))


def test_each_key_of_an_error_is_published_or_explained() -> None:
    """Each key of each of Graph's errors is published, or has a line."""
    known = [
        definition
        for definition in vars(graph_errors).values()
        if isinstance(definition, ErrorDefinition)
    ]
    lines = {
        line for definition in known for line in list_typed_keys(GraphError(definition).body("A"))
    }

    assert len(known) > 50
    assert lines - ERRORS == set(load_unpublished_keys()[ANY_ERROR])


def usage(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys of the usage headers; an account's or page's number is `{id}`."""
    for name, text in headers.items():
        if re.fullmatch(r"x-(app|ad-account|business-use-case)-usage|x-fb-ads-\S+", name.lower()):
            document = json.loads(re.sub(r'"\d+":', '"{id}":', text))
            yield from list_typed_keys(document, name.lower())


def test_each_key_of_a_usage_header_is_published_or_explained(graph: Graph) -> None:
    """Each key of each usage header is published, or has a line."""
    page = given_value(graph, "page_id")
    account = f"act_{given_value(graph, 'ad_account_id')}"
    paths = ((page, "user"), (account, "user"), (f"{account}/insights", "user"))
    paths += (
        (f"{page}/leadgen_forms", "page"),
        (f"{given_value(graph, 'leadgen_form_id')}/leads", "page"),
    )
    lines = {line for path, token in paths for line in usage(graph.get(path, token).headers)}
    known = {line for record in RECORDS for line in usage(record.headers)}

    assert {line.partition(":")[0] for line in lines} >= {"x-app-usage", "x-ad-account-usage"}
    assert lines - known == set(load_unpublished_keys()[USAGE])


def test_each_recorded_call_is_compared() -> None:
    """Each recorded call is compared, and each line is about a compared call."""
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
    (record,) = [
        candidate for candidate in RECORDS if candidate.id == "redirect_not_registered_hindi"
    ]
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
