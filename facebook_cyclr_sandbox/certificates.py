"""
The certificate of the Service Domain and the website, cached between runs because making one takes
a while.

The cache holds only the server's key, in a file of mode 0600, for two of its three months. The
authority's key is never written.
"""

import hashlib
import os
import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

_VALIDITY_DAYS = 90
_MAX_CACHE_AGE_SECONDS = 60 * 24 * 3600
_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----\n[^-]+-----END [A-Z ]+-----\n")
_OTHER_USERS_MODE = 0o077


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A server's key and certificate as PEM, and the authority's certificate."""

    server: bytes
    authority: bytes


def get_certificate(
    domain: str, cache_folder: Path | None, other_domains: tuple[str, ...] = ()
) -> ServerCertificate:
    """
    Return a certificate for `domain` and `other_domains`.

    It comes from the folder `cache_folder` if there is one for the same names, else it is new.
    """
    path = None
    if cache_folder is not None:
        digest = hashlib.sha256(" ".join(other_domains).encode()).hexdigest()
        name = f"{domain}-{digest[:8]}" if other_domains else domain
        path = cache_folder / f"{name}.pem"
    result = _read_certificate(path) if path is not None else None
    if result is None:
        result = _make_certificate(domain, *other_domains)
        if path is not None:
            # NOTE: if it cannot be written, the next run makes another one.
            with suppress(OSError):
                _write_certificate(path, result.server + result.authority)
    return result


def _make_certificate(*domains: str) -> ServerCertificate:
    import trustme  # noqa: PLC0415  (slow to import)

    authority = trustme.CA(organization_name="SANDBOX runbook")
    now = datetime.now(UTC)
    issued = authority.issue_cert(
        *domains, not_before=now - timedelta(days=1), not_after=now + timedelta(days=_VALIDITY_DAYS)
    )
    server = issued.private_key_and_cert_chain_pem.bytes()
    return ServerCertificate(server, authority.cert_pem.bytes())


def _read_certificate(path: Path) -> ServerCertificate | None:
    """Return the certificate in a file that is new enough, and that no other user can read."""
    try:
        stat = path.stat()
        # NOTE: a certificate from a clock that was ahead is not valid yet.
        if (
            stat.st_mode & _OTHER_USERS_MODE
            or not 0 <= time.time() - stat.st_mtime <= _MAX_CACHE_AGE_SECONDS
        ):
            return None
        *server, authority = _BLOCK.findall(path.read_bytes())
        ssl.create_default_context(cadata=authority.decode("ascii"))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    except (OSError, ValueError):
        return None
    return ServerCertificate(b"".join(server), authority)


def _write_certificate(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
