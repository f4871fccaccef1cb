"""
The leak gate: every file of a bundle is scanned whole before it has its final name.

A journal from before a secret was known may contain it in what a remote system
said. Such a line is withheld, so that a stranger's words never stop the sealing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from runbook_lib.core.masking import masked
from runbook_lib.core.model import Exchange
from runbook_lib.core.redaction import Redactor, bare_hex_in
from runbook_lib.core.secret_search import SecretSearch
from runbook_lib.errors import LeakError
from runbook_lib.run.events import StepChecked
from runbook_lib.run.journal import Line

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


def remote_texts(lines: Iterable[Line]) -> Iterable[str]:
    """Yield the lines with a remote system's words."""
    return (line.data.decode() for line in lines if line.kind in (Exchange, StepChecked))


def withhold_secrets(lines: Sequence[Line], redactor: Redactor) -> list[Line]:
    """
    Return the lines, those withheld that would be written with a mask today.

    Checks that rest on a withheld exchange are withheld, too. What people or the runbook said never
    is: `refuse_leaks` refuses it.
    """
    remote = [line for line in lines if line.kind in (Exchange, StepChecked)]
    hidden = {line.head.seq for line in remote if masked(line.event, redactor) != line.event}
    for line in remote if hidden else ():
        findings = line.event.findings if line.kind is StepChecked else ()
        if any(hidden.intersection(finding.exchanges) for finding in findings):
            hidden.add(line.head.seq)
    return [line.withheld if line.head.seq in hidden else line for line in lines]


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
