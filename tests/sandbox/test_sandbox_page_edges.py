"""A page's webhooks and test leads: Graph's less common calls."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.wording import wording

from .conftest import Graph, error_of


def post(graph: Graph, path: str, token: str = "page_access_token", **form: str) -> Any:
    form = {"access_token": str(graph.given.get(token, token)), **form}
    return graph.http.post(f"{graph.base}/{path}", data=form)


def delete(graph: Graph, path: str, token: str = "page_access_token") -> Any:
    params = {"access_token": str(graph.given.get(token, token))}
    return graph.http.delete(f"{graph.base}/{path}", params=params)


def test_a_batch_is_refused(own: Graph) -> None:
    """No check and no client here sends batches: the refusal names the route."""
    form = {"access_token": str(own.given["user_access_token"]), "batch": "[]"}
    response = own.http.post(f"{own.base}/", data=form)
    assert error_of(response)["message"] == wording("sandbox.does-not-answer")


def test_test_leads(own: Graph) -> None:
    """
    A form has one test lead, which must be deleted before the next; a real lead cannot be deleted.
    """
    path = f"{own.given['leadgen_form_id']}/test_leads"
    lead = post(own, path).json()["id"]
    assert error_of(post(own, path))["code"] == 100
    assert [row["id"] for row in own.get(path, "page").json()["data"]] == [lead]
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
    response = own.http.delete(f"{own.base}/{path}", params={"access_token": own.app_token})
    assert response.json() == {"success": True}
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
    response = post(own, f"{own.given['app_id']}/instruments", "user_access_token")
    assert response.json() == {"success": True}
