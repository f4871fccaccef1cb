"""
Each change that a watch can see: one right message, and one when it is over.

A real SMTP server and a webhook's receiver that verifies signatures take the messages. The
sandbox's clock and the watch's are moved together.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from facebook_cyclr_sandbox.default_state import MARKETING, find_library_connector
from facebook_cyclr_sandbox.server import Sandbox
from facebook_cyclr_sandbox.state.facebook_state import AccessTier, VerificationStatus
from facebook_cyclr_sandbox.state.fault_injection import read_fault
from facebook_cyclr_sandbox.state.review import decide
from facebook_cyclr_sandbox.state.version_schedule import ApiVersion
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook.graph import GRAPH_CALENDAR, MARKETING_CALENDAR
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.engine.watch.cycle import watching
from runbook_lib.remote.rate_limits import PROCESS_COOL_DOWNS
from tests.support.attestations import attested, submitted
from tests.support.post import Post, receiving
from tests.unit.engine.watch.desk import DAY, HOUR, MINUTE, NOON, PROCEDURE, SECRET_STEP

# Two looks a day later, since a changed answer counts when it is seen again; then two more.
LOOKS = (DAY, 6 * MINUTE, DAY, 6 * MINUTE)
# The first two of these see only what waits or fails.
EARLY_LOOKS = (16 * MINUTE, 6 * MINUTE, DAY, 6 * MINUTE, DAY)
Repair = Callable[[], object]


class NotifiedDesk:
    """A tenant whose app is in a sandbox, whose time is moved with it; `post` gets its messages."""

    def __init__(self, folder: Path, sandbox: Sandbox, post: Post) -> None:
        self.folder, self.state, self.sandbox = folder, sandbox.state, sandbox
        # NOTE: a day counts in UTC; at 23:30 an hour later is another day.
        self.offset = (NOON - utc_now()).total_seconds() % DAY
        self.state.offset += self.offset
        items = [(item, sandbox.settings(item.provider)) for item in inputs_of(PROCEDURE)]
        self.post = post
        self.given: dict[str, object] = {}
        self.patch = pytest.MonkeyPatch()
        post.clock = self.now
        lines = [
            f'{item.variable}="{known[item.name]}"' for item, known in items if known.get(item.name)
        ]
        (folder / "watch.env").write_text("\n".join([*lines, post.settings]))
        self.run = open_run(
            PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant="acme", env_file="watch.env"
        )
        self.run.clock = self.now
        self.run.start()
        self.path = self.run.journal.path

    @property
    def app(self) -> Any:
        """Return the app in the sandbox."""
        return next(iter(self.state.facebook.apps.values()))

    def now(self) -> datetime:
        """Return the time, as it is there."""
        return utc_now() + timedelta(seconds=self.offset)

    def wait(self, seconds: float) -> None:
        """Let time pass, here and there."""
        self.offset += seconds
        self.state.offset += seconds
        (self.folder / "evidence" / "calls.jsonl").unlink(missing_ok=True)

    def set(self, *lines: str) -> None:
        """Write these settings; the last of a name counts."""
        names = {line.partition("=")[0] for line in lines}
        path = self.folder / "watch.env"
        kept = [
            line for line in path.read_text().splitlines() if line.partition("=")[0] not in names
        ]
        path.write_text("\n".join((*kept, *lines, "")))

    def pass_by(self, *waits: float) -> list[dict[str, Any]]:
        """
        Watch after each of these waits; return the problems that began or ended, by the webhook.

        Each has the `digest` that reports it, and the `thread` of that.
        """
        before = len(self.post.hooks)
        for wait in waits:
            self.wait(wait)
            PROCESS_COOL_DOWNS._cool_downs.clear()
            alone = FleetTenant("acme", PROCEDURE, self.given, {})
            options = {"env_file": "watch.env", "clock": self.now, "is_alone": True}
            with watching([alone], **options) as cycle:
                for act in (cycle.poll, cycle.poll_customers, cycle.shown, cycle.send):
                    lines: list[Any] = [*act()]
                    assert act == cycle.shown or lines == []
        assert not self.post.forged
        assert len(self.post.mails) == len(self.post.hooks)
        return [
            {**problem, "digest": hook["data"]["id"], "thread": hook["data"]["thread"]}
            for hook in self.post.hooks[before:]
            for problem in hook["data"]["problems"]
            if problem["phase"] != "still failing"
        ]

    def mail_of(self, problem: dict[str, Any]) -> Any:
        """Return the mail that went out with the webhook's digest of a problem."""
        ids = [hook["data"]["id"] for hook in self.post.hooks]
        return self.post.mails[ids.index(problem["digest"])]

    def perform(self) -> None:
        """Check every step, as a run does."""
        for step in PROCEDURE.steps:
            if step.checks:
                self.run.perform(step.id)

    def present(self, *names: str, ends: datetime | None = None) -> Repair:
        """Let the service domain present a certificate for `names`, until the repair."""
        authority, served = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, not_after=ends).configure_cert(served)
        with Path(str(self.sandbox.description["ca_file"])).open("ab") as file:
            file.write(authority.cert_pem.bytes())
        (context,) = [s.config.ssl for s in self.sandbox._servers if s.config.ssl]

        def choose(connection: Any, name: str, _: object) -> None:
            if name == self.state.cyclr.service_domain:
                connection.context = served

        context.sni_callback = choose
        return partial(setattr, context, "sni_callback", None)


@pytest.fixture
def post() -> Iterator[Post]:
    with receiving() as post:
        yield post


@pytest.fixture
def desk(folder: Path, post: Post) -> Iterator[NotifiedDesk]:
    with Sandbox("approved", seed=2) as sandbox:
        desk = NotifiedDesk(folder, sandbox, post)
        yield desk
        desk.run.close()


# --- what changes ----------------------------------------------------------------------------
def set_to(owner: Callable[[NotifiedDesk], object], name: str, value: object) -> Any:
    """Return what sets an attribute, and returns what sets it back."""

    def change(desk: NotifiedDesk) -> Repair:
        target = owner(desk)
        before = getattr(target, name)
        setattr(target, name, value)
        return partial(setattr, target, name, before)

    return change


def app_of(desk: NotifiedDesk) -> object:
    """Return the app."""
    return desk.app


def business_of(desk: NotifiedDesk) -> object:
    """Return the business that owns the app."""
    return desk.state.facebook.business


def connector_of(desk: NotifiedDesk) -> object:
    """Return the connector in Cyclr's library."""
    return find_library_connector(desk.state, MARKETING)


def take_redirect(desk: NotifiedDesk) -> Repair:
    """Take the redirect URI and the domain from the app's settings."""
    app, before = desk.app, (desk.app.redirect_uris, desk.app.app_domains)

    def repair() -> None:
        app.redirect_uris, app.app_domains = before

    app.redirect_uris, app.app_domains = [], []
    return repair


def take_permission(desk: NotifiedDesk) -> Repair:
    """Take `ads_read` from the app."""
    desk.app.permissions.pop("ads_read")
    return lambda: desk.app.permissions.update(ads_read="live")


def end_graph_version(desk: NotifiedDesk) -> Repair:
    """End the version in Graph's calendar; the operator sets another one."""
    desk.state.version_schedule.replace_version(ApiVersion("v26.0", graph_until=desk.state.now()))
    return partial(desk.set, "RUNBOOK_FACEBOOK_GRAPH_VERSION=v27.0")


def end_marketing_version(desk: NotifiedDesk) -> Repair:
    """End the version in the Marketing API's calendar; the operator sets another one."""
    desk.state.version_schedule.replace_version(
        ApiVersion("v26.0", marketing_until=desk.state.now())
    )
    return partial(desk.set, "RUNBOOK_FACEBOOK_GRAPH_VERSION=v27.0")


def end_certificate(desk: NotifiedDesk) -> Repair:
    """Let the service domain's certificate be one that has ended."""
    ended = datetime.now(UTC) - timedelta(hours=1)
    return desk.present(desk.state.cyclr.service_domain, ends=ended)


def end_token(desk: NotifiedDesk, field: str = "expires_at") -> Repair:
    """Let the test's token end, or its data access; the operator gives a new one."""
    facebook, old = desk.state.facebook, desk.state.operator_values["user_access_token"]
    token = facebook.tokens.get(old)
    assert token
    now: dict[str, Any] = {field: int(desk.state.now())}
    facebook.tokens.put(old, replace(token, **now))

    def renew() -> None:
        new = desk.state.issue_user_token(desk.app, token.user_id, token.scopes, keep=True)
        desk.set(f"RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN={new.value}")

    return renew


def let_attestation_expire(desk: NotifiedDesk) -> Repair:
    """Let the words about publishing grow old; the person confirms it once more."""

    def confirm() -> None:
        desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()))])

    desk.wait(31 * DAY)
    return confirm


@dataclass(frozen=True)
class Case:
    """A change, and parts of the message about it; `over` is the kind of the second one."""

    name: str
    change: Callable[[NotifiedDesk], Repair]
    title: str
    was: str
    now: str
    reason: str
    impact: str
    advice: str
    kind: str = "failed"
    over: str = "recovered"


CASES = (
    Case("app renamed", set_to(app_of, "name", "Another"), "4 Create App",
        "verified (App Display Name: Partner Integrations)", "failed (App Display Name: Another)",
        "The app is called 'Another', not 'Partner Integrations'",
        "Customers see a different name when they consent.",
        "Fix the problem described above"),
    Case("secret refused", set_to(app_of, "secret", "f" * 32), "13 Complete Settings > Basic",
        "verified", "failed", "does not accept this App ID with this App Secret",
        "No customer can sign in, and no token is renewed.", "Copy the App Secret again"),
    # The host was verified, and the address is refused: no detail is the same.
    Case("redirect no longer accepted", take_redirect, "8 Set the Valid OAuth Redirect URI",
        "verified", "failed",
        "Facebook does not accept https://connect.partner.test/connector/callback",
        "No customer can sign in: Facebook refuses the redirect.",
        "Copy the address that the runbook shows into Valid OAuth Redirect URIs"),
    Case("business verification lost",
        set_to(business_of, "verification", VerificationStatus.NOT_STARTED),
        "5a Have your business verified", "verified", "to do",
        "Sandbox Partner, which owns the app, is not verified",
        "other businesses lose access to the app", "Do it, then check it"),
    # No API shows it: a customer's token sees what follows from it.
    Case("Tech Provider lost",
        set_to(business_of, "access_verification", VerificationStatus.NOT_STARTED),
        "21a Consent as somebody who has no role on the app", "verified", "failed",
        "Facebook refuses the data", "Nothing shows any longer that a customer can sign in.",
        "Access Verification (step 5b (Be verified as a Tech Provider))"),
    Case("access tier lost", set_to(app_of, "tier", AccessTier.LIMITED), "21 Read marketing data",
        "verified (access_tier: standard_access)", "verified (access_tier: development_access)",
        "Request the full tier, Marketing API Access Tier, in App Review.", "", "",
        kind="changed", over="changed"),
    Case("Graph version ended", end_graph_version, "13 Complete Settings > Basic",
        "verified (Graph API version: v26.0)", "verified (Graph API version: v27.0, not v26.0)",
        "Set graph_version to a current one.", "", "", kind="changed", over="changed"),
    Case("Marketing API version ended", end_marketing_version, "21 Read marketing data",
        "verified (marketing_api_version: as set)",
        "verified (marketing_api_version: v27.0, not v26.0)",
        "Set graph_version to a current one.", "", "", kind="changed", over="changed"),
    Case("certificate ended", end_certificate, "8 Set the Valid OAuth Redirect URI", "verified",
        "failed", "its TLS certificate is not trusted (certificate has expired)",
        "No customer can sign in: the sign-in ends at this address.",
        "Fix the problem described above"),
    Case("certificate of another host", lambda desk: desk.present("elsewhere.example"),
        "8 Set the Valid OAuth Redirect URI", "verified", "failed",
        "certificate is not valid for 'connect.partner.test'",
        "No customer can sign in: the sign-in ends at this address.",
        "Fix the problem described above"),
    Case("test token ended", end_token, "20 Inspect a user's token of this app", "verified",
        "failed", "The token is not valid",
        "The runbook cannot test the connection with this token.", "Sign in again."),
    Case("data access ended", partial(end_token, field="data_access_expires_at"),
        "20 Inspect a user's token of this app", "verified", "failed",
        "The token's access to the person's data ended on",
        "The runbook cannot test the connection with this token.", "Sign in again."),
    Case("an old word", let_attestation_expire, "12a Publish", "attested", "to do", "confirm", "",
        "confirm"),
)  # fmt: skip


def one_digest(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the problems but for days that come; one digest reports them all, as one cause."""
    told = [problem for problem in problems if problem["kind"] != "due"]
    assert len({problem["digest"] for problem in told}) == 1
    return told


def at(title: str, problems: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the problem at the step of that title."""
    return next(problem for problem in problems if problem["place"].startswith(title))


@pytest.mark.matrix(3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_is_one_digest_and_its_end_another(desk: NotifiedDesk, case: Case) -> None:
    """One digest however often it is polled; its end is in the same thread, under one id."""
    desk.set("RUNBOOK_ATTESTATION_DAYS=30")
    desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()))])
    desk.perform()
    desk.pass_by(0)
    before = timestamp(desk.now())
    repair = case.change(desk)
    # Other steps may show the same cause, and what is new comes before what has ended.
    change = at(case.title, one_digest(desk.pass_by(*LOOKS)))
    repair()
    over = at(case.title, one_digest(desk.pass_by(*EARLY_LOOKS)))

    assert (change["kind"], over["kind"]) == (case.kind, case.over)
    assert change["place"].startswith(case.title)
    assert change["was"].startswith(case.was)
    assert change["now"] == case.now
    assert before < change["since"] <= change["on"]
    for name in ("reason", "impact", "advice"):
        assert getattr(case, name) in change[name]
    assert over["place"] == change["place"]
    assert (over["id"] == change["id"]) is (case.over == "recovered")
    assert over["thread"] == ([change["digest"]] if case.over == "recovered" else [])
    mail, last = [desk.mail_of(problem) for problem in (change, over)]
    text = mail.get_content()
    for part in (f"Before: {change['was']}. Now: {case.now}.", case.reason, case.advice):
        assert part in text
    assert case.over != "recovered" or last["References"] == mail["Message-ID"]


def test_a_permission_that_is_no_longer_listed_is_an_outage(desk: NotifiedDesk) -> None:
    """The list decides nothing, so it is no change; the step cannot be checked for a day."""
    desk.set("RUNBOOK_ATTESTATION_DAYS=30")
    desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()))])
    desk.perform()
    desk.pass_by(0)
    repair = take_permission(desk)
    (told,) = one_digest(desk.pass_by(*LOOKS))
    repair()
    (over,) = one_digest(desk.pass_by(*EARLY_LOOKS))

    assert (told["kind"], over["kind"]) == ("outage", "outage_over")
    assert told["reason"].startswith("Facebook does not list ads_read.")
    assert over["id"] == told["id"]


@pytest.mark.parametrize("user", ["", "operator"])
def test_no_sign_in_link_is_used_up(desk: NotifiedDesk, user: str) -> None:
    """Whatever the settings permit, so another Client ID in Cyclr's console is not noticed."""
    desk.set(f"RUNBOOK_CYCLR_USERNAME={user}")
    desk.pass_by(0)
    set_to(connector_of, "client_id", "1234567890123456")(desk)

    assert desk.pass_by(*LOOKS) == []


def test_another_secret_that_is_refused_is_a_problem_at_the_first_poll(desk: NotifiedDesk) -> None:
    """The check in the journal was made with the right one; it and its end are one problem."""
    right = desk.sandbox.settings("facebook")["app_secret"]
    desk.perform()
    desk.set(f"RUNBOOK_FACEBOOK_APP_SECRET={right[::-1]}")
    told = one_digest(desk.pass_by(0))
    desk.set(f"RUNBOOK_FACEBOOK_APP_SECRET={right}")
    over = one_digest(desk.pass_by(*EARLY_LOOKS))

    assert SECRET_STEP in {problem["step"] for problem in told}
    # Every other check that meets the refusal cannot tell because of the same cause.
    assert {(p["kind"], p["code"]) for p in told} == {("failed", "app-secret-refused")}
    assert {p["step"] for p in told if p["now"] == "failed"} >= {SECRET_STEP}
    assert {p["kind"] for p in over} == {"recovered"}
    assert {p["id"] for p in over} == {p["id"] for p in told}


def test_a_decided_review_is_one_entry_of_one_digest(folder: Path, post: Post) -> None:
    """Approved: each step that waited for it is named, the next step too, and that once."""
    with Sandbox("review-pending", seed=2) as sandbox:
        desk = NotifiedDesk(folder, sandbox, post)
        desk.run.say([submitted("fb-12-submit-review")])
        desk.pass_by(0)
        decide(desk.app, dict.fromkeys(desk.app.review.permissions, "approved"), "")
        told = one_digest(desk.pass_by(*LOOKS, *LOOKS))
        mail = desk.mail_of(told[0])
        desk.run.close()

    change = told[0]
    assert {problem["kind"] for problem in told} == {"changed"}
    assert {problem["place"].partition(" ")[0] for problem in told} == {"10", "11", "12"}
    assert mail["Subject"] == (
        "SANDBOX acme: App Review approved all 9 permissions. Next: 12a Publish the app"
    )
    assert "leads_retrieval: live" in change["now"]
    assert change["reason"] == "All 9 permissions are live."


# --- what falls due --------------------------------------------------------------------------
def end_in_calendar(calendar: Any, desk: NotifiedDesk, ends: datetime) -> None:
    """Let the pinned version end on that day, as the calendar knows."""
    desk.patch.setitem(calendar.ends, "v26.0", ends.date())


def end_token_later(field: str, desk: NotifiedDesk, ends: datetime) -> None:
    """Let the test's token, or its data access, end then."""
    facebook, value = desk.state.facebook, desk.state.operator_values["user_access_token"]
    token = facebook.tokens.get(value)
    assert token
    never: dict[str, Any] = {"expires_at": 0, "data_access_expires_at": 0}
    later: dict[str, Any] = {**never, field: int(ends.timestamp())}
    facebook.tokens.put(value, replace(token, **later))


DUE: dict[str, tuple[Callable[[NotifiedDesk, datetime], object], str, str, str]] = {
    "graph_version": (
        partial(end_in_calendar, GRAPH_CALENDAR),
        "fb-13-app-id-and-secret",
        "Graph version ends",
        "Set graph_version to a newer version, then check again.",
    ),
    "marketing_api_version": (
        partial(end_in_calendar, MARKETING_CALENDAR),
        "fb-13-app-id-and-secret",
        "Marketing API version ends",
        "Set graph_version to a newer version, then check again.",
    ),
    "certificate": (
        lambda desk, ends: desk.present(desk.state.cyclr.service_domain, ends=ends),
        "fb-08-redirect-uri",
        "Certificate ends",
        "Renew the certificate of the Service Domain before then",
    ),
    "token": (
        partial(end_token_later, "expires_at"),
        "test-04-user-token",
        "Token ends",
        "Sign in again before then",
    ),
    "data_access": (
        partial(end_token_later, "data_access_expires_at"),
        "test-04-user-token",
        "Data access ends",
        "The person must sign in and consent again",
    ),
}


@pytest.mark.matrix(1)
@pytest.mark.parametrize("what", DUE)
def test_what_ends_is_said_30_7_and_1_days_before(
    desk: NotifiedDesk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Of a calendar's end, the certificate's, the token's and its data access's: each day once."""
    let_end, step, text, do = DUE[what]
    desk.patch = monkeypatch
    ends = desk.now() + timedelta(days=33, hours=1)
    let_end(desk, ends)
    desk.run.perform(step)
    days = [3, 23, 6, 1]
    messages = desk.pass_by(0, *[part for day in days for part in (day * DAY - HOUR, HOUR)])

    assert [message["kind"] for message in messages] == ["due"] * 3
    assert {(message["step"], message["advice"][: len(do)]) for message in messages} == {(step, do)}
    assert [text in message["title"] for message in messages] == [True] * 3
    left = [message["reason"].partition(":")[0] for message in messages]
    assert left == ["In 30 days", "In 7 days", "In 1 day"]
    assert {message["due"] for message in messages} == {ends.date().isoformat()}


# --- what is none ----------------------------------------------------------------------------
CLOSED = "http://127.0.0.1:9"
NO_NETWORK = {"graph_url": CLOSED, "cyclr_api_url": CLOSED, "service_domain_address": CLOSED[7:]}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "server-error"},
    {"kind": "graph-error", "code": 1},
    {"kind": "graph-error", "code": 2},
    {"kind": "graph-error", "code": 4},
    {"kind": "html"},
    {"kind": "truncated"},
    {"kind": "reset"},
    {"kind": "slow", "seconds": 1.5},
    {},
)


def disturb(desk: NotifiedDesk, chance: random.Random, *, is_whole: bool) -> None:
    """Let something else be wrong at the next look: with all requests, or with some of them."""
    fault = dict(chance.choice(FAULTS))
    desk.given = {} if fault else dict(NO_NETWORK)
    share = 1.0 if is_whole else chance.random()
    site = (
        ""
        if is_whole
        else chance.choice(("graph", "cyclr-api", "cyclr-console", "service-domain", ""))
    )
    named = [{**fault, "share": share, "site": site}] if fault else []
    desk.state.faults.active = [read_fault(part) for part in named]


@pytest.mark.matrix(0)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_random_outages_is_one_message(
    desk: NotifiedDesk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """
    A day in which something else is wrong at each look is no message; more than a day is one.

    It is over with one more. The faults are 5xx, Graph's codes 1, 2 and 4 (its limit), pages
    instead of JSON, cut and slow answers, and no network.
    """
    print("seed", seed)  # noqa: T201
    chance = random.Random(seed)
    monkeypatch.setattr("runbook_lib.remote.retries.RetryPolicy.pause", lambda *_: 0.0)
    desk.set("RUNBOOK_EXCHANGE_SECONDS=1")
    desk.pass_by(0)

    def day(seconds: float, *, is_whole: bool) -> list[dict[str, Any]]:
        messages = []
        while seconds > 0:
            disturb(desk, chance, is_whole=is_whole)
            wait = chance.uniform(5 * MINUTE, 90 * MINUTE)
            messages += desk.pass_by(wait)
            seconds -= wait
        desk.given, desk.state.faults.active = {}, []
        return messages

    some = [*day(DAY, is_whole=False), *desk.pass_by(6 * MINUTE, 16 * MINUTE)]
    whole = day(2 * DAY, is_whole=True)
    over = desk.pass_by(6 * MINUTE, *LOOKS)

    assert some == []
    assert [message["kind"] for message in whole] == ["outage"]
    assert [(message["kind"], message["id"]) for message in over] == [
        ("outage_over", whole[0]["id"])
    ]
