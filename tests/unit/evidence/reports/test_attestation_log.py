"""The log of attestations, from journal lines."""

from __future__ import annotations

from runbook_lib.core.model import AttestationKind
from runbook_lib.evidence.reports.attestation_log import attestations_by_step, in_order_of_time
from tests.unit.evidence.reports.sample_runs import (
    CHECKED,
    SAID,
    STARTED,
    attestation_json,
    attested,
    checked,
    record,
    skipped,
    step,
)

REVIEW = "fb-12-submit-review"


def test_statements_are_in_the_order_of_writing() -> None:
    """Statements are in the order in which they were written, with author, times, note and file."""
    lines = [
        attested(
            "fb-01-log-in", note="Done.", seen="new", origin="attestations.toml", written_on=STARTED
        ),
        skipped("fb-01-log-in", note="No.", written_on=CHECKED),
        checked("fb-01-log-in", "verified"),
    ]

    done, left = attestations_by_step(lines, record(step("fb-01-log-in")))["fb-01-log-in"]
    assert (done.by, done.at, done.kind, done.note) == ("Operator", SAID, "attested", "Done.")
    assert (done.seen, done.origin, done.written_on) == ("new", "attestations.toml", STARTED)
    assert (left.kind, left.note, left.written_on) == (AttestationKind.SKIPPED, "No.", CHECKED)
    for word in (done, left):
        assert word.sentence == attestation_json("fb-01-log-in")["sentence"]
        about = ("App Acme Lead Sync", "App ID 4711", "Service Domain acme-h.cyclr.com")
        assert word.about.split(", ") == list(about)


def test_the_same_statement_from_another_file_is_listed_once() -> None:
    """
    The same statement from another file is listed once; another author or note is another
    statement.
    """
    first = attested(REVIEW, origin="one.toml", written_on=STARTED)
    lines = [
        first,
        skipped("fb-01-log-in", origin="one.toml", written_on=STARTED),
        attested(REVIEW, by="Boss", origin="one.toml", written_on=STARTED),
        attested(REVIEW, note="Done.", origin="one.toml", written_on=STARTED),
        skipped("fb-01-log-in", origin="two.toml", written_on=CHECKED),
        attested(REVIEW, origin="two.toml", written_on=CHECKED),
    ]
    run = record(step("fb-01-log-in", "skipped"), step(REVIEW, "attested"))

    log = attestations_by_step(lines, run)
    assert [(w.origin, w.written_on) for w in log["fb-01-log-in"]] == [("one.toml", STARTED)]
    assert [(w.by, w.note) for w in log[REVIEW]] == [
        ("Boss", ""),
        ("Operator", "Done."),
        ("Operator", ""),
    ]
    assert (log[REVIEW][-1].origin, log[REVIEW][-1].written_on) == ("one.toml", STARTED)


def test_the_list_is_by_the_times_that_people_named() -> None:
    """A statement has the time that its author names, not that of its line; no check is listed."""
    run = record(step("fb-01-log-in", "attested"), step("fb-04-seen"), step(REVIEW, "waiting"))
    lines = [
        attested(REVIEW, kind="submitted", at="2026-11-22T09:00:00Z"),
        checked("fb-04-seen", "verified"),
        attested("fb-01-log-in", at="2026-11-21T09:00:00Z"),
        attested("zz-99-gone"),
    ]

    log = in_order_of_time(attestations_by_step(lines, run))
    assert [said.step for said in log] == ["fb-01-log-in", REVIEW]
