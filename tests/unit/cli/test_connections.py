"""`connections` and `explain --webhook`: what a person, and a program, sees of the customers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from facebook_cyclr_sandbox.customer_accounts import fail_connection, restore_connection
from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.errors import CyclrAPIError, ExitCode
from runbook_lib.operations.customer_letters import LINK_LINE
from runbook_lib.text import pluralize
from tests.support.commands import runbook
from tests.support.customer_console import served
from tests.support.wording import wording
from tests.unit.connectors.payloads import TOKEN, detail, payload, refusal
from tests.unit.fake_console import Console, console_run

# The fields of `connections --json`, and of each customer there: programs rely on them.
FIELDS = {
    "began", "complete", "connector", "counts", "customer_data", "customers", "cyclr_connector",
    "ended", "notes", "sandbox", "tenant", "unknown_accounts", "unverifiable",
}  # fmt: skip
CUSTOMER_FIELDS = {
    "account", "advice", "cause", "command", "connector", "facts", "fetch_since", "is_practice",
    "missing_since", "name", "outcome", "polled_on", "since", "state", "stopped_cycles", "tenant",
    "used_on",
}  # fmt: skip
HOSTILE = "Acme <script>alert(1)</script> \x1b[2J\u202e"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Let the command ask this console."""
    console = Console({"a": True, "b": False, "c": None})

    def opened(*_: Any, **__: Any) -> Any:
        return console_run(console, Path("evidence"), RUNBOOK_CYCLR_REQUESTS_A_SECOND=50)

    monkeypatch.setattr("runbook_lib.engine.tenant_run.open_known", opened)
    return console


def surveyed(*words: str) -> dict[str, Any]:
    """Return what `connections --json` prints about one console."""
    document: dict[str, Any] = json.loads(runbook("connections", "--json", *words).stdout)
    return document


def states(survey: dict[str, Any]) -> dict[str, str]:
    """Return the state of each customer who needs something, in their order."""
    return {row["account"]: row["state"] for row in survey["customers"]}


def write_log(*entries: Any) -> None:
    Path("log").write_text(json.dumps(entries), encoding="utf-8")


def test_the_terminal_shows_who_needs_somebody(console: Console) -> None:
    """Counts, each account that is not signed in, since when, and what nothing shows."""
    result = runbook("connections")
    text = " ".join(result.stdout.split())

    assert result.exit_code == ExitCode.INCOMPLETE
    signed_in = wording("connections.signed-in")
    not_signed_in = wording("connections.not-signed-in")
    not_installed = wording("connections.not-installed")
    assert f" 3 accounts 1 {not_signed_in} 1 {signed_in} 1 {not_installed}" in text
    assert "✘ Name of b: not signed in, b, since" in text.replace("SANDBOX ", "")
    assert "Name of a" not in text
    assert "Name of c" not in text
    assert wording("connections.not-visible") in text
    assert wording("connections.graph-version-not-visible") in text
    assert "works." not in text
    assert wording("connections.accounts-asked", accounts=3) in result.stderr
    console.accounts = {"a": True}
    assert runbook("connections").exit_code == ExitCode.COMPLETE


def test_a_program_gets_who_needs_something(console: Console) -> None:
    """`--json` counts all, lists who needs something and why, and says whether it is whole."""
    whole = surveyed()
    console.faults["a"] = lambda _: httpx.Response(500)
    partial = surveyed()

    assert whole.keys() == FIELDS
    assert all(row.keys() == CUSTOMER_FIELDS for row in whole["customers"])
    assert whole["complete"]
    assert whole["counts"] == {"not_signed_in": 1, "signed_in": 1, "not_installed": 1}
    assert states(whole) == {"b": "not signed in"}
    assert len(whole["unverifiable"]) == 5
    assert not partial["complete"]
    assert states(partial) == {"b": "not signed in", "a": "could not be read"}
    assert "Cyclr answered 500." in partial["customers"][1]["facts"]


def test_a_name_is_shown_and_does_nothing(console: Console) -> None:
    """A customer's name moves no cursor and turns no text, in a terminal and in JSON."""
    console.faults["/v1.0/accounts"] = lambda _: httpx.Response(
        200, json=[{"Id": "b", "Name": HOSTILE}], headers={"Total-Pages": "1"}
    )
    printed = runbook("connections").stdout + runbook("connections", "--json").stdout

    assert printed.count("<script>") == 2
    assert not {"\x1b", "\u202e"} & {*printed}


def test_a_first_sign_in_needs_proof(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only a customer whose account a survey saw without the connector is asked to sign in for the
    first time; each letter names the app.
    """

    def opened(*_: Any, **__: Any) -> Any:
        app: dict[str, Any] = {"RUNBOOK_FACEBOOK_APP_DISPLAY_NAME": "Acme Connect"}
        return console_run(console, Path("evidence"), RUNBOOK_CYCLR_REQUESTS_A_SECOND=50, **app)

    monkeypatch.setattr("runbook_lib.engine.tenant_run.open_known", opened)
    runbook("connections")
    console.accounts["c"] = False
    runbook("connections", "--letters", "letters")

    letters = {path.name.split("_")[1]: path.read_text() for path in Path("letters").iterdir()}
    not_yet = wording("connections.letter-not-connected")
    assert {name: not_yet in text for name, text in letters.items()} == {"b": False, "c": True}
    for text in letters.values():
        assert wording("connections.letter-app", app="Acme Connect") in text
        assert LINK_LINE in text
        assert not re.search(r"again|20\d\d", text)


def test_cut_off_customers_come_first(console: Console) -> None:
    """Also before those who were not signed in at the first poll, and perhaps never were."""
    surveyed()
    console.accounts["a"] = False
    cut = surveyed()

    assert [*states(cut).items()] == [("a", "signed out"), ("b", "not signed in")]
    assert [bool(row["missing_since"]) for row in cut["customers"]] == [True, False]


def test_a_cut_off_customer_has_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since when data are missing, why, and from which day to fetch, also after the return."""
    with Sandbox("customer-disconnected", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        runbook("connections")
        works = named(sandbox, "Customer 5")
        runbook("connections", "--test", works)
        fail_connection(sandbox.state, works, "token-ended", is_noticed=True)
        stopped = {
            "accountId": works, "title": "Cycle Error: Leads to CRM",
            "message": "There was an error when we were running your cycle: Leads to CRM. We have "
            "paused it for now.",
        }  # fmt: skip
        given_up = payload(
            AccountId=works, CycleName="Given up", Message="Out of retries", Detail=""
        )
        write_log(*sandbox.state.cyclr.transaction_errors, stopped, given_up)
        cut = surveyed("--errors", "log")
        restore_connection(sandbox.state, works)
        result = runbook("connections")
        back = surveyed()

    missing = [row["missing_since"] for row in cut["customers"] if row["missing_since"]]
    assert len(missing) == 4
    assert missing == sorted(missing)
    (row,) = (row for row in cut["customers"] if row["account"] == works)
    (returned,) = (row for row in back["customers"] if row["account"] == works)
    assert row["used_on"] < row["missing_since"]
    assert row["cause"] == "bad-token"
    cycles = {cycle["name"]: cycle["is"] for cycle in row["stopped_cycles"]}
    assert cycles == {"Leads to CRM": "paused", "Given up": "out_of_retries"}
    assert row["fetch_since"] == returned["fetch_since"] == row["used_on"][:10]
    assert (returned["state"], returned["missing_since"]) == ("signed in", "")
    fetch = wording("connections.fetch-again", day=row["fetch_since"])
    assert fetch in row["facts"]
    assert returned["facts"] == [fetch]
    assert fetch in " ".join(result.stdout.split())


def named(sandbox: Sandbox, name: str) -> str:
    """Return the id of the account with this name."""
    accounts = sandbox.state.cyclr.accounts
    return next(account for account, state in accounts.items() if state.name == name)


def test_a_partial_list_says_so(console: Console) -> None:
    """A result that lacks accounts is called partial; who was not asked has no other state."""
    surveyed()
    console.faults["b"] = lambda _: httpx.Response(429, headers={"retry-after": "9999"})
    result = runbook("connections")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert wording("connections.partial", accounts=3) in result.stdout
    assert wording("connections.not-asked-yet") in result.stdout
    assert wording("connections.limited", host="127.0.0.1") in result.stdout
    assert "Name of b" not in result.stdout


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([{"Id": "a", "Name": "A"}], f"! {wording('connections.only-earlier-rows', page=2)}"),
        ([], f"! {wording('connections.no-account')}"),
    ],
)
def test_a_list_that_may_be_a_part_ends_with_3(
    console: Console, rows: list[dict[str, str]], note: str
) -> None:
    """A list that repeats, or is empty, is never called all accounts."""
    console.faults["/v1.0/accounts"] = lambda _: httpx.Response(200, json=rows)
    result = runbook("connections")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert f"PARTIAL: {pluralize(len(rows), 'account')}" in result.stdout
    assert note in result.stdout


def test_a_connector_on_a_further_page_is_found(console: Console) -> None:
    """The connectors of an account are read to the last page, also without the number of pages."""
    rows = [{"Id": 1, "Authenticated": True, "Connector": {"Id": 5, "Name": "X"}}]
    name = "Facebook Marketing API"
    rows += [
        {"Id": number, "Authenticated": number != 3, "Connector": {"Id": 7, "Name": name}}
        for number in (2, 3)
    ]

    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        return httpx.Response(200, json=rows[number - 1 : number])

    console.faults["a"] = page
    assert states(surveyed())["a"] == "not signed in"


def test_a_first_survey_without_any_connector_is_partial(console: Console) -> None:
    """If no account has the connector, nobody has it, or the credentials do not show it."""
    console.accounts = {"a": None, "b": None}
    result = runbook("connections")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert f"PARTIAL: {pluralize(2, 'account')}" in result.stdout
    assert wording("connections.nobody-has-it") in " ".join(result.stdout.split())
    console.accounts["b"] = True
    assert surveyed()["complete"]


def test_the_last_failure_is_shown(console: Console) -> None:
    """`--errors` puts a log's last failure, and what its cycle lacks, beside its account."""
    write_log(
        payload(AccountId="a"),
        payload(AccountId="a", Timestamp="2026-11-23T10:00:00Z", CycleName="An earlier one"),
        payload(AccountId="z", CycleId="another"),
    )
    console.faults["a"] = lambda request: (
        httpx.Response(200, json=[{"ReasonCode": 20, "Reason": "Unauthenticated connector"}])
        if "prerequisites" in request.url.path
        else None
    )
    result = runbook("connections", "--errors", "log")
    text = " ".join(result.stdout.split())
    document = surveyed("--errors", "log")

    cause = wording("connections.cause-token")
    assert f" 24 Nov, 11:02: {cause}, Error validating" in text
    assert "Cycle Leads to CRM lacks Unauthenticated connector." in text
    assert "failures of 1 account that" in text
    (row,) = (row for row in document["customers"] if row["account"] == "a")
    assert "Cycle Leads to CRM lacks Unauthenticated connector." in row["facts"]
    assert document["unknown_accounts"] == ["z"]
    for shown in (result.stdout, json.dumps(document)):
        assert "An earlier one" not in shown
        assert TOKEN not in shown


def test_a_failure_signs_no_account_in(console: Console) -> None:
    """An account without the connector is never called signed in, whatever a log says."""
    write_log(payload(AccountId="c"))
    assert "signed in" not in states(surveyed("--errors", "log"))["c"]


def test_the_last_failure_of_an_account_that_was_not_asked_is_shown(console: Console) -> None:
    """Cyclr asks to wait: the log's failures are shown all the same."""
    console.faults["a"] = lambda _: httpx.Response(429, headers={"retry-after": "9999"})
    write_log(payload(AccountId="a"))
    assert "a" in states(surveyed("--errors", "log"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--test", "a", "--sign-in-link", "b", "--user", "u"), wording("connections.give-either")),
        (("--user", "u"), wording("connections.link-needs-user")),
        (("--sign-in-link", "a"), wording("connections.link-needs-user")),
        (("--errors", "nowhere.log"), wording("connections.log-unreadable", file="nowhere.log")),
        (("--tenant", "nobody"), "no record yet of a tenant called nobody"),
        (
            ("--sandbox", "approved", "--env-file", "x.env"),
            wording("setting-invalid.has-own-settings", option="--env-file"),
        ),
        (("--sandbox", "paradise"), "no scenario called paradise"),
    ],
)
def test_a_mistake_asks_nothing(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake is named with exit code 2, before anything is asked or written."""
    monkeypatch.setenv("RUNBOOK_CYCLR_CLIENT_ID", "partner")
    monkeypatch.setenv("RUNBOOK_CYCLR_CLIENT_SECRET", "a-client-secret-1")
    result = runbook("connections", *words)

    assert (result.exit_code, said in " ".join(result.stderr.split())) == (ExitCode.USAGE, True)
    assert not Path("evidence").exists()


def test_a_sandbox_with_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the sandbox: what Cyclr shows, a test call, a link, and what the webhook posted."""
    with Sandbox("customer-disconnected", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        cyclr = sandbox.state.cyclr
        shown = surveyed()
        write_log(*cyclr.transaction_errors)
        failed = surveyed("--errors", "log")
        first, noticed = list(cyclr.accounts)[:2]
        works = runbook("connections", "--test", first)
        ended = runbook("connections", "--test", noticed)
        link = runbook("connections", "--sign-in-link", noticed, "--user", "new@acme.example")
        fail_connection(sandbox.state, first, "limit", is_noticed=False)
        users = cyclr.accounts[noticed].users

    assert shown["counts"] == {"not_signed_in": 1, "signed_in": 4, "not_installed": 1}
    facts = " ".join(fact for row in failed["customers"] for fact in row["facts"])
    token = wording("connections.cause-token")
    causes = re.findall(r"Last failure \S+: ([^,]+),", facts)
    assert sorted(causes) == [token, token, "this page"]
    assert wording("connections.call-answered", call="List My Permissions") in works.stdout
    assert wording("connections.one-call") in works.stdout
    assert wording("connections.call-refused", call="List My Permissions") in ended.stdout
    assert re.match(
        r"https://\S+/updateaccountconnectoroauth\?id=\S+targetOrigin=\S+\n", link.stdout
    )
    assert wording("connections.user-created", user="new@acme.example") in link.stdout
    assert users == {"new@acme.example"}
    assert b"token=" not in Path("evidence/watch.db").read_bytes()


def test_a_file_asks_each_console_once_and_an_account_has_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tenants of one console are asked for once; `--test` and the link take a customer's name."""
    Path("tenants.toml").write_text('[[tenant]]\ntenant = "acme"\n[[tenant]]\ntenant = "beta"\n')
    with Sandbox("customer-disconnected", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        shown = runbook("connections", "tenants.toml", "--json")
        (look,) = json.loads(shown.stdout)
        name = next(iter(sandbox.state.cyclr.accounts.values())).name
        words = ("connections", "tenants.toml", "--tenant", "acme")
        tested = runbook(*words, "--test", name.upper())
        linked = runbook(*words, "--sign-in-link", name, "--user", "new@acme.example")
        unknown = runbook(*words, "--test", f"{name[:-1]} and others")
        several = runbook("connections", "tenants.toml", "--test", name)

    assert look["tenant"] == "acme"
    assert wording("connections.same-console", tenant="beta", other="acme") in shown.stderr
    assert {row["tenant"] for row in look["customers"]} == {"acme"}
    assert (tested.exit_code, "answered" in tested.stdout) == (ExitCode.COMPLETE, True)
    assert linked.stdout.startswith("https://")
    assert (unknown.exit_code, wording("connections.no-such-account") in unknown.stderr) == (
        ExitCode.USAGE,
        True,
    )
    assert several.exit_code == ExitCode.USAGE
    assert wording("connections.name-the-customer") in several.stderr


def test_a_refused_console_is_named_and_the_next_one_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another tenant's credentials for the same console are tried, too; the code is 3."""
    monkeypatch.setenv("OTHER", "not-the-secret-Zq81")
    Path("tenants.toml").write_text(
        '[[tenant]]\ntenant = "acme"\nsecrets = {cyclr_client_secret = "env:OTHER"}\n'
        '[[tenant]]\ntenant = "beta"\n'
    )
    with Sandbox("customer-disconnected", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        shown = runbook("connections", "tenants.toml", "--json")
        alone = runbook("connections", "tenants.toml", "--tenant", "acme")

    (look,) = json.loads(shown.stdout)
    assert (look["tenant"], shown.exit_code) == ("beta", ExitCode.INCOMPLETE)
    assert shown.stderr.startswith("acme: ")
    assert CyclrAPIError.next_step in shown.stderr
    assert (alone.exit_code, alone.stdout) == (ExitCode.INCOMPLETE, "")


def test_calls_that_fail_are_a_state_until_the_next_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A log or a refused test makes it, text and JSON show it, and an answered test ends it."""
    with Sandbox("customer-disconnected", seed=4) as sandbox:
        served(sandbox, monkeypatch)
        write_log(*sandbox.state.cyclr.transaction_errors)
        logged = surveyed("--errors", "log")
        failing = {name for name, state in states(logged).items() if state == "calls fail"}
        works = named(sandbox, "Customer 5")
        fail_connection(sandbox.state, works, "token-ended", is_noticed=False)
        refused = runbook("connections", "--test", works)
        result = runbook("connections")
        during = surveyed()
        restore_connection(sandbox.state, works)
        runbook("connections", "--test", works)
        after = surveyed()

    text = " ".join(result.stdout.split())
    assert logged["counts"] == {
        "not_signed_in": 1, "calls_fail": 2, "signed_in": 2, "not_installed": 1,
    }  # fmt: skip
    assert works not in states(logged)
    assert wording("connections.was-refused") in refused.stdout
    assert refused.exit_code == ExitCode.INCOMPLETE
    assert result.exit_code == ExitCode.INCOMPLETE
    assert f"3 {wording('connections.state-calls-fail')}" in text
    assert wording("connections.token-has-ended") in text
    rows = {row["account"]: row for row in during["customers"] if row["state"] == "calls fail"}
    assert rows.keys() == {works, *failing}
    assert all(row["since"] and row["facts"] and row["advice"] for row in rows.values())
    assert wording("connections.token-has-ended") in " ".join(rows[works]["facts"])
    assert states(after)[works] == "signed in"
    assert {states(after)[name] for name in failing} == {"calls fail"}


def test_practice_brings_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--sandbox` serves a sandbox while the command asks; settings of real runs stay out of it."""
    monkeypatch.setenv("RUNBOOK_CYCLR_CLIENT_ID", "partner")
    monkeypatch.setenv("RUNBOOK_CYCLR_CLIENT_SECRET", "a-client-secret-1")
    monkeypatch.setenv("RUNBOOK_CYCLR_API_URL", "https://api.eu.cyclr.com")
    result = runbook("connections", "--sandbox", "approved")

    assert result.exit_code == ExitCode.COMPLETE
    assert "SANDBOX sandbox-approved" in result.stdout


# --- explain --webhook -------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["-", "log"])
def test_failed_transactions_are_explained(source: str) -> None:
    """A file or stdin: each cause once, whom it hits, and what to do; nothing of a token."""
    text = json.dumps([payload(AccountId=name) for name in "abc"])
    Path("log").write_text(text, encoding="utf-8")
    result = runbook("explain", "--webhook", source, typed=text)
    shown = " ".join(result.stdout.split())

    assert result.exit_code == ExitCode.COMPLETE
    assert shown.startswith(wording("explain.failures", accounts=3, failures=3))
    assert "2026-11-24T11" in shown
    assert wording("screens.what-to-do") in shown
    assert TOKEN not in result.output


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file has a bar on stderr where that is a terminal; a log has none, nor has stdout."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1" if is_terminal else "0")
    if not is_terminal:
        monkeypatch.delenv("FORCE_COLOR")
    typed = "\n".join([json.dumps(payload(Detail=""))] * 600)
    result = runbook("explain", "--webhook", "-", "--json", typed=typed)

    assert ("entries read" in result.stderr) is is_terminal
    assert ("/600" in result.stderr) is is_terminal
    assert json.loads(result.stdout)["failures"] == 600


def test_an_unknown_cause_ends_with_3() -> None:
    """A cause that nobody knows, or what cannot be read, is said, with code and trace id."""
    lines = [json.dumps(payload(Detail=detail(refusal("New.", 4711)))), "broken", "{}"]
    other = json.dumps(payload(Detail=detail("{}", host="api.hubapi.com")))
    result = runbook("explain", "--webhook", "-", typed="\n".join([*lines, other]))

    assert result.exit_code == ExitCode.INCOMPLETE
    assert wording("explain.cause-not-known") in result.stdout
    assert wording("explain.code-and-trace", trace="AbCdEf1234x", code=4711) in result.stdout
    assert wording("explain.other-connectors") in result.stdout
    assert wording("explain.unread-entries", entries=2) in result.stdout
    document = json.loads(runbook("explain", "--json", "--webhook", "-", typed=lines[0]).stdout)
    assert [*document] == ["failures", "unread", "other_connectors", "cut", "causes"]
    assert document["causes"][0]["traces"] == ["AbCdEf1234x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--webhook", "nowhere"), wording("connections.log-unreadable", file="nowhere")),
        (("--webhook", "."), wording("setting-invalid.file-unreadable")),
        (("--webhook", "-", "text"), "not both"),
        (("--webhook", "-"), wording("explain.webhook-messages")),
    ],
)
def test_nothing_to_read_is_a_mistake(words: tuple[str, ...], said: str) -> None:
    """A missing file, an empty one, or a text beside it: exit code 2."""
    result = runbook("explain", *words)

    assert (result.exit_code, said in result.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("text", ["Cookie: sid=hush", "X-Api-Key: hush", "it got Basic dTpodXNo"])
def test_an_unknown_text_is_repeated_without_its_headers(text: str) -> None:
    """`explain` shows what it does not know, and nothing of it that signs in."""
    result = runbook("explain", text)

    assert "**********" in result.stdout
    assert not {"hush", "dTpodXNo"} & {*re.findall(r"\w+", result.output)}
