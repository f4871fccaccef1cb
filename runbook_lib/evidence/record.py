"""
The record: one JSON object with a run's outcome, step by step.

It is built from the journal alone, never from notebooks or papermill's status. Its
JSON Schema, `record.schema.json` in a bundle, is made from the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, ValidationError, convert, structs

from runbook_lib.core.files import read_plain
from runbook_lib.core.forecast import Forecast, make_forecast
from runbook_lib.core.json_text import NonFiniteConstantError, parse_own
from runbook_lib.core.model import (
    FORMAT_VERSION,
    FleetRun,
    HostCalls,
    Mode,
    ModelStruct,
    NotRunReason,
    Number,
    ProcedureName,
    RunOutcome,
    Sha256,
    Time,
    Value,
    Wait,
    describe_invalid_field,
    json_schema,
)
from runbook_lib.core.run_state import RunState
from runbook_lib.core.step_record import RULES, StepRecord, step_record
from runbook_lib.core.waits import waits_by_step
from runbook_lib.errors import ContentError, FormatError, JournalError, reported_as

RECORD_NAME = "record.json"
SCHEMA_NAME = "record.schema.json"
# A record of a hundred steps with all their exchanges has a few MiB.
LARGEST_RECORD = 64 * 1024 * 1024
_SCHEMA = "facebook-marketing-runbook/record/v"
SCHEMA: Final = "facebook-marketing-runbook/record/v14"


class JournalExcerpt(ModelStruct):
    """The journal lines in journal.jsonl: those since the previous bundle."""

    first: Annotated[Number, Meta(description="number of the first line")]
    lines: Annotated[Number, Meta(description="number of the last line")]
    previous: Annotated[
        Sha256, Meta(description="SHA-256 of the line before the first; zeros if there is none")
    ]
    head: Annotated[Sha256, Meta(description="SHA-256 of the last line")]


class CarriedRecord(ModelStruct):
    """An older line in carried.jsonl."""

    seq: Number
    sha256: Sha256


class Record(ModelStruct):
    """Record of one run of the Facebook Marketing runbook."""

    schema: Literal["facebook-marketing-runbook/record/v14"]
    """The name and version of this format."""

    run_id: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
    """The id of the run."""

    tenant: Annotated[str, Meta(min_length=1)]
    """The tenant's name."""

    procedure: ProcedureName
    """The procedure and its version."""

    mode: Mode
    """The mode of the run, such as headless."""

    sandbox: Annotated[
        bool,
        Meta(
            description="true: practice against a simulation on the same machine, which proves "
            "nothing"
        ),
    ]
    """Whether it is practice."""

    started_on: Time
    """The time of its beginning."""

    finished_on: Time | None
    """The time of its end; `None` if it was interrupted."""

    resumes: Annotated[str | None, Meta(description="the previous run, if it was interrupted")]
    """The id of the interrupted run that it resumes; `None` without one."""

    outcome: RunOutcome
    """The outcome of the run."""

    steps: Annotated[
        tuple[Annotated[StepRecord, Meta(extra_json_schema=RULES)], ...], Meta(min_length=1)
    ]
    """The steps, in the documented order."""

    parameters: Mapping[str, Value]
    """Parameter → its value; credentials are not among them."""

    credentials: Annotated[
        tuple[str, ...], Meta(description="names of the given credentials, never their values")
    ]
    """The names of the given credentials."""

    environment: Mapping[str, str]
    """Component → its version."""

    calls: tuple[HostCalls, ...]
    """The number of calls by host."""

    journal: JournalExcerpt
    """The journal lines beside the record."""

    carried: Annotated[
        tuple[CarriedRecord, ...],
        Meta(
            description="the older lines in carried.jsonl: earlier attestations that still count, "
            "and checks with their exchanges"
        ),
    ]
    """The older journal lines on which outcomes rest."""

    waits: Annotated[
        Mapping[str, Wait], Meta(description="for whom each open step waits, by the step's id")
    ]
    """Id of an open step → the party for whom it waits."""

    fleet_run: Annotated[
        FleetRun | None,
        Meta(description="the run of a fleet that asked for this run; null outside of a fleet"),
    ]
    """The run of a fleet that started this run."""

    not_run: Annotated[
        NotRunReason | None, Meta(description="why the run could not start; null if it did")
    ]
    """The reason why the run could not start."""

    unverifiable: Annotated[
        tuple[str, ...],
        Meta(description="what no check and no API shows, and a partner must know all the same"),
    ] = ()
    """Facts that no check and no API shows, and that a partner must know."""

    app_id_label: Annotated[
        str, Meta(description="what the vendor calls the app's id, such as App ID or Client ID")
    ] = "app_id"
    """The vendor's label for the app's id."""

    forecast: Annotated[
        Forecast | None, Meta(description="the decisions of others, and when they usually fall")
    ] = None
    """The decisions of others, with their usual dates."""

    def __post_init__(self) -> None:
        for step in self.steps:
            step.require_evidence()


def build_record(
    state: RunState, *, journal: JournalExcerpt, carried: Iterable[CarriedRecord]
) -> Record:
    """
    Return the record of a run that has started; raises `JournalError` for another.

    `journal` names the journal lines beside the record, `carried` the older
    ones that its outcomes rest on.
    """
    started = state.started
    if started is None:
        raise JournalError(f"The journal has no beginning of the run {state.run_id}.")
    return Record(
        schema=SCHEMA,
        run_id=state.run_id,
        tenant=started.tenant,
        procedure=started.procedure,
        mode=started.mode,
        sandbox=started.sandbox,
        started_on=state.started_on,
        finished_on=state.finished_on or None,
        resumes=started.resumes or None,
        # NOTE: attestations alone may settle every step.
        outcome=RunOutcome.INCOMPLETE if started.not_run else state.outcome,
        steps=_with_each_shape_once(step_record(step) for step in state.steps.values()),
        parameters=started.parameters,
        credentials=started.credentials,
        environment=state.environment,
        calls=state.calls,
        journal=journal,
        carried=tuple(carried),
        waits=waits_by_step(state, date.fromisoformat((state.finished_on or state.today)[:10])),
        fleet_run=started.fleet_run,
        not_run=started.not_run,
        unverifiable=state.unverifiable,
        app_id_label=state.app_id_label,
        forecast=make_forecast(state),
    )


def _with_each_shape_once(steps: Iterable[StepRecord]) -> tuple[StepRecord, ...]:
    """Return the steps; an exchange that several of them share has its shape in the first one."""
    shown: set[int] = set()
    kept = []
    for step in steps:
        exchanges = tuple(
            structs.replace(exchange, shape=None) if exchange.number in shown else exchange
            for exchange in step.exchanges
        )
        shown.update(exchange.number for exchange in exchanges)
        kept.append(structs.replace(step, exchanges=exchanges))
    return tuple(kept)


def record_text(bundle: Path) -> bytes:
    """Return the content of `record.json` in `bundle`; raises `ContentError` where it cannot."""
    with reported_as(ContentError, "It cannot be read", file=RECORD_NAME):
        return read_plain(bundle / RECORD_NAME, LARGEST_RECORD)


def parse_record(content: bytes) -> Record:
    """
    Parse a record.

    Raises `FormatError` for one of another form, and `ContentError`, with the place, for
    anything else.
    """
    try:
        document = parse_own(content)
    except NonFiniteConstantError as error:
        raise ContentError(f"It is not a JSON object: {error}.", file=RECORD_NAME) from None
    except ValueError:
        # NOTE: the message of another error may quote the content.
        raise ContentError("It is not a JSON object.", file=RECORD_NAME) from None
    if not isinstance(document, dict):
        raise ContentError("It is not a JSON object.", file=RECORD_NAME)
    schema = document.get("schema")
    if schema != SCHEMA:
        version = schema.removeprefix(_SCHEMA) if isinstance(schema, str) else None
        raise FormatError("It", version, FORMAT_VERSION, file=RECORD_NAME)
    try:
        return convert(document, Record)
    except ValidationError as error:
        raise ContentError(
            f"It is not a valid record: {describe_invalid_field(error, '')}.", file=RECORD_NAME
        ) from None


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record."""
    return json_schema(Record, f"urn:facebook-marketing-runbook:record:v{FORMAT_VERSION}")
