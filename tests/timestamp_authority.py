"""
A time-stamp authority on loopback: `openssl ts` behind an HTTP server (RFC 3161 §3.4).

It shares no code with the client, nor with the client's library.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = Time-stamp authority of the tests
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa_policy]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """A running time-stamp authority (RFC 3161)."""

    url: str
    """Its address on loopback."""
    certificate: Path
    """The root certificate to trust."""
    status: int = 200
    """The HTTP status of its responses."""
    body: bytes | None = None
    """The body of its responses in place of a time-stamp; `None` for a time-stamp."""
    requests: list[bytes] = field(default_factory=list)
    """The bodies of the requests that it received."""


@contextmanager
def serve_authority(folder: Path, *, digests: str = "sha256, sha512") -> Iterator[Authority]:
    """Serve an authority whose keys are in `folder`; it accepts only `digests`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "openssl.cnf"
    config.write_text(_CONFIG.format(folder=folder, digests=digests))
    _make_certificates(folder, config)
    authority = Authority("", folder / "root.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["content-length"]))
            authority.requests.append(query)
            is_query = self.headers["content-type"] == "application/timestamp-query"
            body = authority.body
            if body is None:
                body = _reply(folder, config, query) if is_query else b""
            self.send_response(authority.status)
            self.send_header("content-type", "application/timestamp-reply")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        authority.url = f"http://127.0.0.1:{server.server_port}/tsa"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield authority
        finally:
            server.shutdown()
            thread.join()


def _reply(folder: Path, config: Path, query: bytes) -> bytes:
    asked = folder / "query.tsq"
    answered = folder / "reply.tsr"
    asked.write_bytes(query)
    _openssl(
        "ts",
        "-reply",
        "-config",
        str(config),
        "-section",
        "tsa_policy",
        "-queryfile",
        str(asked),
        "-out",
        str(answered),
    )
    return answered.read_bytes()


def _make_certificates(folder: Path, config: Path) -> None:
    (folder / "serial").write_text("01\n")
    for name in ("root", "tsa"):
        _openssl(
            "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/{name}.key"
        )
    common = ("-config", str(config), "-days", "30", "-sha256")
    _openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        f"{folder}/root.key",
        "-extensions",
        "root",
        *common,
        "-out",
        f"{folder}/root.pem",
    )
    _openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        f"{folder}/tsa.key",
        "-extensions",
        "tsa",
        *common,
        "-CA",
        f"{folder}/root.pem",
        "-CAkey",
        f"{folder}/root.key",
        "-subj",
        "/CN=Stamps",
        "-out",
        f"{folder}/tsa.pem",
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
