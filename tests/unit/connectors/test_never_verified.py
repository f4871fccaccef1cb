"""
The table: every check × an empty list, an empty body, another's answer, a cached one.

Each check's minimal responses verify (`test_minimal_responses`, which also fails for a check
without any). Here one change is applied to each answer in turn, and to all at once: then nothing is
verified. `NO_MATTER` names the few answers that carry no finding, and why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.core.procedure import Check
from tests.support.json_paths import at, places
from tests.unit.bodies import APP_ID
from tests.unit.connectors.minimal_responses import (
    MINIMAL_EXCHANGES,
    OTHER_APP_ID,
    MinimalExchanges,
    ScriptedExchange,
    with_value,
)
from tests.unit.connectors.perform import CHECKS, perform

# Names of an app, a person, a page, a form, a business, a host or a connector, each with another.
OTHERS = {
    APP_ID: OTHER_APP_ID,
    "873": "874",
    "555": "556",
    "page-1": "page-9",
    "form-1": "form-9",
    "biz-1": "biz-9",
    "acme-h.cyclr.com": "other-h.cyclr.com",
    "Facebook Marketing API": "Slack",
}
# Fuller responses than the minimal ones: with a list that the finding can do without.
FULLER: Mapping[str, tuple[MinimalExchanges, ...]] = {
    "marketing-data-is-readable": (
        MinimalExchanges(
            (
                ScriptedExchange("/v26.0/me/adaccounts", {"data": [{"id": "act_1"}]}),
                ScriptedExchange("/v26.0/me/accounts", {"data": [{"id": "page-1"}]}),
            )
        ),
    ),
}
_BY_STATUS = "its status counts: what the page says is documented nowhere"
_REDIRECT = "its Location counts: a redirect needs no body"
_REFUSAL = "a refusal counts by its status: what Cyclr says with it is documented nowhere"
_OTHERWISE = "a made-up page need only be answered otherwise than the real one"
_PATH = "it only sets the limit: the controls of the host decide"
NO_MATTER: Mapping[str, str] = {
    "service-domain-answers 0.0 body": _BY_STATUS,
    "service-domain-answers 0.1 body": _BY_STATUS,
    "service-domain-answers 0.all body": _BY_STATUS,
    "console-holds-app-id 0.3 body": _REDIRECT,
    "scopes-are-asked-for 0.3 body": _REDIRECT,
    "connector-is-installed 0.2 body": _REFUSAL,
    "connector-is-installed 0.3 body": _REFUSAL,
    "connector-is-installed 1.4 body": _REFUSAL,
    "connector-is-installed 1.5 body": _REFUSAL,
    "connector-is-authenticated 0.2 body": _REFUSAL,
    "connector-is-authenticated 0.3 body": _REFUSAL,
    "webhook-takes-verify-token 0.1 body": _REFUSAL,
    "webhook-takes-verify-token 0.2 body": _REFUSAL,
    "connector-is-installed 1.1 alike": "nobody has it yet: the answer to the installation counts",
    "public-pages-open 0.5 body": _OTHERWISE,
    "public-pages-open 0.6 body": _OTHERWISE,
    "public-pages-open 0.7 body": _OTHERWISE,
    "redirect-uri-is-accepted 1.4 body": _PATH,
    "redirect-uri-is-accepted 1.4 cached": _PATH,
    "marketing-data-is-readable 1.1 list": "a limit says that no page was read",
    "marketing-data-is-readable 1.1 another's": "any page of that person will do",
    "marketing-data-is-readable 1.all another's": "any page of that person will do",
    "user-token-is-valid 0.1 another's 873": "the token is of whoever signed in",
    "customer-consents-without-role 0.1 another's 555": "any person without a role will do",
    "customer-consents-without-role 0.4 another's": "any page of that person will do",
    "test-calls-are-made 0.3 another's": "any business of that person will do",
    "scopes-are-asked-for 0.3 another's acme-h": "cy-02 compares where users are sent back to",
}


def emptied(content: Any) -> Any:
    """Return an answer with an empty list in place of each list."""
    if isinstance(content, dict):
        return {name: emptied(value) for name, value in content.items()}
    return [] if isinstance(content, list) else content


def without_rows(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, body=emptied(exchange.body))


def with_text(text: str, exchange: ScriptedExchange) -> ScriptedExchange:
    same = not isinstance(exchange.body, str) and json.loads(text or "0") == exchange.body
    return exchange if same else replace(exchange, body=text)


def about(names: Iterable[str], exchange: ScriptedExchange) -> ScriptedExchange:
    """Return the same answer about another app, person, connector …"""
    text = json.dumps([exchange.body, dict(exchange.headers)])
    for name in names:
        text = text.replace(name, OTHERS[name])
    body, headers = json.loads(text)
    return replace(exchange, body=body, headers=headers)


def cached(exchange: ScriptedExchange) -> ScriptedExchange:
    return replace(exchange, headers={**exchange.headers, "age": "301"})


Change = Callable[[ScriptedExchange], ScriptedExchange]
EVERYWHERE: Mapping[str, Change] = {
    "lists": without_rows,
    **{f"body {text or 'nothing'}": partial(with_text, text) for text in ("", "{}", "null", "[]")},
    "another's": partial(about, tuple(OTHERS)),
    "cached": cached,
}
IN_TURN: Mapping[str, Change] = {
    **EVERYWHERE,
    **{f"another's {name}": partial(about, (name,)) for name in OTHERS},
}


def variants(minimal: MinimalExchanges) -> Iterator[tuple[str, MinimalExchanges]]:
    """Return each change of each answer, by its name."""
    for name, change in EVERYWHERE.items():
        yield f"all {name}", replace(minimal, exchanges=tuple(map(change, minimal.exchanges)))
    for index, exchange in enumerate(minimal.exchanges):
        for name, change in IN_TURN.items():
            yield f"{index} {name}", minimal.with_exchange(index, change(exchange))
        for place in places(exchange.body):
            if isinstance(at(exchange.body, place), list):
                name = ".".join(map(str, place))
                yield f"{index} list {name}", with_value(minimal, index, place, [])
        if [one.path for one in minimal.exchanges].count(exchange.path) > 1:
            alike = replace(exchange, asks=lambda _: True)
            yield f"{index} alike", replace(minimal, exchanges=(alike, *minimal.exchanges))


TABLE: Mapping[str, tuple[Check, MinimalExchanges]] = {
    f"{check.id} {number}.{name}": (check, changed)
    for check in CHECKS
    for number, minimal in enumerate((*MINIMAL_EXCHANGES[check.id], *FULLER.get(check.id, ())))
    for name, changed in variants(minimal)
    if changed != minimal
}


@pytest.mark.parametrize("case", TABLE)
def test_no_such_answer_verifies(case: str) -> None:
    """Such an answer verifies nothing, unless it is known to carry no finding."""
    check, minimal = TABLE[case]
    carries_nothing = case.startswith(tuple(NO_MATTER))

    finding = perform(check, minimal)

    assert finding is not None
    assert finding.code != "check-broken", finding.reason
    assert (finding.outcome is Outcome.VERIFIED) is carries_nothing, finding.reason


def test_every_check_is_in_the_table() -> None:
    """No check is left out: each has at least a changed body, and a cached answer."""
    for check in CHECKS:
        mine = [case for case in TABLE if case.startswith(f"{check.id} ")]
        assert any("body" in case for case in mine), check.id
        assert any("cached" in case for case in mine), check.id


@pytest.mark.parametrize("known", NO_MATTER)
def test_every_exception_is_about_an_answer(known: str) -> None:
    """An exception that matches no answer is stale."""
    assert any(case.startswith(known) for case in TABLE)
