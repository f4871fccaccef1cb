"""Tenants whose checks are answered from memory, and channels that keep what they are given."""

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
from runbook_lib.engine.check_runner import Result
from runbook_lib.engine.run import Run, open_run
from runbook_lib.engine.watch import look as look_module
from runbook_lib.engine.watch.answers import Change, Watched, read_watched
from runbook_lib.engine.watch.channels import CHANNELS
from runbook_lib.engine.watch.channels.base import NotSentError
from runbook_lib.engine.watch.look import Watch, WatchResult, open_watched
from runbook_lib.engine.watch.messages import Message
from runbook_lib.engine.watch.outbox import MESSAGES_NAME
from runbook_lib.engine.watch.round import watching

PROCEDURE = find_procedure("facebook_marketing")
MINUTE, HOUR, DAY = 60, 3_600, 86_400
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
SECRET_STEP, SECRET_CHECK = "fb-13-app-id-and-secret", "app-credentials-are-accepted"
# What the App Secret's refusal is to the checks that need it.
REFUSED = (
    "Facebook does not accept this App ID with this App Secret. Compare both with App settings > "
    "Basic."
)


def finding(outcome: Outcome = Outcome.VERIFIED, reason: str = "It is so.", **more: Any) -> Finding:
    """Return what a check saw."""
    return Finding(outcome=outcome, code="a-code", reason=reason, **more)


def take(*_: object) -> None:
    """Take a message."""


def refusing(why: str = "(451) later", **traits: bool) -> Callable[..., None]:
    """Return what refuses a message: for now, unless its traits say more."""

    def refuse(*_: object) -> None:
        raise NotSentError(why, **traits)

    return refuse


refuse = refusing()
# Say nothing to a message, which may have been taken.
be_silent = refusing("it was not accepted within 120 s", is_silent=True, may_be_there=True)


class Post:
    """What channels were given; `act` may refuse it, by raising, before or after it is taken."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Message]] = []
        self.act: Callable[[str, Message], object] = take
        self.tries: list[tuple[str, str]] = []

    def send(self, channel: str, run: Run, message: Message) -> None:
        """Take a message in place of a channel."""
        to = CHANNELS[channel].address(run, message.document["person"])[-1]
        self.tries.append((to, message.id))
        self.act(to, message)
        self.sent.append((channel, to, message))

    def told(self) -> list[tuple[str, str, list[str]]]:
        """Return who was told what of whom, and forget it."""
        told = [(to, str(m.document["kind"]), m.document["tenants"]) for _, to, m in self.sent]
        self.sent.clear()
        return told


class Desk:
    """
    Tenants at a time that moves only when somebody says so.

    `answers` are what checks see, by tenant (or all, '') and check; else all is verified.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.offset, self.post = folder, 0.0, Post()
        self.env = folder / "watch.env"
        self.env.write_text(ENV)
        self.answers: dict[tuple[str, str], Finding | None] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(Run, "peek", lambda run, steps: self._peek(run, steps))  # noqa: PLW0108
        monkeypatch.setattr(Run, "used_calls", 0.0)
        monkeypatch.setattr(look_module, "run_in_process", self._seal)
        for name, channel in CHANNELS.items():
            monkeypatch.setattr(
                type(channel),
                "send",
                lambda _, run, message, name=name: self.post.send(name, run, message),
            )

    def _peek(self, run: Run, steps: Sequence[Step]) -> dict[str, tuple[Result, ...]]:
        seen = {}
        for step in steps:
            results = []
            for check in step.checks:
                known = self.answers.get(
                    (run.tenant, check.id), self.answers.get(("", check.id), finding())
                )
                self.asked.append(check.id)
                shown = structs.replace(known or finding(), check=check.id)
                results.append(Result(shown, is_unanswered=known is None))
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
        run.clock = self.now
        run.start()
        run.say(words)
        run.close()

    def tenant(self, name: str, **given: Any) -> FleetTenant:
        """Return a tenant of a fleet's file, which has begun."""
        if not Path("evidence", name).exists():
            self.begin(name)
        return FleetTenant(name, PROCEDURE, given, {})

    def path(self, name: str = "acme") -> Path:
        """Return where it is kept what is known of a tenant."""
        return Path("evidence", name, PROCEDURE.id, "watch.json")

    def kept(self, name: str = "acme") -> Watched:
        """Return what is known of a tenant."""
        return read_watched(self.path(name))

    @property
    def outbox(self) -> Path:
        """Return where it is kept what was sent."""
        return Path("evidence", MESSAGES_NAME)

    @contextmanager
    def opened(self, name: str = "acme") -> Iterator[Watch]:
        """Give the watch over a tenant."""
        run = open_watched(PROCEDURE, {}, tenant=name, env_file="watch.env", clock=self.now)
        try:
            yield Watch(run)
        finally:
            run.close()

    def look(self, after: float = 0.0) -> WatchResult:
        """Look at the first tenant once, after so many seconds."""
        self.offset += after
        self.tenant("acme")
        with self.opened() as watch:
            return watch.look()

    def changes(self, *waits: float) -> list[Change]:
        """Return what looks after these waits have found."""
        known = {change.id for change in self.kept().changes}
        for wait in waits:
            self.look(wait)
        return [change for change in self.kept().changes if change.id not in known]

    def round(
        self, after: float = 0.0, tenants: Sequence[FleetTenant | str] = ("acme",), **more: Any
    ) -> list[str]:
        """Watch tenants once after so many seconds; return what was said about it."""
        self.offset += after
        named = [self.tenant(name) if isinstance(name, str) else name for name in tenants]
        with watching(named, env_file="watch.env", clock=self.now, **more) as this:
            lines: list[str] = []
            for look in (this.look, this.look_at_customers):
                lines += look()
                this.show()
                lines += this.send()
            lines += [*this.ping(), *this.write_page()]
            self.code = this.code
        return lines

    def refuse_secret(self, *tenants: str) -> None:
        """Let the App Secret of these tenants, or of all, be refused."""
        for name in tenants or ("",):
            refused = finding(Outcome.FAILED, REFUSED, refuses=("app_id",))
            self.answers[name, SECRET_CHECK] = refused

    def fail(self, tenants: Sequence[FleetTenant | str] = ("acme",)) -> None:
        """Have the App Secret be refused after a first round, and look a day later."""
        self.round(0, tenants)
        self.refuse_secret()
        self.round(DAY, tenants)
