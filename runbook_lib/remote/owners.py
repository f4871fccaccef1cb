"""
Which hosts belong together, by the Public Suffix List.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def is_same_owner(*hosts: str) -> bool:
    """Return whether all hosts are in one registrable domain (Public Suffix List)."""
    domains = {_suffixes().privatesuffix(host.lower().rstrip(".")) for host in hosts}
    return len(domains) == 1 and None not in domains


def shared_domain(host: str) -> str:
    """
    Return the domain above `host`, or `host` itself if only a public suffix is above it.

    A setting that allows `host` by a domain above it allows every host of that domain.
    """
    parent = host.partition(".")[2]
    return parent if parent and not _suffixes().is_public(parent) else host


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  (slow: it parses its list)

    return PublicSuffixList()
