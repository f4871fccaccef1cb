"""
Explain an error text: which troubles it is, and which steps of which connectors are about it.

Pure. Of what was pasted no more than a short part without credentials is
returned: an address may contain a code, an answer a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from runbook_lib.connectors.step_names import step_names
from runbook_lib.core.procedure import Procedure
from runbook_lib.core.redaction import MASK
from runbook_lib.core.troubles import Cause, Trouble, nearest, read_error, recognise
from runbook_lib.errors import SettingsError

_LONGEST_ECHO = 60
# Tokens, secrets, codes and named values; no word of a sentence has such a form.
_LONG_WORD = re.compile(r"\S{20,}|\S*[=&%]\S*|\S*[0-9]\S{7,}|\S{7,}[0-9]\S*")


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a connector, with its number on screen."""

    connector: str
    step: str
    number: str
    title: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A trouble, the steps at which people meet it, and for each cause the steps that test it."""

    trouble: Trouble
    steps: tuple[Place, ...]
    causes: tuple[tuple[Cause, tuple[Place, ...]], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What is known about a text.

    If `known` is empty nothing is claimed: `nearest` are only similar, and
    `said` is a short, redacted part of the text.
    """

    known: tuple[Explained, ...]
    nearest: tuple[Trouble, ...]
    said: str

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {
            "known": bool(self.known),
            "said": self.said,
            "troubles": [_document(explained) for explained in self.known],
            "nearest": [trouble.title for trouble in self.nearest],
        }


def explain(text: str, procedures: Iterable[Procedure]) -> Explanation:
    """
    Return what `procedures` know about the error in `text`.

    Raises `SettingsError` if it contains nothing to look for.
    """
    if not re.search(r"\w", text):
        msg = "There is no text to explain."
        advice = 'Paste what is shown: runbook explain "URL Blocked". With - it is read from stdin.'
        raise SettingsError(msg, next_step=advice)
    chosen = tuple(procedures)
    troubles = {
        trouble.shown: trouble
        for procedure in chosen
        for step in procedure.steps
        for trouble in step.troubles
    }
    pasted = read_error(text)
    known = recognise(pasted, troubles.values())
    if known:
        names = step_names(chosen)
        explained = (_explained(trouble.naming(names), chosen) for trouble in known)
        return Explanation(tuple(explained), (), "")
    # The beginning of the first text, without what may be a credential.
    words = " ".join(pasted.texts[0].split())[: 4 * _LONGEST_ECHO] if pasted.texts else ""
    echo = _LONG_WORD.sub(MASK, words)
    if len(echo) > _LONGEST_ECHO:
        echo = f"{echo[:_LONGEST_ECHO]}…"
    return Explanation((), tuple(nearest(pasted, troubles.values())), echo)


def _explained(trouble: Trouble, procedures: tuple[Procedure, ...]) -> Explained:
    places = [
        (Place(procedure.id, step.id, procedure.numbers[step.id], step.title), step)
        for procedure in procedures
        for step in procedure.steps
    ]
    causes = tuple(
        (
            cause,
            tuple(
                place
                for place, step in places
                if any(check.id in cause.tested_by for check in step.checks)
            ),
        )
        for cause in trouble.causes
    )
    shown_at = tuple(
        place
        for place, step in places
        if any(other.shown == trouble.shown for other in step.troubles)
    )
    return Explained(trouble, shown_at, causes)


def _document(explained: Explained) -> dict[str, Any]:
    document = explained.trouble.document()
    document["causes"] = [
        {
            "text": cause.text,
            "tested_by": list(cause.tested_by),
            "steps": [asdict(place) for place in places],
        }
        for cause, places in explained.causes
    ]
    return {**document, "steps": [asdict(place) for place in explained.steps]}
