"""
The safety tests as a class: subclass it with a `case`, and pytest runs them for that connector.

Each message says what the author of the connector has to do.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx

from runbook_lib.connectors.code_meanings import read_meanings
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import Check
from tests.support.connector_safety.connector_case import ConnectorCase, Control
from tests.support.connector_safety.json_paths import Place, at, places
from tests.support.connector_safety.response_changes import (
    EMPTY_BODIES,
    MALFORMED_TEXTS,
    STATUSES,
    extended,
    never_verified,
    reordered,
)
from tests.support.connector_safety.scripted_exchanges import (
    MinimalExchanges,
    ScriptedExchange,
    ScriptedRemote,
    changed,
    with_value,
)

# Two bytes in hexadecimal digits, as `made_up` repeats them.
_MADE_UP = r"(c[0-9])\1{3}"
_MAX_REASON_CHARS = 2_000

Row = tuple[str, tuple[Any, ...]]
"""Name of a test's case, and the values of its parameters."""


class ConnectorSafety:
    """
    The promises of every check: nothing verifies without a proof, no response is a defect.

    A subclass named `Test…` sets `case`. To leave out a test, do not: say in the case why a
    response carries no finding (`indifferent`, `without_control`).
    """

    case: ClassVar[ConnectorCase]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Give each test its cases; pytest calls this while it collects."""
        names = tuple(name for name in metafunc.fixturenames if name in _PARAMETERS)
        if not names:
            return
        rows = list(self._rows(metafunc.function.__name__, names))
        metafunc.parametrize(names, [row for _, row in rows], ids=[name for name, _ in rows])

    def _rows(self, test: str, names: tuple[str, ...]) -> Iterator[Row]:
        """Yield the cases of a test, by the names of its parameters."""
        case = self.case
        match names:
            case ("changed_response",):
                yield from ((name, (name,)) for name in never_verified(case))
            case ("reason_given",):
                yield from ((name, (name,)) for name in case.indifferent)
            case ("control", "refusal"):
                for control in case.controls:
                    for refusal in case.refusals:
                        yield f"{control.name}-{refusal}", (control, refusal)
            case ("control", "status", "after"):
                for control in case.controls:
                    if control.true_exchange is not None:
                        for status in (401, 403):
                            for after in (401, 403, 404):
                                yield f"{control.name}-{status}-{after}", (control, status, after)
            case ("control", "status"):
                for control in case.controls:
                    if control.true_exchange is not None:
                        for status in (401, 403, 404, 410):
                            yield f"{control.name}-{status}", (control, status)
            case ("check",):
                yield from ((check.id, (check,)) for check in case.checks)
            case ("check", "number"):
                for check, number, _ in case.minimal_exchanges():
                    yield f"{check.id}-{number}", (check, number)
            case ("check", "minimal"):
                for check, number, minimal in case.minimal_exchanges():
                    yield f"{check.id}-{number}", (check, minimal)
            case ("check", "minimal", "index"):
                for check, number, minimal in case.minimal_exchanges():
                    for index, exchange in enumerate(minimal.exchanges):
                        if exchange.decides and not exchange.is_page:
                            yield f"{check.id}-{number}-{index}", (check, minimal, index)
            case _:
                yield from self._fields(is_any="predictable" not in test)

    def _fields(self, *, is_any: bool) -> Iterator[Row]:
        """Yield each field of each minimal response: any, or only those with predictable values."""
        for check, number, minimal in self.case.minimal_exchanges():
            for index, exchange in enumerate(minimal.exchanges):
                if exchange.is_page or not exchange.decides:
                    continue
                for place in places(exchange.body):
                    dotted = ".".join(map(str, place))
                    if is_any or not (exchange.is_free or dotted in exchange.free):
                        yield (
                            f"{check.id}-{number}-{index}-{dotted}",
                            (
                                check,
                                minimal,
                                index,
                                place,
                            ),
                        )

    def loses(self, check: Check, minimal: MinimalExchanges) -> bool:
        """Return whether these responses verify nothing; fail if they are a defect."""
        finding = self.case.perform(check, minimal)
        return finding is None or not _is_verified(finding)

    # --- the smallest responses ----------------------------------------------------------------

    def test_every_check_has_its_minimal_responses(self) -> None:
        """No check is left out, and no response belongs to none."""
        ids = {check.id for check in self.case.checks}
        without = sorted(ids - {*self.case.exchanges})
        _require(not without, f"add the responses that verify {', '.join(without)} to `exchanges`")
        others = sorted({*self.case.exchanges} - ids)
        _require(not others, f"no procedure has the checks {', '.join(others)} of `exchanges`")

    def test_the_minimal_response_verifies(self, check: Check, minimal: MinimalExchanges) -> None:
        """The minimal responses are sufficient to verify."""
        finding = self.case.perform(check, minimal)

        _require(finding is not None, "the check made no finding")
        _require(finding is not None and _is_verified(finding), f"it does not verify: {finding}")

    def test_its_code_is_described(self, check: Check, minimal: MinimalExchanges) -> None:
        """Each code of a finding has its meaning in a `codes.toml`."""
        finding = self.case.perform(check, minimal)
        code = finding.code if finding else ""

        known = read_meanings((_folder_of(check),))
        _require(code in known, f"describe the code {code} in codes.toml beside the check")

    def test_the_record_keeps_all_of_it(self, check: Check, minimal: MinimalExchanges) -> None:
        """Each field on which a check rests is in the record, since its client declares it."""
        result = self.case.perform_whole(check, minimal)
        kept: dict[str, set[Place]] = {}
        for recorded in [seen.redacted() for seen in result.seen] if result else []:
            path = httpx.URL(recorded.url).path
            kept[path] = kept.get(path, set()) | set(places(recorded.response))
        for exchange in minimal.exchanges:
            if exchange.decides and not exchange.is_page:
                lost = set(places(exchange.body)) - kept.get(exchange.path, set())
                _require(not lost, f"name {lost} of {exchange.path} in `recorded_fields`")

    def test_no_part_of_it_can_be_left_out(
        self, check: Check, minimal: MinimalExchanges, index: int, place: Place
    ) -> None:
        """Without any one field or row, nothing is verified."""
        body = copy.deepcopy(minimal.exchanges[index].body)
        del at(body, place[:-1])[place[-1]]

        is_lost = self.loses(check, changed(minimal, index, body=body))
        _require(is_lost, f"it verifies without {place}: drop it, or let the check read it")

    def test_each_part_has_its_type(
        self, check: Check, minimal: MinimalExchanges, index: int, place: Place
    ) -> None:
        """A value of another type at any path verifies nothing; an id may be a number."""
        value = at(minimal.exchanges[index].body, place)
        others = [None, 7, 1.5, True, "7", [], {}, [value], {"value": value}, str(value)]
        if isinstance(value, str) and str(place[-1]).rpartition("_")[2] == "id":
            others.remove(7)
        for other in others:
            if type(other) is not type(value):
                is_lost = self.loses(check, with_value(minimal, index, place, other))
                _require(is_lost, f"it verifies with {other!r} at {place}")

    def test_each_predictable_value_counts(
        self, check: Check, minimal: MinimalExchanges, index: int, place: Place
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

        is_lost = self.loses(check, with_value(minimal, index, place, other))
        _require(
            is_lost, f"it verifies with another value at {place}: compare it, or add to `free`"
        )

    def test_order_and_unknown_fields_do_not_count(
        self, check: Check, minimal: MinimalExchanges
    ) -> None:
        """Fields and rows in another order, and additional fields, do not change the finding."""
        usual = self.case.perform(check, minimal)
        for change in (reordered, extended):
            exchanges = tuple(replace(one, body=change(one.body)) for one in minimal.exchanges)
            finding = self.case.perform(check, replace(minimal, exchanges=exchanges))
            is_same = (
                finding is not None
                and usual is not None
                and (finding.outcome, finding.reason) == (usual.outcome, usual.reason)
            )
            _require(is_same, f"{change.__name__}: {finding} instead of {usual}")

    # --- the table: an empty list, an empty body, another's response, a cached one ---------------

    def test_no_such_response_verifies(self, changed_response: str) -> None:
        """Such a response verifies nothing, unless the case says why it carries no finding."""
        check, minimal = never_verified(self.case)[changed_response]
        is_indifferent = changed_response.startswith(tuple(self.case.indifferent))

        finding = self.case.perform(check, minimal)

        _require(finding is not None, "the check made no finding")
        verifies = finding is not None and _is_verified(finding)
        _require(verifies is is_indifferent, f"verified is {verifies}: {finding}")

    def test_every_check_is_in_the_table(self, check: Check) -> None:
        """Each check has at least a changed body, and a cached response."""
        mine = [name for name in never_verified(self.case) if name.startswith(f"{check.id} ")]
        for kind in ("body", "cached"):
            _require(any(kind in name for name in mine), f"no response of {check.id} has a {kind}")

    def test_every_reason_is_about_a_response(self, reason_given: str) -> None:
        """An entry of `indifferent` that matches no response is stale."""
        is_used = any(name.startswith(reason_given) for name in never_verified(self.case))
        _require(is_used, f"remove {reason_given!r} from `indifferent`")

    # --- controls ----------------------------------------------------------------------------

    def test_it_has_a_control_or_names_its_object(self, check: Check) -> None:
        """A check verifies by a response that names the object, or that differs from a control."""
        has_control = any(control.check == check.id for control in self.case.controls)
        names_object = any(
            name.startswith(f"{check.id} ")
            and "another's" in name
            and not name.startswith(tuple(self.case.indifferent))
            for name in never_verified(self.case)
        )
        is_excused = check.id in self.case.without_control
        _require(
            has_control or names_object or is_excused,
            f"{check.id} verifies without a control: no response names an object of "
            "`other_names`, and none of `controls` is this check's. Repeat the request with one "
            "made-up part, and verify only if that is refused",
        )
        _require(
            not (is_excused and (has_control or names_object)),
            f"remove {check.id} from `without_control`",
        )

    def test_every_control_is_listed(self, check: Check, number: int) -> None:
        """A request that names something made up is a control of the case, or says why not."""
        minimal = self.case.exchanges[check.id][number]
        transport = _NotingRemote(minimal.exchanges, self.case.made_up_names)
        self.case.perform(check, minimal, transport)

        listed = {
            place
            for control in self.case.controls
            if (control.check, control.variant) == (check.id, number)
            for place in control.places
        }
        sent = transport.made_up - self.case.not_controls.get(check.id, frozenset())
        _require(
            sent == listed,
            f"the exchanges {sorted(sent)} of {check.id} name something made up, and `controls` "
            f"lists {sorted(listed)}",
        )

    def test_only_a_refusal_of_what_is_made_up_proves_something(
        self, control: Control, refusal: str
    ) -> None:
        """Any refusal that is about something else leaves the step inconclusive."""
        status, body = self.case.refusals[refusal]
        finding = self.with_refusal(control, status, body)

        is_proof = control.proves(refusal, status)
        expected = Outcome.VERIFIED if is_proof else Outcome.INCONCLUSIVE
        _require(finding is not None and finding.outcome is expected, f"not {expected}: {finding}")

    def test_a_control_refused_with_an_ended_token_proves_nothing(
        self, control: Control, status: int, after: int
    ) -> None:
        """A control's 401 or 403 counts only if the true object is still answered afterwards."""
        true = control.true_exchange or 0
        minimal = _changed_places(self._minimal(control), control, status=status)
        ended = replace(minimal.exchanges[true], status=after, body={"Message": "Denied."})
        transport = _EndingRemote(minimal.exchanges, true, ended)
        finding = self.case.perform(self._check(control), minimal, transport)

        is_open = finding is not None and finding.outcome is Outcome.INCONCLUSIVE
        _require(is_open, f"the token may have ended: {finding}")
        _require(transport.asked[true] == 2, "read the true object once more after a 401 or 403")
        asked = [transport.asked[place] for place in control.places]
        _require(asked == [1] * len(control.places), f"the controls were sent {asked} times")

    def test_the_true_object_is_read_once_more(self, control: Control, status: int) -> None:
        """After a 401 or 403 it is read once more, however many controls got it; else it is not."""
        true = control.true_exchange or 0
        minimal = _changed_places(self._minimal(control), control, status=status)
        transport = _NotingRemote(minimal.exchanges)
        finding = self.case.perform(self._check(control), minimal, transport)

        _require(finding is not None and _is_verified(finding), f"it does not verify: {finding}")
        times = 2 if status in (401, 403) else 1
        _require(transport.asked[true] == times, f"it was read {transport.asked[true]} times")
        asked = [transport.asked[place] for place in control.places]
        _require(asked == [1] * len(control.places), f"the controls were sent {asked} times")

    def with_refusal(self, control: Control, status: int, body: Any) -> Finding | None:
        """Return the finding of a check whose control is refused like this."""
        minimal = _changed_places(self._minimal(control), control, status=status, body=body)
        return self.case.perform(self._check(control), minimal)

    def _check(self, control: Control) -> Check:
        return next(check for check in self.case.checks if check.id == control.check)

    def _minimal(self, control: Control) -> MinimalExchanges:
        return self.case.exchanges[control.check][control.variant]

    # --- hostile responses ---------------------------------------------------------------------

    def test_a_malformed_response_verifies_nothing(
        self, check: Check, minimal: MinimalExchanges, index: int
    ) -> None:
        """An empty, malformed or foreign response with the right status verifies nothing."""
        exchange = minimal.exchanges[index]
        foreign = () if exchange.is_free else self.case.foreign_bodies
        for body in (*EMPTY_BODIES, *foreign):
            if body != exchange.body:
                self._require_refused(check, minimal, index, json.dumps(body))
        for text in MALFORMED_TEXTS:
            self._require_refused(check, minimal, index, text)

    def test_half_a_response_verifies_nothing(
        self, check: Check, minimal: MinimalExchanges, index: int
    ) -> None:
        """A truncated response verifies nothing."""
        whole = json.dumps(minimal.exchanges[index].body)
        for length in range(0, len(whole), max(1, len(whole) // 12)):
            self._require_refused(check, minimal, index, whole[:length])

    def test_the_right_response_with_a_wrong_status_verifies_nothing(
        self, check: Check, minimal: MinimalExchanges, index: int
    ) -> None:
        """The right response with an unexpected status verifies nothing."""
        exchange = minimal.exchanges[index]
        wrong = (200, 302, 500) if exchange.status >= 400 else (201, 302, 400, 404, 500)
        for status in wrong:
            self._require_refused(check, minimal, index, json.dumps(exchange.body), status)

    def test_nan_anywhere_verifies_nothing(
        self, check: Check, minimal: MinimalExchanges, index: int
    ) -> None:
        """NaN and Infinity, which are not JSON (RFC 8259 §6), verify nothing at any path."""
        body = minimal.exchanges[index].body
        for place in places(body):
            if isinstance(at(body, place), str | int):
                for number in (math.nan, math.inf):
                    finding = self.case.perform(check, with_value(minimal, index, place, number))
                    _require(verifies_nothing(finding), f"it verifies with {number} at {place}")
        if isinstance(body, dict):
            self._require_refused(check, minimal, index, json.dumps({**body, "more": math.nan}))

    def test_one_page_for_every_address_verifies_nothing(
        self, check: Check, minimal: MinimalExchanges
    ) -> None:
        """One HTML page at every address, as from a parked domain or a proxy, verifies nothing."""
        names = " ".join(self.case.other_names)
        for status in STATUSES:
            page = response_of(
                f"<html>App {names} is fine.</html>", status, {"content-type": "text/html"}
            )
            finding = self.case.perform(check, minimal, SameResponse(page))
            _require(verifies_nothing(finding), f"a page with status {status} verifies: {finding}")

    def test_no_response_verifies_nothing(self, check: Check, minimal: MinimalExchanges) -> None:
        """A broken connection verifies nothing."""
        for error in (httpx.ReadTimeout, httpx.RemoteProtocolError):
            finding = self.case.perform(check, minimal, SameResponse(_failing(error)))
            _require(verifies_nothing(finding), f"{error.__name__} verifies: {finding}")

    def _require_refused(
        self,
        check: Check,
        minimal: MinimalExchanges,
        index: int,
        text: str,
        status: int | None = None,
    ) -> None:
        """Fail if this response in one exchange verifies; its status is the right one."""
        status = status or minimal.exchanges[index].status
        wrong = changed(minimal, index, body=text, status=status, headers={})
        finding = self.case.perform(check, wrong)
        _require(verifies_nothing(finding), f"{text[:80]!r} with {status} verifies: {finding}")


_PARAMETERS = (
    "check",
    "minimal",
    "number",
    "index",
    "place",
    "changed_response",
    "reason_given",
    "control",
    "refusal",
    "status",
    "after",
)


class SameResponse(httpx.BaseTransport):
    """A remote system that gives the same response to every request."""

    def __init__(self, respond: Callable[[], httpx.Response]) -> None:
        self._respond = respond

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        return self._respond()


class _NotingRemote(ScriptedRemote):
    """Notes which responses went to requests that name something made up, and how often."""

    def __init__(
        self, exchanges: tuple[ScriptedExchange, ...], made_up_names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(exchanges)
        self._names = re.compile("|".join([_MADE_UP, *map(re.escape, made_up_names)]))
        self.made_up: set[int] = set()
        self.asked: Counter[int] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        text = f"{request.url} {request.headers} {request.content.decode()}"
        for place, exchange in enumerate(self._exchanges):
            if request.url.path == exchange.path and exchange.asks(request):
                self.asked[place] += 1
                if self._names.search(text):
                    self.made_up.add(place)
                break
        return super().handle_request(request)


class _EndingRemote(_NotingRemote):
    """Responds about the true object as before at first, and as `after` says from then on."""

    def __init__(
        self, exchanges: tuple[ScriptedExchange, ...], true: int, after: ScriptedExchange
    ) -> None:
        super().__init__(exchanges)
        self._true = true
        self._after = after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond in place of the network."""
        response = super().handle_request(request)
        if self.asked[self._true]:
            before = MinimalExchanges(self._exchanges)
            self._exchanges = before.with_exchange(self._true, self._after).exchanges
        return response


def response_of(text: str, status: int, headers: Mapping[str, str]) -> Callable[[], httpx.Response]:
    """Return a function that makes this response."""
    content = text.encode("utf-8", "surrogatepass")
    return lambda: httpx.Response(status, content=content, headers=dict(headers))


def verifies_nothing(finding: Finding | None) -> bool:
    """Return whether a finding is not verified; fail if it is a defect or too long."""
    if finding is None:
        return True
    _require(len(finding.reason) < _MAX_REASON_CHARS, "the reason quotes too much of a response")
    return not _is_verified(finding)


def _is_verified(finding: Finding) -> bool:
    """Return whether a finding is verified; fail if the check broke off by a defect."""
    _require(finding.code != "check-broken", f"the check broke off: {finding.reason}")
    return finding.outcome is Outcome.VERIFIED


def _folder_of(check: Check) -> Path:
    """Return the folder of the module that defines a check."""
    function: Any = check.run
    while isinstance(function, partial):
        function = function.func
    return Path(inspect.getfile(function)).parent


def _failing(error: type[Exception]) -> Callable[[], httpx.Response]:
    def fail() -> httpx.Response:
        raise error("broken")

    return fail


def _changed_places(
    minimal: MinimalExchanges, control: Control, **changes: Any
) -> MinimalExchanges:
    """Return the minimal responses, with the control's changed."""
    for place in control.places:
        minimal = changed(minimal, place, **changes)
    return minimal


def _require(is_so: bool, advice: str) -> None:
    """Fail with `advice` unless something is so."""
    if not is_so:
        raise AssertionError(f"{advice[:1_000]}.")
