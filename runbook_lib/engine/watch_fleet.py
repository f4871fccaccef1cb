"""
A watch over the tenants of a fleet: one look at each, and what several have in common said once.

The tenants share their connections. A message about several of them is kept in `watch.json` of the
evidence folder, and in each tenant's own is of which one its change is part, before it is sent.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from msgspec import structs

from runbook_lib.config.fleet_file import FleetTenant
from runbook_lib.config.workspace import evidence_folder, journal_path
from runbook_lib.core.files import write_parts
from runbook_lib.core.journal import timestamp, utc_now
from runbook_lib.core.json_text import write_json
from runbook_lib.core.model import Outcome
from runbook_lib.engine.notify import (
    ESCALATED,
    MAIL,
    deliver,
    document_of,
    escalate,
    is_due,
    ping,
    receiver,
)
from runbook_lib.engine.run import Run
from runbook_lib.engine.watch import Watch, open_watch
from runbook_lib.engine.watched import (
    WATCH_NAME,
    Change,
    Kind,
    Watched,
    last_look,
    mark_shown,
    read_watched,
    watched_alone,
)
from runbook_lib.engine.watched_customers import CUSTOMERS
from runbook_lib.engine.watched_customers import TITLE as CUSTOMERS_TITLE
from runbook_lib.errors import BusyError, ExitCode, RunbookError, SettingsError, describe_error
from runbook_lib.evidence.reports.watch_page import (
    PAGE_NAME,
    Failing,
    Shown,
    TenantLook,
    watch_page,
)
from runbook_lib.remote.transport import Wires

Document = Mapping[str, Any]

# In these, changes with one cause may differ: whose they are, and when each was seen.
_OWN = ("id", "tenant", "tenants", "on", "since", "person", "also", "ends")
# A message is not sent while its tenants do not all have it that they are part of it.
_JOINING = "9999"
_ON_PAGE = timedelta(days=1)
# Customers are asked for so long, while `watch` is called every five minutes.
_CUSTOMER_SECONDS = 180.0


def by_cause(documents: Iterable[Document]) -> list[Document]:
    """Return the documents of changes, those with one cause as one that has all `tenants`."""
    alike: dict[str, list[Document]] = {}
    for document in documents:
        alike.setdefault(_cause(document), []).append(document)
    return [
        {
            **parts[0],
            "tenants": list(dict.fromkeys(name for part in parts for name in part["tenants"])),
            "on": max(part["on"] for part in parts),
            "since": min(part["since"] for part in parts),
            "also": list(dict.fromkeys(title for part in parts for title in part["also"])),
        }
        for parts in alike.values()
    ]


@contextmanager
def watch_fleet(
    tenants: Sequence[FleetTenant], *, seal_every: int = 0, **options: Any
) -> Iterator[FleetWatch]:
    """
    Give the watch over these tenants; `options` are those of `open_watch`.

    Raises `BusyError` while another process watches a fleet in this evidence folder, and
    `SettingsError` for a damaged file of messages.
    """
    folder = evidence_folder(options.get("evidence", ""))
    path = folder / WATCH_NAME
    lock = watched_alone(path) if folder.is_dir() else nullcontext()
    with lock, closing(Wires()) as wires:
        yield FleetWatch(
            tenants, folder, read_watched(path), wires=wires, seal_every=seal_every, options=options
        )


class FleetWatch:
    """
    One look at each tenant of a fleet. What concerns one tenant stops no other: it is yielded.

    `look`, then `show` and `notify`; the same after `look_at_customers`; then `seal`, `ping` and
    `write_page`. `new` are the documents of what nobody was shown yet when the last of both ended;
    `code` is the worst exit code of all tenants, 1 before 3.
    """

    def __init__(
        self,
        tenants: Sequence[FleetTenant],
        folder: Path,
        outbox: Watched,
        *,
        wires: Wires,
        seal_every: int,
        options: Mapping[str, Any],
    ) -> None:
        self.new: list[Document] = []
        self._tenants = {(tenant.tenant, tenant.procedure.id): tenant for tenant in tenants}
        self._folder, self._outbox, self._wires = folder, outbox, wires
        self._seal_every, self._options = seal_every, options
        self._codes = {ExitCode.COMPLETE}
        self._rows: dict[tuple[str, str], TenantLook] = {}
        # What is on the page, by the id of the change, and the causes that are new there.
        self._recent: dict[str, Document] = {}
        self._new_causes: set[str] = set()
        self._now = utc_now()
        # What is sent for the first time, by cause, receiver and way.
        self._first: dict[str, list[_First]] = {}
        # Who sends messages of their own, is to be sealed, or has an address of a health check.
        self._senders: dict[tuple[str, str], FleetTenant] = {}
        self._to_seal: list[FleetTenant] = []
        # Whose customers are to be asked, and when they were asked last.
        self._customers: dict[tuple[str, str], str] = {}
        self._pings: dict[str, FleetTenant] = {}

    @property
    def code(self) -> ExitCode:
        """Return the worst exit code of all tenants."""
        return ExitCode.FAILED if ExitCode.FAILED in self._codes else max(self._codes)

    def look(self) -> Iterator[str]:
        """Look at each tenant; yield why one was not looked at."""
        for key, tenant in self._tenants.items():
            for problem in self._for_all([tenant], self._look_at):
                if key not in self._rows:
                    self._rows[key] = self._not_looked_at(tenant, problem)
                yield problem

    def look_at_customers(self) -> Iterator[str]:
        """
        Look at the customers' connections of each tenant, who waits longest first; as `look`.

        It ends after some minutes, so that the tenants are looked at in time; the next one goes on.
        """
        self.new, self._first, self._senders = [], {}, {}
        until = time.monotonic() + _CUSTOMER_SECONDS
        for key in sorted(self._customers, key=self._customers.__getitem__):
            left = until - time.monotonic()
            if left > 0:
                act = partial(self._look_at, seconds=left)
                yield from self._for_all([self._tenants[key]], act)

    def show(self) -> None:
        """Keep that `new` was shown."""
        ids: dict[tuple[str, str], set[str]] = {}
        for document in self.new:
            ids.setdefault((document["tenant"], document["connector"]), set()).add(document["id"])
        for key, names in ids.items():
            # NOTE: what another process holds meanwhile is shown again, with the same id.
            with suppress(RunbookError, OSError):
                mark_shown(self._path(*key), names, timestamp(self._now))

    def notify(self) -> Iterator[str]:
        """Send what is due; yield what was not accepted."""
        path, messages = self._folder / WATCH_NAME, self._outbox.changes
        save = partial(self._outbox.save, path)
        messages[:] = [message for message in messages if message.sending]
        # NOTE: after a kill there may be one that not all of its tenants know of.
        self._join(messages)
        joined = {
            (message.connector, *tenant, way)
            for message in messages
            for tenant in message.tenants.items()
            for way in message.sending
        }
        new = []
        for alike in self._first.values():
            parts = [part for part in alike if part.place not in joined]
            if len(parts) > 1:
                new.append(_message(parts, timestamp(self._now)))
            elif parts:
                self._senders[parts[0].key] = self._tenants[parts[0].key]
        messages += new
        if new:
            save()
            self._join(new)
        refused = []
        for message in messages:
            save()
            for way in tuple(message.sending):
                sender = self._sender(message, way)
                if sender:
                    with closing(sender.run):
                        refused += deliver([message], sender.run, save)
                else:
                    # NOTE: nobody of them sends there any more: each has its own message again.
                    self._regroup(message, way, joins=False)
                    message.sending = {way: ""} if message.tenants else {}
                    save()
        refused += self._for_all(self._senders.values(), lambda _, watch: watch.notify())
        if refused:
            self._codes.add(ExitCode.INCOMPLETE)
        yield from refused

    def ping(self) -> Iterator[str]:
        """Ask each health check's address once; yield why it was not taken."""
        asked = self._for_all(self._pings.values(), lambda _, watch: [ping(watch.run)])
        yield from filter(None, asked)

    def seal(self) -> Iterator[str]:
        """Run and seal each tenant for which that is due; yield the bundle."""
        sealed = self._for_all(self._to_seal, lambda _, watch: [watch.seal(self._seal_every)])
        yield from (f"Sealed: {bundle}" for bundle in sealed if bundle)

    def write_page(self) -> Iterator[str]:
        """Write how the tenants stand, and what changed in a day; yield why it is not written."""
        if not self._folder.is_dir():
            return
        changes = [
            Shown(document, Kind(document["kind"]).label, _cause(document) in self._new_causes)
            for document in sorted(
                by_cause(self._recent.values()), key=itemgetter("on"), reverse=True
            )
        ]
        parts = watch_page([*self._rows.values()], changes, timestamp(self._now))
        content = (part.encode("utf-8", "backslashreplace") for part in parts)
        try:
            write_parts(self._folder / PAGE_NAME, content, is_durable=False)
        except OSError as error:
            yield f"{self._folder / PAGE_NAME} cannot be written: {error.strerror}."

    def _for_all(
        self,
        tenants: Iterable[FleetTenant],
        act: Callable[[FleetTenant, Watch], Iterable[str]],
    ) -> Iterator[str]:
        """Yield what `act` returns for each tenant, or why it could not be done."""
        for tenant in tenants:
            try:
                watch = self._opened(tenant)
                with closing(watch.run):
                    yield from act(tenant, watch)
            except (RunbookError, OSError) as error:
                self._codes.add(ExitCode.INCOMPLETE)
                message, advice = describe_error(error)
                yield f"{tenant.tenant}: {message} Next: {advice}"

    def _opened(self, tenant: FleetTenant) -> Watch:
        given = {**tenant.given, **tenant.references}
        watch = open_watch(tenant.procedure, given, tenant=tenant.tenant, **self._options)
        watch.run.share(self._wires)
        return watch

    def _path(self, tenant: str, connector: str) -> Path:
        return journal_path(self._folder, tenant, connector).with_name(WATCH_NAME)

    def _look_at(
        self, tenant: FleetTenant, watch: Watch, *, seconds: float | None = None
    ) -> Iterator[str]:
        """
        Look at a tenant, and note what is to be done about it; yield why nothing was asked.

        With `seconds` look at its customers, and for no longer.
        """
        look = watch.look() if seconds is None else watch.look_at_customers(seconds)
        run, key = watch.run, (tenant.tenant, tenant.procedure.id)
        now = self._now = run.clock()
        with watched_alone(watch.path):
            watched = read_watched(watch.path)
            if escalate(watched, run, now):
                watched.save(watch.path)
        self._rows[key] = _row(run, watched)
        self._codes.add(look.code)
        for change in watched.changes:
            self._note(tenant, run, change)
        if seconds is None and watch.is_to_seal(watched, self._seal_every):
            self._to_seal.append(tenant)
        if seconds is None and watch.due_customers(watched) is not None:
            self._customers[key] = watched.looked.get(CUSTOMERS, "")
        if url := str(run.values.get("healthcheck", "")):
            self._pings.setdefault(url, tenant)
        if look.held:
            yield f"{run.tenant}: {look.held}"

    def _note(self, tenant: FleetTenant, run: Run, change: Change) -> None:
        """Note what is to be shown and sent of a change of `tenant`, whose run this is."""
        document, key = document_of(run, change), (run.tenant, run.procedure.id)
        if not change.shown_on:
            self.new.append(document)
            self._new_causes.add(_cause(document))
        if not change.shown_on or change.on >= timestamp(self._now - _ON_PAGE):
            self._recent[_digest(*key, change.id)] = document
        for way, due in change.sending.items():
            if due and is_due(run, way, due):
                self._senders[key] = tenant
            if due or not is_due(run, way, ""):
                continue
            public, secrets = receiver(run, change, way)
            earlier = change.follows.get(way, change.ends)
            if way == ESCALATED:
                earlier = change.groups.get(MAIL, change.id)
            alike = _digest(_cause(document), earlier, *public, *secrets)
            self._first.setdefault(alike, []).append(_First(key, change, way, public))

    def _not_looked_at(self, tenant: FleetTenant, problem: str) -> TenantLook:
        looked_on = ""
        with suppress(SettingsError):
            looked_on = last_look(self._path(tenant.tenant, tenant.procedure.id).parent)
        title = tenant.procedure.title
        return TenantLook(tenant.tenant, title, looked_on=looked_on, problem=problem)

    def _join(self, messages: Iterable[Change]) -> None:
        """Let the tenants of those messages that are not sent before know that they are theirs."""
        for message in messages:
            for way in [way for way, due in message.sending.items() if due == _JOINING]:
                self._regroup(message, way, joins=True)
                message.sending = {way: ""} if message.tenants else {}

    def _regroup(self, message: Change, way: str, *, joins: bool) -> None:
        """Let each tenant's change be part of `message`, or wait by itself again."""
        for tenant, name in tuple(message.tenants.items()):
            path = self._path(tenant, message.connector)
            try:
                # NOTE: who holds it may be sending its message: it stays as it is.
                with suppress(BusyError), watched_alone(path):
                    watched = read_watched(path)
                    for change in watched.changes:
                        is_part = change.groups.get(way) == message.id
                        if change.id == name and joins and change.sending.get(way) == "":
                            del change.sending[way]
                            change.groups[way] = message.id
                        elif change.id == name and not joins and is_part:
                            del change.groups[way]
                            change.sending[way] = ""
                    watched.save(path)
                is_part = any(
                    change.id == name and change.groups.get(way) == message.id
                    for change in read_watched(path).changes
                )
            except (RunbookError, OSError):
                is_part = joins
            if not is_part:
                del message.tenants[tenant]

    def _sender(self, message: Change, way: str) -> Watch | None:
        """Return the watch of a tenant whose settings still lead to the message's receiver."""
        for name in message.tenants:
            tenant = self._tenants.get((name, message.connector))
            with suppress(RunbookError, OSError):
                watch = self._opened(tenant) if tenant else None
                if watch and message.receiver == _digest(
                    message.id, *receiver(watch.run, message, way)[0]
                ):
                    return watch
                if watch:
                    watch.run.close()
        return None


@dataclass(frozen=True, slots=True)
class _First:
    """A change that is sent for the first time in one way, whose it is, and who gets it."""

    key: tuple[str, str]
    change: Change
    way: str
    public: Sequence[str]

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Return whose it is, and what is sent how."""
        tenant, connector = self.key
        return connector, tenant, self.change.id, self.way


def _message(parts: Sequence[_First], on: str) -> Change:
    """Return the message about the changes of several tenants; it is not sent yet."""
    first, changes = parts[0], [part.change for part in parts]
    tenants = {part.key[0]: part.change.id for part in parts}
    name = _digest(first.way, *tenants, *tenants.values())[:32]
    return structs.replace(
        first.change,
        id=name,
        since=min(change.since for change in changes),
        also=list(dict.fromkeys(title for change in changes for title in change.also)),
        shown_on=on,
        sending={first.way: _JOINING},
        sent={},
        tries={},
        tenants=tenants,
        connector=first.key[1],
        # NOTE: the file has nobody's address.
        receiver=_digest(name, *first.public),
    )


def _cause(document: Document) -> str:
    """Return what changes with one cause have in common."""
    return write_json({name: part for name, part in document.items() if name not in _OWN})


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _row(run: Run, watched: Watched) -> TenantLook:
    """Return how a tenant stands, for the page."""
    numbers = run.procedure.numbers
    titles = {step.id: f"{numbers[step.id]} {step.title}" for step in run.procedure.steps}
    titles[CUSTOMERS] = CUSTOMERS_TITLE
    failing: dict[str, Failing] = {}
    for key, topic in watched.topics.items():
        step, known = key.partition("/")[0], topic.known
        if known and known.outcome is Outcome.FAILED:
            failing.setdefault(step, Failing(titles.get(step, step), known.on, known.reason))
    silent = [t.unanswered_since for t in watched.topics.values() if t.unanswered_since]
    return TenantLook(
        tenant=run.tenant,
        connector=run.procedure.title,
        looked_on=watched.looked_on,
        sandbox=run.is_sandbox,
        failing=tuple(failing.values()),
        unanswered_since=min(silent, default=""),
    )
