"""
Sends a secret only to the hosts of its own provider, however a request encodes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from urllib.parse import unquote, unquote_plus

from runbook_lib.core.redaction import Credential, Redactor
from runbook_lib.errors import RemoteError
from runbook_lib.remote.addresses import origin_of
from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.http_messages import Request

# Search for secrets as UTF-8 and Latin-1, behind at most this many layers of encoding.
_CHARSETS = ("utf-8", "latin-1")
_MAX_LAYERS = 3
_DECODERS: tuple[Callable[[str], str], ...] = (
    unquote,
    unquote_plus,
    partial(re.compile(r"\\(.)").sub, r"\1"),
)
_ADVICE = (
    "Compare the addresses in your settings. If two settings hold the same secret, correct one."
)


class SecretGuard:
    """
    Refuses requests that would carry a secret to a host of another provider.

    `hosts` are the addresses of each provider, by its name.
    """

    def __init__(self, redactor: Redactor, hosts: Mapping[str, Iterable[str]]) -> None:
        self._redactor = redactor
        self._origins = {
            name: frozenset(origin_of(httpx.URL(address)) for address in addresses)
            for name, addresses in hosts.items()
        }

    def issued_credential(self, url: str, label: str) -> Credential:
        """Return the credential for a secret that the host of `url` has issued."""
        return Credential(label, self._providers_at(url))

    def check(self, request: Request, built: httpx.Request) -> None:
        """Raise `RemoteError` if the request contains a secret that its host must not get."""
        providers = self._providers_at(request.url)
        for credentials in self._redactor.credentials_in(_decoded(request, built)):
            if credentials and all(credential.providers & providers for credential in credentials):
                continue
            secret = (
                " and ".join(sorted(credential.label for credential in credentials))
                or "a secret of this run"
            )
            allowed = sorted(set().union(*(credential.providers for credential in credentials)))
            rule = f"may go only to hosts of {' and '.join(allowed)}" if allowed else "is not sent"
            raise RemoteError(
                f"{request.netloc} was not contacted: it would receive {secret}, which {rule}.",
                next_step=_ADVICE,
            )

    def _providers_at(self, url: str) -> frozenset[str]:
        origin = origin_of(httpx.URL(url))
        return frozenset(name for name, origins in self._origins.items() if origin in origins)


def _decoded(request: Request, built: httpx.Request) -> str:
    """Return everything that would be sent, plain and with its encodings undone."""
    headers = [part for pair in built.headers.raw for part in pair]
    sent = [*headers, str(built.url).encode(), built.read()]
    texts = (content.decode(charset, "replace") for content in sent for charset in _CHARSETS)
    newest = {"\n".join((request.method, request.url, *texts))}
    decoded = set(newest)
    for _ in range(_MAX_LAYERS):
        newest = {decode(text) for text in newest for decode in _DECODERS} - decoded
        decoded |= newest
    return "\n".join(decoded)
