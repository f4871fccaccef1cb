"""
The table: every control × the refusals that a remote system may answer it with.

A control asks about something made up. It proves something only if the made-up part is what was
refused. Refused for any other reason, or with a token that has ended since, nothing is verified.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from runbook_lib.core.model import Finding, Outcome
from tests.unit import bodies
from tests.unit.bodies import APP_ID, graph_error
from tests.unit.connectors.minimal_responses import (
    MINIMAL_EXCHANGES,
    MinimalExchanges,
    ScriptedExchange,
    ScriptedRemote,
    made_up,
)
from tests.unit.connectors.perform import CHECKS, perform

MADE_UP_APP = f"9{int(made_up(7), 16):017}"
CHECK = {check.id: check for check in CHECKS}
_NO_OBJECT = "Object with ID '{}' does not exist, cannot be loaded due to missing permissions"

# Status and error object; each with a text that is Facebook's.
REFUSALS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "1": (400, bodies.UNKNOWN_FAULT),
    "1 secret": (400, bodies.BAD_SECRET),
    "2": (400, bodies.TRANSIENT),
    "3": (400, graph_error("(#3) Application does not have the capability to make this call.", 3)),
    "-1": (400, graph_error("An unknown error has occurred", -1)),
    "10": (403, graph_error("(#10) Application does not have permission for this action", 10)),
    "100": (400, bodies.NO_SUCH_FIELD),
    "100 of the app": (400, graph_error(_NO_OBJECT.format(APP_ID), 100)),
    "100 made up": (400, graph_error(_NO_OBJECT.format(MADE_UP_APP), 100)),
    "100/33": (400, bodies.NO_SUCH_OBJECT),
    "33 of 200": (403, graph_error("Permissions error", 200, error_subcode=33)),
    "101": (404, bodies.UNKNOWN_APP),
    "102": (401, graph_error("Session key invalid or no longer valid", 102)),
    "190": (401, bodies.EXPIRED_TOKEN),
    "191": (400, bodies.REDIRECT_REFUSED),
    "191 old": (400, bodies.OLD_REDIRECT_REFUSED),
    "191 form": (400, graph_error("redirect_uri isn't an absolute URI. Check RFC 3986.", 191)),
    "191 none": (400, graph_error("Missing redirect_uri parameter.", 191)),
    "200": (403, bodies.NO_ADS),
    "368": (400, graph_error("The action attempted has been deemed abusive", 368)),
    "803": (
        404,
        graph_error(f"(#803) Some of the aliases you requested do not exist: {MADE_UP_APP}", 803),
    ),
    "method": (405, {"Message": "The requested resource does not support http method 'GET'."}),
    "conflict": (409, {"Message": "Conflict"}),
    "timeout": (408, {"Message": "Request Timeout"}),
    "gone": (410, {"Message": "Gone"}),
    "early": (425, {"Message": "Too Early"}),
    "no page": (404, {"Message": "Not found"}),
    "form": (422, {"Message": "The id is not valid"}),
    "legal": (451, {"Message": "Unavailable For Legal Reasons"}),
    "broken": (500, {"Message": "An error has occurred."}),
    "away": (503, {"Message": "Service Unavailable"}),
}
_NO_SUCH_APP = {"100 made up", "100/33", "803"}
_NO_SUCH_HOST = {"191", "191 old"}
# A status that refuses what the request names, whatever stands beside it.
_BY_STATUS = {
    name for name, (status, _) in REFUSALS.items() if status in (400, 401, 403, 404, 410, 422)
}


@dataclass(frozen=True)
class Control:
    """The controls among a check's minimal responses, and the refusals that prove something."""

    check: str
    places: tuple[int, ...]
    proves: set[str]
    variant: int = 0

    @property
    def minimal(self) -> MinimalExchanges:
        """The minimal responses with which the check verifies."""
        return MINIMAL_EXCHANGES[self.check][self.variant]


def _controls() -> Iterator[Control]:
    for check, variants in MINIMAL_EXCHANGES.items():
        for number, minimal in enumerate(variants):
            places = [
                n for n, exchange in enumerate(minimal.exchanges) if MADE_UP_APP in exchange.path
            ]
            if places:
                yield Control(check, tuple(places), _NO_SUCH_APP, number)
    yield Control("app-credentials-are-accepted", (1,), {"1 secret"})
    for number in (0, 1):
        yield Control("redirect-uri-is-accepted", (2,), _NO_SUCH_HOST, number)
        yield Control("redirect-uri-is-accepted", (3,), _NO_SUCH_HOST, number)
    # The callback's minimal response is 400, so a made-up page must be answered otherwise.
    other = {name for name in _BY_STATUS if REFUSALS[name][0] != 400}
    yield Control("service-domain-answers", (1,), other)
    yield Control("public-pages-open", (5, 6, 7), _BY_STATUS)
    yield Control("connector-is-installed", (2, 3), _BY_STATUS)
    yield Control("connector-is-installed", (4, 5), _BY_STATUS, 1)
    yield Control("connector-is-authenticated", (2, 3), _BY_STATUS)
    yield Control("webhook-takes-verify-token", (1, 2), _BY_STATUS)


CONTROLS = tuple(_controls())
# The values that perform() makes up, and the requests with them that are no controls.
_MADE_UP = re.compile(rf"(c[0-9])\1{{3}}|{MADE_UP_APP}")
NO_CONTROLS: Mapping[str, set[int]] = {
    "redirect-uri-is-accepted": {4},  # another path only sets the limit
    "webhook-takes-verify-token": {0},  # the challenge is made up, not the Verify Token
}


def controls(test: Callable[..., None]) -> Callable[..., None]:
    names = [f"{each.check} {each.variant}.{each.places[0]}" for each in CONTROLS]
    return pytest.mark.parametrize("control", CONTROLS, ids=names)(test)


def refused(control: Control, name: str) -> MinimalExchanges:
    """Return the minimal responses, with this refusal for the control."""
    status, body = REFUSALS[name]
    return changed(control.minimal, control.places, status=status, body=body)


def changed(minimal: MinimalExchanges, places: tuple[int, ...], **changes: Any) -> MinimalExchanges:
    """Return the minimal responses, with these of them changed."""
    for place in places:
        minimal = minimal.with_exchange(place, replace(minimal.exchanges[place], **changes))
    return minimal


def found(
    control: Control, minimal: MinimalExchanges, transport: httpx.BaseTransport | None = None
) -> Finding:
    finding = perform(CHECK[control.check], minimal, transport)
    assert finding is not None
    assert finding.code != "check-broken", finding.reason
    return finding


@controls
@pytest.mark.parametrize("name", REFUSALS)
def test_only_a_refusal_of_what_is_made_up_proves_something(control: Control, name: str) -> None:
    """Any refusal that is about something else leaves the step inconclusive."""
    finding = found(control, refused(control, name))

    expected = Outcome.VERIFIED if name in control.proves else Outcome.INCONCLUSIVE
    assert finding.outcome is expected, finding.reason


class Noting(ScriptedRemote):
    """Notes which answers went to requests that name something made up, and how often each did."""

    def __init__(self, exchanges: tuple[ScriptedExchange, ...]) -> None:
        super().__init__(exchanges)
        self.made_up: set[int] = set()
        self.asked: Counter[int] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        text = f"{request.url} {request.headers} {request.content.decode()}"
        for place, answer in enumerate(self._exchanges):
            if request.url.path == answer.path and answer.asks(request):
                self.asked[place] += 1
                if _MADE_UP.search(text):
                    self.made_up.add(place)
                break
        return super().handle_request(request)


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (check, number)
        for check, variants in MINIMAL_EXCHANGES.items()
        for number in range(len(variants))
    ],
)
def test_every_control_is_in_the_table(check: str, number: int) -> None:
    """A request that names something made up is a control of the table, or only sets a limit."""
    minimal = MINIMAL_EXCHANGES[check][number]
    transport = Noting(minimal.exchanges)
    perform(CHECK[check], minimal, transport)

    listed = [each.places for each in CONTROLS if (each.check, each.variant) == (check, number)]
    assert transport.made_up - NO_CONTROLS.get(check, set()) == {
        place for places in listed for place in places
    }


@pytest.mark.parametrize("edge", ["app-is-registered", "public-profile-is-live"])
@pytest.mark.parametrize("name", sorted(set(REFUSALS) - _NO_SUCH_APP))
def test_another_refusal_of_a_made_up_app_is_shown(edge: str, name: str) -> None:
    """The reason has Facebook's code and text, so that a person sees why nothing is proven."""
    (control,) = (each for each in CONTROLS if each.check == edge)
    error = REFUSALS[name][1].get("error")
    if error is None:
        return  # not Graph's form: the client says so

    reason = found(control, refused(control, name)).reason

    assert f"code {error['code']}" in reason
    assert error["message"] in reason


# --- a token that ends between the true answer and the control's ------------------------------

# The check, its variant, the answer about the true object, and the control's answers.
BY_TOKEN = {
    "service-domain-answers": (0, 0, (1,)),
    "public-pages-open": (0, 2, (5, 6, 7)),
    "connector-is-installed": (0, 1, (2, 3)),
    "connector-is-authenticated": (0, 1, (2, 3)),
    "webhook-takes-verify-token": (0, 0, (1, 2)),
}


class Ending(Noting):
    """Answers about the true object as before at first, and as `after` says from then on."""

    def __init__(
        self, exchanges: tuple[ScriptedExchange, ...], true: int, after: ScriptedExchange
    ) -> None:
        super().__init__(exchanges)
        self._true = true
        self._after = after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in place of the network."""
        answer = super().handle_request(request)
        if self.asked[self._true]:
            self._exchanges = (
                MinimalExchanges(self._exchanges).with_exchange(self._true, self._after).exchanges
            )
        return answer


@pytest.mark.parametrize("check", BY_TOKEN)
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("after", [401, 403, 404])
def test_a_control_refused_with_a_token_that_has_ended_proves_nothing(
    check: str, status: int, after: int
) -> None:
    """A control's 401 or 403 counts only if the true object is still answered afterwards."""
    variant, true, places = BY_TOKEN[check]
    minimal = changed(MINIMAL_EXCHANGES[check][variant], places, status=status)
    ended = replace(minimal.exchanges[true], status=after, body={"Message": "Denied."})

    transport = Ending(minimal.exchanges, true, ended)
    finding = perform(CHECK[check], minimal, transport)

    assert finding is not None
    assert finding.outcome is Outcome.INCONCLUSIVE, finding.reason
    assert transport.asked[true] == 2
    assert [transport.asked[place] for place in places] == [1] * len(places)


@pytest.mark.parametrize("check", BY_TOKEN)
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_the_true_object_is_read_once_more(check: str, status: int) -> None:
    """After a 401 or 403 it is asked once more, however many controls got it; else it is not."""
    variant, true, places = BY_TOKEN[check]
    minimal = changed(MINIMAL_EXCHANGES[check][variant], places, status=status)

    transport = Noting(minimal.exchanges)
    finding = perform(CHECK[check], minimal, transport)

    assert finding is not None
    assert finding.outcome is Outcome.VERIFIED, finding.reason
    assert transport.asked[true] == (2 if status in (401, 403) else 1)
    assert [transport.asked[place] for place in places] == [1] * len(places)
