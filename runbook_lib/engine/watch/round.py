"""
A round of a watch over tenants, one or thousands: look, show and send; the same again for their
customers, which may take minutes; then ping, write the page, seal.

The tenants share their connections. When something breaks for one of them, or in one message, the
round names it and goes on with the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.workspace import evidence_folder, journal_path
from runbook_lib.core.files import write_parts
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.model import Outcome
from runbook_lib.engine.run import Run
from runbook_lib.engine.watch.answers import (
    WATCH_NAME,
    DamagedError,
    Kind,
    Watched,
    mark_shown,
    read_watched,
    watched_alone,
)
from runbook_lib.engine.watch.customers import CUSTOMERS
from runbook_lib.engine.watch.customers import TITLE as CUSTOMERS_TITLE
from runbook_lib.engine.watch.look import Watch, open_watched
from runbook_lib.engine.watch.messages import Document, by_cause, cause_of, known_to
from runbook_lib.engine.watch.outbox import (
    MESSAGES_NAME,
    LetterPart,
    Outbox,
    key_of,
    opened,
    parts_of,
    send_due,
)
from runbook_lib.errors import (
    ExitCode,
    RemoteError,
    RunbookError,
    SettingsError,
    describe_error,
    reason_of,
)
from runbook_lib.evidence.reports.phrases import sealed_on
from runbook_lib.evidence.reports.tenant_rows import StepRow, TenantRow
from runbook_lib.evidence.reports.tenants_page import WATCH_PAGE, watch_page
from runbook_lib.plain_text import one_line
from runbook_lib.remote.transport import Request, Wires

# Customers are asked for so long, while `watch` is called every five minutes.
_CUSTOMER_SECONDS = 180.0


@contextmanager
def watching(
    tenants: Sequence[FleetTenant],
    *,
    is_alone: bool = False,
    seal_every: int = 0,
    **options: Any,
) -> Iterator[Round]:
    """
    Give a round over these tenants; `options` are those of `open_watched`.

    One `is_alone` that is not from a fleet's file: other rounds may go on in the same folder, and
    no page is written. Raises `BusyError` while another process watches a fleet there.
    """
    folder = evidence_folder(options.get("evidence", ""))
    with ExitStack() as stack:
        if folder.is_dir() and not is_alone:
            stack.enter_context(watched_alone(folder / WATCH_NAME))
        wires = stack.enter_context(closing(Wires()))
        named = {f"{tenant.procedure.id}/{tenant.tenant}": tenant for tenant in tenants}
        yield Round(named, folder, wires, is_alone, seal_every, options)


@dataclass(slots=True)
class Round:
    """
    One round: `look`, `show`, `send`, `look_at_customers`, `show`, `send`, then the rest.

    What cannot be done is yielded.
    """

    tenants: Mapping[str, FleetTenant]
    folder: Path
    wires: Wires
    is_alone: bool
    seal_every: int
    options: Mapping[str, Any]
    _outbox: Outbox | None = None
    _codes: set[ExitCode] = field(default_factory=lambda: {ExitCode.COMPLETE})
    # The changes that the outbox knew before, and what may be sent, by ID; who was looked at, what
    # was shown, and the servers that were silent.
    _known: set[str] = field(default_factory=set)
    _seen: dict[str, LetterPart] = field(default_factory=dict)
    _looked: set[str] = field(default_factory=set)
    _shown: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)
    _rows: dict[str, TenantRow] = field(default_factory=dict)
    # Who is to be sealed, whose customers are to be asked (and were when), who has which address
    # of a health check.
    _to_seal: list[str] = field(default_factory=list)
    _customers: dict[str, str] = field(default_factory=dict)
    _pings: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> ExitCode:
        """Return the worst exit code of all tenants, 1 before 3."""
        return ExitCode.FAILED if ExitCode.FAILED in self._codes else max(self._codes)

    @property
    def new(self) -> list[Document]:
        """Return the documents of what nobody was shown yet."""
        return [part.document for part in self._new]

    @property
    def _new(self) -> list[LetterPart]:
        parts = self._seen.items()
        return [part for name, part in parts if part.is_new and name not in self._shown]

    def _now(self) -> datetime:
        clock: Callable[[], datetime] = self.options.get("clock", utc_now)
        return clock()

    def look(self) -> Iterator[str]:
        """Look at each tenant; yield why one was not looked at."""
        yield from self._tried(self._read_outbox)
        for key, tenant in self.tenants.items():
            for problem in self._for_each([key], self._look_at):
                if key not in self._rows:
                    self._rows[key] = self._not_looked_at(key, tenant, problem)
                yield problem
        yield from self._tried(self._register)

    def look_at_customers(self) -> Iterator[str]:
        """
        Look at tenants' customers, whose wait longest first; yield why that was not done.

        They are asked for some minutes; the next round goes on.
        """
        until = time.monotonic() + _CUSTOMER_SECONDS
        for key in sorted(self._customers, key=self._customers.__getitem__):
            left = until - time.monotonic()
            if left > 0:
                yield from self._for_each([key], partial(self._look_at, seconds=left))
        if self._customers:
            yield from self._tried(self._register)

    def show(self) -> None:
        """Keep that `new` was shown, once it is certain that it will be sent."""
        new = self._new
        self._shown |= {part.change.id for part in new}
        for key in {part.whose for part in new if self._outbox}:
            # NOTE: what another process holds meanwhile is shown again, with the same id.
            with suppress(RunbookError, OSError):
                mark_shown(self._path(key), self._seen, timestamp(self._now()), needed=self._known)

    def send(self) -> Iterator[str]:
        """Send what is due; yield what was not accepted."""
        path = self.folder / MESSAGES_NAME
        due = partial(send_due, path, self._seen, self._run, self._silent, clock=self._now)
        for line in self._tried(due if self._outbox else tuple):
            self._codes.add(ExitCode.INCOMPLETE)
            yield line

    def ping(self) -> Iterator[str]:
        """Ask each health check's address once; yield why it was not taken."""
        yield from self._for_each(self._pings.values(), lambda watch: _ping(watch.run))

    def seal(self) -> Iterator[str]:
        """Run and seal each tenant for which that is due; yield the bundle."""
        sealed = self._for_each(self._to_seal, lambda watch: [watch.seal(self.seal_every)])
        yield from (f"Sealed: {bundle}" for bundle in sealed if bundle)

    def write_page(self) -> Iterator[str]:
        """Write how the tenants stand, and what changed in a day; yield why it is not written."""
        if self.is_alone or not self.folder.is_dir():
            return
        new = {cause_of(self._seen[name].document) for name in self._shown}
        changes = (
            {**change, "label": Kind(change["kind"]).label, "is_new": cause_of(change) in new}
            for change in by_cause(x.document for x in self._seen.values() if x.is_recent)
        )
        parts = watch_page(self._rows.values(), changes, timestamp(self._now()))
        content = (part.encode("utf-8", "backslashreplace") for part in parts)
        try:
            write_parts(self.folder / WATCH_PAGE, content, is_durable=False)
        except OSError as error:
            yield f"{self.folder / WATCH_PAGE} cannot be written: {reason_of(error)}."

    def _read_outbox(self) -> Iterator[str]:
        """Read the outbox; a damaged one is moved away, and a line says so."""
        path = self.folder / MESSAGES_NAME
        if not self.folder.is_dir():
            return
        try:
            with opened(path):
                pass
        except DamagedError as error:
            name = f"messages.damaged-{self._now():%Y%m%dT%H%M%SZ}.json"
            said = error.set_aside(path, name)
            self._codes.add(ExitCode.INCOMPLETE)
            yield f"{said} The watch sends each failure again, and each change nobody was shown."
        with opened(path) as outbox:
            self._outbox = outbox
            self._known = outbox.known

    def _register(self) -> Iterable[str]:
        """Have what was seen sent; until that is kept nothing counts as shown."""
        is_read, self._outbox = self._outbox is not None, None
        if is_read and self._looked:
            with opened(self.folder / MESSAGES_NAME) as outbox:
                outbox.register(self._seen, self._looked, self._known, self._now())
            self._outbox, self._known = outbox, outbox.known
        return ()

    def _tried(self, act: Callable[[], Iterable[str]], whose: str = "") -> list[str]:
        """Return what `act` yields; where it breaks that ends here, and is named as well."""
        lines: list[str] = []
        try:
            lines += act()
        except Exception as error:  # noqa: BLE001
            self._codes.add(ExitCode.INCOMPLETE)
            message, advice = describe_error(error)
            lines.append(f"{whose}{message} Next: {advice}")
        return lines

    def _for_each(
        self, keys: Iterable[str], act: Callable[[Watch], Iterable[str]]
    ) -> Iterator[str]:
        """Yield what `act` returns for each tenant, or why it could not be done."""

        def acted(key: str) -> Iterator[str]:
            with self._run(key) as run:
                yield from act(Watch(run))

        for key in keys:
            yield from self._tried(partial(acted, key), f"{self.tenants[key].tenant}: ")

    @contextmanager
    def _run(self, key: str) -> Iterator[Run]:
        tenant = self.tenants[key]
        given = {**tenant.given, **tenant.references}
        run = open_watched(tenant.procedure, given, tenant=tenant.tenant, **self.options)
        run.share(self.wires)
        with closing(run):
            yield run

    def _path(self, key: str) -> Path:
        connector, _, tenant = key.partition("/")
        return journal_path(self.folder, tenant, connector).with_name(WATCH_NAME)

    def _look_at(self, watch: Watch, *, seconds: float | None = None) -> Iterator[str]:
        """
        Look at a tenant, and note what is to be done about it; yield why nothing was asked.

        With `seconds` look at its customers, and for no longer.
        """
        look = watch.look() if seconds is None else watch.look_at_customers(seconds)
        run, watched, key = watch.run, look.watched, key_of(watch.run)
        outbox = self._outbox or Outbox()
        self._codes.add(look.code)
        self._looked.add(key)
        parts = parts_of(run, watched, outbox, self._known)
        self._seen |= {part.change.id: part for part in parts}
        self._rows[key] = _row(run, watched, outbox)
        if seconds is None and watch.is_to_seal(watched, self.seal_every):
            self._to_seal.append(key)
        if seconds is None and watch.due_customers(watched) is not None:
            self._customers[key] = watched.looked.get(CUSTOMERS, "")
        if url := str(run.values.get("healthcheck", "")):
            self._pings.setdefault(url, key)
        if look.held:
            yield f"{run.tenant}: {look.held}"

    def _not_looked_at(self, key: str, tenant: FleetTenant, problem: str) -> TenantRow:
        looked_on = ""
        with suppress(SettingsError):
            looked_on = read_watched(self._path(key)).looked_on
        return TenantRow(
            tenant=tenant.tenant,
            connector=tenant.procedure.title,
            word="not looked at",
            outcome=Outcome.INCONCLUSIVE,
            looked_on=looked_on,
            problem=problem,
        )


def _ping(run: Run) -> Iterator[str]:
    """Ask the health check's address; yield why it did not take it."""
    request = Request(method="GET", url=str(run.values["healthcheck"]))
    try:
        status = run.open_session().send(request).status
    except RemoteError as error:
        yield f"The health check could not be reached: {one_line(run.redactor.redact(str(error)))}"
    else:
        if not 200 <= status < 300:
            yield f"The health check answered {status} ({request.host})."


def _row(run: Run, watched: Watched, outbox: Outbox) -> TenantRow:
    """Return how a tenant stands, for the page."""
    numbers = run.procedure.numbers
    names = {step.id: (numbers[step.id], step.title) for step in run.procedure.steps}
    names[CUSTOMERS] = ("", CUSTOMERS_TITLE)
    steps: dict[tuple[str, Outcome], StepRow] = {}
    for key, topic in watched.topics.items():
        step, known = key.partition("/")[0], topic.known
        seen = []
        if known and known.outcome is Outcome.FAILED:
            ack = known_to(outbox.ack_of(topic.change))
            seen.append((Outcome.FAILED, known.on, f"{known.reason} {ack}".strip()))
        if topic.unanswered_since:
            seen.append((Outcome.INCONCLUSIVE, topic.unanswered_since, topic.unanswered))
        number, title = names.get(step, ("", step))
        for outcome, since, reason in seen:
            row = StepRow(
                id=step, outcome=outcome, reason=reason, number=number, title=title, since=since
            )
            steps.setdefault((step, outcome), row)
    outcomes = {outcome for _, outcome in steps}
    word, outcome = "in order", Outcome.VERIFIED
    if Outcome.FAILED in outcomes:
        word, outcome = "failing", Outcome.FAILED
    elif outcomes:
        word, outcome = "not answered", Outcome.INCONCLUSIVE
    sealed = run.last_sealed
    return TenantRow(
        tenant=run.tenant,
        connector=run.procedure.title,
        word=word,
        outcome=outcome,
        steps=[*steps.values()],
        sandbox=run.is_sandbox,
        looked_on=watched.looked_on,
        sealed_on=sealed_on(sealed[0].name) if sealed else "",
    )
