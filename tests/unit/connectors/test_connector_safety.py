"""
Every check with every change of its responses: no wrong *verified*, no unproved *failed*.

`minimal_responses` is the table of checks, `responses` the list of changes; every outcome that does
not stand in the table is inconclusive. `make responses` prints the counts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.model import Outcome
from tests.unit.connectors.minimal_responses import (
    BY_STATUS,
    CASES,
    MADE_UP_APP,
    NO_SUCH_APP,
    REFUSALS,
    ROWS,
    cases_of,
)
from tests.unit.connectors.responses import (
    OTHER_NAMES,
    changed_cases,
    changed_documents,
    edited,
    extended,
    reordered,
    responses_in_place_of,
)
from tests.unit.connectors.scripted_exchanges import (
    ALL_AT_ONCE,
    CHECKS,
    Case,
    ScriptedRemote,
    perform,
    perform_whole,
)

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.check)
# Two bytes in hexadecimal digits, as `made_up` repeats them, or the made-up app.
MADE_UP = re.compile(rf"(c[0-9])\1{{3}}|{MADE_UP_APP}")
NOT_CONTROLS: Mapping[str, int] = {
    "redirect-uri-is-accepted": 4,  # another path only sets the limit
    "webhook-takes-verify-token": 0,  # the challenge is made up, not the Verify Token
}
# Runs of each check with several wrong responses.
RUNS = 140
# Checks whose controls count only beside another response: two alike, or one that differs from the
# true one. What they lead to alone says nothing about several wrong ones.
COMPARING = ("service-domain-answers", "connector-is-authenticated", "connector-is-installed")


def controls_of(case: Case) -> list[list[int]]:
    """Return the places of what is made up: together if only a status refuses it, else each."""
    groups = defaultdict(list)
    for place, exchange in enumerate(case.exchanges):
        if exchange.proved_by:
            groups[-1 if exchange.proved_by == BY_STATUS else place].append(place)
    return list(groups.values())


def paths(body: Any) -> set[str]:
    """Return the path of every field and every item in a document."""
    names = [name for name, _ in changed_documents(body)]
    return {name.removeprefix("left out ") for name in names if name.startswith("left out ")}


def test_every_check_is_in_the_table() -> None:
    """No check is left out, and only those that read pages have no JSON to change."""
    with_json = {case.check for case in CASES for one in case.exchanges if paths(one.body)}

    assert {case.check for case in CASES} == CHECKS.keys()
    assert CHECKS.keys() - with_json == {"service-domain-answers", "webhook-takes-verify-token"}


@every_case
def test_the_minimal_responses_verify(case: Case) -> None:
    """They are sufficient, in any order and with unknown fields; the code is in a `codes.toml`."""
    finding = perform(case)

    assert finding.outcome is Outcome.VERIFIED, finding.reason
    assert meaning_of(finding.code)
    for edit in (reordered, extended):
        exchanges = tuple(replace(one, body=edited(one.body, edit)) for one in case.exchanges)
        other = perform(replace(case, exchanges=exchanges))
        assert (other.outcome, other.reason) == (finding.outcome, finding.reason)


@every_case
def test_the_record_keeps_all_of_the_minimal_responses(case: Case) -> None:
    """Each field on which a check rests is in the record, since its client declares it."""
    recorded = defaultdict(set)
    for exchange in (seen.redacted() for seen in perform_whole(case).seen):
        recorded[httpx.URL(exchange.url).path].update(paths(exchange.response))
    for scripted in case.exchanges:
        assert paths(scripted.body) <= recorded[scripted.path]


@pytest.mark.matrix(30)
@pytest.mark.parametrize(("case", "place"), ROWS)
def test_each_change_has_its_outcome(case: Case, place: int) -> None:
    """Only the changes in the table say failed, verified or not_run; none is stale, or a defect."""
    table = case if place == ALL_AT_ONCE else case.exchanges[place]
    reached = set()
    wrong = []
    for name, changed in changed_cases(case, place):
        finding = perform(changed)
        reached.add(finding.outcome)
        if finding.outcome is not table.outcome_of(name):
            wrong.append((name, finding.outcome.value, finding.reason))
    assert wrong == []
    assert reached >= {outcome for outcome in Outcome if getattr(table, outcome, ())}


@pytest.mark.matrix
@every_case
@pytest.mark.parametrize(
    "response",
    [
        200,
        201,
        204,
        302,
        400,
        401,
        403,
        404,
        429,
        500,
        503,
        httpx.ReadTimeout("broken"),
        httpx.RemoteProtocolError("broken"),
    ],
    ids=repr,
)
def test_one_response_to_everything_verifies_nothing(case: Case, response: int | Exception) -> None:
    """One page at every address, as from a parked domain, or a broken connection proves nothing."""

    def respond(_request: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        page = f"<html>App {' '.join(OTHER_NAMES)} is fine.</html>"
        return httpx.Response(response, text=page, headers={"content-type": "text/html"})

    finding = perform(case, httpx.MockTransport(respond))

    assert finding.outcome not in (Outcome.VERIFIED, Outcome.FAILED), finding.reason


@pytest.mark.matrix(30)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("check", CHECKS)
def test_wrong_responses_together_decide_nothing(check: str, part: int) -> None:
    """
    A check fails, or is not done, only if one of the responses says so by itself.

    It is verified only if none of them takes the verdict away.
    """
    for seed in range(part, RUNS, 4):
        dice = Random(f"{check} {seed}")
        case = dice.choice(cases_of(check))
        places = range(len(case.exchanges))
        names = []
        alone = set()
        for place in dice.sample(places, min(dice.randint(1, 3), len(places))):
            exchange = case.exchanges[place]
            name, other = dice.choice(list(responses_in_place_of(exchange)))
            case = case.with_exchange(place, other)
            is_compared = exchange.proved_by and check in COMPARING
            names.append((place, name))
            alone.add(Outcome.VERIFIED if is_compared else exchange.outcome_of(name))
        finding = perform(case)
        if finding.outcome is Outcome.VERIFIED:
            assert alone == {Outcome.VERIFIED}, (names, finding.reason)
        elif finding.outcome is not Outcome.INCONCLUSIVE:
            assert finding.outcome in alone, (names, finding.reason)


def test_every_check_has_a_control_or_names_its_object() -> None:
    """A check verifies by a response that names the object, or that differs from a control."""
    safe = {
        case.check
        for case in CASES
        for exchange in case.exchanges
        for name, _ in responses_in_place_of(exchange)
        if exchange.proved_by
        or ("of another" in name and exchange.outcome_of(name) is not Outcome.VERIFIED)
    }
    # Any ad account that the token reads will do.
    assert CHECKS.keys() - safe == {"marketing-data-is-readable"}


@every_case
def test_every_control_is_in_the_table(case: Case) -> None:
    """A request that names something made up is a control: the table says what it proves."""
    remote = ScriptedRemote(case.exchanges)
    perform(case, remote)
    made_up = {
        place
        for place, request in remote.requests
        if MADE_UP.search(f"{request.url} {request.headers} {request.content.decode()}")
    }
    controls = {place for place, exchange in enumerate(case.exchanges) if exchange.proved_by}

    assert made_up - {NOT_CONTROLS.get(case.check)} == controls


@pytest.mark.parametrize(
    ("case", "places"), [(case, places) for case in CASES for places in controls_of(case)]
)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_only_a_refusal_of_what_is_made_up_proves_something(
    case: Case, places: list[int], refusal: str
) -> None:
    """Any other refusal leaves the step inconclusive; an app's is quoted in the reason."""
    status, body = REFUSALS[refusal]
    proved_by = case.exchanges[places[0]].proved_by
    finding = perform(case.changed(partial(replace, status=status, body=body), *places))

    if refusal in proved_by:
        assert finding.outcome is Outcome.VERIFIED
    else:
        assert finding.outcome is Outcome.INCONCLUSIVE
        if proved_by == NO_SUCH_APP and "error" in body:
            assert f"code {body['error']['code']}" in finding.reason
            assert body["error"]["message"] in finding.reason


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.true_exchange >= 0], ids=lambda case: case.check
)
@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("later", [None, 401, 403, 404, 500])
def test_a_control_refused_with_an_ended_token_proves_nothing(
    case: Case, status: int, later: int | None
) -> None:
    """
    A control's 401 or 403 counts only if the true object is still answered afterwards.

    It is read once more then, however many controls got one; after another refusal it is not.
    """
    controls = controls_of(case)[0]
    true = case.exchanges[case.true_exchange]
    first = iter([True])
    last = replace(true, status=later, body={"Message": "Denied."}) if later else true
    once = replace(true, asks=lambda request: true.asks(request) and next(first, False))
    changed = case.changed(partial(replace, status=status), *controls)
    remote = ScriptedRemote((*changed.with_exchange(case.true_exchange, once).exchanges, last))
    finding = perform(case, remote)
    sent = Counter(place for place, _ in remote.requests)
    is_read_again = status in (401, 403)

    assert sent[case.true_exchange] == 1
    # NOTE: a server error is asked for three times.
    times = 3 if later == 500 else 1
    assert sent[len(case.exchanges)] == (times if is_read_again else 0)
    assert {sent[place] for place in controls} == {1}
    is_open = is_read_again and later is not None
    assert finding.outcome is (Outcome.INCONCLUSIVE if is_open else Outcome.VERIFIED)
