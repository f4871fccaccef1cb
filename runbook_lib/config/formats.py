"""
The formats of the operator's values, checked without the network.

Each function takes text and returns the parsed value, or raises `ValueError`
with a message for the operator. A secret's text is never quoted.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from runbook_lib.core.files import read_plain

# The schemes of object stores.
OBJECT_STORES = ("s3", "gs", "az", "sftp", "memory")
_HTTPS_PORT = 443
_HIGHEST_PORT = 65_535
_LARGEST_FILE = 1024 * 1024
_WHOLE_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_SCOPE = re.compile(r"[!#-+\--\[\]-~]+")
# A name or an address, as in a URL (RFC 3986 §3.2.2).
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")

_MAIL = re.compile(r"(?!.*=\?)[!#-'*+/-9=?A-Z^-~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def domain_name(text: str) -> str:
    """
    Return the host name in lower case and ASCII (RFC 5891 for other scripts).

    Also accepts a whole URL, and drops its scheme, path, port 443 and trailing dot.
    """
    typed = text.strip()
    try:
        parts = urlsplit(typed if _WHOLE_ADDRESS.match(typed) else f"//{typed}")
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise ValueError("this is not a domain name; it looks like acme-h.cyclr.com") from None
    if parts.username or parts.password:
        raise ValueError("a domain name has no user name or password; leave out what is before @")
    if parts.scheme not in ("", "https"):
        raise ValueError(f"the callback uses https, not {parts.scheme}")
    if port not in (None, _HTTPS_PORT):
        raise ValueError(f"a Service Domain has no port; leave out :{port}")
    return _ascii_name(host.rstrip("."))


def opaque_secret(text: str) -> str:
    """Return a credential of unknown form: printable ASCII without spaces."""
    typed = text.strip()
    if not typed or len(typed.split()) > 1:
        raise ValueError("a credential contains no spaces; copy all of it again")
    if not (typed.isascii() and typed.isprintable()):
        raise ValueError(
            "a credential contains only letters without accents, digits and signs; copy it again"
        )
    return typed


def header_text(text: str) -> str:
    """Return the value of a header: printable ASCII (RFC 9110 §5.5)."""
    typed = text.strip()
    if not (typed.isascii() and typed.isprintable()):
        raise ValueError("use only letters without accents, digits and signs; copy it again")
    return typed


def passphrase(text: str) -> str:
    """Return the passphrase of a key, without the spaces around it."""
    typed = text.strip()
    if not typed:
        raise ValueError("a passphrase cannot be empty")
    return typed


def scope(text: str) -> tuple[str, ...]:
    """Return scopes separated by commas or spaces, each once (RFC 6749 §3.3)."""
    names = step_names(text)
    for name in names:
        if not _SCOPE.fullmatch(name):
            raise ValueError(f"{name!r} is not a scope: a character in it is not allowed")
    return names


def step_names(text: str) -> tuple[str, ...]:
    """Return step ids separated by commas or spaces, each once."""
    return tuple(dict.fromkeys(name for name in re.split(r"[,\s]+", text.strip()) if name))


def host_names(text: str) -> tuple[str, ...]:
    """Return host names separated by commas or spaces, each once."""
    return tuple(dict.fromkeys(map(domain_name, step_names(text))))


def web_address(text: str) -> str:
    """Return the base address of a remote system, without a trailing slash."""
    typed = text.strip()
    parts = _web_parts(typed)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise ValueError("credentials go over https only; plain http is for loopback addresses")
    return typed.rstrip("/")


def timestamp_authority(text: str) -> str:
    """Return the address of a time-stamp authority; http is safe, as its answers are signed."""
    typed = text.strip()
    _web_parts(typed)
    return typed


def address(text: str) -> str:
    """Return `host:port`."""
    typed = text.strip()
    host, _, port = typed.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT
    if not host or not is_port or not _HOST.fullmatch(host):
        raise ValueError("this is not an address; one looks like 127.0.0.1:8443")
    return typed


def addresses(text: str) -> tuple[str, ...]:
    """Return `host=host:port` pairs separated by commas or spaces, each once."""
    pairs = [pair.partition("=") for pair in step_names(text)]
    return tuple(dict.fromkeys(f"{domain_name(host)}={address(to)}" for host, _, to in pairs))


def page_address(text: str) -> str:
    """Return the whole address of a public page; only https is one that everybody can trust."""
    typed = text.strip()
    parts = _web_parts(typed.partition("?")[0])
    if parts.scheme != "https" or not typed.isprintable() or len(typed.split()) > 1:
        raise ValueError("a public page starts with https:// and contains no spaces")
    return typed


def certificate_file(text: str) -> str:
    """Return the absolute path of a PEM file with at least one certificate."""
    import ssl  # noqa: PLC0415  (slow to import; few name a file)

    try:
        path = Path(text.strip()).expanduser()
        content = read_plain(path, _LARGEST_FILE).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content)
    except (OSError, ValueError, RuntimeError):
        raise ValueError(f"{text.strip()!r} cannot be read as a PEM file of certificates") from None
    return str(path.absolute())


def archive_address(text: str) -> str:
    """
    Return the address of an archive: `s3://…` or another scheme, or a folder's absolute path.

    Raises `ValueError` without quoting the text: people paste credentials into
    addresses.
    """
    typed = text.strip()
    scheme, separator, rest = typed.partition("://")
    if not typed or (separator and not rest):
        raise ValueError("an archive's address cannot be empty")
    if not separator or scheme == "file":
        return str(Path(rest or typed).expanduser().absolute())
    if scheme not in OBJECT_STORES:
        names = ", ".join(f"{name}://" for name in OBJECT_STORES)
        raise ValueError(f"an archive is a folder, or its address starts with {names}")
    if "@" in rest.partition("/")[0] or "?" in rest or "::" in rest:
        raise ValueError("an archive's address contains no credentials and no options")
    if any(part in ("", ".", "..") for part in rest.rstrip("/").split("/")):
        raise ValueError(f"an archive's address looks like {scheme}://bucket/evidence")
    return typed.rstrip("/")


def mail_address(text: str) -> str:
    """Return one mail address: printable ASCII with a domain, without a display name."""
    typed = text.strip()
    if not _MAIL.fullmatch(typed):
        raise ValueError("not a mail address, such as ann@acme.example")
    return typed


def people(text: str) -> tuple[str, ...]:
    """Return `name=address` pairs separated by commas, each once."""
    pairs = [pair.rpartition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() for name, _, _ in pairs):
        raise ValueError("not a list of name=address")
    named = (f"{name.strip()}={mail_address(address)}" for name, _, address in pairs)
    return tuple(dict.fromkeys(named))


def webhook_secret(text: str) -> str:
    """Return a symmetric signing secret (Standard Webhooks, Signature scheme)."""
    typed = opaque_secret(text)
    try:
        key = base64.b64decode(f"{typed.removeprefix('whsec_')}==", validate=False)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("not whsec_ followed by base64 of 24 to 64 bytes")
    return typed


def is_this_machine(host: str) -> bool:
    """Return whether `host`, by its spelling, is on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # NOTE: every name under `localhost` is this machine (RFC 6761 §6.3).
        return host.rstrip(".").rpartition(".")[2].lower() == "localhost"
    return address.is_loopback or address.is_unspecified


def whole_number(text: str, least: int, most: int, unit: str) -> int:
    """Return a number of `unit`, from `least` to `most`."""
    typed = text.strip()
    is_number = typed.isascii() and typed.isdigit() and len(typed) <= len(str(most))
    if not is_number or not least <= int(typed) <= most:
        raise ValueError(f"use a whole number of {unit} from {least} to {most}")
    return int(typed)


def _web_parts(typed: str) -> SplitResult:
    try:
        parts = urlsplit(typed)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = None
        port = None
    if not host or parts.scheme not in ("http", "https") or port == 0:
        raise ValueError("this is not a web address; it must start with https://")
    if not typed.isprintable() or len(typed.split()) > 1 or "\\" in typed:
        raise ValueError("an address contains no spaces and no backslashes; copy all of it again")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a base address contains no user name, password, query or fragment")
    return parts


def _ascii_name(host: str) -> str:
    import idna  # noqa: PLC0415  (slow to import; `status` needs no name)

    if not host:
        raise ValueError("enter a domain name; it looks like acme-h.cyclr.com")
    if _is_ip_address(host):
        raise ValueError("a name is needed here, not an IP address; it looks like acme-h.cyclr.com")
    try:
        # NOTE: UTS 46 maps other scripts' dots and digits, so the result is checked again.
        name = idna.encode(host, uts46=True, std3_rules=True).decode().rstrip(".")
    except idna.IDNAError:
        raise ValueError(f"{host!r} is not a domain name; it looks like acme-h.cyclr.com") from None
    if _is_ip_address(name):
        raise ValueError("a name is needed here, not an IP address; it looks like acme-h.cyclr.com")
    if "." not in name:
        raise ValueError(f"{host!r} is only part of a domain name; it looks like acme-h.cyclr.com")
    return name


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
