"""
The connections of a run: a transport for each set of addresses, as the values name them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Provider
from runbook_lib.core.redaction import Redactor
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.rate_limits import COOL_DOWNS_NAME, KeptCoolDowns
from runbook_lib.remote.transport import Session, Transport


class Connections:
    """
    Transports to the systems of `providers`, made when they are first needed.

    All of a folder's runs share what is known of hosts that must not be asked for a while.
    """

    def __init__(self, providers: Sequence[Provider], redactor: Redactor, evidence: Path) -> None:
        self._providers = providers
        self._redactor = redactor
        self._transports: dict[tuple[object, ...], Transport] = {}
        self._cool_downs = KeptCoolDowns(evidence / COOL_DOWNS_NAME)

    def open_session(self, values: Mapping[str, Value]) -> Session:
        """Return a recording session for the addresses in `values`."""
        names = ("service_domain", "service_domain_address", "ca_file")
        host, address, ca_file = (str(values.get(name, "")) for name in names)
        limits, private = Limits.of(values), values.get("redirect_hosts", ())
        other_addresses = values.get("connect_to", ())
        hosts = {provider.name: provider.hosts(values) for provider in self._providers}
        key = (host, address, ca_file, limits, private, other_addresses, *hosts.values())
        if key not in self._transports:
            # What to connect to, by `host:port`; `others` are `host=host:port`.
            pairs = (
                [pair.partition("=") for pair in other_addresses]
                if isinstance(other_addresses, tuple)
                else []
            )
            connect_to = {f"{name}:443": to for name, _, to in pairs}
            if address:
                connect_to[f"{host}:443"] = address
            self._transports[key] = Transport(
                self._redactor,
                hosts=hosts,
                connect_to=connect_to,
                ca_file=ca_file,
                private_hosts=private if isinstance(private, tuple) else (),
                headers={name for provider in self._providers for name in provider.headers},
                usage_pause=lambda headers: max(
                    (provider.usage_pause(headers) for provider in self._providers),
                    default=(0.0, ""),
                ),
                limits=limits,
                cool_downs=self._cool_downs,
            )
        return self._transports[key].session()

    def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()
