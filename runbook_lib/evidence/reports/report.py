"""
The report: one HTML file about a run.

Self-contained: no script, nothing loaded. A report is derived from the record and
journal lines and is not evidence itself. `templates` contains its design.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from runbook_lib.core.attachments import SUFFIXES, attachment_path
from runbook_lib.core.files import read_plain
from runbook_lib.core.model import (
    Attachment,
    AttestationKind,
    Exchange,
    Outcome,
    RunOutcome,
    host_in,
)
from runbook_lib.core.outcome import IN_PART, OPEN, OUTCOMES, SETTLED
from runbook_lib.evidence.reports.attestation_log import attestations_by_step, in_order_of_time
from runbook_lib.evidence.reports.phrases import listed, plain, read_in
from runbook_lib.evidence.reports.pictures import (
    forecast_picture,
    forecast_title,
    meanwhile,
)
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.run.events import BundleSealed
from runbook_lib.run.forecast import Forecast
from runbook_lib.run.journal import Line
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import pluralize

# Pictures are embedded up to this size each, and this size in all.
_LARGEST_PICTURE = 300 * 1024
_ALL_PICTURES = 1024 * 1024
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MOST_ATTESTATIONS = 300
# The limit for one step; the record has the others.
_MOST_EXCHANGES = 40
_MOST_HOSTS = 3


def run_report(
    run: RunState,
    lines: Sequence[Line],
    *,
    attachments: Path | None = None,
    forecast: Forecast | None = None,
) -> str:
    """
    Return the `report.html` of one run.

    `run` is the content of `record.json`, `lines` are all journal lines beside it, in order.
    Unaltered pictures in the folder `attachments` are embedded; each attachment is linked, relative
    to the bundle.
    """
    log = attestations_by_step(lines, run)
    attestations = in_order_of_time(log)
    until = run.finished_on or max((line.head.at for line in lines), default="")
    with read_in(until):
        return render(
            "run.html",
            run=run,
            sandbox=run.sandbox,
            mark=f"Run {run.run}",
            reached=_reached(run),
            verdict=_verdict(run),
            app=_app(run),
            open_steps=_open_steps(run),
            steps=run.by_id,
            lines={line.head.seq: line for line in lines},
            first=_first_own(lines),
            last=lines[-1].head.seq if lines else 0,
            exchanges=_exchanges(run),
            most_exchanges=_MOST_EXCHANGES,
            attestations_by_step=log,
            attestations=attestations[-_MOST_ATTESTATIONS:],
            earlier=max(0, len(attestations) - _MOST_ATTESTATIONS),
            confirmations=[
                (step, attestation)
                for step in run.steps
                for attestation in step.counted_attestations
                if attestation.kind is AttestationKind.ATTESTED
            ],
            pictures=_pictures(run, attachments),
            limits=_limits(run),
            forecast=forecast
            and (forecast_picture(forecast), forecast_title(forecast), meanwhile(forecast)),
        )


def _first_own(lines: Iterable[Line]) -> int:
    """Return the number of the first line in `journal.jsonl`; those before it are older."""
    # NOTE: a bundle's own lines begin after the last one in the bundle before, and announce that.
    announced = [line.event.last for line in lines if line.kind is BundleSealed]
    return announced[-1] + 1 if announced else 1


def _exchanges(run: RunState) -> list[tuple[int, Exchange, list[StepState]]]:
    """Return each exchange of this run once, with its number and the steps that it is for."""
    steps: dict[int, list[StepState]] = {}
    for step in run.steps:
        for number in step.exchange_numbers[:_MOST_EXCHANGES]:
            steps.setdefault(number, []).append(step)
    return [(number, run.exchanges[number], steps[number]) for number in sorted(steps)]


def _reached(run: RunState) -> str:
    """Return a sentence about the hosts that responded in this run."""
    asked: dict[str, bool] = {}
    numbers = chain.from_iterable(step.exchange_numbers for step in run.steps)
    for exchange in map(run.exchanges.__getitem__, numbers):
        if host := host_in(exchange.url):
            # NOTE: a refused connection is not a response.
            is_answer = exchange.status is not None
            asked[host] = asked.get(host, False) or is_answer
    answered = [host for host, is_answer in asked.items() if is_answer]
    silent = [host for host, is_answer in asked.items() if not is_answer]
    if not answered:
        return "no remote system answered a request in this run."
    rest = f"; {_hosts(silent)} did not" if silent else ""
    return f"{_hosts(answered)} answered in this run{rest}."


def _hosts(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {pluralize(len(names) - _MOST_HOSTS, 'other')}" if names[_MOST_HOSTS:] else ""
    return f"{', '.join(names[:_MOST_HOSTS])}{more}"


def _app(run: RunState) -> dict[str, str]:
    """Return the app and the Service Domain of the run, each with its label."""
    named = {
        "App": run.facts.get("app_name") or run.values.get("app_display_name"),
        run.app_id_label: run.values.get("app_id"),
        "Service Domain": run.values.get("service_domain"),
    }
    return {label: plain(value) for label, value in named.items()}


def _verdict(run: RunState) -> str:
    """Return the meaning of a run's outcome, in plain words."""
    if run.not_run:
        return f"Not run, because: {run.not_run.reason} {run.not_run.next_step}".strip()
    number = pluralize(len(run.steps), "step")
    if run.outcome == RunOutcome.COMPLETE:
        return f"All {number} are settled: {listed(_settled(run))}."
    if run.outcome == RunOutcome.FAILED:
        failed = sum(step.outcome == Outcome.FAILED for step in run.steps)
        return (
            f"{failed} of {number} failed. Do not rely on the connection until that is fixed and a "
            "new run confirms it."
        )
    in_part = sum(step.needs_person for step in run.steps)
    left = [*_counts(run, OPEN), *([f"{in_part} {IN_PART}"] if in_part else [])]
    return (
        f"{len(_open_steps(run))} of {number} are open: {listed(left)}. No check contradicts any "
        "of them."
    )


def _settled(run: RunState) -> list[str]:
    """Return the number of settled steps by kind; those of earlier runs count separately."""
    earlier = sum(bool(step.verified_on) for step in run.steps)
    words = _counts(run, (*SETTLED, Outcome.SKIPPED), but=earlier)
    return [*words, *([f"{earlier} verified in an earlier run"] if earlier else [])]


def _counts(run: RunState, outcomes: Sequence[Outcome], but: int = 0) -> list[str]:
    """Return the number of steps by outcome, without `but` of the verified ones."""
    count = Counter(step.outcome for step in run.steps)
    count[Outcome.VERIFIED] -= but
    rows = [(count[outcome], OUTCOMES[outcome]) for outcome in outcomes]
    return [f"{number} {row.verdict or row.label}" for number, row in rows if number]


def _open_steps(run: RunState) -> list[StepState]:
    """Return the steps that need action, failures first."""
    steps = run.steps
    blocked = [step for step in steps if step.outcome == Outcome.SKIPPED and not step.attestation]
    open_steps = [step for outcome in OPEN for step in steps if step.outcome == outcome]
    in_part = [step for step in steps if step.needs_person]
    return [*open_steps, *in_part, *blocked]


def _limits(run: RunState) -> dict[str, list[StepState]]:
    """Return the limits of checks, each with its steps, without those verified in part."""
    limits: dict[str, list[StepState]] = {}
    for step in run.steps:
        if not step.needs_person:
            for limit in dict.fromkeys(step.gather("limits")):
                limits.setdefault(limit, []).append(step)
    return limits


def _pictures(run: RunState, folder: Path | None) -> dict[str, tuple[str, str, str]]:
    """Return link, embedded content and remark of each attachment, by its digest."""
    shown: dict[str, tuple[str, str, str]] = {}
    left = _ALL_PICTURES
    for attachment in chain.from_iterable(step.attachments for step in run.steps):
        if attachment.sha256 not in shown:
            picture = _picture(attachment, folder, min(left, _LARGEST_PICTURE))
            left -= attachment.size if picture[1] else 0
            shown[attachment.sha256] = picture
    return shown


def _picture(attachment: Attachment, folder: Path | None, limit: int) -> tuple[str, str, str]:
    # NOTE: a record may name any file as HTML; a report leads to nothing that could run.
    if attachment.media_type not in SUFFIXES:
        return "", "", "This kind of file is not linked here."
    link = f"attachments/{attachment_path(Path(), attachment).name}"
    if folder is None or attachment.media_type not in _PICTURES:
        return link, "", ""
    if attachment.size > limit:
        return link, "", "It is too large to be shown here."
    path = attachment_path(folder, attachment)
    try:
        content = read_plain(path, limit)
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != attachment.sha256:
        return "", "", "The file is missing beside this report, or was changed."
    text = base64.b64encode(content).decode("ascii")
    return link, f"data:{attachment.media_type};base64,{text}", ""
