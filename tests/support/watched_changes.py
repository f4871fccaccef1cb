"""A watched tenant of the sandbox whose messages arrive, and changes that its watch can see."""

from __future__ import annotations

import ssl
from collections.abc import Callable
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
from facebook_cyclr_sandbox.state.version_schedule import ApiVersion
from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.core.clock import timestamp, utc_now
from runbook_lib.core.model import Mode
from runbook_lib.engine.tenant_run import open_run
from runbook_lib.engine.watch.cycle import open_cycle
from runbook_lib.remote.rate_limits import PROCESS_COOL_DOWNS
from tests.support.attestations import attested
from tests.support.post import Post
from tests.support.wording import wording
from tests.unit.engine.watch.desk import DAY, NOON, PROCEDURE

Repair = Callable[[], object]


class NotifiedDesk:
    """A tenant whose app is in a sandbox, whose time is moved with it; `post` gets its messages."""

    def __init__(self, folder: Path, sandbox: Sandbox, post: Post) -> None:
        self.folder = folder
        self.state = sandbox.state
        self.sandbox = sandbox
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
        self.run.journal.clock = self.now
        self.run.start()
        self.path = self.run.journal.path

    @property
    def app(self) -> Any:
        """The app in the sandbox."""
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
            with open_cycle([alone], **options) as cycle:
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
        authority = trustme.CA()
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, not_after=ends).configure_cert(served)
        with Path(str(self.sandbox.description["ca_file"])).open("ab") as file:
            file.write(authority.cert_pem.bytes())
        (context,) = [s.config.ssl for s in self.sandbox._servers if s.config.ssl]

        def choose(connection: Any, name: str, _: object) -> None:
            if name == self.state.cyclr.service_domain:
                connection.context = served

        context.sni_callback = choose
        return partial(setattr, context, "sni_callback", None)


# --- changes ----------------------------------------------------------------------------------
def set_to(owner: Callable[[NotifiedDesk], object], name: str, value: object) -> Any:
    """Return a change that sets an attribute, and returns the repair that sets it back."""

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
    app = desk.app
    before = (desk.app.redirect_uris, desk.app.app_domains)

    def repair() -> None:
        app.redirect_uris, app.app_domains = before

    app.redirect_uris = []
    app.app_domains = []
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
    facebook = desk.state.facebook
    old = desk.state.operator_values["user_access_token"]
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
    """A change, and parts of the messages about it and about its end."""

    name: str
    """The test's id."""

    change: Callable[[NotifiedDesk], Repair]
    """Makes the change, and returns its repair."""

    title: str
    """The title of the problem in the message."""

    was: str
    """The result before, as the message has it."""

    now: str
    """The result since, as the message has it."""

    reason: str
    """A part of the reason."""

    impact: str
    """A part of the effects; empty if the message has none."""

    advice: str
    """A part of the advice."""

    kind: str = "failed"
    """The kind of the problem, as the webhook's JSON has it."""

    over: str = "recovered"
    """The kind of the message after the repair."""


CASES = (
    Case(
        name="app renamed",
        change=set_to(app_of, "name", "Another"),
        title="4 Create App",
        was="verified (App Display Name: Partner Integrations)",
        now="failed (App Display Name: Another)",
        reason="The app is called 'Another', not 'Partner Integrations'",
        impact="Customers see a different name when they consent.",
        advice="Change the name at Facebook, or the setting.",
    ),
    Case(
        name="secret refused",
        change=set_to(app_of, "secret", "f" * 32),
        title="13 Complete Settings > Basic",
        was="verified",
        now="failed",
        reason="does not accept this App ID with this App Secret",
        impact="No customer can sign in, and no token is renewed.",
        advice="Copy the App Secret again",
    ),
    # The host was verified, and the address is refused: no detail is the same.
    Case(
        name="redirect no longer accepted",
        change=take_redirect,
        title="8 Set the Valid OAuth Redirect URI",
        was="verified",
        now="failed",
        reason="Facebook does not accept https://connect.partner.test/connector/callback",
        impact="No customer can sign in: Facebook refuses the redirect.",
        advice="Enter it under Valid OAuth Redirect URIs",
    ),
    Case(
        name="business verification lost",
        change=set_to(business_of, "verification", VerificationStatus.NOT_STARTED),
        title="5a Have your business verified",
        was="verified",
        now="to do",
        reason="Sandbox Partner, which owns the app, is not verified",
        impact="other businesses lose access to the app",
        advice="Do it, then check it",
    ),
    # No API shows it: a customer's token sees what follows from it.
    Case(
        name="Tech Provider lost",
        change=set_to(business_of, "access_verification", VerificationStatus.NOT_STARTED),
        title="21a Consent as somebody who has no role on the app",
        was="verified",
        now="failed",
        reason="Facebook refuses the data",
        impact="Nothing shows any longer that a customer can sign in.",
        advice="Complete Access Verification.",
    ),
    Case(
        name="access tier lost",
        change=set_to(app_of, "tier", AccessTier.LIMITED),
        title="21 Read marketing data",
        was="verified (access_tier: standard_access)",
        now="verified (access_tier: development_access)",
        reason="Request the full tier, Marketing API Access Tier, in App Review.",
        impact="",
        advice="",
        kind="changed",
        over="changed",
    ),
    Case(
        name="Graph version ended",
        change=end_graph_version,
        title="13 Complete Settings > Basic",
        was="verified (Graph API version: v26.0)",
        now="verified (Graph API version: v27.0, not v26.0)",
        reason="Set graph_version to a current one.",
        impact="",
        advice="",
        kind="changed",
        over="changed",
    ),
    Case(
        name="Marketing API version ended",
        change=end_marketing_version,
        title="21 Read marketing data",
        was="verified (marketing_api_version: as set)",
        now="verified (marketing_api_version: v27.0, not v26.0)",
        reason="Set graph_version to a current one.",
        impact="",
        advice="",
        kind="changed",
        over="changed",
    ),
    Case(
        name="certificate ended",
        change=end_certificate,
        title="8 Set the Valid OAuth Redirect URI",
        was="verified",
        now="failed",
        reason="its TLS certificate is not trusted (certificate has expired)",
        impact="No customer can sign in: the sign-in ends at this address.",
        advice=wording("walkthrough.compare-service-domain"),
    ),
    Case(
        name="certificate of another host",
        change=lambda desk: desk.present("elsewhere.example"),
        title="8 Set the Valid OAuth Redirect URI",
        was="verified",
        now="failed",
        reason="certificate is not valid for 'connect.partner.test'",
        impact="No customer can sign in: the sign-in ends at this address.",
        advice=wording("walkthrough.compare-service-domain"),
    ),
    Case(
        name="test token ended",
        change=end_token,
        title="20 Inspect a user's token of this app",
        was="verified",
        now="failed",
        reason="The token is not valid",
        impact="The runbook cannot test the connection with this token.",
        advice="Sign in again",
    ),
    Case(
        name="data access ended",
        change=partial(end_token, field="data_access_expires_at"),
        title="20 Inspect a user's token of this app",
        was="verified",
        now="failed",
        reason="The token's access to the person's data ended on",
        impact="The runbook cannot test the connection with this token.",
        advice="The person must sign in and consent again.",
    ),
    Case(
        name="an old word",
        change=let_attestation_expire,
        title="12a Publish",
        was="attested",
        now="to do",
        reason="confirm",
        impact="",
        advice="confirm",
    ),
)
