"""Batches, a page's webhooks and test leads: Graph's less common calls."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .conftest import Graph, error_of


def batch(graph: Graph, requests: Any, **params: str) -> httpx.Response:
    token = {"access_token": str(graph.given["user_access_token"])}
    text = requests if isinstance(requests, str) else json.dumps(requests)
    return graph.http.post(f"{graph.base}/", data={**token, "batch": text, **params})


def post(graph: Graph, path: str, token: str = "page_access_token", **form: str) -> Any:
    form = {"access_token": str(graph.given.get(token, token)), **form}
    return graph.http.post(f"{graph.base}/{path}", data=form)


def delete(graph: Graph, path: str, token: str = "page_access_token") -> Any:
    params = {"access_token": str(graph.given.get(token, token))}
    return graph.http.delete(f"{graph.base}/{path}", params=params)


def test_each_request_of_a_batch_has_its_own_answer(own: Graph) -> None:
    """
    Each answer has code, headers and a JSON text as body; a failed request does not fail the
    others.
    """
    requests = [
        {"method": "GET", "relative_url": "me?fields=id"},
        {"method": "GET", "relative_url": "v26.0/4711"},
        {"method": "POST", "relative_url": "me", "body": "method=get&fields=name"},
    ]
    answers = batch(own, requests).json()
    assert [one["code"] for one in answers] == [200, 400, 200]
    assert json.loads(answers[0]["body"])["id"] == own.sandbox.world.facebook.person.id
    assert json.loads(answers[1]["body"])["error"]["error_subcode"] == 33
    assert {"name", "value"} == set(answers[0]["headers"][0])
    assert "name" in json.loads(answers[2]["body"])
    bare = batch(own, requests, include_headers="false").json()
    assert "headers" not in bare[0]


@pytest.mark.parametrize("field", ["relative_url", "body"])
def test_a_request_that_uses_the_answer_of_another_is_refused(own: Graph, field: str) -> None:
    """{result=name:$.path} is not filled in: the error names the request."""
    request = {"method": "POST", "relative_url": "me", field: "me?id={result=mine:$.data.0.id}"}
    error = error_of(batch(own, [request]))
    assert "fills in no {result=…}" in error["message"]
    assert f"batch: {request['relative_url']}." in error["message"]


@pytest.mark.parametrize(
    "requests", ["", "{", "[]", "{}", "[1]", '[{"method":"GET"}]', "[" * 50_000, [{}] * 51]
)
def test_an_invalid_batch_is_refused(own: Graph, requests: Any) -> None:
    """An invalid batch gets one error for the whole batch."""
    answer = batch(own, requests)
    assert answer.status_code == 400
    assert error_of(answer)["message"]


def test_a_batch_with_a_file_is_multipart(own: Graph) -> None:
    """A batch may be multipart, as the SDKs send it with a file."""
    form = {
        "access_token": str(own.given["user_access_token"]),
        "batch": json.dumps([{"method": "GET", "relative_url": "me"}]),
    }
    answer = own.http.post(f"{own.base}/", data=form, files={"file": b"x"})
    assert answer.json()[0]["code"] == 200


def test_test_leads(own: Graph) -> None:
    """
    A form has one test lead, which must be deleted before the next; a real lead cannot be deleted.
    """
    path = f"{own.given['leadgen_form_id']}/test_leads"
    lead = post(own, path).json()["id"]
    assert error_of(post(own, path))["code"] == 100
    assert [one["id"] for one in own.get(path, "page").json()["data"]] == [lead]
    assert error_of(own.get(path, "user"))["code"] == 190
    assert delete(own, lead).json() == {"success": True}
    assert own.get(path, "page").json() == {"data": []}
    real = own.get(f"{own.given['leadgen_form_id']}/leads").json()["data"][0]["id"]
    assert error_of(delete(own, real))["error_subcode"] == 33
    assert post(own, path).status_code == 200


def test_subscribed_apps(own: Graph) -> None:
    """A page's webhooks need a page token and subscribed_fields."""
    path = f"{own.given['page_id']}/subscribed_apps"
    assert error_of(post(own, path))["message"] == (
        "(#100) The parameter subscribed_fields is required"
    )
    assert post(own, path, subscribed_fields="leadgen").json() == {"success": True}
    row = own.get(path, "page").json()["data"][0]
    assert (row["id"], row["subscribed_fields"]) == (own.given["app_id"], ["leadgen"])
    assert error_of(own.get(path, "user"))["code"] == 190
    assert error_of(delete(own, path))["code"] == 15
    answer = own.http.delete(f"{own.base}/{path}", params={"access_token": own.app_token})
    assert answer.json() == {"success": True}
    assert own.get(path, "page").json()["data"] == []


def test_an_unsupported_method_is_refused(own: Graph) -> None:
    """An unsupported POST, DELETE or PUT gets error 100 with the method's message."""
    assert error_of(post(own, "me"))["message"].startswith("Unsupported post request.")
    assert error_of(delete(own, str(own.given["page_id"])))["message"].startswith(
        "Unsupported delete request."
    )
    put = own.http.put(f"{own.base}/me", data={"access_token": "x"})
    assert error_of(put)["code"] == 100


@pytest.mark.parametrize("ask", [post, delete])
def test_an_edge_that_is_not_served_is_named(ask: Callable[..., Any], own: Graph) -> None:
    """POST and DELETE of an app's webhooks are refused by their route."""
    path = f"{own.given['app_id']}/subscriptions"
    message = f"(#100) The sandbox does not answer {ask.__name__.upper()} /{path}."
    assert error_of(ask(own, path, own.app_token))["message"] == message


def test_a_crash_report_is_accepted(own: Graph) -> None:
    """The crash report of Facebook's SDK is accepted."""
    answer = post(own, f"{own.given['app_id']}/instruments", "user_access_token")
    assert answer.json() == {"success": True}
