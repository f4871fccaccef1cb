"""
Faults that the operator asks for: errors, resets, slow and broken answers.

Chosen here, carried out by the server; the handlers know nothing of them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from runbook_lib.sandbox.stores import Dice

__all__ = ["Fault", "FaultKind", "Faults"]


class FaultKind(StrEnum):
    """What goes wrong."""

    SERVER_ERROR = "server-error"
    RESET = "reset"
    SLOW = "slow"
    TRUNCATED = "truncated"
    HTML = "html"


@dataclass(frozen=True)
class Fault:
    """
    One kind of fault and how often it strikes.

    `share` is the part of requests that it strikes (0 to 1), `remaining` how many more
    it may strike (None: no end), `site` the one it is confined to (empty: `graph` and
    `cyclr-api`), `seconds` the delay of a slow answer.
    """

    kind: FaultKind
    share: float = 1.0
    remaining: int | None = None
    site: str = ""
    seconds: float = 2.0


@dataclass
class Faults:
    """The faults in force, tried in their order."""

    active: list[Fault] = field(default_factory=list)
    dice: Dice = field(default_factory=Dice)
    struck: int = 0

    def draw(self, site: str) -> Fault | None:
        """Return the fault that strikes this request to `site`, if one does."""
        for index, fault in enumerate(self.active):
            sites = (fault.site,) if fault.site else ("graph", "cyclr-api")
            if site not in sites or self.dice.fraction() >= fault.share:
                continue
            if fault.remaining is not None:
                self._use_up(index, fault)
            self.struck += 1
            return fault
        return None

    def _use_up(self, index: int, fault: Fault) -> None:
        left = (fault.remaining or 1) - 1
        if left:
            self.active[index] = Fault(fault.kind, fault.share, left, fault.site, fault.seconds)
        else:
            del self.active[index]
