"""
Answers of Meta's developer tools that a person brings: what each says of which step, as words.

The judgement is `connectors.facebook.developer_tools`'s; here it becomes what a
named person said, with the answers as attachment. It never verifies a step.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from runbook_lib.connectors.facebook.developer_tools import judge, read_answers
from runbook_lib.core.attachments import JSON, read_attachment, store_document
from runbook_lib.core.files import read_plain
from runbook_lib.core.procedure import Attachment, Step, Word, WordKind
from runbook_lib.engine.run import Run
from runbook_lib.errors import SettingsError

__all__ = ["bring", "read_file", "with_answers", "words_of_answers"]

_LARGEST = 4 * 1024 * 1024


def read_file(path: Path) -> bytes:
    """Return the answers in the file at `path`; raises `SettingsError` if it cannot be read."""
    try:
        return read_plain(path, _LARGEST)
    except OSError as error:
        msg = f"The file of answers {path} cannot be read: {error.strerror}."
        raise SettingsError(msg) from None


def words_of_answers(run: Run, content: bytes, *, by: str, at: str, origin: str) -> list[Word]:
    """
    Return what the answers say of each step on which they say something, as words of `by`.

    Raises `SettingsError` if they are no answers, or about another app.
    """
    answers = read_answers(content, str(run.values.get("app_id", "")))
    words = []
    for step in run.procedure.steps:
        if step.developer_tools:
            verdict = judge(step.developer_tools, answers, run.values)
            said = f"{by}\n{at}\n{step.id}\n".encode() + content
            word = Word(
                kind=WordKind.CONTRADICTED if verdict.contradicts else WordKind.ATTESTED,
                step=step.id,
                by=by,
                at=at,
                note=verdict.contradicts or verdict.agrees,
                origin=origin,
                entry=hashlib.sha256(said).hexdigest(),
            )
            words += [word] if word.note else []
    return words


def bring(run: Run, words: list[Word], name: str, content: bytes) -> None:
    """Record the words, each with the answers attached."""
    folder = run.journal.path.parent / "attachments"
    kept = store_document(folder, name=name, media_type=JSON, content=content)
    run.say([replace(word, attachments=(kept,)) for word in words])


def with_answers(run: Run, step: Step, word: Word) -> Word:
    """
    Return a person's word as the attached answers make it: with what they show, or contradicted.

    Raises `SettingsError` for an attachment that is no answer about this app.
    """
    files = [each for each in word.attachments if each.media_type == JSON]
    if not files or word.kind is not WordKind.ATTESTED:
        return word
    kind, notes = WordKind.ATTESTED, [word.note] if word.note else []
    for file in files:
        found = {each.step: each for each in _said(run, file, word)}.get(step.id)
        if found is None:
            msg = f"{file.name} says nothing about this step."
            raise SettingsError(msg, next_step="Attach the answer that is named here.")
        kind = found.kind if kind is WordKind.ATTESTED else kind
        notes.insert(0, found.note)
    return replace(word, kind=kind, note="; ".join(notes))


def _said(run: Run, file: Attachment, word: Word) -> list[Word]:
    content = read_attachment(run.journal.path.parent / "attachments", file)
    return words_of_answers(run, content, by=word.by, at=word.at, origin=word.origin)
