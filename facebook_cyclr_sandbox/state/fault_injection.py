"""
Faults that the operator asks for: errors, resets, slow and broken answers.

Chosen here and applied in `asgi`; the handlers do not know of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from facebook_cyclr_sandbox.state.random_source import RandomSource


class FaultKind(StrEnum):
    """
    What goes wrong.

    `server-error` is a 503 (on Graph its code 2, an HTTP 400), `graph-error` any
    error of Graph's by its code, `reset` a connection cut before the answer, `slow` an
    answer after some seconds, `truncated` half a body, `html` a page instead of JSON.
    """

    SERVER_ERROR = "server-error"
    GRAPH_ERROR = "graph-error"
    RESET = "reset"
    SLOW = "slow"
    TRUNCATED = "truncated"
    HTML = "html"


FAULT_SITES = ("graph", "facebook", "cyclr-api", "cyclr-console", "connect")
_APIS = ("graph", "cyclr-api")
_MAX_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class Fault:
    """
    One kind of fault and how often it occurs.

    `share` is the fraction of requests that it affects (0 to 1), `remaining` how many
    more it may affect (None: no limit), `site` the only site that it affects (empty:
    both APIs), `seconds` the delay of a slow answer, `code` that of a Graph error.
    """

    kind: FaultKind
    share: float = 1.0
    remaining: int | None = None
    site: str = ""
    seconds: float = 2.0
    code: int = 2


@dataclass
class FaultInjector:
    """The active faults, tried in order; `injected_count` counts those that were applied."""

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
    _check(fault)
    return fault


def _check(fault: Fault) -> None:
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
