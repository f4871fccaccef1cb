"""
Faults that the operator requests: errors, resets, slow and truncated responses.

They are drawn here and applied in `asgi`; the handlers do not know of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from facebook_cyclr_sandbox.state.random_source import RandomSource


class FaultKind(StrEnum):
    """The kinds of faults."""

    SERVER_ERROR = "server-error"
    """A 503; on Graph its code 2 with HTTP 400."""

    GRAPH_ERROR = "graph-error"
    """An error of Graph, by its code."""

    RESET = "reset"
    """The connection is reset before the response."""

    SLOW = "slow"
    """The response comes after some seconds."""

    TRUNCATED = "truncated"
    """The body ends after its first half."""

    HTML = "html"
    """An HTML page instead of JSON."""


FAULT_SITES = ("graph", "facebook", "cyclr-api", "cyclr-console", "service-domain")
_APIS = ("graph", "cyclr-api")
_MAX_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault and how often it occurs."""

    kind: FaultKind
    """The kind."""

    share: float = 1.0
    """The fraction of requests that it affects, from 0 to 1."""

    remaining: int | None = None
    """The number of requests that it may still affect; None without a limit."""

    site: str = ""
    """The only site that it affects; empty for both APIs."""

    seconds: float = 2.0
    """The delay of a slow response."""

    code: int = 2
    """The code of a Graph error."""


@dataclass
class FaultInjector:
    """The active faults, tried in order; `injected_count` counts the applied ones."""

    active: list[Fault] = field(default_factory=list)
    random_source: RandomSource = field(default_factory=RandomSource)
    injected_count: int = 0

    def draw_fault(self, site: str) -> Fault | None:
        """Return the fault for this request to `site`, if any."""
        for index, fault in enumerate(self.active):
            sites = (fault.site,) if fault.site else _APIS
            if site not in sites or self.random_source.fraction() >= fault.share:
                continue
            if fault.remaining is not None and fault.remaining > 1:
                self.active[index] = replace(fault, remaining=fault.remaining - 1)
            elif fault.remaining is not None:
                del self.active[index]
            self.injected_count += 1
            return fault
        return None


def read_fault(document: Mapping[str, Any]) -> Fault:
    """Return the fault described by a JSON object; raise ValueError or TypeError if invalid."""
    known = {"kind", "share", "remaining", "site", "seconds", "code"}
    unknown = set(document) - known
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    kind = FaultKind(str(document.get("kind")))
    fault = Fault(kind, **{name: value for name, value in document.items() if name != "kind"})
    _check_fault(fault)
    return fault


def _check_fault(fault: Fault) -> None:
    numbers = {"share": fault.share, "seconds": fault.seconds, "code": fault.code}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number")
    if not 0 <= fault.share <= 1 or not 0 <= fault.seconds <= _MAX_DELAY_SECONDS:
        raise ValueError("share must be from 0 to 1, seconds from 0 to 60")
    left = fault.remaining
    if left is not None and (isinstance(left, bool) or not isinstance(left, int) or left < 1):
        raise ValueError("remaining must be a whole number from 1 on")
    if fault.site not in ("", *FAULT_SITES):
        raise ValueError(f"site must be one of {', '.join(FAULT_SITES)}")
