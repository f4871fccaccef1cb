"""
A run: opens a tenant's journal, performs steps, records attestations, resumes.
"""

from __future__ import annotations

import os
import secrets as randomness
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs

from runbook_lib.config.credential_stores import CredentialStore, load_stored_credentials
from runbook_lib.config.runner_settings import RUNNER, inputs_of
from runbook_lib.config.settings import (
    Settings,
    find_env_file,
    resolve,
    secret_of,
    settings_file,
    visible,
)
from runbook_lib.config.workspace import (
    evidence_folder,
    is_sandbox,
    journal_path,
    leads_here,
    project_folder,
    require_evidence_here,
    tenant_name,
)
from runbook_lib.connectors.check_registry import code_digest
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.provider import Vendor, vendor_of
from runbook_lib.connectors.registry import known_variables, require_connector
from runbook_lib.core.faults import shows_fault
from runbook_lib.core.fingerprints import FingerprintKey, keep_key, read_key
from runbook_lib.core.masking import masked
from runbook_lib.core.model import (
    Attestation,
    AttestationKind,
    Binding,
    Finding,
    FleetRun,
    Mode,
    ModelStruct,
    NotRunReason,
    Outcome,
    Remark,
    Value,
)
from runbook_lib.core.procedure import Check, Input, Procedure, Step, step_name
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.engine.check_runner import (
    CheckResult,
    Performed,
    PreparedChecks,
    RunningChecks,
    perform_checks,
)
from runbook_lib.engine.exchanges import ExchangeWriter
from runbook_lib.engine.provider_sessions import ProviderSessions
from runbook_lib.engine.run_view import RunView, needs_of
from runbook_lib.errors import SettingsError
from runbook_lib.remote.check_session import OnExchanges, Session
from runbook_lib.remote.client import ConnectionPools
from runbook_lib.remote.response_cache import ResponseCache
from runbook_lib.run.advice import is_checkable
from runbook_lib.run.earlier import EndedResult
from runbook_lib.run.events import (
    ChangeIntended,
    EarlierResult,
    KnownErrorText,
    RunFinished,
    RunStarted,
    StepChecked,
    ValuesGiven,
    ValuesJudged,
)
from runbook_lib.run.fold import EVERY_STEP, FOUR_EYES, Decision, decide
from runbook_lib.run.history import History
from runbook_lib.run.journal import Journal
from runbook_lib.run.state import StepState

# Parameters of the run itself, beside the procedure's inputs.
RESERVED = ("tenant", "evidence", "env_file", "run_id", "mode")
_ALL_OR_NONE = (
    "To run for real, take the addresses of this machine out of the settings; to practise, name "
    "every address of that company on this machine. Nothing was done."
)
# Outcomes of steps whose known errors belong into the record.
_OPEN = (Outcome.FAILED, Outcome.INCONCLUSIVE)


def new_run_id() -> str:
    """Return a fresh run id: eight hexadecimal digits."""
    return randomness.token_hex(4)


def open_run(
    procedure: Procedure,
    given: Mapping[str, object],
    *,
    mode: Mode,
    tenant: str = "",
    evidence: str = "",
    env_file: str = "",
    run_id: str = "",
    key: FingerprintKey | None = None,
    withheld: Collection[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Run:
    """
    Return a run that has not started yet; nothing is written.

    `tenant` defaults to the Service Domain. `key` is the fingerprint key of a tenant that has none
    yet. `withheld` are the credentials that this process does not need. Settings are read from
    `environ`. Raises `SettingsError` for unusable parameters, environment or `.env`.
    """
    settings = load_settings(
        procedure, given=given, env_file=env_file, environ=environ, withheld=withheld
    )
    steps = {EVERY_STEP, *(step.id for step in procedure.steps)}
    demanded = settings.values.get(FOUR_EYES, ())
    for step in demanded if isinstance(demanded, tuple) else ():
        if step not in steps:
            raise SettingsError(f"{FOUR_EYES} names {step}, which is not a step.")
    name = tenant_name(tenant or str(settings.values.get("service_domain", "")) or "default")
    folder = evidence_folder(evidence)
    journal = Journal(journal_path(folder, name, procedure.id))
    stored = read_key(journal.path.parent)
    run = Run(
        procedure=procedure,
        settings=settings,
        journal=journal,
        tenant=name,
        mode=mode,
        run_id=run_id or new_run_id(),
        key=stored or key or FingerprintKey(),
        env_file=Path(env_file or find_env_file() or project_folder() / ".env"),
    )
    history = run.history
    read = [item for item in run.inputs if item.name not in withheld]
    settings = load_stored_credentials(read, settings, history.credentials)
    unfinished = history.runs.get(history.unfinished_run)
    if not run_id and mode == Mode.INTERACTIVE and unfinished and unfinished.started.mode == mode:
        # A second kernel joins the open walkthrough.
        run_id = history.unfinished_run
    return replace(run, settings=settings, run_id=run_id or run.run_id)


def open_known(
    procedure: Procedure,
    *,
    tenant: str = "",
    evidence: str = "",
    env_file: str = "",
    environ: Mapping[str, str] = os.environ,
) -> Run:
    """
    Return a run like `open_run`'s, to read a tenant's state or to add to it.

    The current settings do not apply to a practice tenant, unless they are its sandbox's.
    """
    named: dict[str, Any] = {"tenant": tenant, "evidence": evidence, "env_file": env_file}
    run = open_run(procedure, {}, mode=Mode.HEADLESS, environ=environ, **named)
    is_practice = True in run.history.practice
    return replace(run, settings=Settings()) if is_practice and not run.is_sandbox else run


def require_within_reach(procedure: Procedure, values: Mapping[str, Value]) -> None:
    """
    Raise `SettingsError` if a run with these values is practice that would leave this machine.

    A company without a sandbox is practised only if all of its addresses are here. Otherwise its
    checks would reach the real ones. An archive, a time-stamp authority or a key service elsewhere
    would take practice for evidence.
    """
    if not is_sandbox(values):
        return
    for provider in procedure.providers:
        if not isinstance(provider, Vendor) or provider.has_sandbox:
            continue
        places = provider.hosts(values)
        if not places or not all(leads_here(url, values) for url in places):
            raise SettingsError(
                f"The connector {procedure.id} cannot be practised: settings name addresses on "
                f"this machine (SANDBOX), but {provider.title} has no sandbox here.",
                next_step=_ALL_OR_NONE,
            )
    require_evidence_here(values)


def load_runner_settings(connector: str, env_file: str) -> Settings:
    """
    Return the runner's own settings for `connector`; load nothing of the connector.

    Raises `SettingsError`, also if there is no connector of that name.
    """
    require_connector(connector)
    return resolve(
        RUNNER,
        env_file=settings_file(env_file),
        connector=connector,
        others=known_variables(),
    )


def load_settings(
    procedure: Procedure,
    *,
    given: Mapping[str, object] | None = None,
    env_file: str = "",
    environ: Mapping[str, str] = os.environ,
    withheld: Collection[str] = (),
) -> Settings:
    """
    Return the settings of a run of `procedure`: the procedure's and the runner's.

    One `.env` may hold those of other connectors too. Raises `SettingsError`.
    """
    return resolve(
        inputs_of(procedure),
        given=given,
        env_file=settings_file(env_file),
        environ=environ,
        withheld=withheld,
        connector=procedure.id,
        others=known_variables(procedure.id),
    )


class Run(RunView):
    """
    A run that checks the remote systems, and records its results and people's attestations.

    Every method that writes raises `JournalError` where the journal cannot be written.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.redactor = Redactor(self.settings.secrets.values(), self._is_tenants_secret)
        for item in self.inputs:
            if item.name in self.settings.secrets:
                self.redactor.learn(self.settings.secrets[item.name], item.credential)
        self.redactor.allow(self.values.values())
        self._exchanges = ExchangeWriter(self._write)
        self._connections = ProviderSessions(
            self.procedure.providers,
            self.redactor,
            self.evidence,
            is_practice=self._is_practice,
        )

    def _is_practice(self, values: Mapping[str, Value]) -> bool:
        """Return whether a run with these values, or an earlier one of the tenant, is practice."""
        return is_sandbox(values) or True in self.history.practice

    def _is_tenants_secret(self, text: str) -> bool:
        """Return whether the journal has the fingerprint of `text`, from any run of this tenant."""
        known = self.history.fingerprints
        names = [item.name for item in self.inputs if item.secret]
        return any(self.key.of_secret(name, Secret(text)) in known for name in names)

    def require_practice(self) -> None:
        """Raise `SettingsError` unless this run is practice: its own values may lead elsewhere."""
        if not self.is_sandbox:
            raise SettingsError(
                "This run would not be practice: the given values replace the sandbox's addresses.",
                next_step=(
                    "Leave these addresses out (--set), or leave out --sandbox. Nothing was done."
                ),
            )

    def require_startable(self) -> None:
        """
        Raise `SettingsError` if an unattended run cannot begin.

        It cannot if a required value is missing, or if it is practice that would leave this
        machine. It cannot either if practice and real runs of the tenant would mix.
        """
        values = self.values
        for item in self.inputs:
            if item.required and not values.get(item.name):
                raise SettingsError(
                    f"{item.name} ({item.label}) is missing. {item.help} Give it as a parameter, "
                    f"or as {item.variable} in .env."
                )
        require_within_reach(self.procedure, values)
        refuse_mixing(self.history, self.tenant, is_practice=self.is_sandbox)

    def start(
        self,
        fleet_run: FleetRun | None = None,
        not_run: NotRunReason | None = None,
        *,
        rechecks: Iterable[str] = (),
        may_spend: bool = True,
    ) -> None:
        """
        Write the beginning of this run, unless another process did.

        `fleet_run` is the run of a fleet that asked for it, `not_run` says why it ends at once.
        The checks that the settings `rechecks` permit run also where an earlier result counts;
        unless the run `may_spend`, no setting permits any.
        Raises `SettingsError` if the tenant's earlier runs were practice and this one is not, or
        vice versa; and like `require_within_reach` and `require_whole_journal`.
        """
        history = self.history
        require_within_reach(self.procedure, self.values)
        refuse_mixing(history, self.tenant, is_practice=self.is_sandbox)
        if self.run_id in history.runs:
            self._join()
            return
        self.require_whole_journal()
        self.key = keep_key(self.home, self.key)
        is_interactive = self.mode == Mode.INTERACTIVE
        asked = self.procedure.permits.intersection(rechecks) if may_spend else frozenset[str]()
        waiting = self.whole_state.steps if history.runs else ()
        started = structs.replace(
            self.beginning(),
            # NOTE: it has the lock, so a run without an end was cut off.
            resumes="" if is_interactive else history.cut_off_run,
            earlier={} if is_interactive else self._earlier_results(asked),
            waiting={
                step.id: step.waiting_since
                for step in waiting
                if step.waiting_since and not step.by_person
            },
            fleet_run=fleet_run,
            not_run=not_run,
            may_spend=may_spend,
        )
        self._write(started)

    def require_whole_journal(self) -> None:
        """Raise `ChainError` if an older journal was put back: nothing could be sealed after it."""
        from runbook_lib.evidence.rebuild import (  # noqa: PLC0415  (loads signing)
            require_whole_journal,
        )

        require_whole_journal(self.journal)

    def _join(self) -> None:
        """Record values that differ from those on record: attestations are bound to them."""
        names = {name for step in self.procedure.steps for name in step.subject}
        settings = {name: self.settings.values.get(name) for name in sorted(names)}
        self._give(
            {name: value for name, value in settings.items() if value},
            self.fingerprints(),
            is_kept=False,
        )

    def _give(
        self,
        values: Mapping[str, Value],
        fingerprints: Mapping[str, str] | None = None,
        *,
        is_kept: bool = True,
    ) -> None:
        """Record values that differ from those on record."""
        history = self.history
        known = history.given if is_kept else history.recorded
        new = {name: value for name, value in values.items() if known.get(name) != value}
        prints = {
            name: digest
            for name, digest in (fingerprints or {}).items()
            if history.recorded.get(name) != digest
        }
        if new or prints:
            self.redactor.allow(new.values())
            self._write(ValuesGiven(values=new, fingerprints=prints, is_kept=is_kept))

    def perform(
        self, step_id: str, under_way: RunningChecks | None = None, *, is_asked: bool = True
    ) -> StepState:
        """
        Check the step, as part of `under_way` if given, record the findings, and return its state.

        A check that breaks off is an inconclusive finding. The findings are on
        disk before this returns, with whether somebody asked for the check.
        """
        step = self.step(step_id)
        performed: Performed = ((), "")
        prepared = PreparedChecks(self.known_subject, lambda: ((), ""))
        if not any(self.state.step(name).blocks_dependents for name in step.requires):
            performed, prepared = (under_way or self.start_snapshot([step])).take(step)
        results, unchecked = performed
        if prepared.due and not results:
            unchecked = f"{prepared.due.reason} {unchecked}".strip()
        self.record_results(
            step,
            results,
            prepared.values,
            unchecked=unchecked,
            is_asked=is_asked,
            due_on=prepared.due.since if prepared.due else "",
        )
        facts = {name: value for result in results for name, value in result.finding.facts.items()}
        inputs = {item.name for item in self.inputs} - self.settings.values.keys()
        self._give({name: value for name, value in facts.items() if name in inputs and value})
        self._check_after(step)
        return self.state.step(step.id)

    def record_results(
        self,
        step: Step,
        results: Sequence[CheckResult],
        values: Mapping[str, Value],
        *,
        unchecked: str = "",
        is_asked: bool = False,
        due_on: str = "",
    ) -> None:
        """Record results of a step's checks about `values`, and what they accept or refuse."""
        facts = {name: value for result in results for name, value in result.finding.facts.items()}
        self.redactor.allow(facts.values())
        findings = tuple(
            structs.replace(result.finding, exchanges=self._exchanges.write(result.seen))
            for result in results
        )
        made = {finding.check for finding in findings}
        spending = [check for check in step.checks if check.side_effect and check.id in made]
        providers = self.procedure.providers
        checked = StepChecked(
            findings=findings,
            binding=self.bind(step, values, facts=facts, needs=needs_of(self.procedure, spending)),
            unchecked=unchecked,
            automatic=not is_asked,
            code_digests={check.id: digest for check in spending if (digest := code_digest(check))},
            known_errors=self._known_errors(step, results),
            due_on=due_on,
            faults=tuple(
                result.finding.check
                for result in results
                if shows_fault(result.finding, (sent.redacted() for sent in result.seen), providers)
            ),
        )
        verdicts = self._verdicts(findings, checked.binding, step)
        self._write(checked, *([verdicts] if verdicts else []), step=step.id)

    def _known_errors(
        self, step: Step, results: Iterable[CheckResult]
    ) -> tuple[KnownErrorText, ...]:
        """Return the known errors in what a reviewer said, and in responses of open results."""
        said = self.state.step(step.id).attestation
        words = [said.note] if said and said.kind is AttestationKind.DECLINED else []
        responses: list[object] = []
        for result in results:
            if result.finding.outcome in _OPEN:
                words += [result.finding.reason, *result.finding.quotes]
                responses += [sent.redacted().response for sent in result.seen]
        here = step_name(self.procedure.numbers[step.id], step.title)
        return tuple(
            KnownErrorText(
                shown=error.shown[0],
                meaning=error.meaning,
                causes=tuple(cause.sentence for cause in error.causes),
                advice=error.advice_at(here),
                source=error.source,
                seen=seen,
            )
            for error, seen in step.rank_seen(step.known_errors, " ".join(words), responses)
            if seen
        )

    def _verdicts(
        self, findings: Iterable[Finding], binding: Binding, step: Step
    ) -> ValuesJudged | None:
        """Return the values that the findings newly accept, or refuse; `None` without any."""
        history = self.history
        known: Mapping[str, Value | None] = {**history.recorded, **binding.subject}
        accepted: dict[str, Value] = {}
        refused: dict[str, Value] = {}
        before: dict[str, Value] = {}
        for finding in findings:
            for name in finding.accepts:
                value = binding.subject.get(name)
                if value and history.is_news(name, value):
                    accepted[name] = value
            for name in finding.refuses:
                if value := known.get(name):
                    refused[name] = value
        for name in refused.keys() & set(step.subject):
            usable = [value for value in history.earlier_values(name) if value != refused[name]]
            before |= {name: usable[0]} if usable else {}
        if not (accepted or refused):
            return None
        return ValuesJudged(accepted=accepted, refused=refused, before=before)

    def _check_after(self, step: Step) -> None:
        """
        Check the steps again that wait for `step` to be done, if somebody worked on them.

        Checks with a side effect run too: a person asked for the check, or named its inputs.
        """
        state = self.state
        if not state.step(step.id).is_settled:
            return
        for other in self.procedure.steps:
            known = state.step(other.id)
            is_tried = known.is_worked_on and known.outcome is not Outcome.VERIFIED
            is_waited_for = step.id in other.checkable_after
            can_ask = not all(self.lacking(check) for check in other.checks)
            if is_waited_for and is_tried and can_ask and is_checkable(state, other):
                self.perform(other.id, is_asked=False)

    def preview(self, steps: Sequence[Step]) -> dict[str, Decision | None]:
        """
        Check the steps in one snapshot without recording it; return a decision for each id.

        `None` stands for a step without a result.
        """
        return {
            name: decide([result.finding for result in results], None)
            for name, results in self.peek(steps).items()
        }

    def peek(self, steps: Sequence[Step]) -> dict[str, tuple[CheckResult, ...]]:
        """Check the steps in one snapshot without recording it; return the results for each id."""
        under_way = self._begin(steps, on_exchanges=lambda _: None, is_recorded=False)
        return {step.id: under_way.take(step)[0][0] for step in steps}

    def start_snapshot(self, steps: Sequence[Step]) -> RunningChecks:
        """Begin the checks of the steps at once, as one snapshot; `perform` takes their results."""
        return self._begin(steps, self._exchanges.write)

    def _begin(
        self, steps: Sequence[Step], on_exchanges: OnExchanges, *, is_recorded: bool = True
    ) -> RunningChecks:
        cache = ResponseCache()
        values = self._without_withheld(self.values)
        answers = self._confirmed_answers()
        return RunningChecks(
            steps,
            lambda step: self._prepared(
                step, cache, on_exchanges, answers, is_recorded=is_recorded
            ),
            is_permitted=lambda check: any(values.get(name) for name in check.allowed_by),
            attestations={step.id: step.attestation for step in self.state.steps},
        )

    def say(self, remarks: Iterable[Remark]) -> None:
        """
        Record people's attestations, bound to the present values, skipping duplicates.

        A file of attestations is read again at every run. An entry that the journal has already is
        neither recorded nor bound again. The logged-in user is recorded beside the name.
        """
        history = self.history
        entries = set(history.entries)
        values = {**history.recorded, **self.values}
        login = logged_in()
        for step_id, statement in remarks:
            if statement.entry in entries:
                continue
            step = self.step(step_id)
            said = structs.replace(statement, login=login)
            if isinstance(said, Attestation):
                binding = self.bind(step, given=said.binding.subject)
                said = structs.replace(
                    said,
                    binding=binding,
                    sentence=said.sentence or step.sentence,
                    **_app_of(binding, values),
                )
            self._write(said, step=step.id)

    def give(self, name: str, value: Value) -> None:
        """Use a value that a person typed, and record it for every later run."""
        self._give({name: value})
        values = {**self.settings.values, name: value}
        self.settings = replace(self.settings, values=values)

    def set_secret(self, item: Input, text: str) -> None:
        """
        Use `text` as the credential `item`, in memory; the journal gets its fingerprint.

        Raises `ValueError` if it cannot be one (`secret_of`).
        """
        secret = secret_of(item, text, self.values)
        self.redactor.release(item.credential)
        self.redactor.learn(secret, item.credential)
        secrets = {**self.settings.secrets, item.name: secret}
        self.settings = replace(self.settings, secrets=secrets)
        fingerprints = self.fingerprints()
        self._give({}, {name: fingerprints[name] for name in (item.name,) if name in fingerprints})

    @property
    def _owner(self) -> str:
        """The owner of the credentials: another connector is often another app."""
        return f"{self.tenant}/{self.procedure.id}"

    def save_secret(self, item: Input, store: CredentialStore) -> None:
        """Save the credential to `store`; the journal gets a reference, never the value."""
        reference = store.save(self._owner, item, self.settings.secrets[item.name])
        self._write(ValuesGiven(saved={item.name: reference}))

    def forget_secret(self, item: Input, stores: Iterable[CredentialStore]) -> None:
        """Remove the credential from this run and from `stores`."""
        for store in stores:
            store.forget(self._owner, item)
        if item.name in self.history.credentials:
            self._write(ValuesGiven(saved={item.name: ""}))
        self.redactor.release(item.credential)
        remaining = {
            name: value for name, value in self.settings.secrets.items() if name != item.name
        }
        self.settings = replace(self.settings, secrets=remaining)

    def finish(self, environment: Mapping[str, str] | None = None, broken: str = "") -> None:
        """Record the end of this run, with its versions and why its notebook broke off."""
        self._write(RunFinished(environment=environment or {}, broken=broken))

    @property
    def used_calls(self) -> float:
        """
        The share of this hour's calls that the app has used, over all processes, in percent.
        """
        vendor = vendor_of(self.procedure)
        app = str(self.values.get(vendor.client_id.name, ""))
        return self._connections.used(app, vendor.calls_an_hour)

    def count_call(self) -> None:
        """Count a call of the app that another system made, such as Cyclr."""
        vendor = vendor_of(self.procedure)
        self._connections.count_call(str(self.values.get(vendor.client_id.name, "")))

    def share(self, pools: ConnectionPools) -> None:
        """Use the connections of other runs from now on; they stay open when this one closes."""
        self._connections.pools = pools

    def close(self) -> None:
        """Close every connection that is not shared, and drop the journal's lines from memory."""
        self._connections.close()
        self.journal.forget()
        self._folded.clear()

    @property
    def _started(self) -> RunStarted | None:
        """The beginning of this run, if the journal has it."""
        known = self.history.runs.get(self.run_id)
        return known.started if known else None

    def _without_withheld(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return `values` without the settings that permit side effects, if this run has none."""
        started = self._started
        may_spend = started is None or started.may_spend
        withheld = frozenset() if may_spend else self.procedure.permits
        return {name: value for name, value in values.items() if name not in withheld}

    def _earlier_results(self, asked: Collection[str]) -> dict[str, EarlierResult]:
        """Return the earlier results that count instead of checks, unless `asked` permits these."""
        earlier: dict[str, EarlierResult] = {}
        wanted = {name for name in asked if self.values.get(name)}
        for step in self.procedure.steps:
            for check in step.checks:
                if check.always_has_side_effect and wanted.isdisjoint(check.allowed_by):
                    known = self.find_earlier(step, check)
                    if isinstance(known, EarlierResult):
                        earlier[check.id] = known
        return earlier

    def _due(self, step: Step, checks: Iterable[Check]) -> EndedResult | None:
        """
        Return why an earlier result of a check that cannot be made does not count.

        A check that was never made is due if a setting permits it and this run may not.
        """
        started = self._started
        if started is None or self.mode == Mode.INTERACTIVE:
            return None
        for check in checks:
            known = self.find_earlier(step, check)
            if isinstance(known, EndedResult):
                return known
            if not started.may_spend and any(map(self.values.get, check.allowed_by)):
                return EndedResult("", self.clock().date().isoformat())
        return None

    def _prepared(
        self,
        step: Step,
        cache: ResponseCache,
        on_exchanges: OnExchanges,
        answers: frozenset[str],
        *,
        is_recorded: bool,
    ) -> PreparedChecks:
        """Return the checks of `step` with the values that are known now."""
        known = self.values
        secrets = self.settings.secrets
        values = self._without_withheld(known)
        started = self._started
        counted = started.earlier if started and is_recorded else {}
        checks = tuple(check for check in step.checks if check.id not in counted)

        def announce_change(text: str) -> None:
            cache.clear()
            self._write(ChangeIntended(change=text), step=step.id)

        def open_context() -> CheckContext:
            return CheckContext(
                values=values,
                secrets=secrets,
                session=self._connections.open_session(values, cache, on_exchanges=on_exchanges),
                now=self.clock(),
                answers=answers,
                announce_change=announce_change,
            )

        def label(item: Input) -> str:
            return f"--yes for {item.name}" if known.get(item.name) else item.label

        lacking = {
            check: [label(item) for item in self.lacking(check, values)] for check in step.checks
        }
        perform = partial(
            perform_checks,
            checks,
            open_context,
            lacking=lacking.__getitem__,
            doubts=step.doubts(values),
        )
        left = [check for check in checks if check.always_has_side_effect and lacking[check]]
        return PreparedChecks(
            self.known_subject, perform, due=self._due(step, left) if is_recorded else None
        )

    def _confirmed_answers(self) -> frozenset[str]:
        """Return the names of the answers that count: each is about a step of this procedure."""
        said = {step.attestation.sentence for step in self.state.steps if step.attestation}
        answers = [answer for step in self.procedure.steps for answer in step.answers]
        return frozenset(answer.name for answer in answers if answer.sentence in said)

    def open_session(self) -> Session:
        """Return a recording session for the known addresses."""
        return self._connections.open_session(self.values)

    def open_operators_session(self) -> Session:
        """Return a session to tell the operator something, which practice may do elsewhere too."""
        return self._connections.open_session(self.values, is_for_operator=True)

    def _write(self, *events: ModelStruct, step: str = "") -> int:
        """Append events of this run, redacted; return the number of the first."""
        redacted = (masked(event, self.redactor) for event in events)
        return self.journal.append(*redacted, run=self.run_id, step=step)


def _app_of(binding: Binding, values: Mapping[str, Value]) -> dict[str, str]:
    """Return the app and the Service Domain that this binding of an attestation names."""
    current = {name: str(values.get(name, "")) for name in ("app_id", "service_domain")}
    app = {name: str(binding.subject.get(name) or current[name]) for name in current}
    # NOTE: a file may name another app than the one whose name is known.
    is_known = app["app_id"] == current["app_id"]
    name = str(values.get("app_name") or values.get("app_display_name", "")) if is_known else ""
    return {"app_name": name, **app}


def refuse_mixing(history: History, tenant: str, *, is_practice: bool) -> None:
    """Raise `SettingsError` if earlier runs were practice and this one is real, or vice versa."""
    # NOTE: attestations count across runs; practice proves nothing real.
    if history.practice <= {is_practice}:
        return
    earlier, this_one = ("real", "practice") if is_practice else ("practice", "real")
    raise SettingsError(
        f"Earlier runs of the tenant {tenant} were {earlier}, and this one would be {this_one}.",
        next_step="Give this run its own tenant: --tenant NAME (RUNBOOK_TENANT). Nothing was done.",
    )


def logged_in(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name by which JupyterHub knows this user; empty without one that can be shown."""
    try:
        # NOTE: JupyterHub sets it for each user's server, and so for its kernels.
        return visible(environ.get("JUPYTERHUB_USER", ""), longest=200)
    except ValueError:
        return ""
