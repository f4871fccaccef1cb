"""An operator's values are normalised or refused before any network request."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.config import formats, runner_settings
from tests.support.wording import refused, refused_naming, wording


@pytest.mark.parametrize(
    ("typed", "domain"),
    [
        ("acme-h.cyclr.com", "acme-h.cyclr.com"),
        ("  ACME-H.Cyclr.COM \n", "acme-h.cyclr.com"),
        ("acme-h.cyclr.com.", "acme-h.cyclr.com"),
        ("https://acme-h.cyclr.com", "acme-h.cyclr.com"),
        ("https://acme-h.cyclr.com/connector/callback?a=1#b", "acme-h.cyclr.com"),
        ("acme-h.cyclr.com/connector/callback", "acme-h.cyclr.com"),
        ("acme-h.cyclr.com:443", "acme-h.cyclr.com"),
        ("HTTPS://acme-h.cyclr.com:443/", "acme-h.cyclr.com"),
        ("//acme-h.cyclr.com/", "acme-h.cyclr.com"),
        ("acme-h.eu.cyclr.com", "acme-h.eu.cyclr.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("acme-h。cyclr。com", "acme-h.cyclr.com"),
        ("acme-h。cyclr。com。", "acme-h.cyclr.com"),
        ("acme-h.cyclr.com/connector//callback", "acme-h.cyclr.com"),
    ],
)
def test_a_service_domain_may_be_a_whole_address(typed: str, domain: str) -> None:
    """Scheme, path, port 443, case, a trailing dot and other scripts are normalised."""
    assert formats.domain_name(typed) == domain
    assert formats.domain_name(domain) == domain


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", wording("ValueError.enter-a-domain-name")),
        (".", wording("ValueError.enter-a-domain-name")),
        ("192.0.2.7", wording("ValueError.no-ip-address")),
        ("https://[2001:db8::7]/", wording("ValueError.no-ip-address")),
        ("http://acme-h.cyclr.com", wording("ValueError.uses-https", scheme="http")),
        ("ftp://acme-h.cyclr.com", wording("ValueError.uses-https", scheme="ftp")),
        ("acme-h.cyclr.com:8443", wording("ValueError.no-port", port=8443)),
        ("https://acme-h.cyclr.com:80/", wording("ValueError.no-port", port=80)),
        ("acme-h.cyclr.com:99999", wording("ValueError.no-domain-name")),
        ("acme-h.cyclr.com:abc", wording("ValueError.no-domain-name")),
        ("http://[::1", wording("ValueError.no-domain-name")),
        ("operator@acme-h.cyclr.com", wording("ValueError.no-user-name")),
        ("https://a:b@acme-h.cyclr.com", wording("ValueError.no-user-name")),
        ("localhost", wording("ValueError.part-of-a-domain-name")),
        ("acme h.cyclr.com", wording("ValueError.not-a-domain-name")),
        ("acme_h.cyclr.com", wording("ValueError.not-a-domain-name")),
        ("-acme.cyclr.com", wording("ValueError.not-a-domain-name")),
        ("acme..cyclr.com", wording("ValueError.not-a-domain-name")),
        (".cyclr.com", wording("ValueError.not-a-domain-name")),
        ("x" * 64 + ".cyclr.com", wording("ValueError.not-a-domain-name")),
        ("xn--zzzzzz.com", wording("ValueError.not-a-domain-name")),
    ],
)
def test_an_invalid_service_domain_is_refused(typed: str, said: str) -> None:
    """An invalid Service Domain is refused with the reason."""
    with refused_naming(ValueError, said):
        formats.domain_name(typed)


@given(st.text(max_size=60) | st.text("abxnAXN01-.:/@[]#?%_Ää。 ", max_size=30))
def test_any_text_is_a_domain_name_or_a_value_error(typed: str) -> None:
    """Any text is a lower-case ASCII domain name, which is stable, or a `ValueError`."""
    try:
        domain = formats.domain_name(typed)
    except ValueError:
        return
    assert domain.isascii()
    assert domain == domain.lower()
    assert formats.domain_name(domain) == domain


def test_an_opaque_secret_is_accepted_unchanged() -> None:
    """A credential of unknown form is only stripped of surrounding blanks."""
    assert formats.opaque_secret(" a/b+c==\n") == "a/b+c=="


@pytest.mark.parametrize("typed", ["", "  ", "can ary", "can\nary"])
def test_an_opaque_secret_has_no_blanks(typed: str) -> None:
    """An empty credential, or one with blanks inside, is refused and not quoted."""
    with refused(ValueError, "no-spaces") as caught:
        formats.opaque_secret(typed)

    assert "ary" not in str(caught.value)


def test_scopes_are_as_in_the_rfc() -> None:
    """Scopes may have dots, hyphens and colons (RFC 6749 §3.3); each counts once."""
    assert formats.scope("crm.lists.read, chat-write\nusers:read,chat-write") == (
        "crm.lists.read",
        "chat-write",
        "users:read",
    )


@pytest.mark.parametrize("typed", ['a"b', "a\\b", "é", "a\x7fb"])
def test_a_scope_has_no_other_character(typed: str) -> None:
    """A quote, a backslash or a character beyond ASCII is in no scope; the error names it."""
    with refused(ValueError, "not-a-scope") as caught:
        formats.scope(f"read, {typed}")

    assert repr(typed) in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://graph.facebook.com/", "https://graph.facebook.com"),
        (" https://proxy.example:8443/graph/ ", "https://proxy.example:8443/graph"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_web_address_loses_its_last_slash(typed: str, address: str) -> None:
    """A web address is https, or http to this machine; its last slash is removed."""
    assert formats.web_address(typed) == address


NOT_IN_A_BASE = wording("ValueError.not-in-a-base-address")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", wording("ValueError.not-a-web-address")),
        ("graph.facebook.com", wording("ValueError.not-a-web-address")),
        ("https://", wording("ValueError.not-a-web-address")),
        ("ftp://graph.facebook.com", wording("ValueError.not-a-web-address")),
        ("https://[::1", wording("ValueError.not-a-web-address")),
        ("//graph.facebook.com", wording("ValueError.not-a-web-address")),
        ("https://graph.facebook.com:0", wording("ValueError.not-a-web-address")),
        ("https://graph.facebook.com:99999", wording("ValueError.not-a-web-address")),
        ("https://graph.facebook.com:abc", wording("ValueError.not-a-web-address")),
        ("http://graph.facebook.com", wording("ValueError.https-only")),
        ("http://192.0.2.7", wording("ValueError.https-only")),
        ("https://operator:hunter22@proxy.example", NOT_IN_A_BASE),
        ("https://graph.facebook.com/?a=b", NOT_IN_A_BASE),
        ("https://graph.facebook.com/#a", NOT_IN_A_BASE),
    ],
)
def test_an_invalid_web_address_is_refused(typed: str, said: str) -> None:
    """Plain http to other hosts and invalid addresses are refused; the error quotes no password."""
    with refused_naming(ValueError, said) as caught:
        formats.web_address(typed)

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("typed", ["127.0.0.1:8443", " localhost:8443 ", "[::1]:8443"])
def test_an_address_is_host_and_port(typed: str) -> None:
    """An address is a host and a port; surrounding blanks are ignored."""
    assert formats.address(typed) == typed.strip()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "127.0.0.1",
        ":8443",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:²",
        "http://127.0.0.1:8443",
    ],
)
def test_an_invalid_address_is_refused(typed: str) -> None:
    """An address without a host or a valid port is refused."""
    with refused_naming(ValueError, "127.0.0.1:8443"):
        formats.address(typed)


def test_a_certificate_file_becomes_an_absolute_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path becomes absolute, since kernels run elsewhere; `~` is the home folder."""
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("HOME", str(folder))

    for typed in ("ca.pem", " ca.pem ", "~/ca.pem", str(folder / "ca.pem")):
        assert formats.certificate_file(typed) == str(folder / "ca.pem")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe"])
def test_an_invalid_certificate_file_is_refused(folder: Path, content: bytes | None) -> None:
    """A missing, empty or invalid certificate file is refused."""
    if content is not None:
        (folder / "ca.pem").write_bytes(content)

    with refused(ValueError, "not-certificates"):
        formats.certificate_file("ca.pem")


@pytest.mark.parametrize("text", ["~nobody-of-this-name/ca.pem", "a\0b"])
def test_an_impossible_path_is_refused(text: str) -> None:
    """A path that cannot exist raises `ValueError`."""
    with refused(ValueError, "not-certificates"):
        formats.certificate_file(text)


def test_a_time_stamp_authority_may_use_http() -> None:
    """A time-stamp authority may use plain http, because its answers are signed."""
    address = " http://timestamp.example/tsa/ "
    assert formats.timestamp_authority(address) == "http://timestamp.example/tsa/"
    for wrong in ("ftp://timestamp.example", "timestamp.example", "http://a:b@timestamp.example"):
        with pytest.raises(ValueError):  # noqa: PT011
            formats.timestamp_authority(wrong)


def test_a_passphrase_may_have_blanks() -> None:
    """A passphrase may have blanks inside, but not blanks alone."""
    assert formats.passphrase(" correct horse ") == "correct horse"
    with refused(ValueError, "passphrase-empty"):
        formats.passphrase("   ")


@pytest.mark.parametrize(
    "typed", ["tök-enabcdefgh", "abc\x1bdefghij", "abc\u200bdefghij", "a\ud800b"]
)
def test_credentials_and_accounts_fit_in_a_header(typed: str) -> None:
    """A value that no HTTP header can carry is refused, and the error does not quote it."""
    for parse in (formats.opaque_secret, formats.header_text):
        with refused(ValueError, "no-accents") as caught:
            parse(typed)
        assert typed not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("response_limit_kib", 64, 65_536),
        ("exchange_seconds", 1, 600),
        ("step_seconds", 1, 3600),
    ],
)
def test_a_limit_is_a_whole_number_within_bounds(name: str, least: int, most: int) -> None:
    """A limit is a whole number within its bounds; anything else is refused."""
    (parse,) = (item.parse for item in runner_settings.IN_KERNEL if item.name == name)
    assert (parse(f" {least} "), parse(str(most))) == (least, most)
    for typed in ("", "0", "-1", str(least - 1), str(most + 1), "1.5", "1e3", "NaN", "٣", "9" * 99):
        with refused(ValueError, "not-within", least=least, most=most):
            parse(typed)


def test_redirect_hosts_are_domain_names() -> None:
    """Redirect hosts are domain names, as the Service Domain is; commas or blanks separate them."""
    assert formats.host_names("Login.Example.com, b.example.com") == (
        "login.example.com",
        "b.example.com",
    )
    for typed in ("127.0.0.1", "localhost", "http://x.example", "x.example:8443", "*.example"):
        with pytest.raises(ValueError):  # noqa: PT011
            formats.host_names(typed)


@pytest.mark.parametrize("typed", ["https://a b.example", "https://a.example/\x1b[2J"])
def test_an_address_with_blanks_or_invisible_characters_is_refused(typed: str) -> None:
    """A web address with blanks or control characters is refused."""
    with refused(ValueError, "address-with-spaces"):
        formats.web_address(typed)


def test_other_hosts_addresses_are_pairs() -> None:
    """Each pair is a host and what to connect to; commas or spaces separate them."""
    typed = "WWW.acme.example=127.0.0.1:8443, acme.example=[::1]:9"

    assert formats.addresses(typed) == (
        "www.acme.example=127.0.0.1:8443",
        "acme.example=[::1]:9",
    )
    assert formats.addresses("") == ()
    for wrong in ("acme.example", "acme.example=", "=127.0.0.1:1", "acme.example=host:0"):
        with pytest.raises(ValueError):  # noqa: PT011
            formats.addresses(wrong)


def test_a_public_page_has_a_whole_https_address() -> None:
    """Path and query of a page are kept; only https is one that everybody can trust."""
    page = "https://www.acme.example/legal/privacy/?lang=en"

    assert formats.page_address(f" {page} ") == page
    for wrong in ("http://acme.example/", "acme.example", "https://a.example/x y", "https://"):
        with pytest.raises(ValueError):  # noqa: PT011
            formats.page_address(wrong)
