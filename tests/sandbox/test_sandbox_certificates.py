"""The Service Domain's certificate is kept between runs, and only where nobody else can read it."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest

from facebook_cyclr_sandbox.certificates import ServerCertificate, get_certificate

DOMAIN = "connect.partner.test"
DAY_SECONDS = 24 * 3600


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    """Return a folder that does not exist yet."""
    return tmp_path / "cache" / "sandbox"


def is_usable(made: ServerCertificate, folder: Path) -> bool:
    """Return whether a server can use the certificate, and a client can trust its authority."""
    path = folder / "server.pem"
    path.write_bytes(made.server)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    context = ssl.create_default_context(cadata=made.authority.decode())
    return b"PRIVATE KEY" not in made.authority and len(context.get_ca_certs()) > 0


def test_a_certificate_is_kept_for_its_owner_alone(cache_folder: Path, tmp_path: Path) -> None:
    """The second call returns what the first one made; file and folder are the owner's."""
    first = get_certificate(DOMAIN, cache_folder)

    assert get_certificate(DOMAIN, cache_folder) == first
    assert is_usable(first, tmp_path)
    (path,) = cache_folder.iterdir()
    assert (path.stat().st_mode & 0o777, cache_folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    """Each call makes a new certificate."""
    first = get_certificate(DOMAIN, None)
    second = get_certificate(DOMAIN, None)

    assert first != second
    assert is_usable(first, tmp_path)


def test_domains_have_certificates_of_their_own(cache_folder: Path) -> None:
    """A certificate is found by the domain that it is for."""
    assert get_certificate(DOMAIN, cache_folder) != get_certificate(
        "other.partner.test", cache_folder
    )


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_could_read_is_not_used(mode: int, cache_folder: Path) -> None:
    """A new certificate takes its place."""
    first = get_certificate(DOMAIN, cache_folder)
    path = next(cache_folder.iterdir())
    path.chmod(mode)

    assert get_certificate(DOMAIN, cache_folder) != first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("days", "is_kept"), [(59, True), (61, False), (-2, False)])
def test_a_certificate_is_renewed_in_time(days: int, cache_folder: Path, *, is_kept: bool) -> None:
    """It is valid for 90 days, and used for 60; one that a wrong clock made is not valid yet."""
    first = get_certificate(DOMAIN, cache_folder)
    then = time.time() - days * DAY_SECONDS
    os.utime(next(cache_folder.iterdir()), (then, then))

    assert (get_certificate(DOMAIN, cache_folder) == first) is is_kept


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\xff" * 100])
def test_a_damaged_file_is_replaced(content: bytes, cache_folder: Path, tmp_path: Path) -> None:
    """A new certificate is made, and kept."""
    get_certificate(DOMAIN, cache_folder)
    path = next(cache_folder.iterdir())
    whole = path.read_bytes()
    for damaged in (content, whole[:-200], whole.replace(b"MII", b"AAA", 1)):
        path.write_bytes(damaged)

        made = get_certificate(DOMAIN, cache_folder)

        assert is_usable(made, tmp_path)
        assert get_certificate(DOMAIN, cache_folder) == made


def test_an_unwritable_cache_is_no_error(cache_folder: Path, tmp_path: Path) -> None:
    """The sandbox starts all the same."""
    cache_folder.parent.write_text("a file where the folder should be")

    assert is_usable(get_certificate(DOMAIN, cache_folder), tmp_path)
