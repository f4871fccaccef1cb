"""
Connectors that other packages bring: their entry points in the group `runbook_connectors`.

Reading them imports no package: its code is not the runbook's, and is loaded only for a command
that needs its connector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from runbook_lib.core.model import ConnectorPackage

_GROUP = "runbook_connectors"

# Name → folder of each packaged connector that this process has loaded.
LOADED: dict[str, Path] = {}


@dataclass(frozen=True, slots=True)
class PackagedConnector:
    """A connector of another package, not loaded."""

    module: str
    """The import name of its folder, as its entry point says."""

    distribution: Distribution
    """The installed package."""

    problem: str = ""
    """The reason why it cannot be loaded, if its metadata have one."""

    def package(self) -> ConnectorPackage:
        """Return the package as the evidence names it."""
        from runbook_lib.core.model import ConnectorPackage  # noqa: PLC0415  (slow to import)

        return ConnectorPackage(name=self.distribution.name, version=self.distribution.version)


@cache
def packaged_connectors() -> Mapping[str, PackagedConnector]:
    """
    Return every connector of another package, by name.

    A package whose entry points cannot be read stands for its connectors, by its own name.
    """
    from importlib.metadata import EntryPoints, distributions  # noqa: PLC0415  (slow to import)

    found: dict[str, PackagedConnector] = {}
    for distribution in distributions():
        entries = EntryPoints()
        try:
            # NOTE: the text is looked at first: other packages may have any entry points.
            if _GROUP in (distribution.read_text("entry_points.txt") or ""):
                entries = distribution.entry_points.select(group=_GROUP)
        except Exception:  # noqa: BLE001  (a malformed file raises anything)
            problem = f"the entry_points.txt of {distribution.name} cannot be read"
            found[distribution.name] = PackagedConnector("", distribution, problem)
        for entry in entries:
            problem = ""
            if entry.name in found:
                problem = (
                    "several packages bring it "
                    f"({found[entry.name].distribution.name} and {distribution.name})"
                )
            elif entry.module.rpartition(".")[2] != entry.name:
                problem = f"its entry point names {entry.module}, whose last part is not its name"
            found[entry.name] = PackagedConnector(entry.module, distribution, problem)
    return dict(sorted(found.items()))
