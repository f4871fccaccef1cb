"""The record keeps what a check read and what an auditor needs, and nothing else of an answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from runbook_lib.core.redaction import Redactor
from runbook_lib.remote.documents import Answer, Document, documents
from runbook_lib.remote.recording import recorded_body

PERSON = "Ada of Somewhere"
NOT_READ = "(fields that no check read)"


def answer(body: Any, status: int = 200) -> Answer:
    """Return an answer with this body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer("https://graph.example/me", status, httpx.Headers(), text)


def recorded(given: Answer) -> Any:
    """Return what the record keeps of an answer."""
    return recorded_body(given, Redactor())


def test_a_field_that_was_read_is_kept_and_others_are_counted() -> None:
    """Read through the typed readers, inside another object too."""
    given = answer({"a": {"b": 1, "who": PERSON}, "c": "x", "who": PERSON})
    Document(given.document(), "Facebook").document("a").number("b")

    assert recorded(given) == {"a": {"b": 1, NOT_READ: 1}, NOT_READ: 2}


def test_ids_and_names_of_things_are_kept() -> None:
    """They say which row of a list was which, whether it was read or not."""
    rows = [{"Id": 1, "Name": "One", "who": PERSON}, {"Id": 2, "Name": "Two"}]
    given = answer(rows)
    documents(given.document(), "Cyclr")

    assert recorded(given) == [{"Id": 1, "Name": "One", NOT_READ: 1}, {"Id": 2, "Name": "Two"}]


def test_a_field_that_was_looked_for_in_vain_adds_nothing() -> None:
    """Its absence shows, since what is there is named or counted."""
    given = answer({"a": 1})
    assert Document(given.document(), "Facebook").words("missing") == ""

    assert recorded(given) == {NOT_READ: 1}


def test_an_answer_that_no_check_read_shows_how_much_it_had() -> None:
    """Where its status is all that counts."""
    assert recorded(answer({"a": 1, "who": PERSON})) == {NOT_READ: 2}
    assert recorded(answer([])) == []
    assert recorded(answer("12")) == 12


@pytest.mark.parametrize(
    "refused",
    [
        answer({"error": {"message": "no", "error_data": {"blame": "scope"}}, "more": 1}),
        answer({"Message": "denied", "Trace": "t-1"}, status=401),
    ],
)
def test_a_refusal_is_kept_whole(refused: Answer) -> None:
    """Whoever asks the remote system about it needs every field."""
    assert recorded(refused) == json.loads(refused.text)


def test_of_a_page_its_title_is_kept() -> None:
    """What stands on a page is for people, and may be about them."""
    page = f"<!DOCTYPE html><TITLE lang=en>Not found &amp; gone\n</TITLE><p>{PERSON}"

    assert recorded(answer(page, 404)) == f"page “Not found & gone” ({len(page)} characters)"


def test_other_text_is_kept() -> None:
    """A proxy may refuse in words."""
    assert recorded(answer("blocked by policy", 403)) == "blocked by policy"


def test_deep_nesting_is_recorded_too() -> None:
    """As text, or as a document: nothing overflows."""
    given = answer("[" * 900 + "]" * 900)

    assert json.dumps(recorded(given))[:3] in {"[[[", '"[['}
