"""The record has only the fields that a check reads or an auditor needs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.remote.http_messages import Response
from runbook_lib.remote.recording import recorded_body, recorded_shape
from tests.support.wording import wording

PERSON = "Ada of Somewhere"
NOT_READ = wording("messages.fields-not-read")


def response(body: Any, status: int = 200) -> Response:
    """Return a response with this body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Response("https://graph.example/me", status, httpx.Headers(), text)


def recorded(given: Response, *reads: str) -> Any:
    """Return the recorded body of a response with these recorded fields."""
    return recorded_body(given, Redactor(), reads)


def test_fields_that_are_read_are_recorded_and_others_counted() -> None:
    """Fields that somebody reads are recorded, in nested objects too; the others are counted."""
    given = response({"a": {"b": 1, "who": PERSON}, "c": "x", "who": PERSON})

    assert recorded(given, "a", "b") == {"a": {"b": 1, NOT_READ: 1}, NOT_READ: 2}


def test_ids_and_names_are_recorded() -> None:
    """Ids and names are recorded even if no check reads them, to identify the rows of a list."""
    given = response([{"Id": 1, "Name": "One", "who": PERSON}, {"Id": 2, "Name": "Two"}])

    assert recorded(given) == [{"Id": 1, "Name": "One", NOT_READ: 1}, {"Id": 2, "Name": "Two"}]


def test_a_missing_field_is_not_recorded() -> None:
    """A field that would be read and is missing adds nothing to the record."""
    assert recorded(response({"a": 1}), "missing") == {NOT_READ: 1}


def test_the_record_counts_omitted_fields() -> None:
    """If nobody reads the response, the record has the number of its fields."""
    assert recorded(response({"a": 1, "who": PERSON})) == {NOT_READ: 2}
    assert recorded(response([])) == []
    assert recorded(response("12")) == 12


@pytest.mark.parametrize(
    "refused",
    [
        response({"error": {"message": "no", "error_data": {"blame": "scope"}}, "more": 1}),
        response({"Message": "denied", "Trace": "t-1"}, status=401),
    ],
)
def test_a_refusal_is_recorded_in_full(refused: Response) -> None:
    """An error is recorded with all its fields, which the remote system's support may need."""
    assert recorded(refused) == json.loads(refused.text)


def test_only_the_title_of_a_page_is_recorded() -> None:
    """A page's title and length are recorded; its text may be about persons."""
    page = f"<!DOCTYPE html><TITLE lang=en>Not found &amp; gone\n</TITLE><p>{PERSON}"

    assert recorded(response(page, 404)) == wording(
        "screens.page-with-title", title="Not found & gone", count=len(page)
    )


def test_only_the_length_of_a_page_without_a_title_is_recorded() -> None:
    """A body with an HTML content type is a page, whatever it lacks."""
    page = f"<p>{PERSON}"
    headers = httpx.Headers({"content-type": "Text/HTML; charset=utf-8"})
    given = replace(response(page), headers=headers)

    assert recorded(given) == wording("screens.page-without-title", count=len(page))


def test_a_plain_text_is_recorded() -> None:
    """A plain text is recorded, for example a proxy's refusal."""
    text = "blocked by policy"
    assert recorded(response(text, 403)) == text


def test_a_response_with_a_repeated_field_is_recorded_by_that_name_only() -> None:
    """The record omits the text of such a response, which may hold unknown credentials."""
    given = response('[{"AuthValue": "unknown-secret", "Id": 1, "Id": 2}]')

    said = "graph.example gave an unexpected response: an object in it has 'Id' twice."
    assert recorded(given) == f"{said} ({len(given.text)} characters)"


def test_deep_nesting_is_recorded_too() -> None:
    """A deeply nested response is recorded as a document or as text, without an error."""
    given = response("[" * 900 + "]" * 900)

    assert json.dumps(recorded(given))[:3] in {"[[[", '"[['}


def test_the_shape_of_a_response_has_no_value() -> None:
    """Keys with types, numbers of an error, and names of headers that not every server sends."""
    given = response({"name": PERSON, "error": {"code": 190, "error_subcode": 463}}, 400)
    headers = httpx.Headers({"Date": "today", "X-New": PERSON, "retry-after": "3"})

    shape = recorded_shape(replace(given, headers=headers), Redactor(), without=["retry-after"])

    body = {"error": {"code": "i", "error_subcode": "i"}, "name": "s32"}
    assert json.loads(shape.body) == body
    assert (shape.error, shape.header_names) == ("190/463", ("x-new",))


@pytest.mark.parametrize(
    ("text", "kind"),
    [("<html></html>", "page"), ("\n <!DOCTYPE html>", "page"), ("No.", "text"), (" ", "nothing")],
)
def test_the_shape_of_other_text_than_json_is_its_kind(text: str, kind: str) -> None:
    """A page, a text or nothing."""
    assert json.loads(recorded_shape(response(text), Redactor()).body) == kind


def test_a_secret_that_is_a_key_is_not_in_the_shape() -> None:
    """A remote system may give a credential as a key; it looks like any name."""
    secret = "correct_horse_battery"

    shape = recorded_shape(response({secret: 1}), Redactor([Secret(secret)]))

    assert secret not in shape.body
