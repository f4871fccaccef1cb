"""The meaning of each finding's code, for people: the tables of each `codes.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct, convert

from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OF_ONE_CAUSE

_FOLDER = Path(__file__).parent


class CodeMeaning(Struct, frozen=True):
    """A code of findings, as `codes.toml` describes it."""

    means: str
    outcomes: tuple[Outcome, ...] = ()
    advice: str = ""
    stops: str = ""
    """What it stops, and for whom, whichever check meets it; empty if the check decides that."""
    news: str = ""
    """The headline as more compared values come to be as expected: `{number}` of `{total}`."""

    @property
    def is_cause(self) -> bool:
        """Whether checks fail with this code, and others cannot tell because of the same cause."""
        return {*self.outcomes} >= OF_ONE_CAUSE


def meaning_of(code: str) -> CodeMeaning | None:
    """Return the meaning of a code; `None` if no table has it, such as an error's."""
    return _meanings().get(code)


@cache
def _meanings() -> Mapping[str, CodeMeaning]:
    tables: dict[str, CodeMeaning] = {}
    for path in (_FOLDER / "codes.toml", *sorted(_FOLDER.glob("*/codes.toml"))):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        tables |= {name: convert(table, CodeMeaning) for name, table in document.items()}
    return tables
