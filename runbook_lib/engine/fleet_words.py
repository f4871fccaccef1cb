"""
The attestations of a fleet: each entry names its subject, and should be about a tenant of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from runbook_lib.config.attestations import read_words
from runbook_lib.core.journal import utc_now
from runbook_lib.core.procedure import Procedure, Value, Word
from runbook_lib.errors import SettingsError

__all__ = ["check_words"]


def check_words(path: Path, tenants: Iterable[tuple[Procedure, Mapping[str, Value]]]) -> list[str]:
    """
    Return a sentence for each subject in the file at `path` that is no tenant's.

    `tenants` are connector and known values of each. Raises `SettingsError` for an entry
    without a subject, which would count for every tenant.
    """
    by_connector: dict[str, tuple[Procedure, list[Mapping[str, Value]]]] = {}
    for procedure, values in tenants:
        by_connector.setdefault(procedure.id, (procedure, []))[1].append(values)
    words: dict[str, Word] = {}
    found: set[str] = set()
    for procedure, known in by_connector.values():
        named = _named_words(path, procedure)
        words |= {word.entry: word for word in named}
        found |= _matched(named, known)
    return [_sentence(path, word) for entry, word in words.items() if entry not in found]


def _named_words(path: Path, procedure: Procedure) -> list[Word]:
    """Return the words of the file; raises `SettingsError` for one that names no subject."""
    named = []
    for word in read_words(path, procedure, now=utc_now()):
        if not (isinstance(word, Word) and word.binding.subject):
            msg = (
                f"{path}, step {word.step}: an entry for a fleet names its subject, such as "
                '{app_id = "123456789012345"}, or it would count for every tenant.'
            )
            raise SettingsError(msg)
        named.append(word)
    return named


def _matched(words: Iterable[Word], tenants: Iterable[Mapping[str, Value]]) -> set[str]:
    """Return the entries of the words whose subject is a tenant's."""
    # NOTE: a set for each choice of names: words times tenants may be a hundred million.
    known: dict[tuple[str, ...], set[tuple[Value | None, ...]]] = {}
    found = set()
    for word in words:
        names, subject = tuple(sorted(word.binding.subject)), word.binding.subject
        if names not in known:
            known[names] = {tuple(each.get(name) for name in names) for each in tenants}
        if tuple(subject[name] for name in names) in known[names]:
            found.add(word.entry)
    return found


def _sentence(path: Path, word: Word) -> str:
    subject = " and ".join(f"{name} {value}" for name, value in word.binding.subject.items())
    return f"{path}, step {word.step}: no tenant has {subject}, so this counts for none."
