"""
Resolves names, and decides to which internet addresses a run may connect.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from enum import Enum
from typing import Any

from runbook_lib.config.formats import is_this_machine
from runbook_lib.errors import OutsidePracticeError, UnexpectedResponseError
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.limits import CONNECT_TIMEOUT_SECONDS, Deadline

# RFC 6052 §2.1: a gateway may put an IPv4 address into an IPv6 one.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# RFC 6890 and its registries: loopback, private and reserved addresses.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "::/96",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "64:ff9b:1::/48",
    )
)

_ADVICE = (
    "Check the spelling of the name. If this Cyclr is on a private network, set "
    "service_domain_address for the Service Domain, redirect_hosts for other hosts."
)

_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NetworkScope(Enum):
    """The addresses that a run may connect to."""

    ANYWHERE = "anywhere"
    """Any address on the internet."""

    LOOPBACK = "loopback"
    """This machine only, as in practice."""


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """
    Return the addresses of `host`, each once, in the resolver's order.

    Raises `OSError` if the name does not resolve within `seconds`. The resolver cannot be
    stopped: its daemon thread continues.
    """
    literal = _parse_address(host)
    if literal is not None:
        return [str(literal)]
    resolved: Future[list[Any]] = Future()

    def resolve() -> None:
        try:
            resolved.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:  # noqa: BLE001  (raised in the waiting thread)
            resolved.set_exception(error)

    threading.Thread(target=resolve, name=f"lookup {host[:40]}", daemon=True).start()
    try:
        entries = resolved.result(timeout=seconds)
    except FutureTimeoutError:
        raise TimeoutError(f"no name server answered within {seconds:.0f} s") from None
    except UnicodeError as error:
        # NOTE: Python encodes the name with IDNA, which rejects labels over 63 characters.
        raise OSError(socket.EAI_NONAME, "Name or service not known") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet."""
    parsed = _parse_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # The IPv4 address in it, if there is one (RFC 4291, 3056, 6052).
        if parsed in _NAT64:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed is not None and not any(parsed in network for network in _NOT_PUBLIC)


def host_of(url: httpx.URL) -> str:
    """Return the host in its ASCII form (RFC 5891); httpx's own `host` decodes it, and may fail."""
    return url.raw_host.decode("ascii", "replace")


def origin_of(url: httpx.URL) -> Origin:
    """Return scheme, host and port of a web address (RFC 6454 §4)."""
    return url.scheme, host_of(url), url.port or _PORTS.get(url.scheme, 0)


def find_addresses(
    host: str,
    port: int,
    deadline: Deadline,
    *,
    is_public_only: bool = False,
    reach: NetworkScope = NetworkScope.ANYWHERE,
) -> list[str]:
    """
    Return the addresses of `host`.

    If `reach` is loopback, it returns loopback addresses only, and never resolves the name of
    another machine. Raises `OutsidePracticeError` without such an address,
    `UnexpectedResponseError` if only public ones are allowed and it has none, and `OSError`
    if the name does not resolve in time.
    """
    if reach is NetworkScope.LOOPBACK and not is_this_machine(host.strip("[]")):
        raise _outside_practice(host)
    addresses = _resolve(host, port, min(CONNECT_TIMEOUT_SECONDS, deadline.seconds_left))
    if not addresses:
        raise OSError(socket.EAI_NONAME, "Name or service not known")
    if reach is NetworkScope.LOOPBACK:
        addresses = require_loopback(host, addresses)
    return require_public(host, addresses) if is_public_only else addresses


def open_connection(addresses: Iterable[str], port: int, deadline: Deadline) -> socket.socket:
    """Return a TCP connection to the first of `addresses` that accepts it; raises `OSError`."""
    failure: OSError = TimeoutError("timed out")
    for address in addresses:
        seconds = min(CONNECT_TIMEOUT_SECONDS, deadline.seconds_left)
        if seconds <= 0:
            break
        try:
            return socket.create_connection((address, port), seconds)
        except OSError as error:
            failure = error
    raise failure


def require_public(host: str, addresses: list[str]) -> list[str]:
    """Return the public addresses; raises `UnexpectedResponseError` without one."""
    public = [address for address in addresses if is_public(address)]
    if not public:
        at = f"its address {addresses[0]}" if addresses[0] != host else "it"
        raise UnexpectedResponseError(
            f"{host} was not contacted: {at} is not a public internet address.", next_step=_ADVICE
        )
    return public


def require_loopback(host: str, addresses: list[str]) -> list[str]:
    """Return the loopback addresses; raises `OutsidePracticeError` without one."""
    loopback = [address for address in addresses if is_loopback(address)]
    if not loopback:
        raise _outside_practice(host, addresses[0])
    return loopback


def is_loopback(address: str) -> bool:
    """Return whether a connection to an IP address stays on this machine."""
    parsed = _parse_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return parsed is not None and parsed.is_loopback


def _outside_practice(host: str, address: str = "") -> OutsidePracticeError:
    at = f"its address {address}" if address not in ("", host) else "it"
    return OutsidePracticeError(
        f"{host} was not contacted: this run is practice (SANDBOX), and {at} is not loopback."
    )


def _parse_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def may_be_public(host: str) -> bool:
    """Return whether `host` is a public address, or a name that may have one."""
    return is_public(host) if _parse_address(host) else not is_this_machine(host)
