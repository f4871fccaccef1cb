"""The check of the Service Domain: name, certificate and callback page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runbook_lib.connectors.cyclr import service_domain
from runbook_lib.connectors.cyclr.service_domain import (
    is_cyclr_domain,
    redirect_uri,
    service_domain_answers,
)
from runbook_lib.core.model import Outcome
from runbook_lib.errors import UnreachableError
from runbook_lib.remote.domain import Certificate
from tests.conftest import NOON
from tests.support.wording import wording
from tests.unit.connectors.conftest import MADE_UP, RunCheck
from tests.unit.fake_remote import FakeRemote, fails_with, responds

VERIFIED = Outcome.VERIFIED
INCONCLUSIVE = Outcome.INCONCLUSIVE
CALLBACK = "/connector/callback"
MADE_UP_PAGE = f"{CALLBACK}-{MADE_UP * 8}"


@pytest.fixture
def check(run_check: RunCheck, monkeypatch: pytest.MonkeyPatch) -> RunCheck:
    """Return the check, with name resolution and TLS answered as a test sets them."""

    def run(
        end: Any, *words: str, days: int = 60, status: int = 400, control: int = 404, **changes: Any
    ) -> Any:
        certificate = Certificate("Let's Encrypt", NOON + timedelta(days=days, hours=1))
        monkeypatch.setattr(service_domain, "resolve_name", lambda *_: ("192.0.2.7",))
        monkeypatch.setattr(service_domain, "read_certificate", lambda *_: certificate)
        answers = {CALLBACK: responds("page", status), MADE_UP_PAGE: responds("page", control)}
        return run_check(service_domain_answers, end, *words, answers=answers, **changes)

    return run


@pytest.mark.parametrize("status", [200, 302, 400, 405])
def test_a_callback_that_differs_from_a_made_up_page_is_verified(
    check: RunCheck, remote: FakeRemote, status: int
) -> None:
    """The callback counts as present if it answers otherwise than a page that does not exist."""
    answer = wording("findings.callback-answers", status=status, number=404)
    finding = check(
        VERIFIED, wording("findings.callback-answers-let-encrypt", number=60), answer, status=status
    )
    assert finding.warnings == ()
    assert wording("findings.domain-of-console") in finding.limits[0]
    # The day is a due item.
    assert finding.facts == {"certificate_ends_on": "2027-01-23"}
    assert [str(request.url) for request in remote.requests] == [
        "https://acme-h.cyclr.com/connector/callback",
        f"https://acme-h.cyclr.com{MADE_UP_PAGE}",
    ]


@pytest.mark.parametrize(
    ("status", "control", "words"),
    [
        # A missing callback, or a host that answers alike for every path, proves nothing.
        *(
            (
                status,
                control,
                [
                    wording("findings.callback-not-shown", status=status, control=control),
                    "General Settings > Service Domain",
                ],
            )
            for status, control in (
                (404, 404),
                (404, 200),
                (410, 302),
                (200, 200),
                (302, 302),
                (403, 403),
                (400, 400),
            )
        ),
        # A server error, or an error that the callback might get as well, shows no page.
        *(
            (
                400,
                control,
                [wording("findings.made-up-page-not-refused-answers", control=control)],
            )
            for control in (503, 405, 408, 409, 425, 451)
        ),
        # A server error for the callback proves neither its presence nor its absence.
        *((status, 404, [f"answers {status}"]) for status in (500, 503)),
    ],
)
def test_a_host_without_a_callback_is_inconclusive(
    check: RunCheck, status: int, control: int, words: list[str]
) -> None:
    """Only a difference that is about the page counts."""
    check(INCONCLUSIVE, *words, status=status, control=control)


@pytest.mark.parametrize(("days", "warned"), [(20, True), (21, False)])
def test_a_certificate_that_expires_soon_gives_a_warning(
    check: RunCheck, days: int, warned: bool
) -> None:
    """A certificate that expires in less than three weeks gives a warning."""
    warnings = check(VERIFIED, days=days).warnings
    assert any(f"expires in {days} days" in text for text in warnings) is warned


def test_a_custom_domain_gives_a_warning(check: RunCheck) -> None:
    """A custom domain is verified with a warning, because the console then shows two domains."""
    warnings = check(VERIFIED, service_domain="connect.acme.example").warnings
    assert wording("findings.custom-domain", domain="connect.acme.example") in warnings[0]


@pytest.mark.parametrize("broken", ["resolve_name", "read_certificate"])
def test_an_unreachable_host_raises(
    run_check: RunCheck, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A name that does not resolve or a TLS error raises `UnreachableError`."""

    def fail(*_: object) -> None:
        raise UnreachableError("gone")

    monkeypatch.setattr(service_domain, "resolve_name", lambda *_: ())
    monkeypatch.setattr(service_domain, broken, fail)
    run_check(service_domain_answers, UnreachableError, "gone")


def test_no_answer_from_the_callback_raises(check: RunCheck, remote: FakeRemote) -> None:
    """No answer from the callback raises `UnreachableError`."""
    remote.on(CALLBACK, fails_with())
    check(UnreachableError)


@pytest.mark.parametrize(
    ("domain", "is_cyclrs"),
    [
        # Cyclr's own domains are recognised in every region.
        ("acme-h.cyclr.com", True),
        ("acme-h.eu.cyclr.com", True),
        ("acme-h.cyclr.uk", True),
        ("a1-b-h.us2.cyclr.com", True),
        # A domain that only resembles Cyclr's is a custom one.
        ("acme.cyclr.com", False),
        ("acme-h.cyclr.com.evil.example", False),
        ("evil-h.cyclr.com.example", False),
        ("xacme-h.cyclr.org", False),
        ("a.b-h.cyclr.com", False),
        ("connect.acme.example", False),
    ],
)
def test_cyclrs_own_domains_are_known(domain: str, is_cyclrs: bool) -> None:
    """Cyclr's own domains are told from custom ones."""
    assert is_cyclr_domain(domain) is is_cyclrs


def test_the_redirect_uri_is_the_documented_one() -> None:
    """The redirect URI is https, the Service Domain and /connector/callback (documented step 8)."""
    assert redirect_uri("acme-h.cyclr.com") == "https://acme-h.cyclr.com/connector/callback"
