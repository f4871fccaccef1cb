"""What a remote system sent is read by its documented type; all else is an error in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.errors import UnexpectedAnswerError
from runbook_lib.plain_text import one_line
from runbook_lib.remote.documents import Document, documents, parse_answer, shorten

Read = Callable[[Document], Any]

READERS: dict[str, tuple[Read, Any, Any]] = {
    "text": (lambda one: one.text("f"), "Acme", "Acme"),
    "words": (lambda one: one.words("f"), " two\n words ", "two words"),
    "identifier": (lambda one: one.identifier("f"), "act_1-2", "act_1-2"),
    "number": (lambda one: one.number("f"), 7, 7),
    "code": (lambda one: one.code("f"), 191, 191),
    "flag": (lambda one: one.flag("f"), False, False),
    "moment": (lambda one: one.moment("f"), 86_400, datetime(1970, 1, 2, tzinfo=UTC)),
    "texts": (lambda one: one.texts("f"), ["a", ""], ("a", "")),
    "document": (lambda one: one.document("f"), {"g": 1}, {"g": 1}),
    "documents": (lambda one: one.documents("f"), [{"g": 1}, {}], [{"g": 1}, {}]),
    "expect": (lambda one: one.expect("f", "mine"), "mine", None),
}
# What each reader refuses beside all that has another type.
WRONG: dict[str, tuple[Any, ...]] = {
    "text": ("", "  "),
    "identifier": ("", "a/b", "..", "a b", "\u00e9", "x" * 200, "a?b"),
    "number": (1.0, True),
    "code": (1.0, True),
    "flag": (0, 1),
    "moment": (10**18, 10**400, 1.0),
    "texts": ([1], [None], "a"),
    "documents": ([1], [None], [[]], {}),
    "expect": ("other", ["mine"], "mine "),
}
# How the message ends: with what is documented.
WANTED = {
    "text": "a text",
    "words": "a text",
    "identifier": "an id",
    "number": "a whole number",
    "code": "a whole number",
    "flag": "true or false",
    "moment": "a (whole number|time)",
    "texts": "a list of texts",
    "document": "an object",
    "documents": "(a list of objects|an object)",
    "expect": "mine",
}
# Where the field is absent, or null, these return what stands for nothing.
OPTIONAL = {"words": "", "code": None, "texts": ()}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_what_has_its_type(name: str) -> None:
    """The documented value comes back as it is."""

    read, value, expected = READERS[name]

    assert read(Document({"f": value}, "Facebook")) == expected


@pytest.mark.parametrize("name", READERS)
def test_a_reader_refuses_every_other_type(name: str) -> None:
    """Each names who answered, the field, what stands there, and what should."""

    read, value, _ = READERS[name]
    others = (None, "text", 7, 1.5, True, [], {}, ["a"], {"a": 1})
    wrong = [other for other in others if type(other) is not type(value)]
    for other in (*wrong, *WRONG.get(name, ())):
        if other is None and name in OPTIONAL:
            continue
        said = rf"^Facebook answered .*: f\b.* is .+, not {WANTED[name]}\.$"
        with pytest.raises(UnexpectedAnswerError, match=said) as caught:
            read(Document({"f": other}, "Facebook"))
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", READERS)
def test_a_field_that_is_missing_is_named(name: str) -> None:
    """Absence is said as such, or is what the reader documents."""

    read, *_ = READERS[name]
    if name in OPTIONAL:
        assert read(Document({}, "Facebook")) == OPTIONAL[name]
        assert read(Document({"f": None}, "Facebook")) == OPTIONAL[name]
        return
    with pytest.raises(UnexpectedAnswerError, match=f"f is missing, not {WANTED[name]}"):
        read(Document({}, "Facebook"))


def test_a_default_stands_for_an_absent_field_only() -> None:
    """Null is a value, and not the documented one."""

    empty, null = Document({}, "Facebook"), Document({"f": None}, "Facebook")

    assert empty.identifier("f", "") == ""
    assert empty.number("f", -1) == -1
    assert empty.moment("f", 0) is None
    assert empty.documents("f", ()) == []
    for read in (lambda: null.number("f", -1), lambda: null.documents("f", ())):
        with pytest.raises(UnexpectedAnswerError, match="f is null"):
            read()


def test_a_place_deep_in_an_answer_is_named_whole() -> None:
    """Who reads the message finds the field."""

    answer = Document({"data": [{"id": "1"}, {"id": {"x": 1}}]}, "Facebook (/me/accounts)")

    with pytest.raises(UnexpectedAnswerError) as caught:
        answer.documents("data")[1].identifier("id")

    assert str(caught.value) == (
        "Facebook (/me/accounts) answered with something unexpected: data[1].id is an object, "
        "not an id."
    )


def test_what_is_shown_of_a_value_is_short() -> None:
    """A page of text is cut."""

    answer = Document({"id": "x" * 10_000, "number": 10**400}, "Facebook")

    for read in (lambda: answer.expect("id", "1"), lambda: answer.expect("number", "1")):
        with pytest.raises(UnexpectedAnswerError) as caught:
            read()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", [None, [], "text", 7, True])
def test_what_is_no_object_is_no_document(content: object) -> None:
    """An answer of another form is refused at once."""

    with pytest.raises(UnexpectedAnswerError, match=r"the answer is .*, not an object"):
        Document(content, "Facebook")


def test_a_document_is_a_mapping() -> None:
    """It can be compared, and looked through, as what it holds."""

    answer = Document({"id": "1", "name": "Acme"}, "Facebook")

    assert answer == {"id": "1", "name": "Acme"}
    assert (list(answer), len(answer), answer["id"]) == (["id", "name"], 2, "1")


@pytest.mark.parametrize("content", [{}, None, "text", 7])
def test_what_is_no_list_holds_no_documents(content: object) -> None:
    """Some APIs answer with a bare list; nothing else is one."""

    with pytest.raises(UnexpectedAnswerError, match="not a list of objects"):
        documents(content, "Cyclr")


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", '{"a":NaN}', "[1e999]", "-1e999", "\ufeff{}", "{'a':1}"],
)
def test_what_rfc_8259_does_not_know_is_no_json(text: str) -> None:
    """Python would read some of these; JSON has no NaN, no Infinity and no byte order mark."""

    with pytest.raises(ValueError, match=r".+"):
        parse_answer(text)


def test_json_is_read() -> None:
    """Numbers keep their kind: a whole one stays whole."""

    assert parse_answer('{"a":[1,1.5,true,null,"\\ud83d\\ude00"]}') == {
        "a": [1, 1.5, True, None, "\U0001f600"]
    }
    assert isinstance(parse_answer("1"), int)


def test_words_for_a_sentence_are_short() -> None:
    """One line, and no more of it than a person reads."""

    assert shorten(" a\n b ") == "a b"
    assert shorten("word " * 100) == ("word " * 60).strip() + "…"
    assert shorten("x" * 301) == "… (301 characters without a space)"
    assert len(shorten("a " * 5_000_000)) < 310
    assert shorten("a\x1b[31mb\u202e") == "a[U+001B][31mb[U+202E]"


@given(st.text(min_size=8, max_size=80).filter(lambda text: not any(map(str.isspace, text))))
def test_no_word_is_cut_in_two(secret: str) -> None:
    """Half a credential would be masked by nobody: it stands there whole, or not at all."""

    for before in range(280, 300):
        shown = shorten("." * before + " " + secret + " and more" * 100)
        assert secret in shown or shown == "." * before + "…" or one_line(secret) in shown


@pytest.mark.parametrize("text", ["[" + "{}," * 200_000 + "{}]", '{"a":' + "[0," * 90_000])
def test_a_document_of_more_values_than_any_answer_has_is_none(text: str) -> None:
    """Parsing it would take thirty times its size in memory."""

    with pytest.raises(ValueError):  # noqa: PT011
        parse_answer(text)
