"""The minimal response of each check verifies; without any part of it, nothing does."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runbook_lib.core.model import Finding, Outcome
from tests.support.json_paths import Place, at, places
from tests.unit.connectors.minimal_responses import (
    MINIMAL_EXCHANGES,
    MinimalExchanges,
    ScriptedExchange,
    changed,
    with_value,
)
from tests.unit.connectors.perform import BY_NAME, CHECKS, perform, perform_whole

Case = tuple[Any, MinimalExchanges, int, Place]


def cases(*, free: bool = True) -> list[Any]:
    """Return each field of each minimal response; without `free`, only predictable ones."""
    found = []
    for check in CHECKS:
        for number, minimal in enumerate(MINIMAL_EXCHANGES[check.id]):
            for index, exchange in enumerate(minimal.exchanges):
                if exchange.is_page or not exchange.decides:
                    continue
                for place in places(exchange.body):
                    dotted = ".".join(map(str, place))
                    if free or not (exchange.is_free or dotted in exchange.free):
                        name = f"{check.id}-{number}-{index}-{dotted}"
                        found.append(pytest.param(check, minimal, index, place, id=name))
    return found


def loses(finding: Finding | None) -> bool:
    """Return whether the finding is not verified; assert that no defect is the reason."""
    assert finding is not None
    assert finding.code != "check-broken", finding.reason
    return finding.outcome is not Outcome.VERIFIED


def test_every_check_has_its_minimal_response() -> None:
    """Every check of the procedures has a minimal response."""
    assert set(MINIMAL_EXCHANGES) == {check.id for check in CHECKS}


@pytest.mark.parametrize(("check", "minimal"), BY_NAME)
def test_the_minimal_response_verifies(check: Any, minimal: MinimalExchanges) -> None:
    """The minimal response is sufficient to verify."""
    finding = perform(check, minimal)

    assert finding is not None
    assert finding.outcome is Outcome.VERIFIED, finding.reason


@pytest.mark.parametrize(("check", "minimal"), BY_NAME)
def test_the_record_keeps_all_of_it(check: Any, minimal: MinimalExchanges) -> None:
    """Each field on which a check rests is in the recorded answer, since its client declares it."""
    result = perform_whole(check, minimal)
    assert result is not None

    kept: dict[str, set[Place]] = {}
    for recorded in [seen.redacted() for seen in result.seen]:
        path = httpx.URL(recorded.url).path
        kept[path] = kept.get(path, set()) | set(places(recorded.response))
    for exchange in minimal.exchanges:
        if exchange.decides and not exchange.is_page:
            assert set(places(exchange.body)) <= kept[exchange.path], exchange.path


@pytest.mark.parametrize(("check", "minimal", "index", "place"), cases())
def test_no_part_of_it_can_be_left_out(
    check: Any, minimal: MinimalExchanges, index: int, place: Place
) -> None:
    """Without any one field or row, nothing is verified."""
    body = copy.deepcopy(minimal.exchanges[index].body)
    del at(body, place[:-1])[place[-1]]

    assert loses(perform(check, changed(minimal, index, body=body)))


@pytest.mark.matrix(40)
@pytest.mark.parametrize(("check", "minimal", "index", "place"), cases())
def test_each_part_has_its_type(
    check: Any, minimal: MinimalExchanges, index: int, place: Place
) -> None:
    """A value of another type at any path verifies nothing; an id may be a number."""
    value = at(minimal.exchanges[index].body, place)
    others = [None, 7, 1.5, True, "7", [], {}, [value], {"value": value}, str(value)]
    if isinstance(value, str) and str(place[-1]).rpartition("_")[2] == "id":
        others.remove(7)
    for other in others:
        if type(other) is not type(value):
            assert loses(perform(check, with_value(minimal, index, place, other))), other


@pytest.mark.parametrize(("check", "minimal", "index", "place"), cases(free=False))
def test_each_predictable_value_counts(
    check: Any, minimal: MinimalExchanges, index: int, place: Place
) -> None:
    """Another value at a path whose value is predictable verifies nothing."""
    value = at(minimal.exchanges[index].body, place)
    if isinstance(value, bool):
        other: Any = not value
    elif isinstance(value, int):
        other = value + 1
    elif isinstance(value, str):
        other = "other"
    else:
        return  # an object or a list: its parts have their own cases

    assert loses(perform(check, with_value(minimal, index, place, other)))


def reordered(content: Any) -> Any:
    """Return a document with its fields and rows in the opposite order."""
    if isinstance(content, dict):
        return {name: reordered(value) for name, value in reversed(content.items())}
    if isinstance(content, list):
        return [reordered(value) for value in reversed(content)]
    return content


def extended(content: Any) -> Any:
    """Return a document with additional fields in each object."""
    if isinstance(content, dict):
        known = {name: extended(value) for name, value in content.items()}
        return {"new_field": {"data": [None]}, **known, "another": 7}
    if isinstance(content, list):
        return [extended(value) for value in content]
    return content


@pytest.mark.parametrize("change", [reordered, extended])
@pytest.mark.parametrize(("check", "minimal"), BY_NAME)
def test_order_and_unknown_fields_do_not_count(
    check: Any, minimal: MinimalExchanges, change: Any
) -> None:
    """Fields and rows in another order, and additional fields, do not change the finding."""
    exchanges = tuple(replace(answer, body=change(answer.body)) for answer in minimal.exchanges)

    finding = perform(check, replace(minimal, exchanges=exchanges))
    usual = perform(check, minimal)

    assert finding is not None
    assert usual is not None
    assert (finding.outcome, finding.reason) == (usual.outcome, usual.reason)


def test_the_table_is_not_empty() -> None:
    """Only the checks that read pages have no JSON answer to take parts from."""
    bare = {
        check.id
        for check in CHECKS
        for minimal in MINIMAL_EXCHANGES[check.id]
        if not any(isinstance(one.body, dict | list) for one in minimal.exchanges)
    }
    assert bare == {"service-domain-answers", "webhook-takes-verify-token"}
    assert isinstance(MINIMAL_EXCHANGES[CHECKS[0].id][0].exchanges[0], ScriptedExchange)
