"""The address of a Dask scheduler: without TLS, whoever reaches its port owns its workers."""

from __future__ import annotations

import ipaddress
import socket

from runbook_lib.errors import InsecureSchedulerError, SettingsError

_TLS = ("tls", "wss")
# The way to start a cluster that the fleet can reach (https://distributed.dask.org, TLS/SSL).
TLS_LINES = (
    "dask scheduler --protocol tls --tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem",
    "dask worker tls://scheduler:8786 --tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem",
    "export DASK_DISTRIBUTED__COMM__TLS__CA_FILE=ca.pem",
    "export DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT=cert.pem",
    "export DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY=key.pem",
    "runbook fleet tenants.toml --scheduler tls://scheduler:8786",
)


def check_scheduler(address: str, *, is_insecure: bool) -> None:
    """
    Raise `InsecureSchedulerError` for an address without TLS that is not on this machine.

    `is_insecure` accepts that whoever reaches its port runs code on the workers, and
    reads their secrets.
    """
    scheme, separator, place = address.rpartition("://")
    if is_insecure or (separator and scheme.lower() in _TLS) or _is_loopback(place):
        return
    raise InsecureSchedulerError(
        f"{address} has no TLS: anyone who reaches a scheduler's port can run code on its workers "
        "and read every tenant's secrets."
    )


def no_scheduler(address: str, why: str) -> SettingsError:
    """Return the error for an address where no scheduler answers, and why."""
    advice = (
        "Give the scheduler's own address, such as tls://scheduler:8786, not its web page's "
        "address. For TLS, set Dask's TLS settings, too."
    )
    return SettingsError(f"No Dask scheduler answers at {address} ({why}).", next_step=advice)


def _parts(place: str) -> tuple[str, str]:
    """Return a host and its port, which may be missing."""
    host = place.partition("/")[0]
    port = ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    return host, port.removeprefix(":")


def _is_loopback(place: str) -> bool:
    """Return whether a host, with a port or without, is this machine's loopback alone."""
    host, _ = _parts(place)
    try:
        hosts = {str(answer[4][0]) for answer in socket.getaddrinfo(host, None)} if host else set()
        addresses = [ipaddress.ip_address(host_address.partition("%")[0]) for host_address in hosts]
    except (OSError, ValueError):
        return False
    return bool(addresses) and all(
        (getattr(address, "ipv4_mapped", None) or address).is_loopback for address in addresses
    )
