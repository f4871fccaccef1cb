"""
The versions of the Graph and Marketing APIs: their dates, and which one serves a call.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

_VERSION = re.compile(r"v\d{1,4}\.\d{1,4}\Z")


@dataclass(frozen=True)
class ApiVersion:
    """One version and its dates, in seconds since the epoch; None if not yet announced."""

    name: str
    """Its name, such as `v26.0`."""

    graph_until: float | None = None
    """From then on a newer version serves its Graph calls."""

    marketing_until: float | None = None
    """From then on the newest version serves its Marketing calls."""

    upgraded_from: float | None = None
    """From then on its Marketing calls are upgraded already, with a warning."""


def _parse_day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


_PAST = _parse_day("2026-01-01")
_VERSIONS_2 = [f"v2.{minor}" for minor in range(13)]
_VERSIONS_3 = [f"v3.{minor}" for minor in range(4)]
_LATER_VERSIONS = [f"v{major}.0" for major in range(4, 20)]
_EXPIRED_VERSIONS = ["v1.0", *_VERSIONS_2, *_VERSIONS_3, *_LATER_VERSIONS]

# verbatim graph §1: the changelogs of Graph and the Marketing API as of 2026-10-29 and 2026-11-04;
# the label of v27.0 in the Graph table is inferred.
API_VERSIONS = (
    *(ApiVersion(name, _PAST, _PAST) for name in _EXPIRED_VERSIONS),
    ApiVersion("v20.0", _parse_day("2026-09-24"), _PAST),
    ApiVersion("v21.0", _parse_day("2027-01-21"), _PAST),
    ApiVersion("v22.0", _parse_day("2027-05-20"), _parse_day("2026-02-19")),
    ApiVersion("v23.0", _parse_day("2027-10-08"), _parse_day("2026-06-09")),
    ApiVersion("v24.0", _parse_day("2028-02-18"), _parse_day("2026-11-10")),
    ApiVersion(
        "v25.0", _parse_day("2028-07-29"), _parse_day("2027-02-23"), _parse_day("2026-07-29")
    ),
    ApiVersion("v26.0"),
    ApiVersion("v27.0"),
)


class VersionSchedule:
    """The versions of one sandbox, oldest first."""

    def __init__(self, versions: Iterable[ApiVersion] = API_VERSIONS) -> None:
        self._versions = {version.name: version for version in versions}

    def replace_version(self, version: ApiVersion) -> None:
        """Replace the dates of one version."""
        self._versions[version.name] = version

    @property
    def latest(self) -> str:
        """The newest version's name."""
        return next(reversed(self._versions))

    @staticmethod
    def is_version(segment: str) -> bool:
        """Return whether a path segment has the form `v26.0`."""
        return _VERSION.match(segment) is not None

    def find_serving_version(self, name: str, now: float) -> str | None:
        """Return the version that serves a Graph call to `name`; None if it never existed."""
        if name not in self._versions:
            return None
        names = list(self._versions)
        for candidate in names[names.index(name) :]:
            until = self._versions[candidate].graph_until
            if until is None or now < until:
                return candidate
        return self.latest

    def find_upgrade(self, name: str, now: float) -> str | None:
        """Return the version to which a Marketing call is upgraded, or None."""
        if not self._is_past(self._versions[name].upgraded_from, now):
            return None
        names = list(self._versions)
        later = names[names.index(name) + 1 :]
        return next(
            (
                version
                for version in later
                if not self._is_past(self._versions[version].upgraded_from, now)
            ),
            self.latest,
        )

    def has_ended_for_marketing(self, name: str, now: float) -> bool:
        """Return whether the newest version serves Marketing calls to `name`."""
        return self._is_past(self._versions[name].marketing_until, now)

    @staticmethod
    def _is_past(moment: float | None, now: float) -> bool:
        return moment is not None and now >= moment
