"""
A provider, as a value: a company whose systems a connector asks.

Its name is part of the variables of its settings, and its secrets go to its own
hosts only (`remote.transport`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.core.procedure import Input, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """
    A company by its `name`, which its inputs name as theirs (`Input.provider`).

    `settings` say where its systems are; no step asks for them. `addresses` names
    the inputs whose hosts are its own: web addresses, and names of hosts over https.
    """

    name: str
    settings: tuple[Input, ...] = ()
    addresses: tuple[str, ...] = ()

    def hosts(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the addresses of its hosts, as far as `values` name them."""
        named: list[str] = []
        for name in self.addresses:
            value = values.get(name, "")
            named += value if isinstance(value, tuple) else (str(value),)
        return tuple(text if "://" in text else f"https://{text}" for text in named if text)
