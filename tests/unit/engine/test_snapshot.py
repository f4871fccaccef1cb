"""A snapshot begins all steps at once and sends each request once; its record knows no order."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import to_builtins

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.model import Exchange, Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Input, Step
from runbook_lib.engine import provider_sessions
from runbook_lib.engine.exchanges import ExchangeWriter
from runbook_lib.engine.practice import practice
from runbook_lib.engine.tenant_run import Run, new_run_id, open_run
from runbook_lib.errors import JournalError, RemoteError
from runbook_lib.remote.client import HTTPClient
from runbook_lib.remote.http_messages import Request
from runbook_lib.remote.rate_limits import CoolDowns
from runbook_lib.remote.recording import RecordedExchange
from runbook_lib.run.journal import Journal
from tests.support.attestations import declined
from tests.support.procedures import plain_procedure, step
from tests.support.wording import wording
from tests.unit.fake_remote import FakeRemote, responds

URL = "https://api.example/x"
SEEDS = 20
MakeRun = Callable[..., Run]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> FakeRemote:
    """Return the remote system that every run asks."""
    remote = FakeRemote()
    remote.on("/x", responds({"id": "1"}))

    def client(*arguments: Any, **options: Any) -> HTTPClient:
        return HTTPClient(*arguments, **{**options, "transport": remote, "cool_downs": CoolDowns()})

    monkeypatch.setattr(provider_sessions, "HTTPClient", client)
    return remote


@pytest.fixture
def make_run(tmp_path: Path, remote: FakeRemote) -> MakeRun:
    """Return a factory of runs of these steps; keyword arguments are values."""

    def make(
        *steps: Step, inputs: tuple[Input, ...] = (), mode: Mode = Mode.HEADLESS, **values: Any
    ) -> Run:
        procedure = plain_procedure(*steps, inputs=inputs)
        journal = Journal(tmp_path / "acme" / "p" / "journal.jsonl")
        run = Run(
            procedure=procedure,
            settings=Settings(values),
            journal=journal,
            tenant="acme",
            mode=mode,
            run_id=new_run_id(),
        )
        run.start()
        return run

    return make


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


@pytest.fixture
def writer(journal: Journal) -> ExchangeWriter:
    return ExchangeWriter(lambda *new: journal.append(*new))  # noqa: PLW0108  (a test replaces it)


def asks(context: CheckContext, outcome: Outcome = Outcome.VERIFIED) -> Finding:
    """Ask the remote system the one question, and find `outcome`."""
    context.session.get(Request(method="GET", url=URL))
    return Finding(outcome=outcome, code="a-code", reason="So it says.")


def asking(name: str, *, requires: tuple[str, ...] = ()) -> Step:
    """Return a step that asks the one question."""
    return step(name, Check(name, asks), requires=requires)


def spending(name: str, spent: list[str], requires: str) -> Step:
    """Return a step that makes a call which costs something, and notes it."""

    def side_effect(context: CheckContext) -> Finding:
        spent.append("a call")
        return asks(context)

    check = Check("side_effect", side_effect, side_effect="It makes a call.", allowed_by=("may",))
    return step(name, check, requires=(requires,))


def looked(run: Run) -> dict[str, Outcome]:
    """Return the outcome of each step after one snapshot."""
    snapshot = run.start_snapshot(run.procedure.steps)
    outcomes = {step.id: run.perform(step.id, snapshot).outcome for step in run.procedure.steps}
    snapshot.wait()
    return outcomes


ALTERING: dict[str, Any] = {"side_effect": "It installs.", "allowed_by": ("may",), "mutates": True}


# A check that may not alter anything only reads, and does not wait.
@pytest.mark.parametrize("traits", [{}, ALTERING])
def test_the_steps_of_a_snapshot_overlap(make_run: MakeRun, traits: dict[str, Any]) -> None:
    """All steps are asked at the same time: each of these waits for the others."""
    gate = threading.Barrier(3, timeout=240)

    def wait(context: CheckContext) -> Finding:
        gate.wait()
        return asks(context)

    other = step("c", Check("c", wait, **traits))
    run = make_run(*(step(name, Check(name, wait)) for name in "ab"), other)

    assert set(looked(run).values()) == {Outcome.VERIFIED}


def test_two_steps_rest_on_one_exchange(make_run: MakeRun, remote: FakeRemote) -> None:
    """
    A request of two steps is sent and recorded once, before both; another snapshot sends it again.
    """
    run = make_run(asking("a"), asking("b"))

    looked(run)

    entries = run.journal.read_all()
    (number,) = [entry.head.seq for entry in entries if isinstance(entry.event, Exchange)]
    checks = [entry for entry in entries if entry.head.type == "step.checked"]
    assert [entry.event.findings[0].exchanges for entry in checks] == [(number,), (number,)]
    assert all(number < entry.head.seq for entry in checks)
    assert len(remote.requests) == 1

    looked(run)
    # A single step is a snapshot of its own.
    run.perform("a")
    run.perform("b")
    assert len(remote.requests) == 4


def test_a_response_is_on_disk_before_the_next_request(
    make_run: MakeRun, remote: FakeRemote
) -> None:
    """A response is in the journal while its check waits, even for one that never comes."""
    recorded: list[int] = []

    def count(request: httpx.Request) -> httpx.Response:
        entries = run.journal.read_all()
        recorded.append(sum(isinstance(entry.event, Exchange) for entry in entries))
        return responds({})(request)

    def get(path: str) -> Request:
        remote.on(path, count)
        return Request(method="GET", url=f"https://api.example{path}")

    def check(context: CheckContext) -> Finding:
        context.session.get(get("/first"))
        context.session.send(get("/second"))
        context.side_by_side(lambda branch, path: branch.session.get(get(path)), ["/third"])
        context.session.get(get("/fourth"))
        return asks(context)

    run = make_run(step("a", Check("a", check)))
    looked(run)

    assert recorded == [0, 1, 2, 3]


def test_a_refused_token_is_refused_for_all_who_wait(make_run: MakeRun, remote: FakeRemote) -> None:
    """Ten steps that hang on one token ask for it once, and each says why it has none."""
    remote.on("/token", responds({"error": "invalid_client"}, 400))
    gate = threading.Barrier(10, timeout=240)

    def check(context: CheckContext) -> Finding:
        gate.wait()
        form = {"client_id": "1"}
        request_for_token = Request(method="POST", url="https://api.example/token", form=form)
        if context.session.get(request_for_token).status != 200:
            raise RemoteError("No token.")
        return asks(context)

    run = make_run(*(step(name, Check(name, check)) for name in "abcdefghij"))

    assert set(looked(run).values()) == {Outcome.INCONCLUSIVE}
    assert {state.reason for state in run.state.steps} == {"No token."}
    assert remote.paths == ["/token"]


def test_checks_that_mutate_a_system_run_alone(make_run: MakeRun, remote: FakeRemote) -> None:
    """A check that alters something waits until nothing else asks; after it all is asked anew."""
    busy = [0]
    seen = list[int]()
    released = threading.Event()

    def reads(context: CheckContext) -> Finding:
        busy[0] += 1
        released.wait(0.2)
        busy[0] -= 1
        return asks(context)

    def mutates(context: CheckContext) -> Finding:
        seen.append(busy[0])
        context.announce_change("Install it.")
        return asks(context)

    run = make_run(
        step("a", Check("a", reads)),
        step("b", Check("mutates", mutates, **ALTERING)),
        step("c", Check("c", reads), requires=("b",)),
        step("d", Check("d", reads)),
        may=True,
    )

    assert set(looked(run).values()) == {Outcome.VERIFIED}
    assert seen == [0]
    assert len(remote.requests) == 2


@pytest.mark.parametrize("outcome", [Outcome.VERIFIED, Outcome.INCONCLUSIVE, Outcome.FAILED])
@pytest.mark.parametrize("is_between", [False, True])
def test_nothing_is_spent_for_a_step_that_is_blocked(
    make_run: MakeRun, outcome: Outcome, is_between: bool
) -> None:
    """A check that spends something begins once the steps that it requires cannot fail any more."""
    spent: list[str] = []
    over: list[str] = []

    def slow(context: CheckContext) -> Finding:
        # A call that does not wait for this check is made in this time.
        time.sleep(0.1)
        over.extend(["it is over", *spent])
        return asks(context, outcome)

    between = [asking("b", requires=("a",))] if is_between else []
    last = spending("c", spent, "b" if is_between else "a")

    outcomes = looked(make_run(step("a", Check("a", slow)), *between, last, may=True))

    is_blocked = outcome is Outcome.FAILED
    assert outcomes["c"] is (Outcome.SKIPPED if is_blocked else Outcome.VERIFIED)
    assert over == ["it is over"]
    assert spent == ([] if is_blocked else ["a call"])


def test_nothing_is_spent_for_what_a_person_calls_declined(make_run: MakeRun) -> None:
    """A word by which a step fails blocks what spends, as it blocks the step."""
    spent: list[str] = []
    undecided = Check("a", partial(asks, outcome=Outcome.INCONCLUSIVE))
    run = make_run(step("a", undecided), spending("b", spent, "a"), may=True)
    run.say([declined("a")])

    assert looked(run) == {"a": Outcome.FAILED, "b": Outcome.SKIPPED}
    assert spent == []


def test_exchanges_of_a_blocked_step_are_recorded(make_run: MakeRun, remote: FakeRemote) -> None:
    """The exchange is in the journal, although no check of the blocked step rests on it."""
    remote.on("/y", responds("y"))

    def other(context: CheckContext) -> Finding:
        context.session.get(Request(method="GET", url="https://api.example/y"))
        return Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is there.")

    failing = Check("a", partial(asks, outcome=Outcome.FAILED))
    run = make_run(step("a", failing), step("b", Check("b", other), requires=("a",)))

    assert looked(run)["b"] is Outcome.SKIPPED
    urls = {
        entry.event.url for entry in run.journal.read_all() if isinstance(entry.event, Exchange)
    }
    assert urls == {URL, "https://api.example/y"}
    assert run.state.step("b").exchange_numbers == ()


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_check_is_about_what_was_known_when_the_snapshot_began(
    make_run: MakeRun, is_changed: bool
) -> None:
    """A correction during a snapshot was not checked by that snapshot."""
    released = threading.Event()

    def slow(context: CheckContext) -> Finding:
        released.wait(20)
        return asks(context)

    slow_step = replace(step("a", Check("a", slow)), subject=("app_id",))
    app_id = Input(name="app_id", label="App ID", help="Which.")
    run = make_run(slow_step, inputs=(app_id,), mode=Mode.INTERACTIVE, app_id="1234567891011121")

    snapshot = run.start_snapshot(run.procedure.steps)
    if is_changed:
        run.give("app_id", "1234567891011122")
    released.set()
    state = run.perform("a", snapshot)

    assert (state.outcome is Outcome.VERIFIED) is not is_changed
    assert (wording("findings.check-it-again") in state.reason) is is_changed


def test_a_journal_that_cannot_be_written_ends_the_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an exchange cannot be written, the step's cell raises that, and nothing waits for ever."""
    run = make_run(asking("a"))

    def full(*_: object, **__: object) -> int:
        raise JournalError("The disk is full.")

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(JournalError):
        looked(run)


EXCHANGE = Exchange(method="GET", url="u", sent_on="2026-11-24T12:00:00Z", elapsed=0.0)


def test_exchanges_are_written_once_by_all_threads(
    writer: ExchangeWriter, journal: Journal
) -> None:
    """However many write them at the same time, each exchange has one line, and one number."""
    seen = [RecordedExchange(lambda: EXCHANGE) for _ in range(60)]
    gate = threading.Barrier(12, timeout=60)

    def write(part: list[RecordedExchange]) -> list[int]:
        gate.wait()
        return list(writer.write(part))

    with ThreadPoolExecutor(12) as pool:
        parts = [random.Random(n).sample(seen, 20) for n in range(60)]
        numbers = list(pool.map(write, parts))

    of_seen: dict[RecordedExchange, int] = {}
    for part, given in zip(parts, numbers, strict=True):
        for recorded_exchange, number in zip(part, given, strict=True):
            assert of_seen.setdefault(recorded_exchange, number) == number
    assert sorted(of_seen.values()) == [line.head.seq for line in journal.read_all()]


def test_exchanges_of_a_failed_append_are_written_by_the_next(
    writer: ExchangeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that fails takes nothing with it that other threads had brought meanwhile."""
    mine = RecordedExchange(lambda: EXCHANGE)
    others = RecordedExchange(lambda: EXCHANGE)
    append = Journal.append

    def full(*_: object, **__: object) -> int:
        writer._arrived.append(others)  # as a thread does that waits for its turn
        raise JournalError("The disk is full.")

    writer._arrived.append(others)
    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(JournalError):
        writer.write([mine])
    monkeypatch.setattr(Journal, "append", append)
    writer._arrived.clear()

    assert writer.write([others]) == (1,)
    assert writer.write([mine, others]) == (2, 1)


# --- the whole procedure, in any order --------------------------------------------------------

# Made-up texts and tokens of one use differ in each run.
_VARIES = re.compile(r"[0-9a-fA-F-]{16,}|(?<=state=)[\w-]+|(?<='fbtrace_id': ')[\w-]+")


@pytest.fixture(scope="module")
def env_file() -> Iterator[str]:
    """Return the settings file of a sandbox in which every step is done."""
    with practice("approved", PROCEDURE, FingerprintKey()) as approved:
        yield approved.env_file


def record_of(run: Run) -> list[Any]:
    """Return all that a record says of the steps, but for times, numbers and made-up texts."""
    steps = []
    for state in run.state.steps:
        known = {number: run.state.exchanges[number] for number in state.exchange_numbers}
        exchanges = [to_builtins(exchange) for exchange in known.values()]
        for exchange in exchanges:
            del exchange["sent_on"], exchange["elapsed"]
            exchange["headers"] = {
                name: value
                for name, value in exchange["headers"].items()
                if not name.startswith("x-")  # ids of the answer, and how much was used
            }
        findings = [to_builtins(finding) for finding in state.findings]
        for finding in findings:
            own = [to_builtins(known[number])["url"] for number in finding["exchanges"]]
            finding["exchanges"] = own
        steps.append([state.id, state.outcome, state.reason, findings])
        steps.append([_VARIES.sub("#", repr(exchange)) for exchange in exchanges])
    return [_VARIES.sub("#", repr(step)) for step in steps]


@pytest.mark.matrix(0)
def test_any_order_of_responses_gives_one_record(
    tmp_path: Path, env_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty looks, in which each answer comes after a random time, have one record."""
    send = HTTPClient.send
    delays = random.Random()

    def delayed(client: HTTPClient, *arguments: Any, **options: Any) -> Any:
        # The remote system is slow, by chance.
        time.sleep(delays.random() / 50)
        response = send(client, *arguments, **options)
        time.sleep(delays.random() / 50)
        return response

    monkeypatch.setattr(HTTPClient, "send", delayed)
    records = []
    for seed in range(SEEDS):
        delays.seed(seed)
        run = open_run(
            PROCEDURE, {}, mode=Mode.HEADLESS, tenant=f"t{seed}", evidence=str(tmp_path),
            env_file=env_file, environ={},
        )  # fmt: skip
        run.start()
        looked(run)
        run.close()
        records.append(record_of(run))

    for record in records[1:]:
        assert record == records[0]
