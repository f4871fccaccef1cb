"""The check of the Service Domain: name, certificate and callback page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.connectors.cyclr.service_domain import (
    is_cyclr_domain,
    redirect_uri,
    service_domain_answers,
)
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.errors import UnreachableError
from runbook_lib.remote.domain import Certificate
from tests.conftest import NOON
from tests.unit.connectors.conftest import MADE_UP, MakeContext
from tests.unit.fake_remote import FakeRemote, breaks, says

Check = Callable[..., Finding]
MADE_UP_PAGE = f"/connector/callback-{MADE_UP * 8}"


@pytest.fixture
def check(remote: FakeRemote, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return the check, with name resolution and TLS answered as a test sets them."""

    def run(
        *, days: int = 60, status: int = 400, control: int = 404, domain: str = "acme-h.cyclr.com"
    ) -> Finding:
        certificate = Certificate("Let's Encrypt", NOON + timedelta(days=days, hours=1))
        monkeypatch.setattr(service_domain, "resolve_name", lambda *_: ("192.0.2.7",))
        monkeypatch.setattr(service_domain, "read_certificate", lambda *_: certificate)
        remote.on("/connector/callback", says("page", status))
        remote.on(MADE_UP_PAGE, says("page", control))
        return service_domain_answers(make_context(service_domain=domain))

    return run


@pytest.mark.parametrize("status", [200, 302, 400, 405])
def test_a_callback_that_differs_from_a_made_up_page_is_verified(
    check: Check, remote: FakeRemote, status: int
) -> None:
    """The callback counts as present if it answers otherwise than a page that does not exist."""
    finding = check(status=status)

    assert finding.outcome is Outcome.VERIFIED
    assert "Let's Encrypt is valid for 60 days" in finding.reason
    assert f"the callback page answers ({status}) and a made-up page otherwise (404)" in (
        finding.reason
    )
    assert finding.warnings == ()
    assert "belongs to your Cyclr console" in finding.limits[0]
    assert [str(request.url) for request in remote.requests] == [
        "https://acme-h.cyclr.com/connector/callback",
        f"https://acme-h.cyclr.com{MADE_UP_PAGE}",
    ]


@pytest.mark.parametrize(
    ("status", "control"),
    [(404, 404), (404, 200), (410, 302), (200, 200), (302, 302), (403, 403), (400, 400)],
)
def test_a_host_without_a_callback_is_inconclusive(check: Check, status: int, control: int) -> None:
    """A missing callback, or a host that answers alike for every path, proves nothing."""
    finding = check(status=status, control=control)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"the page answers {status}, a made-up one {control}" in finding.reason
    assert "General Settings > Service Domain" in finding.reason


def test_a_server_error_for_the_control_is_inconclusive(check: Check) -> None:
    """A server error for the made-up page is not a difference that counts."""
    finding = check(status=400, control=503)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "a made-up page answers 503" in finding.reason


@pytest.mark.parametrize("control", [405, 408, 409, 425, 451])
def test_an_error_that_is_not_about_the_made_up_page_is_inconclusive(
    check: Check, control: int
) -> None:
    """A client error that the callback might get as well shows no page."""
    finding = check(status=400, control=control)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"a made-up page answers {control}" in finding.reason


@pytest.mark.parametrize("control", [401, 403])
@pytest.mark.parametrize(("again", "outcome"), [(400, "verified"), (403, "inconclusive")])
def test_a_control_that_may_refuse_everybody_is_checked(
    check: Check, remote: FakeRemote, control: int, again: int, outcome: str
) -> None:
    """After a 401 or 403 the callback must still answer as it did."""
    remote.on("/connector/callback", says("page", 400), says("page", again))

    finding = check(control=control)

    assert finding.outcome == outcome
    assert len(remote.requests) == 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_for_the_callback_is_inconclusive(check: Check, status: int) -> None:
    """A server error for the callback proves neither its presence nor its absence."""
    finding = check(status=status)

    assert finding.outcome is Outcome.INCONCLUSIVE
    assert f"answers {status}" in finding.reason


@pytest.mark.parametrize(("days", "warned"), [(20, True), (21, False)])
def test_a_certificate_that_expires_soon_gives_a_warning(
    check: Check, days: int, warned: bool
) -> None:
    """A certificate that expires in less than three weeks gives a warning."""
    warnings = check(days=days).warnings

    assert any(f"expires in {days} days" in text for text in warnings) is warned


def test_the_end_of_the_certificate_is_a_fact(check: Check) -> None:
    """The calendar of duties has the day."""
    assert check(days=60).facts == {"certificate_ends_on": "2027-01-23"}


def test_a_custom_domain_gives_a_warning(check: Check) -> None:
    """A custom domain is verified with a warning, because the console then shows two domains."""
    finding = check(domain="connect.acme.example")

    assert finding.outcome is Outcome.VERIFIED
    assert "connect.acme.example is a custom domain" in finding.warnings[0]


@pytest.mark.parametrize("broken", ["resolve_name", "read_certificate"])
def test_an_unreachable_host_raises(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A name that does not resolve or a TLS error raises `UnreachableError`."""

    def fail(*_: object) -> None:
        raise UnreachableError("gone")

    monkeypatch.setattr(service_domain, "resolve_name", lambda *_: ())
    monkeypatch.setattr(service_domain, broken, fail)

    with pytest.raises(UnreachableError, match="gone"):
        service_domain_answers(make_context())


def test_no_answer_from_the_callback_raises(check: Check, remote: FakeRemote) -> None:
    """No answer from the callback raises `UnreachableError`."""
    remote.on("/connector/callback", breaks())

    with pytest.raises(UnreachableError):
        check()


@pytest.mark.parametrize(
    "domain",
    ["acme-h.cyclr.com", "acme-h.eu.cyclr.com", "acme-h.cyclr.uk", "a1-b-h.us2.cyclr.com"],
)
def test_cyclrs_own_domains_are_known(domain: str) -> None:
    """Cyclr's own domains are recognised in every region."""
    assert is_cyclr_domain(domain)


@pytest.mark.parametrize(
    "domain",
    [
        "acme.cyclr.com",
        "acme-h.cyclr.com.evil.example",
        "evil-h.cyclr.com.example",
        "xacme-h.cyclr.org",
        "a.b-h.cyclr.com",
        "connect.acme.example",
    ],
)
def test_other_domains_are_custom(domain: str) -> None:
    """A domain that only resembles Cyclr's is a custom one."""
    assert not is_cyclr_domain(domain)


def test_the_redirect_uri_is_the_documented_one() -> None:
    """The redirect URI is https, the Service Domain and /connector/callback (documented step 8)."""
    assert redirect_uri("acme-h.cyclr.com") == "https://acme-h.cyclr.com/connector/callback"
