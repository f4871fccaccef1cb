"""A small procedure and helpers for tests of the walkthrough and its panels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from runbook_lib.config.settings import Settings
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.inputs import CYCLR, INSTALL_CONNECTOR, SERVICE_DOMAIN
from runbook_lib.connectors.facebook import inputs
from runbook_lib.core.model import Finding, Mode, Outcome
from runbook_lib.core.procedure import Check, Plan, Procedure, Section, Source, Step, StepKind
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.tenant_run import Run
from runbook_lib.run.journal import Journal
from runbook_lib.walkthrough.controller import Walkthrough
from runbook_lib.walkthrough.views import PanelContext
from tests.conftest import NOON
from tests.unit.bodies import APP_SECRET, USER_TOKEN

CANARIES = {"app_secret": APP_SECRET, "user_access_token": USER_TOKEN}
DEADLINE = 10.0
PERMISSIONS = inputs.permissions("leads_retrieval", example="leads_retrieval, ads_read")
INPUTS = (
    SERVICE_DOMAIN,
    inputs.APP_DISPLAY_NAME,
    PERMISSIONS,
    inputs.APP_ID,
    inputs.APP_SECRET,
    inputs.GRAPH_VERSION,
    INSTALL_CONNECTOR,
    inputs.USER_ACCESS_TOKEN,
)


def verified(context: CheckContext) -> Finding:
    """Return a verified finding."""
    return Finding(outcome=Outcome.VERIFIED, code="a-code", reason="It is there.")


def waits(context: CheckContext) -> Finding:
    """Return the finding that an outside party has not acted yet."""
    return Finding(outcome=Outcome.WAITING, code="a-code", reason="Not live yet.")


def make_step(name: str, *checks: Callable[..., Any], needs: Any = (), **more: Any) -> Step:
    """Return a step with these checks."""
    given = {
        "kind": StepKind.CALL,
        "source": Source(1),
        "instructions": "",
        "title": f"Do {name}",
        "own_sentence": f"I did {name}.",
        "subject": (),
        **more,
    }
    return Step(
        id=name, checks=tuple(Check(each.__name__, each, tuple(needs)) for each in checks), **given
    )


def app_step(*checks: Callable[..., Any], **more: Any) -> Step:
    """Return the step that asks for App ID, App Secret and others."""
    asked = (inputs.APP_ID, inputs.APP_SECRET, PERMISSIONS, INSTALL_CONNECTOR)
    return make_step("app", *(checks or (verified,)), inputs=asked, **more)


def after_consent_step(*checks: Callable[..., Any]) -> Step:
    """Return the step that uses the token from the consent."""
    return make_step("after", *(checks or (verified,)), requires=("consent",))


def consent_step(*checks: Callable[..., Any]) -> Step:
    """Return the step whose token comes from a person's consent."""
    asked = (inputs.USER_ACCESS_TOKEN,)
    return make_step(
        "consent", *(checks or (verified,)), inputs=asked, consent_gives=inputs.USER_ACCESS_TOKEN
    )


def waiting_step(*checks: Callable[..., Any]) -> Step:
    """Return the step that waits for an outside party."""
    return make_step("wait", *(checks or (waits,)), kind=StepKind.WAIT)


HAND_STEP = make_step("hand", copies_secret=inputs.APP_SECRET)


def make_procedure(*steps: Step, plan: Plan | None = None) -> Procedure:
    """Return a procedure of these steps, with the inputs of this module."""
    return Procedure(
        id="p",
        version="1",
        title="P",
        sections=(Section(id="one", title="One", intro="", steps=steps),),
        inputs=INPUTS,
        plan=plan,
        providers=(inputs.FACEBOOK, CYCLR),
    )


def make_run(
    folder: Path,
    *steps: Step,
    secrets: Any = None,
    mode: Mode = Mode.INTERACTIVE,
    run_id: str = "0a1b2c3d",
    plan: Plan | None = None,
    **values: Any,
) -> Run:
    """Return a run with the journal in `folder`, which has not started."""
    return Run(
        make_procedure(*steps, plan=plan),
        Settings(values, {name: Secret(text) for name, text in (secrets or {}).items()}),
        Journal(folder / "evidence" / "acme" / "p" / "journal.jsonl", clock=lambda: NOON),
        "acme",
        mode,
        run_id,
        env_file=folder / ".env",
    )


def make_context(*steps: Step, plan: Plan | None = None, **more: Any) -> PanelContext:
    """Return the common context of all panels; `steps` are those of the procedure."""
    known: dict[str, Any] = {
        "procedure": make_procedure(*steps, plan=plan),
        "vendor": inputs.FACEBOOK,
        "today": date(2026, 11, 24),
        "values": {},
        "kit_values": more.get("values", {}),
        "link_values": more.get("values", {}),
        "credentials": {},
        "chosen_in": {},
        "has_confirm_page": False,
        "following": None,
        "next_refresh": "12:15",
        "user": "",
    }
    return PanelContext(**{**known, **more})


class FakePanel:
    """Shows a view, and records every view that it showed."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []

    def show(self, view: dict[str, Any]) -> None:
        """Record the view in place of the browser."""
        self.views.append(view)

    @property
    def view(self) -> dict[str, Any]:
        """Return the current view."""
        return self.views[-1]


def eventually(is_so: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Return what `is_so` returns once that is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        # Threads of the product do it; what they do has many ends, and no event of all of them.
        time.sleep(0.005)
    raise AssertionError(f"not true within {seconds:g} s")


def settled(screen: FakePanel, finished: int = 1, seconds: float = DEADLINE) -> dict[str, Any]:
    """Return the view of a panel that has finished `finished` actions and is idle."""

    def view() -> dict[str, Any] | None:
        now = screen.view
        return now if now["finished"] >= finished and not now["busy_since"] else None

    found: dict[str, Any] = eventually(view, seconds)
    return found


@contextmanager
def stopped(walkthrough: Walkthrough) -> Iterator[Walkthrough]:
    """Yield the walkthrough, and join all its threads at the end."""
    try:
        yield walkthrough
    finally:
        walkthrough._stopped.set()
        if walkthrough._follower.ident is not None:
            walkthrough._follower.join()
        walkthrough.stop()


def raising(error: Exception) -> Callable[..., Any]:
    """Return a function that raises `error`, whatever it is called with."""

    def act(*_: object, **__: object) -> Any:
        raise error

    return act
