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
from runbook_lib.operations.tenant_reader import read_tenants
from runbook_lib.operations.watch.cycle import open_cycle
from runbook_lib.remote.rate_limits import PROCESS_COOL_DOWNS
from tests.support.attestations import attested
from tests.support.post import Post
from tests.support.wording import wording
from tests.unit.operations.watch.desk import DAY, NOON, PROCEDURE

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
        Watch after each of these waits; return the rows that are new, changed or over.

        They are as the webhook got them, each with the `digest` that told it.
        """
        before = len(self.post.hooks)
        for wait in waits:
            self.wait(wait)
            PROCESS_COOL_DOWNS._cool_downs.clear()
            alone = FleetTenant("acme", PROCEDURE, self.given, {})
            options = {"env_file": "watch.env", "clock": self.now, "is_alone": True}
            with open_cycle([alone], **options) as cycle:
                lines = [*cycle.poll(), *cycle.poll_customers()]
                lines += cycle.settle(read_tenants("evidence", self.now()).statuses)
                assert [*lines, *cycle.send()] == []
        assert not self.post.forged
        assert len(self.post.mails) == len(self.post.hooks)
        return [
            {**row, "digest": hook["data"]["id"]}
            for hook in self.post.hooks[before:]
            for row in hook["data"]["rows"]
            if row["phase"] != "open"
        ]

    def mail_of(self, row: dict[str, Any]) -> Any:
        """Return the mail that went out with the webhook's digest of a row."""
        ids = [hook["data"]["id"] for hook in self.post.hooks]
        return self.post.mails[ids.index(row["digest"])]

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
    """Let the words about publishing end; the person confirms it once more."""

    def confirm() -> None:
        desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()))])

    day = (desk.now() + timedelta(days=30)).date().isoformat()
    desk.run.say([attested("fb-12a-publish", at=timestamp(desk.now()), until=day)])
    desk.wait(31 * DAY)
    return confirm


@dataclass(frozen=True)
class Case:
    """A change, and parts of the messages about it and about its end."""

    name: str
    """The test's id."""

    change: Callable[[NotifiedDesk], Repair]
    """Makes the change, and returns its repair."""

    step: str
    """The id of the step."""

    outcome: str
    """The step's outcome in the message."""

    reason: str
    """A part of the reason."""

    stops: str = ""
    """A part of the effects; empty if the message has none."""

    advice: str = ""
    """A part of the advice."""

    is_news: bool = False
    """Whether it fails nothing: it is told once, and so is its repair."""


CASES = (
    Case(
        name="app renamed",
        change=set_to(app_of, "name", "Another"),
        step="fb-04-create-app",
        outcome="failed",
        reason="The app is called 'Another', not 'Partner Integrations'",
        stops="Customers see a different name when they consent.",
        advice="Change the name at Facebook, or the setting.",
    ),
    Case(
        name="secret refused",
        change=set_to(app_of, "secret", "f" * 32),
        step="fb-13-app-id-and-secret",
        outcome="failed",
        reason="does not accept this App ID with this App Secret",
        stops=wording("findings.secret-stops"),
        advice="Copy the App Secret again",
    ),
    # The host was verified, and the address is refused: no detail is the same.
    Case(
        name="redirect no longer accepted",
        change=take_redirect,
        step="fb-08-redirect-uri",
        outcome="failed",
        reason="Facebook does not accept https://connect.partner.test/connector/callback",
        stops="No customer can sign in: Facebook refuses the redirect.",
        advice="Enter it under Valid OAuth Redirect URIs",
    ),
    Case(
        name="business verification lost",
        change=set_to(business_of, "verification", VerificationStatus.NOT_STARTED),
        step="fb-05a-business-verification",
        outcome="not_run",
        reason="Sandbox Partner, which owns the app, is not verified",
        stops="other businesses lose access to the app",
        advice="Do it, then check it",
    ),
    # No API shows it: a customer's token sees what follows from it.
    Case(
        name="Tech Provider lost",
        change=set_to(business_of, "access_verification", VerificationStatus.NOT_STARTED),
        step="test-06-customer-consent",
        outcome="failed",
        reason="Facebook refuses the data",
        stops="Nothing shows any longer that a customer can sign in.",
        advice="Complete Access Verification.",
    ),
    Case(
        name="access tier lost",
        change=set_to(app_of, "tier", AccessTier.LIMITED),
        step="test-05-marketing-data",
        outcome="verified",
        reason="(access_tier: standard_access). Now: verified (access_tier: development_access).",
        is_news=True,
    ),
    Case(
        name="Graph version ended",
        change=end_graph_version,
        step="fb-13-app-id-and-secret",
        outcome="verified",
        reason="v26.0). Now: verified (Graph API version: v27.0, not v26.0).",
        is_news=True,
    ),
    Case(
        name="Marketing API version ended",
        change=end_marketing_version,
        step="test-05-marketing-data",
        outcome="verified",
        reason="as set). Now: verified (marketing_api_version: v27.0, not v26.0).",
        is_news=True,
    ),
    Case(
        name="certificate ended",
        change=end_certificate,
        step="fb-08-redirect-uri",
        outcome="failed",
        reason="its TLS certificate is not trusted (certificate has expired)",
        stops="No customer can sign in: the sign-in ends at this address.",
        advice=wording("walkthrough.compare-service-domain"),
    ),
    Case(
        name="certificate of another host",
        change=lambda desk: desk.present("elsewhere.example"),
        step="fb-08-redirect-uri",
        outcome="failed",
        reason="certificate is not valid for 'connect.partner.test'",
        stops="No customer can sign in: the sign-in ends at this address.",
        advice=wording("walkthrough.compare-service-domain"),
    ),
    Case(
        name="test token ended",
        change=end_token,
        step="test-04-user-token",
        outcome="failed",
        reason="The token is not valid",
        stops="The runbook cannot test the connection with this token.",
        advice="Sign in again",
    ),
    Case(
        name="data access ended",
        change=partial(end_token, field="data_access_expires_at"),
        step="test-04-user-token",
        outcome="failed",
        reason="The token's access to the person's data ended on",
        stops="The runbook cannot test the connection with this token.",
        advice="The person must sign in and consent again.",
    ),
    Case(
        name="an old word",
        change=let_attestation_expire,
        step="fb-12a-publish",
        outcome="not_run",
        reason="confirm",
        advice="confirm",
    ),
)
