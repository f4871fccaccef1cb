"""
The review kit as a file: a person adapts it, and the submitted version is kept.

The file ends with the SHA-256 of its text. So a file that a person changed is recognised and not
overwritten.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.config.settings import Settings, visible_text
from runbook_lib.config.workspace import is_sandbox
from runbook_lib.connectors.registry import kit_of
from runbook_lib.connectors.review_kit import Kit, find_blanks, kit_markdown
from runbook_lib.core.attachments import store_document
from runbook_lib.core.clock import timestamp
from runbook_lib.core.files import read_plain, write_whole
from runbook_lib.core.model import Attestation, AttestationKind, Mode, Remark
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.redaction import Redactor
from runbook_lib.engine.tenant_run import Run, open_run
from runbook_lib.errors import SettingsError, reported_as
from runbook_lib.evidence.reports.pictures import forecast_lines, forecast_title, meanwhile
from runbook_lib.run.forecast import make_forecast
from runbook_lib.text import pluralize

KIT_NAME = "review-kit.md"

_ORIGIN = "runbook kit"
_LARGEST = 4 * 1024 * 1024
_LONGEST_NAME = 200
_SEAL = "<!-- runbook kit {digest} -->\n"
_SEALED = re.compile(rb"<!-- runbook kit ([0-9a-f]{64}) -->\n\Z")
_ADVICE = "Name another folder with --output, or overwrite it with --force."
_FILL_IN = "Replace each with the text that you submitted, or delete it. Nothing was recorded."
_WITHOUT_SECRET = "Remove it from the file, then run again. Nothing was recorded."  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRequest:
    """The kit to write, and its folder."""

    procedure: Procedure
    """The procedure with the review."""

    given: Mapping[str, object]
    """Parameters, as of a run."""

    output: Path
    """The folder for the file."""

    tenant: str = ""
    """The tenant's name; empty for the Service Domain."""

    evidence: str = ""
    """The evidence folder; empty for the default."""

    env_file: str = ""
    """The settings file; empty for the default."""

    overwrites: bool = False
    """Whether to overwrite a file that a person changed."""

    by: str = ""
    """The person who submitted the kit; empty if it is only written."""

    note: str = ""
    """That person's note."""


@dataclass(frozen=True, slots=True)
class KitFile:
    """The kit's file; `is_changed` by a person, so it was left as it is."""

    path: Path
    content: bytes
    is_changed: bool

    @property
    def blanks(self) -> list[tuple[int, str]]:
        """Each place to fill in, with its line."""
        return find_blanks(self.content.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class WrittenKit:
    """The kit, its file, and the step that was recorded as submitted, if any."""

    kit: Kit
    file: KitFile
    step: str = ""


def write_kit(request: KitRequest) -> WrittenKit:
    """
    Write the kit into the request's folder, or attach it where somebody submitted it.

    No credential is read. The file is attached as a person adapted it. Raises `SettingsError`
    before anything is written: for a connector without a kit, a file that would be overwritten, and
    an unusable name. Raises it too for a file to attach with a credential or places to fill in, and
    where practice and real runs would mix. Raises `OSError` and `JournalError` where writing fails.
    """
    procedure = request.procedure
    step = next((step for step in procedure.steps if step.review_kit), None)
    if step is None:
        raise SettingsError(
            f"The connector {procedure.id} has no step for a review, so there is no review kit.",
            next_step="Name another one with --connector.",
        )
    by = visible_text("--by", request.by, longest=_LONGEST_NAME)
    note = visible_text("--note", request.note, may_have_lines=True)
    run = _opened(request)
    values = _as_practised(run, request.given).values_on_record
    kit = replace(kit_of(step.review_kit, values), is_sandbox=is_sandbox(values))
    file = _planned(request, _text_of(kit, run), keeps=bool(by))
    if by:
        _require_submittable(file)
        run.start()
        folder = run.journal.path.parent / "attachments"
        attachment = store_document(folder, name=file.path.name, content=file.content)
        word = Attestation(
            kind=AttestationKind.SUBMITTED,
            by=by,
            at=timestamp(run.clock()),
            note=note,
            attachments=(attachment,),
            origin=_ORIGIN,
        )
        run.say([Remark(step.id, word)])
    else:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file.path, file.content)
    run.close()
    return WrittenKit(kit, file, step.id if by else "")


def _text_of(kit: Kit, run: Run) -> str:
    """Return the kit as Markdown, with the forecast as it is today."""
    forecast = make_forecast(run.whole_state, run.procedure, run.clock().date().isoformat())
    if forecast is None:
        return kit_markdown(kit, run.procedure)
    lines = [f"{name}: {days}" for name, days in forecast_lines(forecast)]
    beside = meanwhile(forecast)
    if beside:
        lines.append(beside)
    return kit_markdown(
        kit, run.procedure, forecast_title=forecast_title(forecast), forecast_lines=lines
    )


def _opened(request: KitRequest) -> Run:
    """Return the walkthrough's run, or one like it, without any credential."""
    secrets = [item.name for item in inputs_of(request.procedure) if item.secret]
    for name in secrets:
        if name in request.given:
            raise SettingsError(
                f"{name} is a credential; the review kit needs none. Never use it as a parameter.",
                next_step="Leave it out; nothing was written.",
            )
    return open_run(
        request.procedure,
        request.given,
        mode=Mode.INTERACTIVE,
        tenant=request.tenant,
        evidence=request.evidence,
        env_file=request.env_file,
        withheld=secrets,
    )


def _as_practised(run: Run, given: Mapping[str, object]) -> Run:
    """Return `run` without the real settings where the tenant is practice; `given` ones count."""
    if run.is_sandbox or True not in run.history.practice:
        return run
    values = {name: value for name, value in run.settings.values.items() if name in given}
    return replace(run, settings=Settings(values))


def _planned(request: KitRequest, text: str, *, keeps: bool) -> KitFile:
    """
    Return the file as it will be; with `keeps`, a person's version stays.

    Raises `SettingsError` if a person's version would be overwritten.
    """
    path = request.output / KIT_NAME
    current = None
    advice = "Name another folder with --output."
    with (
        reported_as(SettingsError, f"{path} cannot be read", next_step=advice),
        suppress(FileNotFoundError),
    ):
        current = read_plain(path, _LARGEST)
    if current is not None and not request.overwrites and not _is_ours(current):
        if keeps:
            return KitFile(path, current, is_changed=True)
        raise SettingsError(
            f"{path} was changed since the runbook wrote it, or is another file.", next_step=_ADVICE
        )
    seal = _SEAL.format(digest=hashlib.sha256(text.encode()).hexdigest())
    return KitFile(path, (text + seal).encode(), is_changed=False)


def _is_ours(content: bytes) -> bool:
    """Return whether `content` is as the runbook wrote it, if in another version."""
    seal = _SEALED.search(content)
    if seal is None:
        return False
    return hashlib.sha256(content[: seal.start()]).hexdigest() == seal.group(1).decode()


def _require_submittable(file: KitFile) -> None:
    """Raise `SettingsError` for a file with a credential, or with places to fill in."""
    if Redactor().find_secret(file.content.decode("utf-8", "replace")) >= 0:
        raise SettingsError(
            f"{file.path} contains what looks like a token or a secret.", next_step=_WITHOUT_SECRET
        )
    lines: dict[str, dict[str, None]] = {}
    for number, blank in file.blanks:
        lines.setdefault(blank, {})[str(number)] = None
    if lines:
        named = "; ".join(f"{blank} (line {', '.join(at)})" for blank, at in lines.items())
        raise SettingsError(
            f"{file.path} has {pluralize(len(file.blanks), 'place')} to fill in: {named}.",
            next_step=_FILL_IN,
        )
