"""
Every check with every change of its responses: no wrong *verified*, no unproved *failed*.

`minimal_responses` lists each check with the responses that verify it, `responses` the changes,
and `tests.support.expected_outcomes` the cells where *failed*, *verified* or *not_run* may stand;
every other cell is inconclusive. `make responses` prints the counts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from random import Random

import httpx
import pytest

from runbook_lib.connectors.code_meanings import meaning_of
from runbook_lib.core.model import Outcome
from tests.support.expected_outcomes import CELLS, GENERATED, expected, find_cell
from tests.unit.connectors.minimal_responses import (
    CHECKS,
    CONTROLS,
    MADE_UP_APP,
    MINIMAL,
    NO_SUCH_APP,
    REFUSALS,
    Control,
)
from tests.unit.connectors.responses import (
    ALL_AT_ONCE,
    OTHER_NAMES,
    changed_scripts,
    extended,
    places,
    reordered,
    responses_in_place_of,
)
from tests.unit.connectors.scripted_exchanges import (
    Asks,
    ScriptedRemote,
    perform,
    perform_whole,
)

BY_ID = {check.id: check for check in CHECKS}
SCRIPTS = [(name, number) for name in MINIMAL for number in range(len(MINIMAL[name]))]
ROWS = [
    (name, number, place)
    for name, number in SCRIPTS
    for place in (*range(len(MINIMAL[name][number].exchanges)), ALL_AT_ONCE)
]
every_script = pytest.mark.parametrize(("name", "number"), SCRIPTS)

# Two bytes in hexadecimal digits, as `made_up` repeats them, or the made-up app.
MADE_UP = re.compile(rf"(c[0-9])\1{{3}}|{MADE_UP_APP}")
NOT_CONTROLS: Mapping[str, set[int]] = {
    "redirect-uri-is-accepted": {4},  # another path only sets the limit
    "webhook-takes-verify-token": {0},  # the challenge is made up, not the Verify Token
}
# Runs of each check with several wrong responses.
RUNS = 140
MOST_WRONG = 3
# Controls that count only beside another response: two alike, or one that differs from the true
# one. What they lead to alone says nothing about several wrong ones.
COMPARED_CONTROLS: Mapping[str, tuple[int, ...]] = {
    "service-domain-answers": (1,),
    "connector-is-authenticated": (2, 3),
    "connector-is-installed": (2, 3, 4, 5),
}


def test_every_check_is_in_each_table() -> None:
    """No check is left out, and only those that read pages have no JSON to change."""
    without_json = {
        name
        for name, number in SCRIPTS
        if not any(list(places(exchange.body)) for exchange in MINIMAL[name][number].exchanges)
    }

    assert MINIMAL.keys() == CELLS.keys() == BY_ID.keys()
    assert without_json == {"service-domain-answers", "webhook-takes-verify-token"}


@every_script
def test_the_minimal_responses_verify(name: str, number: int) -> None:
    """They are sufficient, in any order and with unknown fields; the code is in a `codes.toml`."""
    script = MINIMAL[name][number]
    finding = perform(BY_ID[name], script)

    assert finding.outcome is Outcome.VERIFIED, finding.reason
    assert meaning_of(finding.code)
    for change in (reordered, extended):
        exchanges = tuple(replace(one, body=change(one.body)) for one in script.exchanges)
        other = perform(BY_ID[name], replace(script, exchanges=exchanges))
        assert (other.outcome, other.reason) == (finding.outcome, finding.reason)


@every_script
def test_the_record_keeps_all_of_the_minimal_responses(name: str, number: int) -> None:
    """Each field on which a check rests is in the record, since its client declares it."""
    recorded = defaultdict(set)
    for seen in perform_whole(BY_ID[name], MINIMAL[name][number]).seen:
        exchange = seen.redacted()
        recorded[httpx.URL(exchange.url).path].update(places(exchange.response))
    for scripted in MINIMAL[name][number].exchanges:
        assert set(places(scripted.body)) <= recorded[scripted.path]


@pytest.mark.matrix(30)
@pytest.mark.parametrize(("name", "number", "place"), ROWS)
def test_each_cell_has_its_outcome(name: str, number: int, place: int) -> None:
    """Only the cells in the table say failed, verified or not_run; none is a defect."""
    wrong = []
    for response, script in changed_scripts(MINIMAL[name][number], place):
        finding = perform(BY_ID[name], script)
        outcome = expected(name, number, place, response)
        if finding.outcome is not outcome:
            wrong.append((response, finding.outcome.value, outcome.value, finding.reason))
    assert wrong == []


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_about_a_response(name: str) -> None:
    """A cell of the table that matches no response is stale."""
    keys = {
        find_cell(name, number, place, response)
        for check, number, place in ROWS
        if check == name
        for response in (GENERATED, *dict(changed_scripts(MINIMAL[name][number], place)))
    }

    assert [cell for cell in CELLS[name] if cell not in keys] == []


@pytest.mark.matrix
@every_script
@pytest.mark.parametrize(
    "response",
    [
        *(200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503),
        httpx.ReadTimeout("broken"),
        httpx.RemoteProtocolError("broken"),
    ],
    ids=repr,
)
def test_one_response_to_everything_verifies_nothing(
    name: str, number: int, response: int | Exception
) -> None:
    """One page at every address, as from a parked domain, or a broken connection proves nothing."""

    def respond(_request: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        page = f"<html>App {' '.join(OTHER_NAMES)} is fine.</html>"
        return httpx.Response(response, text=page, headers={"content-type": "text/html"})

    finding = perform(BY_ID[name], MINIMAL[name][number], httpx.MockTransport(respond))

    assert finding.outcome not in (Outcome.VERIFIED, Outcome.FAILED), finding.reason


@pytest.mark.matrix(30)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("name", MINIMAL)
def test_wrong_responses_together_decide_nothing(name: str, part: int) -> None:
    """
    A check fails, or is not done, only if one of the responses says so by itself.

    It is verified only if none of them takes the verdict away.
    """
    for seed in range(part, RUNS, 4):
        dice = Random(f"{name} {seed}")
        number = dice.randrange(len(MINIMAL[name]))
        script = MINIMAL[name][number]
        all_places = range(len(script.exchanges))
        alone = set()
        responses = []
        for place in dice.sample(all_places, min(dice.randint(1, MOST_WRONG), len(all_places))):
            response, other = dice.choice(list(responses_in_place_of(script.exchanges[place])))
            script = script.with_exchange(place, other)
            is_compared = place in COMPARED_CONTROLS.get(name, ())
            outcome = expected(name, number, place, response)
            alone.add(Outcome.VERIFIED if is_compared else outcome)
            responses.append((place, response))
        finding = perform(BY_ID[name], script)
        if finding.outcome is Outcome.VERIFIED:
            assert alone == {Outcome.VERIFIED}, (responses, finding.reason)
        elif finding.outcome is not Outcome.INCONCLUSIVE:
            assert finding.outcome in alone, (responses, finding.reason)


# --- controls ----------------------------------------------------------------------------------


def test_every_check_has_a_control_or_names_its_object() -> None:
    """A check verifies by a response that names the object, or that differs from a control."""
    named = {
        name
        for name, number, place in ROWS
        for response, _ in changed_scripts(MINIMAL[name][number], place)
        if "of another" in response
        and expected(name, number, place, response) is not Outcome.VERIFIED
    }
    # Any ad account that the token reads will do.
    assert BY_ID.keys() - named - {control.check for control in CONTROLS} == {
        "marketing-data-is-readable"
    }


@every_script
def test_every_control_is_listed(name: str, number: int) -> None:
    """A request that names something made up is one of `CONTROLS`."""
    remote = ScriptedRemote(MINIMAL[name][number].exchanges)
    perform(BY_ID[name], MINIMAL[name][number], remote)
    sent = {
        place
        for place, request in remote.requests
        if MADE_UP.search(f"{request.url} {request.headers} {request.content.decode()}")
    }
    listed = [one.places for one in CONTROLS if (one.check, one.number) == (name, number)]

    assert sent - NOT_CONTROLS.get(name, set()) == {place for group in listed for place in group}


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_only_a_refusal_of_what_is_made_up_proves_something(control: Control, refusal: str) -> None:
    """Any other refusal leaves the step inconclusive, and the reason has Facebook's own words."""
    status, body = REFUSALS[refusal]
    script = MINIMAL[control.check][control.number]
    finding = perform(
        BY_ID[control.check], script.changed(*control.places, status=status, body=body)
    )

    if refusal in control.proves:
        assert finding.outcome is Outcome.VERIFIED
    else:
        assert finding.outcome is Outcome.INCONCLUSIVE
        if "error" in body and control.proves is NO_SUCH_APP:
            assert f"code {body['error']['code']}" in finding.reason
            assert body["error"]["message"] in finding.reason


@pytest.mark.parametrize("control", [one for one in CONTROLS if one.true_exchange is not None])
@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("later", [None, 401, 403, 404])
def test_a_control_refused_with_an_ended_token_proves_nothing(
    control: Control, status: int, later: int | None
) -> None:
    """
    A control's 401 or 403 counts only if the true object is still answered afterwards.

    It is read once more then, however many controls got one; after another refusal it is not.
    """
    assert control.true_exchange is not None
    script = MINIMAL[control.check][control.number].changed(*control.places, status=status)
    true = script.exchanges[control.true_exchange]
    last = replace(true, status=later, body={"Message": "Denied."}) if later else true
    script = script.with_exchange(control.true_exchange, replace(true, asks=once(true.asks)))
    remote = ScriptedRemote((*script.exchanges, last))
    finding = perform(BY_ID[control.check], script, remote)
    sent = Counter(place for place, _ in remote.requests)
    is_read_again = status in (401, 403)

    assert sent[control.true_exchange] == 1
    assert sent[len(script.exchanges)] == is_read_again
    assert [sent[place] for place in control.places] == [1] * len(control.places)
    is_open = is_read_again and later is not None
    assert finding.outcome is (Outcome.INCONCLUSIVE if is_open else Outcome.VERIFIED)


def once(asks: Asks) -> Asks:
    """Return the same condition, which holds only for the first such request."""
    first = iter([True])
    return lambda request: asks(request) and next(first, False)
