"""
The bundle: a run's folder of evidence, whole or absent.

Files are gathered in a hidden folder, scanned for secrets, flushed to disk,
and only then given their final name by one rename. A bundle is never
written into again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbook_lib.attachments import copy_attachment
from runbook_lib.errors import LeakError
from runbook_lib.evidence.record import (
    SCHEMA_NAME,
    attachments,
    build_record,
    record_schema,
    validate_record,
)
from runbook_lib.history import RunState
from runbook_lib.journal import Journal, sync_folder
from runbook_lib.redaction import Redactor

__all__ = ["bundle_name", "draft", "seal", "write_record"]

_STEP_ID = re.compile(r"\b(?:fb|cy|test)-[0-9]{2}-[a-z0-9-]+")


def bundle_name(state: RunState) -> str:
    """Return the folder name of a run's bundle: when it began, and its id."""
    return f"{re.sub('[-:]|[.][0-9]+', '', state.started_on)}-{state.run_id}"


@contextmanager
def draft(tenant_folder: Path, run_id: str) -> Iterator[Path]:
    """Give an empty hidden folder for a run's files; what is not sealed is removed."""
    folder = tenant_folder / f".draft-{run_id}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_record(folder: Path, state: RunState, journal: Journal) -> None:
    """Write `record.json`, its schema, attachments and a copy of the journal into `folder`."""
    lines = len(journal.entries())
    record = build_record(state, journal_head=journal.head, journal_lines=lines)
    record = json.loads(json.dumps(record))
    validate_record(record)
    for name, document in (("record.json", record), (SCHEMA_NAME, record_schema())):
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    _copy_attachments(folder, state, journal.path.parent / "attachments")
    copied = journal.path.read_bytes().split(b"\n")[:lines]
    (folder / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in copied))


def _copy_attachments(folder: Path, state: RunState, kept: Path) -> None:
    for attachment in attachments(state):
        copy_attachment(kept, folder / "attachments", attachment)


def seal(folder: Path, final: Path, redactor: Redactor) -> None:
    """
    Scan every file of `folder`, flush it, and rename the folder to `final`.

    Raises `LeakError` where a file holds a secret; nothing is renamed then.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        _refuse_leak(path, redactor)
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    folder.rename(final)
    sync_folder(final.parent)


def _refuse_leak(path: Path, redactor: Redactor) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    if not redactor.holds_secret(text):
        return
    line = next((line for line in text.splitlines() if redactor.holds_secret(line)), "")
    step = _STEP_ID.search(line)
    where = f"{path.name}, {step.group()}" if step else path.name
    msg = f"A secret stands in {where}."
    raise LeakError(msg)
