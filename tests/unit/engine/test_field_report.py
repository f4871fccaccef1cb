"""Responses beside known shapes: what differs, and whether a check may misread it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from facebook_cyclr_sandbox.recorded_responses import load_recorded_responses
from runbook_lib.core.model import Exchange, ResponseShape
from runbook_lib.core.shapes import error_numbers, shape_text
from runbook_lib.engine.field_report import (
    PUBLISHED,
    SANDBOX,
    DifferenceKind,
    KnownCall,
    KnownResponses,
    call_of,
    differences_of,
    known_responses,
)
from tools.shapes import as_exchange, is_of

AT = "2026-11-24T12:00:00.000Z"
CALL = "GET me/things?fields=id,name"
BODY = {"data": [{"id": "1", "name": "A", "size": 3}], "paging": {"next": "https://a.test"}}


def exchange(body: Any, status: int = 200, **more: Any) -> Exchange:
    shape = ResponseShape(body=shape_text(body), error=error_numbers(body))
    url = "https://graph.example/v26.0/me/things?fields=id,name"
    given = {"method": "GET", "url": url, "sent_on": AT, "elapsed": 0, "status": status}
    return Exchange(**{**given, "shape": shape, **more})


def response(body: Any, status: int = 200, source: str = SANDBOX) -> dict[str, Any]:
    text = shape_text(body)
    return {
        "from": source,
        "status": status,
        "error": error_numbers(body),
        "body": json.loads(text),
    }


def known(*responses: dict[str, Any]) -> KnownResponses:
    reads = frozenset({"data", "data[]", "data[].id", "data[].name"})
    return KnownResponses(
        {CALL: KnownCall(reads, [*responses])}, frozenset({"100/33"}), frozenset()
    )


ROW = {"id": "1", "name": "A", "size": 3}
ERROR = {"error": {"code": 100, "error_subcode": 33, "message": "No."}}


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (BODY, 200, []),
        ({**BODY, "data": []}, 200, []),
        ({**BODY, "data": [ROW, ROW]}, 200, []),
        ({**BODY, "data": [{**ROW, "name": "A long name of a thing"}]}, 200, []),
        (
            {**BODY, "data": [{"id": "1", "size": 3}]},
            200,
            [(DifferenceKind.LEFT_OUT, "data[].name", True)],
        ),
        (
            {**BODY, "data": [{"id": "1", "name": "A"}]},
            200,
            [(DifferenceKind.LEFT_OUT, "data[].size", False)],
        ),
        ({"data": [ROW]}, 200, [(DifferenceKind.LEFT_OUT, "paging", False)]),
        ({"paging": BODY["paging"]}, 200, [(DifferenceKind.LEFT_OUT, "data", True)]),
        (
            {**BODY, "data": [{**ROW, "id": 1}]},
            200,
            [(DifferenceKind.OTHER_TYPE, "data[].id", True)],
        ),
        (
            {**BODY, "data": [{**ROW, "size": None}]},
            200,
            [(DifferenceKind.OTHER_TYPE, "data[].size", False)],
        ),
        ({**BODY, "also": {"in": 1}}, 200, [(DifferenceKind.MORE_KEYS, "also", False)]),
        (
            {**BODY, "data": {"17": ROW}},
            200,
            [
                (DifferenceKind.OTHER_TYPE, "data", True),
                (DifferenceKind.MORE_KEYS, "data.{id}", False),
            ],
        ),
        (BODY, 206, [(DifferenceKind.STATUS, "", False)]),
        (BODY, 302, [(DifferenceKind.STATUS, "", True)]),
        (ERROR, 400, [(DifferenceKind.STATUS, "", False)]),
        (
            {"error": {"code": 4711}},
            400,
            [(DifferenceKind.UNKNOWN_CODE, "error", True), (DifferenceKind.STATUS, "", False)],
        ),
        (ERROR, 200, [(DifferenceKind.STATUS, "", True)]),
        (
            {"error": {"code": "100"}},
            400,
            [(DifferenceKind.UNKNOWN_CODE, "error", True), (DifferenceKind.STATUS, "", False)],
        ),
    ],
    ids=str,
)
def test_differences_are_named_with_their_weight(
    body: Any, status: int, expected: list[tuple[DifferenceKind, str, bool]]
) -> None:
    """A key that a check reads matters if it is left out or has another type; more keys do not."""
    differences = differences_of(known(response(BODY)), CALL, exchange(body, status))

    assert [
        (difference.kind, difference.where, difference.matters) for difference in differences
    ] == expected


@pytest.mark.parametrize(
    ("body", "kinds"),
    [(BODY, set()), (ERROR, set()), ({"error": {"code": 7}}, {DifferenceKind.UNKNOWN_CODE})],
)
def test_a_call_that_nobody_knows_is_named(body: Any, kinds: set[DifferenceKind]) -> None:
    """Nothing is known of its keys; an unknown code matters all the same."""
    differences = differences_of(known(response(BODY)), "GET {id}/new", exchange(body, 400))

    assert {difference.kind for difference in differences} == {DifferenceKind.UNKNOWN_CALL, *kinds}


@pytest.mark.parametrize("kind", ["page", "text", "nothing"])
def test_a_response_that_is_not_json_matters(kind: str) -> None:
    """Unless it is known from this call."""
    got = exchange(None, shape=ResponseShape(body=json.dumps(kind)))

    (differences,) = differences_of(known(response(BODY)), CALL, got)
    assert (differences.kind, differences.seen, differences.matters) == (
        DifferenceKind.NOT_JSON,
        kind,
        True,
    )
    one_known = {"from": SANDBOX, "status": 200, "error": "", "body": kind}
    assert list(differences_of(known(response(BODY), one_known), CALL, got)) == []


def test_a_published_response_adds_types_and_expects_no_key() -> None:
    """It may have been asked for other fields."""
    number = {"data": [{"id": 1}]}
    both = known(response(BODY), response(number, source=PUBLISHED))

    (differences,) = differences_of(both, CALL, exchange({**BODY, "data": [{"id": 1, "size": 3}]}))

    assert (differences.kind, differences.where) == (DifferenceKind.LEFT_OUT, "data[].name")


@pytest.mark.parametrize("text", ["{", "[" * 300, '"…"', '{"a":"…"}', "17", '{"a":1,"a":2}'])
def test_an_odd_shape_of_a_strangers_record_is_no_error(text: str) -> None:
    """A record is read as it is; what is too long or no shape gives no difference of a read key."""
    got = exchange(None, shape=ResponseShape(body=text))

    assert all(
        difference.kind is not DifferenceKind.NOT_JSON
        for difference in differences_of(known(response(BODY)), CALL, got)
    )


@pytest.mark.parametrize(
    ("url", "call"),
    [
        ("https://a.test/v26.0/me/things?fields=id&limit=3", "GET me/things?fields=id"),
        ("https://a.test/v26.0/ada/things", "GET {id}/things"),
        ("https://a.test/v1.0/accounts/6a80-b2/x", "GET {id}/{id}/{id}"),
        (
            "https://a.test/me/things?fields=a.user_id(17),b.after(xyz).limit(25)",
            "GET me/things?fields=a.user_id({id}),b.limit({id})",
        ),
    ],
)
def test_a_call_names_nobody(url: str, call: str) -> None:
    """Only words of known paths stay; ids and cursors do not."""
    assert call_of(exchange(None, url=url), {"me", "things"}) == call


def test_published_responses_pass_through_the_comparison() -> None:
    """Beside the sandbox's shapes, only ids that are numbers have another type that is read."""
    all_known = known_responses()
    own = {
        call: KnownCall(
            difference.reads,
            [
                response_shape
                for response_shape in difference.responses
                if response_shape["from"] == SANDBOX
            ],
        )
        for call, difference in all_known.calls.items()
    }
    sandbox = KnownResponses(own, all_known.codes, all_known.headers)
    compared = 0
    serious = set()
    for record in load_recorded_responses():
        if not record.body or record.method != "GET":
            continue
        got = as_exchange(record)
        assert got.shape is not None
        assert not got.shape.error or got.shape.error in all_known.codes
        for call in filter(lambda call: is_of(call, record), own):
            compared += 1
            # NOTE: its missing keys were perhaps not asked for.
            serious |= {
                (record.id, difference.where)
                for difference in differences_of(sandbox, call, got)
                if difference.matters and difference.kind is not DifferenceKind.LEFT_OUT
            }
            assert not any(
                difference.matters and difference.kind is not DifferenceKind.LEFT_OUT
                for difference in differences_of(all_known, call, got)
            )

    assert compared > 30
    assert serious == {
        ("debug_token_user_4", "data.app_id"),
        ("debug_token_user_4", "data.user_id"),
    }
