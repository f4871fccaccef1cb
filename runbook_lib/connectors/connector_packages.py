"""
Connectors that other packages bring: their entry points, versions and digests.

A package names each of its connectors in the entry point group `runbook_connectors`. Everything
here reads metadata and files only. Nothing imports a package, because its code is not the
runbook's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.errors import BrokenConnectorError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from runbook_lib.core.model import ConnectorPackage

CONNECTORS = "runbook_connectors"
SANDBOX_VENDORS = "runbook_sandbox_vendors"
_BYTECODE = "__pycache__"
_METADATA = (".dist-info", ".egg-info")

LOADED: dict[str, Path] = {}
"""Name → folder of each packaged connector that this process has loaded."""


@dataclass(frozen=True, slots=True)
class PackagedConnector:
    """A connector of another package, not loaded."""

    name: str
    """The connector's name, which its package's module has too."""

    module: str
    """The import name of its folder, as its entry point says."""

    distribution: Distribution
    """The installed package."""

    others: tuple[str, ...] = ()
    """The names of further packages that bring a connector of this name."""

    def require_usable(self) -> None:
        """Raise `BrokenConnectorError` if it must not or cannot be loaded."""
        if self.others:
            packages = " and ".join([self.distribution.name, *self.others])
            reason = f"several packages bring it ({packages})"
        elif self.module.rpartition(".")[2] != self.name:
            reason = f"its entry point names {self.module[:60]}, whose last part is not its name"
        elif self.folder is None:
            reason = f"the package {self.distribution.name} has no {self.module[:60]}"
        else:
            return
        raise BrokenConnectorError(f"The connector {self.name} is broken: {reason}.")

    @property
    def folder(self) -> Path | None:
        """The folder of the package, without an import; `None` if there is none."""
        return _folder_of(self.module)

    @property
    def is_editable(self) -> bool:
        """Whether the package is installed from a folder in which somebody works."""
        text = self.distribution.read_text("direct_url.json") or "{}"
        with suppress(ValueError, AttributeError):
            return json.loads(text).get("dir_info", {}).get("editable") is True
        return False

    def package(self) -> ConnectorPackage:
        """Return the package as the evidence names it, with a digest of its files as they are."""
        from runbook_lib.core.model import ConnectorPackage  # noqa: PLC0415  (slow to import)

        return ConnectorPackage(
            name=self.distribution.name,
            version=self.distribution.version,
            digest=self._digest(),
            is_editable=self.is_editable,
        )

    def _digest(self) -> str:
        """
        Return the SHA-256 over the package's files: a line each, `NAME SHA-256`, sorted by name.

        Bytecode and installation records differ between machines, so they do not count. An editable
        package lists none of its files: then the folders that its entry points name count alone.
        """
        lines = []
        for name, path in sorted(self._files().items()):
            with path.open("rb") as file:
                lines.append(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _files(self) -> dict[str, Path]:
        """Return the files that count, by their names below the folder of installed packages."""
        files: dict[str, Path] = {}
        for listed in [] if self.is_editable else self.distribution.files or []:
            top = listed.parts[0]
            path = Path(str(listed.locate()))
            if top != ".." and not top.endswith(_METADATA) and path.is_file():
                files[listed.as_posix()] = path
        tops = {entry.module.partition(".")[0] for entry in _entry_points(self.distribution)}
        for top in tops:
            folder = _folder_of(top)
            if folder is None:
                continue
            for path in filter(Path.is_file, folder.rglob("*")):
                files[f"{top}/{path.relative_to(folder).as_posix()}"] = path
        return {name: path for name, path in files.items() if _BYTECODE not in name.split("/")}


@lru_cache(maxsize=1)
def packaged_connectors() -> Mapping[str, PackagedConnector]:
    """Return every connector of another package, by name; reads metadata only."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (slow to import)

    found: dict[str, PackagedConnector] = {}
    for entry in entry_points(group=CONNECTORS):
        distribution = entry.dist
        if distribution is None:
            continue
        first = found.get(entry.name)
        if first is None:
            found[entry.name] = PackagedConnector(entry.name, entry.module, distribution)
        else:
            others = (*first.others, distribution.name)
            found[entry.name] = PackagedConnector(
                first.name, first.module, first.distribution, others
            )
    return dict(sorted(found.items()))


def _entry_points(distribution: Distribution) -> Iterator[EntryPoint]:
    groups = (CONNECTORS, SANDBOX_VENDORS)
    return (entry for entry in distribution.entry_points if entry.group in groups)


def _folder_of(module: str) -> Path | None:
    """Return the folder of a package; imports nothing."""
    from importlib.util import find_spec  # noqa: PLC0415  (slow to import)

    # NOTE: `find_spec` imports the parents of a dotted name, so only the first part is asked for.
    top, *rest = module.split(".")
    spec = None
    with suppress(ImportError, ValueError):
        spec = find_spec(top)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place, *rest)
        if folder.is_dir():
            return folder
    return None
