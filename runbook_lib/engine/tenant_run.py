"""
A run: opens a tenant's journal, performs steps, records attestations, resumes.
"""

from __future__ import annotations

import os
import platform
import secrets as randomness
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from msgspec import convert, structs

from runbook_lib.config.credential_stores import CredentialStore, load_stored_credentials
from runbook_lib.config.runner_settings import NOTIFY, RUNNER, inputs_of
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
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.provider import Vendor, vendor_of
from runbook_lib.connectors.registry import known_variables, package_of, require_connector
from runbook_lib.core.advice import is_checkable
from runbook_lib.core.attestation_rules import bind
from runbook_lib.core.carried_results import EarlierResult, OutdatedResult
from runbook_lib.core.conclusion import Conclusion, combine
from runbook_lib.core.fingerprints import FingerprintKey, keep_key, read_key
from runbook_lib.core.journal import Journal
from runbook_lib.core.masking import masked
from runbook_lib.core.model import (
    DATA,
    FORMAT_VERSION,
    Attestation,
    Binding,
    CarriedResult,
    ChangeIntended,
    CheckBasis,
    CredentialGiven,
    CredentialSaved,
    EventType,
    FleetRun,
    InputGiven,
    Mode,
    ModelStruct,
    NotebookFinished,
    NotRunReason,
    Outcome,
    ProcedureName,
    Remark,
    RunFinished,
    RunInterrupted,
    RunJoined,
    RunStarted,
    StepChecked,
    StepStarted,
    Value,
)
from runbook_lib.core.procedure import Input, Procedure, Step
from runbook_lib.core.redaction import Redactor, Secret
from runbook_lib.core.run_state import (
    EVERY_STEP,
    FOUR_EYES,
    History,
    HistoryReader,
    RunState,
    StepState,
    blocking_failure,
)
from runbook_lib.engine.check_runner import (
    CheckResult,
    Performed,
    PreparedChecks,
    RunningChecks,
    perform_checks,
)
from runbook_lib.engine.earlier_results import EarlierResults
from runbook_lib.engine.exchanges import ExchangeWriter
from runbook_lib.engine.provider_sessions import ProviderSessions
from runbook_lib.engine.run_view import RunView
from runbook_lib.errors import SettingsError
from runbook_lib.remote.check_session import OnExchanges, Session
from runbook_lib.remote.client import ConnectionPools
from runbook_lib.remote.response_cache import ResponseCache

# Parameters of the run itself, beside the procedure's inputs.
RESERVED = ("tenant", "evidence", "env_file", "run_id", "mode")
_NOT_RECORDED = frozenset(item.name for item in NOTIFY)
_ALL_OR_NONE = (
    "To run for real, take the addresses of this machine out of the settings; to practise, name "
    "every address of that company on this machine. Nothing was done."
)
_PACKAGES = ("facebook-marketing-runbook", "papermill", "ipykernel", "httpx")


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
    reader = HistoryReader(journal, stored)
    history = reader.read()
    read = [item for item in inputs_of(procedure) if item.name not in withheld]
    settings = load_stored_credentials(read, settings, history.index.credentials)
    if not run_id and mode == Mode.INTERACTIVE:
        # A second kernel joins the open walkthrough.
        unfinished = history.run(history.unfinished_run)
        if unfinished and unfinished.mode == Mode.INTERACTIVE:
            run_id = history.unfinished_run
    return Run(
        procedure=procedure,
        settings=settings,
        journal=journal,
        tenant=name,
        mode=mode,
        run_id=run_id or new_run_id(),
        key=stored or key or FingerprintKey(),
        reader=reader,
        env_file=Path(env_file or find_env_file() or project_folder() / ".env"),
    )


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
    is_practice = True in run.history.index.practice
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
        self._exchanges = ExchangeWriter(self.journal, self.redactor, self.run_id)
        self._connections = ProviderSessions(
            self.procedure.providers,
            self.redactor,
            self.evidence,
            is_practice=self._is_practice,
        )

    def _is_practice(self, values: Mapping[str, Value]) -> bool:
        """Return whether a run with these values, or an earlier one of the tenant, is practice."""
        return is_sandbox(values) or True in self.history.index.practice

    def _is_tenants_secret(self, text: str) -> bool:
        """Return whether the journal has the fingerprint of `text`, from any run of this tenant."""
        index = self.history.index
        fingerprints = [
            value for source in (index.recorded, index.replaced) for value in source.values()
        ]
        names = [item.name for item in self.inputs if item.secret]
        return any(self.key.of_secret(name, Secret(text)) in fingerprints for name in names)

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
        begun = history.run(self.run_id)
        if begun is not None and begun.started:
            self._join(history)
            return
        self.require_whole_journal()
        self.key = keep_key(self.journal.path.parent, self.key)
        values = self.values
        started = RunStarted(
            format_version=FORMAT_VERSION,
            tenant=self.tenant,
            procedure=ProcedureName(
                id=self.procedure.id,
                version=self.procedure.version,
                digest=self.procedure.digest,
                package=package_of(self.procedure.id),
            ),
            mode=self.mode,
            sandbox=is_sandbox(values),
            # NOTE: people's addresses are no part of the evidence.
            parameters={name: value for name, value in values.items() if name not in _NOT_RECORDED},
            credentials=tuple(sorted(self.settings.secrets)),
            fingerprints=self.fingerprints(),
            # NOTE: it has the lock, so a run without an end was cut off.
            resumes=history.cut_off_run if self.mode != Mode.INTERACTIVE else "",
            environment=_environment(),
            fleet_run=fleet_run,
            not_run=not_run,
            rechecks=tuple(sorted(self.procedure.permits.intersection(rechecks))),
            may_spend=may_spend,
        )
        self._write(EventType.RUN_STARTED, started)

    def require_whole_journal(self) -> None:
        """Raise `ChainError` if an older journal was put back: nothing could be sealed after it."""
        from runbook_lib.evidence.chain import check_restored  # noqa: PLC0415  (loads signing)

        check_restored(self._reader)

    def _join(self, history: History) -> None:
        """Record values that differ from those on record: attestations are bound to them."""
        names = {name for step in self.procedure.steps for name in step.subject}
        settings = {name: self.settings.values.get(name) for name in sorted(names)}
        present = {name: value for name, value in settings.items() if value}
        recorded = history.index.recorded
        parameters = {n: value for n, value in present.items() if recorded.get(n) != value}
        secrets = self.fingerprints()
        fingerprints = {n: digest for n, digest in secrets.items() if recorded.get(n) != digest}
        if parameters or fingerprints:
            joined = RunJoined(parameters=parameters, fingerprints=fingerprints)
            self._write(EventType.RUN_JOINED, joined)

    def perform(
        self, step_id: str, under_way: RunningChecks | None = None, *, is_asked: bool = True
    ) -> StepState:
        """
        Check the step, as part of `under_way` if given, record the findings, and return its state.

        A check that breaks off is an inconclusive finding. The findings are on
        disk before this returns, with whether somebody asked for the check.
        """
        step = self.step(step_id)
        self._write(EventType.STEP_STARTED, StepStarted(), step=step.id)
        performed: Performed = ((), "")
        prepared = PreparedChecks(self.subject(self.history), lambda: ((), ""))
        if not blocking_failure(step, self.state.steps):
            performed, prepared = (under_way or self.start_snapshot([step])).take(step)
        results, unchecked = performed
        subject = prepared.subject
        findings = [result.finding for result in results]
        facts = {name: value for finding in findings for name, value in finding.facts.items()}
        self.redactor.allow(facts.values())
        bound = {name: value for name, value in facts.items() if name in step.subject}
        binding = bind(step, subject, bound)

        checked = tuple(
            structs.replace(result.finding, exchanges=self._exchanges.write(result.seen))
            for result in results
        )
        performed_checks = {finding.check for finding in checked}
        due = prepared.due
        end = StepChecked(
            findings=checked,
            unchecked=f"{due.reason} {unchecked}".strip() if due and not findings else unchecked,
            automatic=not is_asked,
            binding=binding,
            bases=tuple(
                _filled(basis, bound) for basis in prepared.bases if basis.check in performed_checks
            ),
            carried=prepared.carried,
            due_on=due.since if due else "",
        )
        self._write(EventType.STEP_CHECKED, end, step=step.id)
        inputs = {item.name for item in self.inputs}
        for finding in findings:
            for name, value in finding.facts.items():
                if name in inputs and name not in self.settings.values and value:
                    self.record_input(name, value)
        self._check_after(step)
        return self.state.steps[step.id]

    def _check_after(self, step: Step) -> None:
        """
        Check the steps again that wait for `step` to be done, if somebody worked on them.

        Checks with a side effect run too: a person asked for the check, or named its inputs.
        """
        state = self.state
        if not state.steps[step.id].is_settled:
            return
        for other in state.steps.values():
            is_tried = other.is_worked_on and other.conclusion.outcome is not Outcome.VERIFIED
            is_waited_for = step.id in other.step.checkable_after
            can_ask = not all(self.lacking(check) for check in other.step.checks)
            if is_waited_for and is_tried and can_ask and is_checkable(state, other):
                self.perform(other.step.id, is_asked=False)

    def preview(self, steps: Sequence[Step]) -> dict[str, Conclusion | None]:
        """
        Check the steps in one snapshot without recording it; return a conclusion for each id.

        `None` stands for a step without a result.
        """
        return {
            name: combine(tuple(result.finding for result in results))
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
        earlier = self._earlier_results() if is_recorded else None
        return RunningChecks(
            steps,
            lambda step: self._prepared(step, cache, on_exchanges, answers, earlier),
            is_permitted=lambda check: any(values.get(name) for name in check.allowed_by),
            attestations={name: state.attestation for name, state in self.state.steps.items()},
        )

    def say(self, remarks: Iterable[Remark]) -> None:
        """
        Record people's attestations, bound to the present values, skipping duplicates.

        A file of attestations is read again at every run. An entry that the journal has already is
        neither recorded nor bound again. The logged-in user is recorded beside the name.
        """
        history = self.history
        subject = self.subject(history)
        recorded_entries = history.index.entries - {""}
        values = {**history.index.recorded, **self.values}
        login = logged_in()
        for remark in remarks:
            if remark.entry in recorded_entries:
                continue
            step = self.step(remark.step)
            event = f"step.{remark.kind}"
            statement: Any = structs.replace(remark, login=login)
            if isinstance(remark, Attestation):
                sentence = remark.sentence or step.sentence
                binding = bind(step, subject, remark.binding.subject, sentence)
                app = _app_of(binding, values)
                statement = structs.replace(statement, binding=binding, sentence=sentence, **app)
            self._write(event, convert(statement, DATA[event], from_attributes=True), step=step.id)

    def record_input(self, name: str, value: Value) -> None:
        """Record a value that a person gave, for every later run."""
        self.redactor.allow([value])
        if self.history.index.given.get(name) != value:
            self._write(EventType.INPUT_GIVEN, InputGiven(name=name, value=value))

    def give(self, name: str, value: Value) -> None:
        """Use a value that a person typed, and record it."""
        self.record_input(name, value)
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
        fingerprint = self.fingerprints().get(item.name)
        if fingerprint and self.history.index.recorded.get(item.name) != fingerprint:
            given = CredentialGiven(name=item.name, fingerprint=fingerprint)
            self._write(EventType.CREDENTIAL_GIVEN, given)

    @property
    def _owner(self) -> str:
        """The owner of the credentials: another connector is often another app."""
        return f"{self.tenant}/{self.procedure.id}"

    def save_secret(self, item: Input, store: CredentialStore) -> None:
        """Save the credential to `store`; the journal gets a reference, never the value."""
        reference = store.save(self._owner, item, self.settings.secrets[item.name])
        saved = CredentialSaved(name=item.name, reference=reference)
        self._write(EventType.CREDENTIAL_SAVED, saved)

    def forget_secret(self, item: Input, stores: Iterable[CredentialStore]) -> None:
        """Remove the credential from this run and from `stores`."""
        for store in stores:
            store.forget(self._owner, item)
        if item.name in self.history.index.credentials:
            forgotten = CredentialSaved(name=item.name, reference="")
            self._write(EventType.CREDENTIAL_SAVED, forgotten)
        self.redactor.release(item.credential)
        remaining = {
            name: value for name, value in self.settings.secrets.items() if name != item.name
        }
        self.settings = replace(self.settings, secrets=remaining)

    def interrupt(self, reason: str) -> None:
        """Record that this run was interrupted."""
        self._write(EventType.RUN_INTERRUPTED, RunInterrupted(reason=reason))

    def finish_notebook(self) -> None:
        """Record that every cell of the notebook ran."""
        self._write(EventType.NOTEBOOK_FINISHED, NotebookFinished())

    def finish(self, environment: Mapping[str, str] | None = None) -> RunState:
        """
        Record the end of this run, with its versions and system, and return its state.

        Earlier checks whose lines contain a secret that is known by now count as inconclusive.
        """
        from runbook_lib.evidence.leaks import withhold_leaks  # noqa: PLC0415  (loads signing)

        withhold_leaks(self._reader, self.redactor)
        self._folded = None
        finished = RunFinished(outcome=self.state.outcome, environment=environment or {})
        self._write(EventType.RUN_FINISHED, finished)
        return self.state

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

    def save_index(self) -> None:
        """Save the journal's index, so that the next reader need not read every line."""
        self._reader.read()
        self._reader.save(self.key)

    def share(self, pools: ConnectionPools) -> None:
        """Use the connections of other runs from now on; they stay open when this one closes."""
        self._connections.pools = pools

    def close(self) -> None:
        """Close every connection that is not shared."""
        self._connections.close()

    @property
    def _started(self) -> RunStarted | None:
        """The line that begins this run, if the journal has it."""
        history = self.history
        begun = history.run(self.run_id)
        return history.read(begun.started).data if begun and begun.started else None

    def _without_withheld(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return `values` without the settings that permit side effects, if this run has none."""
        started = self._started
        may_spend = started is None or started.may_spend
        withheld = frozenset() if may_spend else self.procedure.permits
        return {name: value for name, value in values.items() if name not in withheld}

    def _earlier_results(self) -> EarlierResults:
        history = self.history
        return EarlierResults(
            procedure=self.procedure,
            tenant=self.tenant,
            evidence=self.evidence,
            history=history,
            values=self.subject(history).values,
            now=self.clock(),
        )

    def _carried(
        self, step: Step, earlier: EarlierResults | None
    ) -> tuple[dict[str, CarriedResult], OutdatedResult | None]:
        """
        Return the earlier results that count instead of checks of `step`, by the check's id.

        And why such a result does not count, if one does not; a check that was never made is due
        if a setting permits it and this run may not. In the walkthrough all earlier checks count,
        and one that a person asks for is made.
        """
        started = self._started
        if earlier is None or started is None or self.mode == Mode.INTERACTIVE:
            return {}, None
        carried = dict[str, CarriedResult]()
        due = None
        asked = {name for name in started.rechecks if self.values.get(name)}
        for check in step.checks:
            is_asked_for = not asked.isdisjoint(check.allowed_by)
            if not check.always_has_side_effect or (is_asked_for and started.may_spend):
                continue
            earlier_result = earlier.find(step, check)
            if isinstance(earlier_result, EarlierResult):
                carried[check.id] = earlier_result.result
            else:
                due = due or earlier_result
            is_permitted = any(map(self.values.get, check.allowed_by))
            if check.id not in carried and is_permitted and not started.may_spend:
                due = due or OutdatedResult("", self.clock().date().isoformat())
        return carried, due

    def _prepared(
        self,
        step: Step,
        cache: ResponseCache,
        on_exchanges: OnExchanges,
        answers: frozenset[str],
        earlier: EarlierResults | None,
    ) -> PreparedChecks:
        """Return the checks of `step` with the values that are known now."""
        known = self.values
        secrets = self.settings.secrets
        values = self._without_withheld(known)
        carried, due = self._carried(step, earlier)
        checks = tuple(check for check in step.checks if check.id not in carried)

        def announce_change(text: str) -> None:
            cache.clear()
            self._write(EventType.CHANGE_INTENDED, ChangeIntended(change=text), step=step.id)

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
        performed = [check for check in checks if check.side_effect and not lacking[check]]
        bases = [earlier.basis(step, check) for check in performed] if earlier else []
        is_due = any(check.always_has_side_effect and lacking[check] for check in checks)
        return PreparedChecks(
            self.subject(self.history),
            perform,
            bases=tuple(basis for basis in bases if basis),
            carried=tuple(carried.values()),
            due=due if is_due else None,
        )

    def _confirmed_answers(self) -> frozenset[str]:
        """Return the names of the answers that count: each is about a step of this procedure."""
        chosen = (
            state.step.sentences.get(state.attestation.binding.sentence_digest)
            for state in self.state.steps.values()
            if state.attestation is not None
        )
        return frozenset(answer.name for answer in chosen if answer is not None)

    def open_session(self) -> Session:
        """Return a recording session for the known addresses."""
        return self._connections.open_session(self.values)

    def open_operators_session(self) -> Session:
        """Return a session to tell the operator something, which practice may do elsewhere too."""
        return self._connections.open_session(self.values, is_for_operator=True)

    def _write(self, event: str, data: ModelStruct, *, step: str = "") -> None:
        self.journal.append(event, masked(data, self.redactor), run_id=self.run_id, step=step)


def _filled(basis: CheckBasis, facts: Mapping[str, Value]) -> CheckBasis:
    """Return `basis` with the values that the check itself has found."""
    check_facts = {name: value for name, value in facts.items() if name in basis.values}
    return structs.replace(basis, values={**basis.values, **check_facts})


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
    if history.index.practice <= {is_practice}:
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


@cache
def _environment() -> Mapping[str, str]:
    from importlib.metadata import version  # noqa: PLC0415  (slow to import)

    packages = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "platform": platform.system(), **packages}
