"""The meaning of each finding's code, for people: the tables of each `codes.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct, convert

from runbook_lib.connectors.connector_packages import LOADED
from runbook_lib.core.model import Outcome
from runbook_lib.core.outcome import OF_ONE_CAUSE

_FOLDER = Path(__file__).parent


class CodeMeaning(Struct, frozen=True):
    """A code of findings, as `codes.toml` describes it."""

    means: str
    """A sentence about the meaning of the code."""

    outcomes: tuple[Outcome, ...] = ()
    """The outcomes of findings that may have the code."""

    advice: str = ""
    """A sentence about the next action; empty if the finding's reason says it."""

    stops: str = ""
    """Impact on customers, for every check with this code; empty if it depends on the check."""

    news: str = ""
    """Headline for more compared values that match: `{number}` of `{total}`; empty without one."""

    is_refusal: bool = False
    """Whether it is a definite refusal, although the check cannot tell which value is wrong."""

    after_verified: str = ""
    """The code of a result with this code if an earlier poll has verified the check."""

    @property
    def is_cause(self) -> bool:
        """Whether checks fail with this code, and others cannot tell because of the same cause."""
        return self.is_refusal or {*self.outcomes} >= OF_ONE_CAUSE


def meaning_of(code: str) -> CodeMeaning | None:
    """Return the meaning of a code; `None` if no table has it, such as an error's."""
    return read_meanings(tuple(LOADED.values())).get(code)


@cache
def read_meanings(further: tuple[Path, ...] = ()) -> Mapping[str, CodeMeaning]:
    """Return the meaning of each code; `further` are folders of packaged connectors."""
    tables: dict[str, CodeMeaning] = {}
    own = (_FOLDER / "codes.toml", *sorted(_FOLDER.glob("*/codes.toml")))
    # NOTE: the runbook's own codes come last, so that no package changes their meaning.
    for path in (*filter(Path.is_file, (folder / "codes.toml" for folder in further)), *own):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        tables |= {name: convert(table, CodeMeaning) for name, table in document.items()}
    return tables
