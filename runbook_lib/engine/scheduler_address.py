"""The address of a Dask scheduler: without TLS, whoever reaches its port owns its workers."""

from __future__ import annotations

import ipaddress
import socket
import time

from runbook_lib.errors import InsecureSchedulerError, SettingsError

_TLS = ("tls", "wss")
# A scheduler speaks first, and at once. A web server waits until it is asked.
_UNASKED_SECONDS = 1
_ANSWER_SECONDS = 4
_ASK = b"HEAD / HTTP/1.0\r\n\r\n"
# Over TCP Dask's greeting, of some hundred bytes, comes after its length in eight bytes.
_LENGTH_BYTES = 8
_LONGEST_GREETING = 1024 * 1024
_LAST_PORT = 65_535
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


def check_greeting(address: str) -> None:
    """
    Raise `SettingsError` if something else than a Dask scheduler listens at a TCP address.

    Dask itself would take such an answer for the length of a message. It is left to Dask to
    say why nothing listens there, and to speak TLS or WebSocket.
    """
    scheme, _, place = address.rpartition("://")
    host, port = _parts(place)
    is_port = port.isdecimal() and int(port) <= _LAST_PORT
    if scheme.lower() not in ("", "tcp") or not is_port:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS) as connection:
            answer = _first_bytes(connection)
    except (OSError, UnicodeError):
        return
    is_whole = len(answer) == _LENGTH_BYTES
    if is_whole and int.from_bytes(answer, "little") <= _LONGEST_GREETING:
        return
    if answer.startswith(b"HTTP/"):
        raise no_scheduler(address, "a web server does")
    # NOTE: without a scheme, Dask's settings may say that it is TLS.
    if scheme:
        raise no_scheduler(address, "something else does" if answer else "it says nothing")


def no_scheduler(address: str, why: str) -> SettingsError:
    """Return the error for an address where no scheduler answers, and why."""
    advice = (
        "Give the scheduler's own address, such as tls://scheduler:8786, not its web page's "
        "address. For TLS, set Dask's TLS settings, too."
    )
    return SettingsError(f"No Dask scheduler answers at {address} ({why}).", next_step=advice)


def _first_bytes(connection: socket.socket) -> bytes:
    """Return the first eight bytes that the other side sends, or fewer if it sends no more."""
    end = time.monotonic() + _ANSWER_SECONDS
    is_asked = False
    received = b""
    while len(received) < _LENGTH_BYTES and (left := end - time.monotonic()) > 0:
        connection.settimeout(left if is_asked else _UNASKED_SECONDS)
        try:
            part = connection.recv(_LENGTH_BYTES - len(received))
        except TimeoutError:
            if not is_asked:
                connection.sendall(_ASK)
            is_asked = True
            continue
        except OSError:
            break
        if not part:
            break
        received += part
    return received


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
