"""Tenants whose checks are answered from memory, and channels that keep their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.connectors.registry import find_procedure
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Step
from runbook_lib.engine.check_runner import CheckResult
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.operations.index_builder import build_index
from runbook_lib.operations.watch import cycle as cycle_module
from runbook_lib.operations.watch.channels import CHANNELS
from runbook_lib.operations.watch.channels.base import NotSentError
from runbook_lib.operations.watch.cycle import open_cycle
from runbook_lib.operations.watch.digest import ReportedRow
from runbook_lib.operations.watch.poll import PollResult, open_watched, poll_tenant
from runbook_lib.operations.watch.watch_state import (
    STATE_NAME,
    Digest,
    SavedItem,
    WatchedStep,
    WatchedTenant,
    WatchState,
    open_state,
)

PROCEDURE = find_procedure("facebook_marketing")
MINUTE = 60
HOUR = 3_600
DAY = 86_400
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
# A signing secret of a webhook.
HOOK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ENV = f"""
RUNBOOK_FACEBOOK_APP_ID=1234567890123456
RUNBOOK_FACEBOOK_APP_SECRET={SECRET}
RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Partner
RUNBOOK_FACEBOOK_GRAPH_URL=http://127.0.0.1:9
RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com
RUNBOOK_CYCLR_API_URL=http://127.0.0.1:9
RUNBOOK_MAIL_SERVER=127.0.0.1:25
RUNBOOK_MAIL_FROM=runbook@acme.example
RUNBOOK_MAIL_TO=all@acme.example
RUNBOOK_MAIL_PEOPLE=Ann=ann@acme.example
"""
SECRET_STEP = "fb-13-app-id-and-secret"
SECRET_CHECK = "app-credentials-are-accepted"
# Findings of the checks that need the App Secret, after its refusal.
REFUSED = (
    "Facebook does not accept this App ID with this App Secret. Compare both with App settings > "
    "Basic."
)


def finding(outcome: Outcome = Outcome.VERIFIED, reason: str = "It is so.", **more: Any) -> Finding:
    """Return the finding of a check."""
    return Finding(outcome=outcome, reason=reason, **{"code": "a-code", **more})


def deactivated(outcome: Outcome = Outcome.INCONCLUSIVE) -> Finding:
    """Return a check's finding for an app that Facebook has deactivated."""
    return finding(outcome, "API access deactivated.", code="app-deactivated")


def take(*_: object) -> None:
    """Take a message."""


def refusing(why: str = "(451) later", **traits: bool) -> Callable[..., None]:
    """Return an act that refuses a message: for now, unless its traits say more."""

    def refuse(*_: object) -> None:
        raise NotSentError(why, **traits)

    return refuse


refuse = refusing()
# Say nothing to a message, which may have been taken.
be_silent = refusing("it was not accepted within 120 s", is_silent=True, may_be_there=True)


class Post:
    """The messages of channels; `act` may refuse one, by raising, before or after it is taken."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Digest]] = []
        self.act: Callable[[str, Digest], object] = take
        self.tries: list[tuple[str, Digest]] = []

    def send(self, channel: str, run: Run, digest: Digest) -> None:
        """Take a digest in place of a channel."""
        to = CHANNELS[channel].address(run, digest.person)[-1]
        self.tries.append((to, digest))
        self.act(to, digest)
        self.sent.append((channel, to, digest))

    def take_reports(self) -> list[str]:
        """
        Return a line for each row that was told, with receiver and tenants, and clear the messages.
        """
        lines = [line for _, to, digest in self.sent for line in told_by(to, digest)]
        self.sent.clear()
        return lines

    def take_news(self) -> list[str]:
        """Return the same without what is open and fails nothing."""
        lines = [
            line
            for _, to, digest in self.sent
            for line, row in zip(told_by(to, digest), digest.document["rows"], strict=True)
            if row["failing"] or row["phase"] != "open"
        ]
        self.sent.clear()
        return lines


def told_by(to: str, digest: Digest) -> list[str]:
    """Return the rows of a digest: receiver, phase and tenants."""
    who = to.partition("@")[0]
    rows = digest.document["rows"]
    return [f"{who} {row['phase']} {'+'.join(sorted(row['tenants']))}" for row in rows]


class Desk:
    """
    Tenants at a time that moves only when somebody says so.

    `answers` are what checks see, by tenant (or all, '') and check; else all is verified.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.offset = 0.0
        self.post = Post()
        self.env = folder / "watch.env"
        self.env.write_text(ENV)
        self.answers: dict[tuple[str, str], Finding | None] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(Run, "peek", lambda run, steps: self._peek(run, steps))  # noqa: PLW0108
        monkeypatch.setattr(Run, "used_calls", 0.0)
        monkeypatch.setattr(cycle_module, "seal_elsewhere", self._seal)
        for name, channel in CHANNELS.items():
            monkeypatch.setattr(
                type(channel),
                "send",
                lambda _, run, digest, name=name: self.post.send(name, run, digest),
            )

    def _peek(self, run: Run, steps: Sequence[Step]) -> dict[str, tuple[CheckResult, ...]]:
        seen = {}
        for step in steps:
            results = []
            for check in step.checks:
                known = self.answers.get(
                    (run.tenant, check.id), self.answers.get(("", check.id), finding())
                )
                self.asked.append(check.id)
                shown = structs.replace(known or finding(), check=check.id)
                results.append(CheckResult(shown, is_unanswered=known is None))
            seen[step.id] = tuple(results)
        return seen

    def _seal(self, *_: object, **__: object) -> Any:
        raise AssertionError("unset")

    def now(self) -> datetime:
        """Return the time."""
        return NOON + timedelta(seconds=self.offset)

    def set(self, **lines: str) -> None:
        """Write these settings, an empty one not at all."""
        kept = [x for x in self.env.read_text().splitlines() if not x.startswith(tuple(lines))]
        new = [f"{name}={value}" for name, value in lines.items() if value]
        self.env.write_text("\n".join([*kept, *new, ""]))

    def begin(self, name: str = "acme", *words: Any) -> None:
        """Begin a tenant, unless it has begun, and say what people said."""
        run = open_run(PROCEDURE, {}, mode=Mode.INTERACTIVE, tenant=name, env_file="watch.env")
        run.journal.clock = self.now
        run.start()
        run.say(words)
        run.close()

    def tenant(self, name: str, **given: Any) -> FleetTenant:
        """Return a tenant of a fleet's file, which has begun."""
        if not Path("evidence", name).exists():
            self.begin(name)
        return FleetTenant(name, PROCEDURE, given, {})

    @property
    def path(self) -> Path:
        """The path of the watch's state."""
        return Path("evidence", STATE_NAME)

    def journal(self, name: str = "acme") -> Path:
        """Return a tenant's journal."""
        return Path("evidence", name, PROCEDURE.id, "journal.jsonl")

    @contextmanager
    def state(self) -> Iterator[WatchState]:
        """Open the state."""
        with open_state(Path("evidence"), self.now()) as state:
            yield state

    def items(self, name: str = "acme") -> list[SavedItem]:
        """Return the saved items of a tenant, open or ended, and changes."""
        with self.state() as state:
            return state.items.read(tenant=f"{PROCEDURE.id}/{name}")

    def tenant_row(self, name: str = "acme") -> WatchedTenant:
        """Return the watch's row of a tenant."""
        with self.state() as state:
            return state.tenant(f"{PROCEDURE.id}/{name}")

    def step(self, check: str, name: str = "acme") -> WatchedStep:
        """Return the watch's row of a check."""
        with self.state() as state:
            (row,) = state.steps.read(tenant=f"{PROCEDURE.id}/{name}", check=check)
        return row

    @contextmanager
    def opened(self, name: str = "acme") -> Iterator[Run]:
        """Give the run that is watched of a tenant."""
        run = open_watched(PROCEDURE, {}, tenant=name, env_file="watch.env", clock=self.now)
        try:
            yield run
        finally:
            run.close()

    def poll(self, after: float = 0.0) -> PollResult:
        """Poll the first tenant once, after so many seconds."""
        self.offset += after
        self.tenant("acme")
        with self.opened() as run, self.state() as state:
            return poll_tenant(run, state)

    def cycle(
        self, after: float = 0.0, tenants: Sequence[FleetTenant | str] = ("acme",), **more: Any
    ) -> list[str]:
        """Watch tenants once after that many seconds; return the lines about it."""
        self.offset += after
        named = [self.tenant(name) if isinstance(name, str) else name for name in tenants]
        with open_cycle(named, env_file="watch.env", clock=self.now, **more) as cycle:
            lines = [*cycle.poll(), *cycle.poll_customers()]
            read, problem = build_index("evidence", self.now())
            assert not problem
            lines += cycle.settle(read.statuses if read else ())
            self.shown: list[ReportedRow] = [*cycle.shown()]
            for act in (cycle.send, cycle.ping, cycle.seal, cycle.forget_old):
                lines += act()
            self.code = cycle.code
        return lines

    def changes(self, *waits: float) -> list[SavedItem]:
        """Return the news that cycles after these waits saved: what began, changed or ended."""
        before = self.items() if self.path.exists() else []
        for wait in waits:
            self.cycle(wait)
        return [row for row in self.items() if row.news and row not in before]

    def introduce(self, tenants: Sequence[FleetTenant | str] = ("acme",)) -> None:
        """Watch tenants once: what begins later is new to their receivers."""
        self.cycle(0, tenants)
        self.post.sent.clear()
        self.post.tries.clear()

    def page(self) -> str:
        """Return the page of all tenants, built now."""
        _, problem = build_index("evidence", self.now())
        assert not problem
        return Path("evidence/index.html").read_text(encoding="utf-8")

    def refuse_secret(self, *tenants: str) -> None:
        """Let the App Secret of these tenants, or of all, be refused."""
        for name in tenants or ("",):
            refused = finding(
                Outcome.FAILED, REFUSED, code="app-secret-refused", refuses=("app_id",)
            )
            self.answers[name, SECRET_CHECK] = refused

    def fail(self, tenants: Sequence[FleetTenant | str] = ("acme",)) -> None:
        """Have the App Secret be refused after a first cycle, and watch a day later."""
        self.introduce(tenants)
        self.refuse_secret()
        self.cycle(DAY, tenants)
