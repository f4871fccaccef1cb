"""What an operator types is understood, or refused clearly, before any network is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.config import formats
from tests.unit.bodies import APP_ID, APP_SECRET


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
def test_a_whole_address_is_understood(typed: str, domain: str) -> None:
    """Scheme, path, port 443, case, a trailing dot and other scripts are taken in stride."""

    assert formats.domain_name(typed) == domain
    assert formats.domain_name(domain) == domain


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "enter a domain name"),
        (".", "enter a domain name"),
        ("192.0.2.7", "not an IP address"),
        ("https://[2001:db8::7]/", "not an IP address"),
        ("http://acme-h.cyclr.com", "over https, not http"),
        ("ftp://acme-h.cyclr.com", "over https, not ftp"),
        ("acme-h.cyclr.com:8443", "has no port; leave out :8443"),
        ("https://acme-h.cyclr.com:80/", "has no port; leave out :80"),
        ("acme-h.cyclr.com:99999", "this is not a domain name"),
        ("acme-h.cyclr.com:abc", "this is not a domain name"),
        ("http://[::1", "this is not a domain name"),
        ("operator@acme-h.cyclr.com", "no user name or password"),
        ("https://a:b@acme-h.cyclr.com", "no user name or password"),
        ("localhost", "only part of a domain name"),
        ("acme h.cyclr.com", "is not a domain name"),
        ("acme_h.cyclr.com", "is not a domain name"),
        ("-acme.cyclr.com", "is not a domain name"),
        ("acme..cyclr.com", "is not a domain name"),
        (".cyclr.com", "is not a domain name"),
        ("x" * 64 + ".cyclr.com", "is not a domain name"),
        ("xn--zzzzzz.com", "is not a domain name"),
    ],
)
def test_what_is_no_service_domain_is_refused(typed: str, said: str) -> None:
    """The operator reads what is wrong with what was typed."""

    with pytest.raises(ValueError, match=said):
        formats.domain_name(typed)


@given(st.text(max_size=60) | st.text("abxnAXN01-.:/@[]#?%_Ää。 ", max_size=30))
def test_any_text_is_a_domain_name_or_a_value_error(typed: str) -> None:
    """Nothing that can be typed breaks the program, and what is taken is stable and ASCII."""

    try:
        domain = formats.domain_name(typed)
    except ValueError:
        return
    assert domain.isascii()
    assert domain == domain.lower()
    assert formats.domain_name(domain) == domain


@pytest.mark.parametrize("typed", [APP_ID, f" {APP_ID}\n", "12345678", "1" * 20])
def test_an_app_id_is_a_number(typed: str) -> None:
    """Blanks around it do not matter."""

    assert formats.app_id(typed) == typed.strip()


@pytest.mark.parametrize(
    "typed", ["", "1234567", "1" * 21, "12 345678", "-12345678", "１２３４５６７８", "app"]
)
def test_what_is_no_app_id_is_refused(typed: str) -> None:
    """A name, a secret or half a number is no App ID."""

    with pytest.raises(ValueError, match="an App ID is a number"):
        formats.app_id(typed)


def test_an_app_secret_is_hexadecimal() -> None:
    """Blanks around it do not matter."""

    assert formats.app_secret(f" {APP_SECRET}\n") == APP_SECRET


@pytest.mark.parametrize(
    "typed", ["", APP_SECRET[:-1], APP_SECRET + "0", APP_SECRET.upper(), "•" * 32, "g" * 32]
)
def test_what_is_no_app_secret_is_refused_unquoted(typed: str) -> None:
    """A secret cut short or still hidden is refused, and the message does not quote it."""

    with pytest.raises(ValueError, match="an App Secret has 32 characters") as caught:
        formats.app_secret(typed)

    assert not typed or typed not in str(caught.value)


def test_an_opaque_secret_is_taken_as_it_is() -> None:
    """A credential of unknown form only loses the blanks around it."""

    assert formats.opaque_secret(" a/b+c==\n") == "a/b+c=="


@pytest.mark.parametrize("typed", ["", "  ", "can ary", "can\nary"])
def test_an_opaque_secret_holds_no_blanks(typed: str) -> None:
    """Half a line more that was copied along is refused, unquoted."""

    with pytest.raises(ValueError, match="no spaces") as caught:
        formats.opaque_secret(typed)

    assert "ary" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ("public_profile",)),
        ("leads_retrieval", ("public_profile", "leads_retrieval")),
        ("ads_read, ads_read\nleads_retrieval,", ("public_profile", "ads_read", "leads_retrieval")),
        ("ads_read,public_profile", ("public_profile", "ads_read")),
    ],
)
def test_permissions_come_once_each_with_public_profile_first(
    typed: str, names: tuple[str, ...]
) -> None:
    """Commas, blanks and repetitions do not matter; `public_profile` is always there."""

    assert formats.permission_names(typed) == names


@pytest.mark.parametrize(
    "typed", ["Ads_Read", "ads-read", "ads__read", "_ads", "ads_", "1ads", "a;b"]
)
def test_what_is_no_permission_is_refused(typed: str) -> None:
    """The one that is wrong is named."""

    with pytest.raises(ValueError, match=r"is not a permission") as caught:
        formats.permission_names(f"ads_read, {typed}")

    assert repr(typed) in str(caught.value)


@pytest.mark.parametrize(("typed", "version"), [("v26.0", "v26.0"), (" V27.0 ", "v27.0")])
def test_a_graph_version_has_its_v(typed: str, version: str) -> None:
    """Case and blanks do not matter."""

    assert formats.graph_version(typed) == version


@pytest.mark.parametrize("typed", ["", "26.0", "v26", "v26.00", "v0.1", "latest", "v26.0/me"])
def test_what_is_no_graph_version_is_refused(typed: str) -> None:
    """Nothing else finds its way into every path."""

    with pytest.raises(ValueError, match=r"looks like v26\.0"):
        formats.graph_version(typed)


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
def test_a_web_address_is_taken_without_its_last_slash(typed: str, address: str) -> None:
    """Plain http is for this machine only."""

    assert formats.web_address(typed) == address


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "not a web address"),
        ("graph.facebook.com", "not a web address"),
        ("https://", "not a web address"),
        ("ftp://graph.facebook.com", "not a web address"),
        ("https://[::1", "not a web address"),
        ("//graph.facebook.com", "not a web address"),
        ("https://graph.facebook.com:0", "not a web address"),
        ("https://graph.facebook.com:99999", "not a web address"),
        ("https://graph.facebook.com:abc", "not a web address"),
        ("http://graph.facebook.com", "over https only"),
        ("http://192.0.2.7", "over https only"),
        ("https://operator:hunter22@proxy.example", "no user name, password"),
        ("https://graph.facebook.com/?a=b", "query"),
        ("https://graph.facebook.com/#a", "fragment"),
    ],
)
def test_what_is_no_web_address_is_refused(typed: str, said: str) -> None:
    """No credential is sent to what is not a web address, or in the clear; none is quoted."""

    with pytest.raises(ValueError, match=said) as caught:
        formats.web_address(typed)

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("typed", ["127.0.0.1:8443", " localhost:8443 ", "[::1]:8443"])
def test_an_address_is_host_and_port(typed: str) -> None:
    """Blanks around it do not matter."""

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
def test_what_is_no_address_is_refused(typed: str) -> None:
    """Host and port are both needed."""

    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8443"):
        formats.address(typed)


def test_a_certificate_file_is_taken_by_its_whole_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notebooks run elsewhere: the path is made absolute, `~` is the home folder."""

    trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("HOME", str(folder))

    for typed in ("ca.pem", " ca.pem ", "~/ca.pem", str(folder / "ca.pem")):
        assert formats.certificate_file(typed) == str(folder / "ca.pem")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe"])
def test_what_is_no_certificate_file_is_refused(folder: Path, content: bytes | None) -> None:
    """A missing, empty or other file is told before anything is sent."""

    if content is not None:
        (folder / "ca.pem").write_bytes(content)

    with pytest.raises(ValueError, match="PEM file of certificates"):
        formats.certificate_file("ca.pem")


@pytest.mark.parametrize(
    "parse",
    [formats.app_id, formats.app_secret, formats.graph_version, formats.permission_names],
)
@given(typed=st.text(max_size=40))
def test_any_text_is_taken_or_a_value_error(parse: Callable[[str], Any], typed: str) -> None:
    """Nothing that can be typed breaks the program."""

    with suppress(ValueError):
        parse(typed)


@pytest.mark.parametrize("text", ["~nobody-of-this-name/ca.pem", "a\0b"])
def test_a_path_that_cannot_be_is_refused(text: str) -> None:
    """A path that cannot exist is refused in words."""

    with pytest.raises(ValueError, match="PEM file of certificates"):
        formats.certificate_file(text)


def test_a_time_stamp_authority_may_answer_over_http() -> None:
    """Its answers are signed; what is no web address is refused all the same."""

    address = " http://timestamp.example/tsa/ "
    assert formats.timestamp_authority(address) == "http://timestamp.example/tsa/"
    for wrong in ("ftp://timestamp.example", "timestamp.example", "http://a:b@timestamp.example"):
        with pytest.raises(ValueError, match=r".+"):
            formats.timestamp_authority(wrong)


def test_a_passphrase_may_hold_blanks() -> None:
    """But is not made of them."""

    assert formats.passphrase(" correct horse ") == "correct horse"
    with pytest.raises(ValueError, match="cannot be empty"):
        formats.passphrase("   ")


@pytest.mark.parametrize(
    "typed", ["tök-enabcdefgh", "abc\x1bdefghij", "abc\u200bdefghij", "a\ud800b"]
)
def test_a_credential_and_an_account_hold_what_a_header_takes(typed: str) -> None:
    """What no request can carry is refused where it is given, unquoted."""

    for parse in (formats.opaque_secret, formats.header_text):
        with pytest.raises(ValueError, match="letters without accents") as caught:
            parse(typed)
        assert typed not in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "least", "most"),
    [
        (formats.answer_limit, 64, 65_536),
        (formats.exchange_seconds, 1, 600),
        (formats.step_seconds, 1, 3600),
    ],
)
def test_a_limit_is_a_whole_number_within_bounds(
    parse: Callable[[str], int], least: int, most: int
) -> None:
    """Neither nothing, nor without end, nor anything that is no number."""

    assert (parse(f" {least} "), parse(str(most))) == (least, most)
    for typed in ("", "0", "-1", str(least - 1), str(most + 1), "1.5", "1e3", "NaN", "٣", "9" * 99):
        with pytest.raises(ValueError, match=f"from {least} to {most}"):
            parse(typed)


def test_redirect_hosts_are_names() -> None:
    """Commas or blanks between them; each is a domain name, as the Service Domain is."""

    assert formats.host_names("Login.Example.com, b.example.com") == (
        "login.example.com",
        "b.example.com",
    )
    for typed in ("127.0.0.1", "localhost", "http://x.example", "x.example:8443", "*.example"):
        with pytest.raises(ValueError):  # noqa: PT011
            formats.host_names(typed)


@pytest.mark.parametrize("typed", ["https://a b.example", "https://a.example/\x1b[2J"])
def test_an_address_with_blanks_or_unseen_characters_is_none(typed: str) -> None:
    """Nobody could ask it."""

    with pytest.raises(ValueError, match=r"spaces|web address"):
        formats.web_address(typed)
