"""
Explain an error text: which troubles it is, and which steps of a connector are about it.

Pure. Of what was pasted no more than a short part without credentials is
returned: an address may contain a code, an answer a token.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from runbook_lib.connectors.closest import closest, is_foreign
from runbook_lib.connectors.provider import vendor_of
from runbook_lib.connectors.troubles import ErrorText, plain_words, read_error, recognise, sharing
from runbook_lib.core.procedure import Cause, Procedure, Step, Trouble
from runbook_lib.core.redaction import MASK, without_headers
from runbook_lib.errors import SettingsError

_LONGEST_ECHO = 60
_MOST_PLACES = 3
# A text of so few words, such as “access_denied”, is one of other systems too.
_COMMON_WORDS = 3
# Tokens, secrets, codes and named values; no word of a sentence has such a form, but for the name
# of an error, in capitals, a code "(#131030)" and a share "30%". Languages without blanks have long
# words of other letters.
_LONG_WORD = re.compile(
    r"(?<![!-~])(?![A-Z]{2,}(?:_+[A-Z]+)+(?!\S))"
    r"(?!\(#[0-9]{1,7}\)(?!\S))(?![0-9]{1,3}(?:[.,][0-9]{1,2})?%[.,]?(?!\S))"
    r"(?:[!-~]{20,}|[!-~]*[=&%][!-~]*|[!-~]*[0-9][!-~]{7,}|[!-~]{7,}[0-9][!-~]*)"
)


@dataclass(frozen=True, slots=True)
class StepPlace:
    """A step of a connector, with its number on screen."""

    connector: str
    step: str
    number: str
    title: str


@dataclass(frozen=True, slots=True)
class Explained:
    """
    A trouble, steps at which people meet it, and for each cause the steps that test it.

    Of many steps those that test a cause of it come first, and three are named. `title` is the
    text of the trouble that was recognised, its best known one if that was a code.
    """

    trouble: Trouble
    title: str
    steps: tuple[StepPlace, ...]
    causes: tuple[tuple[Cause, tuple[StepPlace, ...]], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What is known about a text.

    `is_by_code` says that only the code is known, not the text. If `known` is empty nothing is
    claimed: `closest` are guesses, the closest first, and `perhaps` the same as troubles, or those
    that have a code in common that means several things; `said` is a short, redacted part of the
    text, and `codes` are those in it.
    """

    known: tuple[Explained, ...] = ()
    is_by_code: bool = False
    closest: tuple[Explained, ...] = ()
    perhaps: tuple[Trouble, ...] = ()
    said: str = ""
    codes: tuple[int, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {
            "known": bool(self.known),
            "by_code": self.is_by_code,
            "said": self.said,
            "codes": list(self.codes),
            "troubles": [_document(explained) for explained in self.known],
            "closest": [_document(explained) for explained in self.closest],
            "perhaps": [trouble.title for trouble in self.perhaps],
        }


def explain(text: str, procedure: Procedure) -> Explanation:
    """
    Return what `procedure` knows about the error in `text`.

    Raises `SettingsError` if it contains nothing to look for.
    """
    if not re.search(r"\w", text):
        msg = "There is no text to explain."
        advice = 'Paste the error text: runbook explain "URL Blocked". Use - to read it from stdin.'
        raise SettingsError(msg, next_step=advice)
    pasted, troubles, vendor = read_error(text), procedure.troubles, vendor_of(procedure)
    known, guesses = recognise(pasted, troubles), list[Trouble]()
    is_by_code = bool(known) and known[0] not in recognise(replace(pasted, codes=()), troubles)
    if is_foreign(pasted, vendor.unrelated):
        known = [trouble for trouble in known if _is_unique(trouble, pasted)]
    if all(trouble.is_vague for trouble in known):
        others = [trouble for trouble in troubles if trouble not in known]
        guesses, is_about = closest(pasted, others, vendor.about, vendor.unrelated, vendor.abroad)
        if is_about:
            known, is_by_code = guesses, False
    if known:
        explained = tuple(_explained(trouble, procedure, pasted) for trouble in known)
        return Explanation(explained, is_by_code=is_by_code)
    shared = tuple(sharing(pasted, troubles))
    return Explanation(
        closest=tuple(_explained(trouble, procedure, pasted) for trouble in guesses),
        perhaps=tuple(guesses) or shared,
        is_by_code=bool(shared) and not guesses,
        said=_echo(pasted.texts),
        codes=pasted.codes,
    )


def _echo(texts: tuple[str, ...]) -> str:
    """Return the beginning of the first text, without what may be a credential."""
    words = " ".join(texts[0].split())[: 4 * _LONGEST_ECHO] if texts else ""
    if words.startswith(("{", "[")):
        return ""
    echo = _LONG_WORD.sub(MASK, without_headers(words))
    if not re.search(r"\w", echo):
        return ""
    return f"{echo[:_LONGEST_ECHO]}…" if len(echo) > _LONGEST_ECHO else echo


def _is_unique(trouble: Trouble, pasted: ErrorText) -> bool:
    """Return whether `pasted` has a code or text of `trouble` that few other systems show."""
    if {*pasted.codes} & {*trouble.codes, *trouble.subcodes, *trouble.shares}:
        return True
    words = plain_words(_said(trouble, pasted)).split()
    return not trouble.is_vague and len(words) > _COMMON_WORDS


def _said(trouble: Trouble, pasted: ErrorText) -> str:
    """Return the longest text of `trouble` that `pasted` has; empty if it was known otherwise."""
    texts = sorted(trouble.shown, key=len, reverse=True)
    only_text, plain = replace(pasted, codes=()), replace(trouble, is_vague=False, words=())
    said = (text for text in texts if recognise(only_text, [replace(plain, shown=(text,))]))
    return next(said, "")


def _explained(trouble: Trouble, procedure: Procedure, pasted: ErrorText) -> Explained:
    tested = {name for cause in trouble.causes for name in cause.tested_by}
    steps = [
        step
        for step in procedure.steps
        if step.id in trouble.at or any(other.shown == trouble.shown for other in step.troubles)
    ]
    # Sorting keeps the order of the procedure otherwise.
    steps.sort(key=lambda step: not any(check.id in tested for check in step.checks))
    return Explained(
        trouble,
        _said(trouble, pasted) or trouble.title,
        tuple(_place(procedure, step) for step in steps[:_MOST_PLACES]),
        tuple(
            (
                cause,
                tuple(
                    _place(procedure, step)
                    for step in procedure.steps
                    if any(check.id in cause.tested_by for check in step.checks)
                )[:_MOST_PLACES],
            )
            for cause in trouble.causes
        ),
    )


def _place(procedure: Procedure, step: Step) -> StepPlace:
    return StepPlace(procedure.id, step.id, procedure.numbers[step.id], step.title)


def _document(explained: Explained) -> dict[str, Any]:
    trouble = explained.trouble
    return {
        "title": explained.title,
        "shown": trouble.shown,
        "means": trouble.means,
        "causes": [
            {**asdict(cause), "steps": [asdict(place) for place in places]}
            for cause, places in explained.causes
        ],
        "advice": trouble.advice,
        "source": trouble.source,
        "steps": [asdict(place) for place in explained.steps],
    }
