"""
The leak gate: every file of a bundle is scanned whole before it has its final name.

A journal from before a secret was known may contain it in what a remote system
said. Such a line is withheld, so that a stranger's words never stop the sealing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path

from msgspec import to_builtins

from runbook_lib.core.journal import BEFORE_THE_FIRST, parse_line, read_lines, withheld_line
from runbook_lib.core.json_text import write_json
from runbook_lib.core.masking import masked
from runbook_lib.core.model import Exchange, StepChecked
from runbook_lib.core.redaction import Redactor, bare_hex_in
from runbook_lib.core.run_state import HistoryReader
from runbook_lib.core.secret_search import SecretSearch
from runbook_lib.errors import LeakError
from runbook_lib.evidence.chain import last_copied

_STEP_ID = re.compile(r"\b(?:fb|cy|test)-[0-9]{2}[a-z]?-[a-z0-9-]+")
_ANOTHER_FILE = (
    "The evidence was not sealed. Confirm the step again without that file, or with one that does "
    "not show the secret, then run again; rotate the credential if the file was shared."
)


class RemoteHexStrings(Container[str]):
    """
    The words of 32 hexadecimal digits in `texts`, which a remote system said.

    They are request ids, MD5s or ETags, and look like a client secret. The texts are read on
    demand, since most evidence has no such word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts

    def __contains__(self, word: object) -> bool:
        return word in self._words

    @cached_property
    def _words(self) -> frozenset[str]:
        words: set[str] = set()

        def collect(text: str) -> int:
            words.update(text[start:end] for start, end in bare_hex_in(text))
            return -1

        search = SecretSearch(collect)
        for text in self._texts:
            search.is_leak(text)
        return frozenset(words)


def remote_texts_in(files: Iterable[Path]) -> Iterator[str]:
    """Yield what remote systems said in these journal `files`."""
    for path in files:
        for line in path.read_bytes().splitlines() if path.exists() else ():
            entry = parse_line(line)
            if entry is not None and isinstance(entry.data, StepChecked | Exchange):
                yield write_json(to_builtins(entry.data))


def withhold_leaks(reader: HistoryReader, redactor: Redactor) -> None:
    """
    Withhold each line that would be written with a mask today, if a bundle may copy it.

    With an exchange it withholds the checks that rest on it. It never withholds the words of a
    person or of the runbook: `refuse_leaks` refuses them.
    """
    index = reader.read().index
    after = max((last_copied(line.sealed) for line in index.sealed), default=BEFORE_THE_FIRST)
    exchanges = {ref.seq: ref for check in index.checked.values() for ref in check.exchanges}
    checks = {check.ref: {ref.seq for ref in check.exchanges} for check in index.checked.values()}
    for line, ref in read_lines(reader.journal.path, after=after):
        if isinstance(line.data, Exchange):
            exchanges[ref.seq] = ref
        elif isinstance(line.data, StepChecked):
            checks[ref] = {n for finding in line.data.findings for n in finding.exchanges}
    for ref in (*exchanges.values(), *checks):
        entry = parse_line(reader.journal.line(ref))
        if entry is not None and masked(entry.data, redactor) != entry.data:
            hidden = {ref, *(check for check, named in checks.items() if ref.seq in named)}
            if all(withheld_line(reader.journal.line(other)) for other in hidden):
                reader.withhold(hidden)


def refuse_leaks(
    paths: Iterable[Path],
    redactor: Redactor,
    remote_words: Container[str] = frozenset(),
    attached: Mapping[str, str] | None = None,
) -> None:
    """
    Raise `LeakError`, with the file and the step, if one of the files contains a secret.

    `remote_words` are words of 32 hexadecimal digits that are not secrets, see `RemoteHexStrings`;
    `attached` maps the name of each attached file to its description for people.
    """
    # NOTE: a PDF's identifier is 32 hexadecimal digits (ISO 32000-1 §14.4).
    own, others = (
        SecretSearch(partial(redactor.find_secret, bare_hex=is_own, remote_words=remote_words))
        for is_own in (True, False)
    )
    for path in paths:
        description = (attached or {}).get(path.name)
        before = (own if description is None else others).before_leak_in_file(path.read_bytes())
        if before is None:
            continue
        if description is not None:
            raise LeakError(f"There is a secret in {description}.", next_step=_ANOTHER_FILE)
        step = deque(_STEP_ID.finditer(before), maxlen=1)
        where = f"{path.name}, {step[0].group()}" if step else path.name
        raise LeakError(f"There is a secret in {where}.")
