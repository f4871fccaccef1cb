"""
The connections of a run: an HTTP client for each set of addresses in the values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from runbook_lib.core.model import Value
from runbook_lib.core.procedure import Provider
from runbook_lib.core.redaction import Redactor
from runbook_lib.remote.addresses import NetworkScope
from runbook_lib.remote.check_session import OnExchanges, Session
from runbook_lib.remote.client import ClientOptions, ConnectionPools, HTTPClient
from runbook_lib.remote.hourly_calls import BUDGET_NAME, HourlyCalls
from runbook_lib.remote.limits import Limits
from runbook_lib.remote.rate_limits import COOL_DOWNS_NAME, SharedCoolDowns
from runbook_lib.remote.response_cache import ResponseCache

_NAMES = ("service_domain", "service_domain_address", "ca_file")


class ProviderSessions:
    """
    HTTP clients for the systems of `providers`, made when they are first needed.

    All runs of a folder share the hosts' cool-downs and the used calls of each app. `pools`, if
    set, are shared with other runs. If `is_practice` is true for a run's values, only sessions for
    its operator leave this machine.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        redactor: Redactor,
        evidence: Path,
        *,
        is_practice: Callable[[Mapping[str, Value]], bool],
    ) -> None:
        self._is_practice = is_practice
        self._providers = providers
        self._redactor = redactor
        self._lock = threading.Lock()
        self._clients: dict[tuple[object, ...], HTTPClient] = {}
        self._cool_downs = SharedCoolDowns(evidence / COOL_DOWNS_NAME)
        self._budget = HourlyCalls(evidence / BUDGET_NAME)
        self.pools: ConnectionPools | None = None

    def open_session(
        self,
        values: Mapping[str, Value],
        cache: ResponseCache | None = None,
        *,
        on_exchanges: OnExchanges = lambda _: None,
        is_for_operator: bool = False,
    ) -> Session:
        """
        Return a session for the addresses in `values`, with `cache` and `on_exchanges`.

        A session that `is_for_operator` sends messages to the operator, and no request to a remote
        system.
        """
        is_bound = self._is_practice(values) and not is_for_operator
        reach = NetworkScope.LOOPBACK if is_bound else NetworkScope.ANYWHERE
        hosts = {provider.name: provider.hosts(values) for provider in self._providers}
        places = (str(values.get(name, "")) for name in _NAMES)
        allowed = (values.get(name, ()) for name in ("redirect_hosts", "connect_to"))
        key = (reach, *places, *allowed, Limits.of(values), *hosts.values())
        # NOTE: the checks of a snapshot begin at the same time, and share its connections.
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._client(values, hosts, reach)
            return Session(self._clients[key], cache, on_exchanges=on_exchanges)

    def _client(
        self, values: Mapping[str, Value], hosts: Mapping[str, Iterable[str]], reach: NetworkScope
    ) -> HTTPClient:
        host, address, ca_file = (str(values.get(name, "")) for name in _NAMES)
        private = values.get("redirect_hosts", ())
        others = values.get("connect_to", ())
        # Addresses to connect to, by `host:port`; `others` are `host=host:port`.
        pairs = [pair.partition("=") for pair in others] if isinstance(others, tuple) else []
        connect_to = {f"{name}:443": to for name, _, to in pairs}
        if address:
            connect_to[f"{host}:443"] = address
        return HTTPClient(
            self._redactor,
            ClientOptions(
                hosts=hosts,
                connect_to=connect_to,
                ca_file=ca_file,
                private_hosts=private if isinstance(private, tuple) else (),
                reach=reach,
                recorded_headers={
                    name for provider in self._providers for name in provider.headers
                },
                usage_pause=lambda headers: max(
                    (provider.behaviour.usage_pause(headers) for provider in self._providers),
                    default=(0.0, ""),
                ),
                on_call=self._count,
                limits=Limits.of(values),
            ),
            cool_downs=self._cool_downs,
            pools=self.pools,
        )

    def used(self, app: str, allowance: int) -> float:
        """
        Return the share of the hour's calls that `app` has used, in percent; as `HourlyCalls.used`.
        """
        return self._budget.used_percent(app, allowance)

    def count_call(self, app: str) -> None:
        """Count a call of `app` whose response nobody here sees."""
        self._budget.count_call(app, None)

    def _count(self, app: str, headers: Mapping[str, str]) -> None:
        shares = (provider.behaviour.usage_share(headers) for provider in self._providers)
        self._budget.count_call(
            app, max((share for share in shares if share is not None), default=None)
        )

    def close(self) -> None:
        """Close every connection that is not shared."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
