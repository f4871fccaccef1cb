"""
Where each answer of the sandbox comes from.

An answer is *verbatim* (the bytes or the rule stand in a public source),
*inferred* (it follows from such sources, or from a pattern in them) or
*unknown* (no source says; a choice was made so that something can be served).
An `Origin` stands in the code beside its answer and registers itself, so the
page `/_sandbox/fidelity` is derived from the code and cannot fall behind it.

Sections name the topic: `graph §2` is the second section of the notes on Graph
(1 versions and headers, 2 app credentials, 3 Application node, 4 review state,
5 OAuth code flow, 6 tokens and proofs, 7 marketing calls, 8 transient errors and
limits, 9 dashboard, 10 clients), `cyclr §3` the third on Cyclr (2 console,
3 API, 4 OAuth flow and failures).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

__all__ = ["Mark", "Origin", "inferred", "origins", "unknown", "verbatim"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Mark(StrEnum):
    """How far an answer can be trusted to be what the real system says."""

    VERBATIM = "verbatim"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """
    The source of one answer.

    Used as a decorator it returns the function as it is: it stands there to be read.
    """

    mark: Mark
    section: str
    what: str
    source: str

    def __call__(self, function: _Function) -> _Function:
        """Return `function` unchanged."""
        return function


_origins: dict[tuple[str, str], Origin] = {}


def _register(mark: Mark, section: str, what: str, source: str) -> Origin:
    origin = Origin(mark, section, what, source)
    _origins[section, what] = origin
    return origin


def verbatim(section: str, what: str, source: str = "") -> Origin:
    """Say that `what` stands in a public `source`, word for word."""
    return _register(Mark.VERBATIM, section, what, source)


def inferred(section: str, what: str, source: str = "") -> Origin:
    """Say that `what` follows from a public `source` without standing in it."""
    return _register(Mark.INFERRED, section, what, source)


def unknown(section: str, what: str, source: str = "") -> Origin:
    """Say that no source tells `what`: the sandbox made a choice."""
    return _register(Mark.UNKNOWN, section, what, source)


def origins() -> tuple[Origin, ...]:
    """Return every registered origin, sorted by section, then by mark."""
    return tuple(sorted(_origins.values(), key=lambda one: (one.section, one.mark, one.what)))
