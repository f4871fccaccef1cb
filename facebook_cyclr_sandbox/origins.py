"""
The source of each answer of the sandbox.

An answer is *verbatim* (the bytes or the rule are in a public source),
*inferred* (it follows from such sources, or from a pattern in them) or
*unknown* (no source says; a choice was made so that something can be served).
An `Origin` is written next to its answer in the code and registers itself, so
the page `/_sandbox/fidelity` is generated from the code and always up to date.

A section names the topic: see `SECTIONS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

SECTIONS = {
    "graph §1": "versions and headers",
    "graph §2": "app credentials",
    "graph §3": "the Application node",
    "graph §4": "review state",
    "graph §5": "the OAuth code flow",
    "graph §6": "tokens and proofs",
    "graph §7": "marketing calls",
    "graph §8": "transient errors and limits",
    "graph §9": "the dashboard",
    "graph §10": "what clients send",
    "cyclr §1": "what can be automated",
    "cyclr §2": "the console",
    "cyclr §3": "the API",
    "cyclr §4": "the sign-in link and the callback",
    "messenger": "Facebook Messenger: its pages and its webhook",
    "website": "the partner's own website",
}
"""What each section is about."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Mark(StrEnum):
    """How reliable an answer is, compared with the real system."""

    VERBATIM = "verbatim"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """
    The source of one answer.

    As a decorator it returns the function unchanged: it documents the answer.
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
    """Record that `what` is in a public `source`, word for word."""
    return _register(Mark.VERBATIM, section, what, source)


def inferred(section: str, what: str, source: str = "") -> Origin:
    """Record that `what` follows from a public `source` but is not in it."""
    return _register(Mark.INFERRED, section, what, source)


def unknown(section: str, what: str, source: str = "") -> Origin:
    """Record that no source documents `what`: the sandbox made a choice."""
    return _register(Mark.UNKNOWN, section, what, source)


def origins() -> tuple[Origin, ...]:
    """Return every registered origin, sorted by section, then by mark."""
    return tuple(
        sorted(_origins.values(), key=lambda origin: (origin.section, origin.mark, origin.what))
    )
