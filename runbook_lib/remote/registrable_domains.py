"""
Registrable domains of hosts, by the Public Suffix List.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def is_same_registrable_domain(*hosts: str) -> bool:
    """Return whether all hosts are in the same registrable domain (Public Suffix List)."""
    names = [host.lower().rstrip(".") for host in hosts]
    domains = {_suffixes_for(name).privatesuffix(name) for name in names}
    return len(domains) == 1 and None not in domains


def parent_domain(host: str) -> str:
    """
    Return the parent domain of `host`, or `host` itself if its parent is a public suffix.

    NOTE: a setting that allows `host` by its parent domain allows every host of that domain.
    """
    parent = host.partition(".")[2]
    return parent if parent and not _suffixes_for(parent).is_public(parent) else host


def _suffixes_for(host: str) -> PublicSuffixList:
    return _suffixes(with_encoded="xn--" in host.lower())


@cache
def _suffixes(*, with_encoded: bool) -> PublicSuffixList:
    """Return the list; with encoded names (RFC 5891) it takes three times as long to load."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  (slow: it parses its list)

    return PublicSuffixList(accept_encoded_idn=with_encoded)
