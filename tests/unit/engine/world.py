"""
A month of 20 tenants and 18 customers, as an evidence folder: journals, polls and a FILE.

No network: runs and polls are the product's own, only what their checks see is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.clock import timestamp
from runbook_lib.core.model import Finding, Mode, Outcome, Remark
from runbook_lib.core.procedure import Step
from runbook_lib.engine.check_runner import CheckResult, Performed, PreparedChecks
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.operations.customer_rows import (
    AccountStatus,
    FailingCalls,
    InstalledConnector,
    KnownAccount,
    Survey,
)
from runbook_lib.operations.tenant_list import list_tenants
from runbook_lib.operations.watch.customer_poll import changed_accounts
from runbook_lib.operations.watch.poll import open_watched, poll_tenant
from runbook_lib.operations.watch.watch_state import WatchedCustomer, WatchState, open_state
from runbook_lib.run.journal import Journal
from tests.support.attestations import attested, submitted

MARKETING = find_procedure("facebook_marketing")
MESSENGER = find_procedure("facebook_messenger")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
EVIDENCE = Path("evidence")
# Values of all tenants, so that every check can run.
SETTINGS = """
RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Partner
RUNBOOK_FACEBOOK_APP_SECRET=0f1e2d3c4b5a69788796a5b4c3d2e1f0
RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN=EAAuser0token0of0the0test0account
"""
# A setting of practice: every address is on this machine.
HERE = {"graph_url": "http://127.0.0.1:9", "cyclr_api_url": "http://127.0.0.1:9"}

DEACTIVATED = Finding(
    outcome=Outcome.FAILED, code="app-deactivated", reason="Facebook said: API access deactivated."
)
REFUSED = Finding(
    outcome=Outcome.FAILED,
    code="app-secret-refused",
    reason="Facebook does not accept this App ID with this App Secret.",
    refuses=("app_secret",),
)


def finding(outcome: Outcome = Outcome.VERIFIED, reason: str = "It is so.", **more: Any) -> Finding:
    """Return the finding of a check."""
    return Finding(outcome=outcome, reason=reason, **{"code": "a-code", **more})


def only_unclear(seen: Finding) -> Finding:
    """Return the finding of another check that meets the same cause."""
    return structs.replace(seen, outcome=Outcome.INCONCLUSIVE, refuses=())


class Responses:
    """The findings of a tenant's checks: by step or check; the rest is verified."""

    def __init__(self, seen: Mapping[str, Finding | None] | None = None) -> None:
        self.seen = {**(seen or {})}

    def of(self, step: Step) -> tuple[CheckResult, ...]:
        """Return the result of each check of a step; `None` stands for no answer."""
        results = []
        for check in step.checks:
            known = self.seen.get(check.id, self.seen.get(step.id, finding()))
            shown = known or finding(Outcome.INCONCLUSIVE, "No answer within 30 s.", code="timeout")
            results.append(
                CheckResult(structs.replace(shown, check=check.id), is_unanswered=known is None)
            )
        return tuple(results)


class GivenResults:
    """In place of checks under way: their results are given, for the values of the run."""

    def __init__(self, run: Run, responses: Responses) -> None:
        self._run = run
        self._responses = responses

    def take(self, step: Step) -> tuple[Performed, PreparedChecks]:
        """Return the results of a step's checks, and the values that they are about."""
        performed: Performed = (self._responses.of(step), "")
        return performed, PreparedChecks(self._run.known_subject, lambda: performed)


@dataclass(frozen=True, kw_only=True)
class WorldTenant:
    """A tenant of the world, with its attestations, and the findings of its run and its watch."""

    name: str
    """The tenant's name."""
    connector: str = "facebook_marketing"
    """The connector's id."""
    seen: Mapping[str, Finding | None] = field(default_factory=dict)
    """Findings of the run, by step or check; the rest is verified."""
    unsaid: tuple[str, ...] = ()
    """The steps without an attestation."""
    said: tuple[Remark, ...] = ()
    """Further attestations."""
    polled: Mapping[str, Finding | None] | None = None
    """Findings of the watch's polls; `None` if no watch polls it."""
    polls: tuple[timedelta, ...] = (2 * HOUR, HOUR)
    """The times before now at which the watch polled it."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Its settings besides the shared ones."""
    run_before: timedelta = DAY
    """The time before now at which it ran."""


class World:
    """An evidence folder in the working directory, and the time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at = NOW
        self.responses = Responses()
        patch.setattr(
            Run, "peek", lambda _, steps: {step.id: self.responses.of(step) for step in steps}
        )
        patch.setattr(Run, "start_snapshot", lambda run, _: GivenResults(run, self.responses))
        patch.setattr(Run, "used_calls", 0.0)
        patch.setattr("runbook_lib.core.clock.utc_now", self.now)
        Path("runbook.env").write_text(SETTINGS)

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    @contextmanager
    def time(self, before: timedelta) -> Iterator[datetime]:
        """Let it be so long before now."""
        at = self.at
        self.at = self.at - before
        try:
            yield self.at
        finally:
            self.at = at

    @contextmanager
    def state(self) -> Iterator[WatchState]:
        """Open the watch's state."""
        EVIDENCE.mkdir(exist_ok=True)
        with open_state(EVIDENCE, self.at) as state:
            yield state

    def values(self, tenant: WorldTenant) -> dict[str, Any]:
        """Return the settings of a tenant; each has an app of its own."""
        number = sum(tenant.name.encode())
        return {
            "app_id": f"1234567890{number:06}",
            "service_domain": f"{tenant.name}-h.cyclr.com",
            **tenant.given,
        }

    def run(self, tenant: WorldTenant, seen: Mapping[str, Finding | None] | None = None) -> None:
        """Run every step of a tenant once, after people have attested their steps."""
        procedure = find_procedure(tenant.connector)
        with self.time(tenant.run_before) as at:
            opened = open_run(
                procedure, self.values(tenant), mode=Mode.HEADLESS, tenant=tenant.name,
                env_file="runbook.env",
            )  # fmt: skip
            journal = Journal(opened.journal.path, clock=self.now)
            run = replace(opened, journal=journal)
            run.start()
            said = {remark.step for remark in tenant.said}
            done = [
                attested(step.id, at=timestamp(at))
                for step in procedure.steps
                if step.id not in {*tenant.unsaid, *said}
            ]
            run.say([*done, *tenant.said])
            self.responses = Responses(tenant.seen if seen is None else seen)
            for step in procedure.steps:
                if step.checks:
                    run.perform(step.id)
            run.finish()
            run.close()

    def poll(
        self, tenant: WorldTenant, seen: Mapping[str, Finding | None], *before: timedelta
    ) -> None:
        """Let the watch poll a tenant, so long before now each."""
        procedure = find_procedure(tenant.connector)
        self.responses = Responses({**tenant.seen, **seen})
        for interval in before:
            with self.time(interval), self.state() as state:
                run = open_watched(
                    procedure, self.values(tenant), tenant=tenant.name, clock=self.now,
                    env_file="runbook.env",
                )  # fmt: skip
                poll_tenant(run, state)
                run.close()

    def begin(self, *tenants: WorldTenant) -> None:
        """Run these tenants, and poll those that a watch polls."""
        for tenant in tenants:
            self.run(tenant)
            if tenant.polled is not None:
                self.poll(tenant, tenant.polled, *tenant.polls)

    def write_file(self, names: Iterable[str], *, path: str = "tenants.toml") -> Path:
        """Write a FILE that names these tenants, `name:connector` where it is another one."""
        tables = []
        for name in names:
            tenant, _, connector = name.partition(":")
            line = f'connector = "{connector}"\n' if connector else ""
            tables.append(f'[[tenant]]\ntenant = "{tenant}"\n{line}')
        Path(path).write_text("\n".join(tables))
        return Path(path)

    def survey(self, tenant: WorldTenant, *accounts: KnownAccount, before: timedelta) -> None:
        """Let the watch have seen these accounts; it begins the problems that two looks saw."""
        key = f"{tenant.connector}/{tenant.name}"
        with self.time(before) as at, self.state() as state:
            survey = Survey(
                of=("x",), began=timestamp(at), ended=timestamp(at), is_listed=True,
                accounts={account.id: account for account in accounts},
            )  # fmt: skip
            changed = {account.id: account for account in changed_accounts(survey, "", at)}
            kept = {**survey.accounts, **changed}
            with state.transaction():
                state.customers.write(WatchedCustomer(key, a.id, a) for a in kept.values())

    def unusable(self, name: str, reason: str, advice: str, before: timedelta = HOUR) -> None:
        """Let the watch note why it could not ask anything of a tenant."""
        with self.time(before) as at, self.state() as state:
            row = state.tenant(f"facebook_marketing/{name}")
            row.set_unusable(reason, advice, timestamp(at))
            with state.transaction():
                state.tenants.write([row])


def customer(name: str, **more: Any) -> KnownAccount:
    """Return an account that has been signed in for a week."""
    known = {
        "polled_in": 1,
        "listed_in": 1,
        "polled_on": timestamp(NOW - HOUR),
        "standing": AccountStatus.SIGNED_IN,
        "connectors": (InstalledConnector(1, 1, True),),
        "signed_in_on": timestamp(NOW - HOUR),
        "installed_on": timestamp(NOW - HOUR),
        "used_on": timestamp(NOW - HOUR),
    }
    return KnownAccount(id=name.lower().replace(" ", "-"), name=name, **{**known, **more})


def signed_out(name: str, *, looks: int = 2, **more: Any) -> KnownAccount:
    """Return an account that was signed in, and that so many looks saw signed out."""
    since = timestamp(NOW - 2 * DAY)
    polled_on = timestamp(NOW - HOUR) if looks > 1 else since
    known = {
        "standing": AccountStatus.NOT_SIGNED_IN,
        "not_signed_in_since": since,
        "signed_in_on": timestamp(NOW - 3 * DAY),
        "polled_on": polled_on,
        "in_doubt_since": since,
        "connectors": (InstalledConnector(1, 1, False),),
    }
    return customer(name, **{**known, **more})


def never_in(name: str) -> KnownAccount:
    """Return an account that nobody has seen signed in, and that is not in the first survey."""
    standing = AccountStatus.NOT_SIGNED_IN
    return customer(name, standing=standing, signed_in_on="", used_on="")


def failing(name: str, **more: Any) -> KnownAccount:
    """Return an account that is signed in, and whose calls fail."""
    calls = FailingCalls(timestamp(NOW - DAY), "The token has ended.", "Let them sign in again.")
    return customer(name, failing=calls, **more)


# Every check that asks Facebook meets a cause; the secret's own check says that it failed.
FACEBOOK_STEPS = ("fb-04-create-app", "fb-05-confirm-creation", "fb-08-redirect-uri")
NOT_LIVE = finding(
    Outcome.INCONCLUSIVE, "Facebook lists leads_retrieval as not live.", code="permission-not-live",
    limits=("That a review is under way is shown by no API.",),
)  # fmt: skip


def cause_at_all(seen: Finding) -> dict[str, Finding | None]:
    """Return the findings if one check is refused, and the others meet the same cause."""
    others = dict.fromkeys(FACEBOOK_STEPS, only_unclear(seen))
    return {"app-credentials-are-accepted": seen, **others}


def ends_on(days: int, what: str = "token") -> Finding:
    """Return a finding that knows the day on which something ends."""
    day = (NOW + days * DAY).date().isoformat()
    return finding(facts={f"{what}_ends_on": day})


REVIEW = "fb-12-submit-review"
PUBLISH = "fb-12a-publish"
CONSENT = "test-06-customer-consent"
TOKEN = "test-04-user-token"
TENANTS = (
    WorldTenant(name="alder", seen=cause_at_all(DEACTIVATED)),
    WorldTenant(name="birch", polled=cause_at_all(DEACTIVATED)),
    WorldTenant(name="cedar", seen=cause_at_all(REFUSED)),
    WorldTenant(name="dogwood", polled=cause_at_all(REFUSED)),
    WorldTenant(name="elm"),
    WorldTenant(name="hazel", seen={TOKEN: finding(Outcome.FAILED, "190", code="token-invalid")}),
    WorldTenant(
        name="iris", seen={REVIEW: NOT_LIVE}, unsaid=(PUBLISH, CONSENT), run_before=9 * DAY,
        said=(submitted(REVIEW, at=timestamp(NOW - 9 * DAY)),), polled={REVIEW: NOT_LIVE},
    ),
    WorldTenant(
        name="juniper", seen={REVIEW: NOT_LIVE}, unsaid=(PUBLISH, CONSENT), run_before=30 * DAY,
        said=(submitted(REVIEW, at=timestamp(NOW - 30 * DAY)),),
    ),
    WorldTenant(name="kite", unsaid=(PUBLISH,)),
    WorldTenant(
        name="larch", seen={REVIEW: NOT_LIVE}, unsaid=(PUBLISH, CONSENT), run_before=9 * DAY,
        said=(submitted(REVIEW, at=timestamp(NOW - 9 * DAY)),),
        polled={REVIEW: finding(code="permissions-live")},
    ),
    WorldTenant(name="maple", polled={}),
    WorldTenant(name="nutmeg", polled={}),
    WorldTenant(name="oak", polled={}),
    WorldTenant(name="pine", polled=dict.fromkeys(FACEBOOK_STEPS, None), polls=(30 * HOUR, HOUR)),
    WorldTenant(name="quince", polled=dict.fromkeys(FACEBOOK_STEPS, None), polls=(5 * HOUR, HOUR)),
    WorldTenant(name="spruce", seen={TOKEN: ends_on(6)}),
    WorldTenant(name="tamarack", seen={TOKEN: ends_on(8)}),
    WorldTenant(name="willow", seen=cause_at_all(DEACTIVATED), given=HERE),
    WorldTenant(name="yew"),
    WorldTenant(
        name="zelkova", connector="facebook_messenger",
        polled={"fb-04-create-app": finding(Outcome.NOT_RUN, "Another name.", code="name-differs")},
        polls=(HOUR,),
    ),
)  # fmt: skip
NAMED = ("fir", "gingko")
"""FILE names them, and they never ran; the settings of the second cannot be used."""
LEFT = WorldTenant(name="gone", seen=cause_at_all(DEACTIVATED))
UNREADABLE = "The secret env:ELM_SECRET cannot be read: there is no such variable."
UNREADABLE_ADVICE = "Set ELM_SECRET, or name another place in the FILE."
CUSTOMERS = {
    "maple": (
        signed_out("First Customer"), signed_out("Second Customer"),
        customer("Third Customer"), customer("Fourth Customer"),
        signed_out("Fifth Customer", looks=1),
        customer("Sixth Customer", standing=AccountStatus.NOT_KNOWN, error="Timed out."),
    ),
    "nutmeg": (
        failing("Seventh Customer"), customer("Eighth Customer"),
        never_in("Ninth Customer"),
        customer("Tenth Customer", standing=AccountStatus.NOT_INSTALLED, installed_on=""),
        customer("Eleventh Customer"), signed_out("Twelfth Customer"),
    ),
    "oak": (
        customer("Thirteenth Customer"), customer("Fourteenth Customer"),
        signed_out("Fifteenth Customer", looks=1),
        customer("Sixteenth Customer", standing=AccountStatus.VANISHED),
        never_in("Seventeenth Customer"),
        customer("Eighteenth Customer"),
    ),
}  # fmt: skip


def tenant_called(name: str) -> WorldTenant:
    """Return a tenant of the world."""
    return next(tenant for tenant in TENANTS if tenant.name == name)


def build(world: World) -> None:
    """Write the world."""
    world.begin(*TENANTS, LEFT)
    for name, accounts in CUSTOMERS.items():
        world.survey(tenant_called(name), *accounts, before=timedelta())
    world.unusable("elm", UNREADABLE, UNREADABLE_ADVICE)
    world.unusable("gingko", UNREADABLE, UNREADABLE_ADVICE)
    journal = EVIDENCE / "yew" / MARKETING.id / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"format":', '"format_of_tomorrow":'))
    named = [f"{tenant.name}:{tenant.connector}" for tenant in TENANTS]
    file = world.write_file([*named, *NAMED, LEFT.name])
    list_tenants(EVIDENCE, file=file)
    world.write_file([*named, *NAMED])
