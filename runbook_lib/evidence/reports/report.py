"""
The reports: one HTML file about a run, and one about a tenant's history.

Self-contained: no script, nothing loaded. A report is derived from records and
journal lines and is not evidence itself. `templates` contains its design.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path

from runbook_lib.core.attachments import SUFFIXES, attachment_path
from runbook_lib.core.files import read_plain
from runbook_lib.core.model import (
    Attachment,
    Entry,
    Exchange,
    Outcome,
    RunOutcome,
    WordKind,
    host_in,
)
from runbook_lib.core.outcome import IN_PART, OPEN, OUTCOMES, SETTLED
from runbook_lib.core.step_record import StepRecord, gathered
from runbook_lib.core.words import person_key
from runbook_lib.evidence.record import Record
from runbook_lib.evidence.reports import timeline
from runbook_lib.evidence.reports.phrases import day, listed, plain, read_in
from runbook_lib.evidence.reports.pictures import (
    meanwhile,
    road_picture,
    road_title,
    screen_caption,
    screen_picture,
)
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.evidence.reports.run_history import SealedRun
from runbook_lib.evidence.reports.timeline import TimelineWord
from runbook_lib.plain_text import counted

# Pictures are embedded up to this size each, and this size in all.
_LARGEST_PICTURE = 300 * 1024
_ALL_PICTURES = 1024 * 1024
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_MOST_EVENTS = 300
# Of one step; the record has the others.
_MOST_EXCHANGES = 40
_MOST_RUNS = 200
_MOST_COLUMNS = 12
_MOST_HOSTS = 3


def run_report(run: Record, entries: Sequence[Entry], *, attachments: Path | None = None) -> str:
    """
    Return the `report.html` of one run.

    `run` is the content of `record.json`, `entries` the journal lines beside
    it. Unaltered pictures in the folder `attachments` are embedded; each
    attachment is linked, relative to the bundle.
    """
    lines = [entry for entry in entries if entry.seq <= run.journal.lines]
    words, happened = timeline.words_by_step(lines, run), timeline.events(lines, run)
    waits = timeline.waits_of_run(lines, run)
    until = run.finished_on or max((entry.at for entry in lines), default="")
    with read_in(until):
        return render(
            "run.html",
            run=run,
            sandbox=run.sandbox,
            mark=f"Run {run.run_id}",
            reached=_reached([run]),
            verdict=_verdict(run),
            app=_app(run),
            open_steps=_open_steps(run),
            expected=_expected(run),
            titles={step.id: step.title for step in run.steps},
            exchanges=_exchanges(run),
            most_exchanges=_MOST_EXCHANGES,
            words=words,
            people=_people(words),
            confirmations=[
                (step, word)
                for step in run.steps
                for word in (*step.confirms, step.word)
                if word and word.kind is WordKind.ATTESTED
            ],
            events=[
                (date, list(events))
                for date, events in groupby(happened[-_MOST_EVENTS:], lambda event: day(event.at))
            ],
            earlier_events=max(0, len(happened) - _MOST_EVENTS),
            waits=waits,
            until=until,
            pictures=_pictures(run, attachments),
            limits=_limits(run),
            screens={
                step: (screen_picture(screen, run.parameters), screen_caption(screen))
                for step, screen in run.screens.items()
            },
            road=run.road and (road_picture(run.road), road_title(run.road), meanwhile(run.road)),
        )


def _exchanges(run: Record) -> list[tuple[Exchange, list[StepRecord]]]:
    """Return each exchange once, with the steps that it is for."""
    shown: dict[int, tuple[Exchange, list[StepRecord]]] = {}
    for step in run.steps:
        for exchange in step.exchanges[:_MOST_EXCHANGES]:
            shown.setdefault(exchange.number, (exchange, []))[1].append(step)
    return [shown[number] for number in sorted(shown)]


def history_report(tenant: str, sealed: Sequence[SealedRun]) -> str:
    """
    Return the history of a tenant: its runs, each step over time, and its waits.

    `sealed` are all of its runs in the order of sealing. The outcome of a run
    with a fault is not shown.
    """
    runs = sealed[-_MOST_RUNS:]
    faultless = [run.record for run in sealed if run.record]
    intact = [run.record for run in runs if run.record]
    steps = {step.id: f"{step.number} {step.title}".strip() for run in intact for step in run.steps}
    waits = timeline.waits_across_runs(faultless)
    until = (intact[-1].finished_on or intact[-1].started_on) if intact else ""
    newest = runs[-1].record if runs else None
    with read_in(until):
        return render(
            "history.html",
            tenant=tenant,
            sandbox=any(run.sandbox for run in sealed),
            reached=_reached(faultless),
            practice_runs=sum(run.sandbox for run in sealed),
            number=len(sealed),
            runs=runs,
            intact=intact,
            faulty=[run for run in sealed if run.fault],
            verdict=_verdict(newest) if newest else "",
            columns=[
                (run, {step.id: step for step in run.steps}) for run in intact[-_MOST_COLUMNS:]
            ],
            steps=steps,
            expected=_expected(intact[-1] if intact else None),
            waits=waits,
            until=until,
        )


def _reached(runs: Sequence[Record]) -> str:
    """Return which hosts answered in these runs, as a sentence."""
    asked: dict[str, bool] = {}
    steps = (step for run in runs for step in run.steps)
    for exchange in (exchange for step in steps for exchange in step.exchanges):
        if host := host_in(exchange.url):
            # NOTE: a refused connection is not an answer.
            is_answer = exchange.status is not None
            asked[host] = asked.get(host, False) or is_answer
    answered = [host for host, is_answer in asked.items() if is_answer]
    silent = [host for host, is_answer in asked.items() if not is_answer]
    where = "in this run" if len(runs) == 1 else "in these runs"
    if not answered:
        return f"no remote system answered a request {where}."
    rest = f"; {_hosts(silent)} did not" if silent else ""
    return f"{_hosts(answered)} answered {where}{rest}."


def _hosts(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {counted(len(names) - _MOST_HOSTS, 'other')}" if names[_MOST_HOSTS:] else ""
    return f"{', '.join(names[:_MOST_HOSTS])}{more}"


def _app(run: Record) -> dict[str, str]:
    """Return which app and Service Domain the run is about, each with its label."""
    facts = {k: v for step in run.steps for check in step.checks for k, v in check.facts.items()}
    parameters = run.parameters
    named = {
        "App": facts.get("app_name") or parameters.get("app_display_name"),
        "App ID": parameters.get("app_id"),
        "Service Domain": parameters.get("service_domain"),
    }
    return {label: plain(value) for label, value in named.items()}


def _verdict(run: Record) -> str:
    """Return what the outcome of a run means, in plain words."""
    number = counted(len(run.steps), "step")
    if run.outcome == RunOutcome.COMPLETE:
        return f"All {number} are settled: {listed(_counts(run, (*SETTLED, Outcome.SKIPPED)))}."
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


def _counts(run: Record, outcomes: Sequence[Outcome]) -> list[str]:
    count = Counter(step.outcome for step in run.steps)
    rows = [(count[outcome], OUTCOMES[outcome]) for outcome in outcomes]
    return [f"{number} {row.verdict or row.label}" for number, row in rows if number]


def _open_steps(run: Record) -> list[StepRecord]:
    """Return the steps that need action, failures first."""
    steps = run.steps
    blocked = [step for step in steps if step.outcome == Outcome.SKIPPED and not step.word]
    open_steps = [step for outcome in OPEN for step in steps if step.outcome == outcome]
    in_part = [step for step in steps if step.needs_person]
    return [*open_steps, *in_part, *blocked]


def _expected(run: Record | None) -> dict[str, str]:
    """Return the day by which each decision that is waited for is expected, by its step."""
    legs = run.road.legs if run and run.road else ()
    return {leg.step: leg.ends for leg in legs if leg.stage == "waiting"}


def _people(words: Mapping[str, Sequence[TimelineWord]]) -> list[tuple[list[TimelineWord], str]]:
    """Return the words of each person, and a summary of them, in the order of the first ones."""
    spoken = [word for about_step in words.values() for word in about_step]
    people: dict[str, list[TimelineWord]] = {}
    for word in sorted(spoken, key=lambda word: word.at):
        people.setdefault(person_key(word.by), []).append(word)
    summaries = []
    for mine in people.values():
        count = Counter(word.kind for word in mine)
        summaries.append(listed([f"{count[kind]} {kind}" for kind in WordKind if count[kind]]))
    return list(zip(people.values(), summaries, strict=True))


def _limits(run: Record) -> dict[str, list[StepRecord]]:
    """Return what checks do not prove, each with its steps, but for those verified in part."""
    limits: dict[str, list[StepRecord]] = {}
    for step in run.steps:
        if not step.needs_person:
            for limit in dict.fromkeys(gathered(step, "limits")):
                limits.setdefault(limit, []).append(step)
    return limits


def _pictures(run: Record, folder: Path | None) -> dict[str, tuple[str, str, str]]:
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
