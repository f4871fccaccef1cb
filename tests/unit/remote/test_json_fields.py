"""The fields of a JSON object are read by type; another type is an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from runbook_lib.errors import MissingFieldError, UnexpectedResponseError
from runbook_lib.remote.json_fields import JSONObject, json_objects
from tests.support.wording import refused, wording

Read = Callable[[JSONObject], Any]

READERS: dict[str, tuple[Read, Any, Any]] = {
    "text": (lambda one: one.text("f"), "Acme", "Acme"),
    "display_text": (lambda one: one.display_text("f"), " two\n words ", "two words"),
    "identifier": (lambda one: one.identifier("f"), "act_1-2", "act_1-2"),
    "keyword": (lambda one: one.keyword("f"), "pages_show_list", "pages_show_list"),
    "number": (lambda one: one.number("f"), 7, 7),
    "code": (lambda one: one.code("f"), 191, 191),
    "boolean": (lambda one: one.boolean("f"), False, False),
    "moment": (lambda one: one.moment("f"), 86_400, datetime(1970, 1, 2, tzinfo=UTC)),
    "strings": (lambda one: one.strings("f"), ["a", ""], ("a", "")),
    "strings_or_none": (lambda one: one.strings_or_none("f"), ["a", ""], ("a", "")),
    "document": (lambda one: one.object_at("f"), {"g": 1}, {"g": 1}),
    "documents": (lambda one: one.objects_at("f"), [{"g": 1}, {}], [{"g": 1}, {}]),
    "expect": (lambda one: one.expect("f", "mine"), "mine", None),
}

# Values that a reader refuses in addition to all of other types.
WRONG: dict[str, tuple[Any, ...]] = {
    "text": ("", "  "),
    "identifier": ("", "a/b", "..", "a b", "\u00e9", "x" * 200, "a?b"),
    "keyword": ("", "a b", 7),
    "number": (1.0, True),
    "code": (1.0, True),
    "boolean": (0, 1),
    "moment": (10**18, 10**400, 1.0),
    "strings": ([1], [None], "a"),
    "strings_or_none": ([1], [None], "a"),
    "documents": ([1], [None], [[]], {}),
    "expect": ("other", ["mine"], "mine "),
}

# The end of the message: the documented type.
WANTED = {
    "text": ("a text",),
    "display_text": ("a text",),
    "identifier": ("an id",),
    "keyword": ("a name",),
    "number": ("a whole number",),
    "code": ("a whole number",),
    "boolean": ("true or false",),
    "moment": ("a whole number", "a time"),
    "strings": ("a list of texts",),
    "strings_or_none": ("a list of texts",),
    "document": ("an object",),
    "documents": ("a list of objects", "an object"),
    "expect": ("mine",),
}

# These readers return an empty value if the field is absent or null.
OPTIONAL = {"display_text": "", "code": None, "strings_or_none": None}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_a_value_of_its_type(name: str) -> None:
    """A value of the documented type is returned."""
    read, value, expected = READERS[name]

    assert read(JSONObject({"f": value}, "Facebook")) == expected


@pytest.mark.parametrize("name", READERS)
def test_a_reader_refuses_every_other_type(name: str) -> None:
    """The error names the remote system, the field, the value and the documented type."""
    read, value, _ = READERS[name]
    others = (None, "text", 7, 1.5, True, [], {}, ["a"], {"a": 1})
    wrong = [other for other in others if type(other) is not type(value)]
    if name == "identifier":
        wrong.remove(7)
    for other in (*wrong, *WRONG.get(name, ())):
        if other is None and name in OPTIONAL:
            continue
        with refused(UnexpectedResponseError, "field", system="Facebook", field="f") as caught:
            read(JSONObject({"f": other}, "Facebook"))
        assert str(caught.value).endswith(
            tuple(wording("unexpected-response.wanted", type=wanted) for wanted in WANTED[name])
        )
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", READERS)
def test_a_field_that_is_missing_is_named(name: str) -> None:
    """A missing field is an error that names it, or gives the reader's empty value."""
    read, *_ = READERS[name]
    if name in OPTIONAL:
        assert read(JSONObject({}, "Facebook")) == OPTIONAL[name]
        assert read(JSONObject({"f": None}, "Facebook")) == OPTIONAL[name]
        return
    with refused(MissingFieldError, "left-out", system="Facebook", field="f") as caught:
        read(JSONObject({}, "Facebook"))
    assert any(f"({wanted})" in str(caught.value) for wanted in WANTED[name])


def test_digits_are_an_id_in_either_type() -> None:
    """An id that consists of digits may be a number, but no negative one."""
    ids = JSONObject({"text": "12", "number": 12, "negative": -1, "boolean": True}, "Facebook")

    assert ids.identifier("text") == ids.identifier("number") == "12"
    ids.expect("number", "12")
    for name in ("negative", "boolean"):
        with pytest.raises(UnexpectedResponseError):
            ids.identifier(name)
    with pytest.raises(UnexpectedResponseError):
        ids.expect("number", "13")


@pytest.mark.parametrize(
    ("content", "gap"),
    [
        ({}, wording("messages.left-out")),
        ({"f": None}, wording("messages.null")),
        *(({"f": empty}, wording("messages.empty")) for empty in ("", [], {})),
        *(({"f": given}, "") for given in (0, False, "a", [None], {"a": None})),
    ],
)
def test_left_out_null_and_empty_are_three_things(content: dict[str, object], gap: str) -> None:
    """A reader can tell a field that is left out from one that is null, and from an empty one."""
    assert JSONObject(content, "Facebook").describe_absence("f") == gap


def test_a_default_is_for_absent_fields_only() -> None:
    """A default replaces an absent field; null is an error."""
    empty = JSONObject({}, "Facebook")
    null = JSONObject({"f": None}, "Facebook")

    assert empty.identifier("f", "") == ""
    assert empty.number("f", -1) == -1
    assert empty.moment("f", 0) is None
    assert empty.objects_at("f", ()) == []
    problem = f"f {wording('messages.null')}"
    for read in (lambda: null.number("f", -1), lambda: null.objects_at("f", ())):
        with refused(UnexpectedResponseError, "field", system="Facebook", field=problem):
            read()


def test_the_error_has_the_full_path_of_a_field() -> None:
    """The error has the field's full path, with indexes of lists."""
    response = JSONObject({"data": [{"id": "1"}, {"id": {"x": 1}}]}, "Facebook (/me/accounts)")

    system = "Facebook (/me/accounts)"
    with refused(UnexpectedResponseError, "field", system=system, field="data[1].id") as caught:
        response.objects_at("data")[1].identifier("id")

    assert str(caught.value).endswith(wording("unexpected-response.wanted", type="an id"))


def test_a_long_value_is_cut_in_the_message() -> None:
    """A long text or number is cut in the error's message."""
    response = JSONObject({"id": "x" * 10_000, "number": 10**400}, "Facebook")

    for read in (lambda: response.expect("id", "1"), lambda: response.expect("number", "1")):
        with pytest.raises(UnexpectedResponseError) as caught:
            read()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", [None, [], "text", 7, True])
def test_only_a_json_object_has_fields(content: object) -> None:
    """A response that is not an object is an error."""
    with refused(UnexpectedResponseError, "field", system="Facebook", field="the response") as got:
        JSONObject(content, "Facebook")
    assert str(got.value).endswith(wording("unexpected-response.wanted", type="an object"))


def test_a_json_object_is_a_mapping() -> None:
    """A document compares and iterates like its dictionary."""
    response = JSONObject({"id": "1", "name": "Acme"}, "Facebook")

    assert response == {"id": "1", "name": "Acme"}
    assert (list(response), len(response), response["id"]) == (["id", "name"], 2, "1")


@pytest.mark.parametrize("content", [{}, None, "text", 7])
def test_only_a_list_contains_json_objects(content: object) -> None:
    """A list of documents is read from a list only; anything else is an error."""
    with refused(UnexpectedResponseError, "not-a-list"):
        json_objects(content, "Cyclr")
