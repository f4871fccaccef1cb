"""
Privacy policy, terms and data deletion: whether each opens for everybody, without a script.

That they must: third-party readings, 2026.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from runbook_lib.connectors.facebook.public_pages import public_pages_open
from runbook_lib.core.model import Outcome
from tests.support.wording import wording
from tests.unit import bodies
from tests.unit.bodies import APP_ID
from tests.unit.connectors.conftest import MADE_UP, RunCheck
from tests.unit.fake_remote import Responder, fails_with, responds

VERIFIED = Outcome.VERIFIED
FAILED = Outcome.FAILED
INCONCLUSIVE = Outcome.INCONCLUSIVE
TEXT = "<title>Privacy</title><p>" + "We delete it. " * 30 + "</p>"
CHALLENGE = "<title>Just a moment</title><p>" + "Checking your browser. " * 12 + "Ray 7f3a</p>"
NOT_FOUND = "<title>Acme</title><p>" + "We did not find this page. " * 12 + "7f3a</p>"
GONE = (404, 410)
SHELL = '<title>App</title><div id="root"></div><script>' + "render(); " * 100 + "</script>"
CONTROL = f"/{MADE_UP * 8}"
SITE = "https://www.acme.example"
ELSEWHERE = "https://www.elsewhere.example"
CACHED = responds("not here", 404, {"age": "301"})


def in_turn(*answers: Responder) -> Responder:
    """Answer so in turn; the last answer is repeated."""
    left = list(answers)

    def respond(request: httpx.Request) -> httpx.Response:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return respond


def leads_to(address: str, status: int = 302) -> Responder:
    return responds("", status, {"location": address})


@pytest.fixture
def look(run_check: RunCheck) -> RunCheck:
    """Return the check; `privacy` is that page's answer, `control` that of a made-up page."""

    def run(
        end: Outcome,
        *words: str,
        privacy: Any = None,
        control: Any = None,
        url: str = f"{SITE}/privacy",
        **more: Any,
    ) -> Any:
        urls = {"privacy_policy_url": url, "terms_of_service_url": f"{SITE}/terms"}
        answers = {
            "/v26.0/oauth/access_token": responds(bodies.APP_TOKEN_ISSUED),
            f"/v26.0/{APP_ID}": responds({"id": APP_ID, **urls}),
            "/privacy": privacy or responds(TEXT),
            "/terms": responds(TEXT),
            "/data-deletion": responds(TEXT),
            CONTROL: control or responds("not here", 404),
        }
        return run_check(public_pages_open, end, *words, answers=answers, **more)

    return run


def test_three_pages_with_text_verify(look: RunCheck) -> None:
    """Each page's title is in the reason; what they say is named as not proven."""
    finding = look(VERIFIED)
    assert finding.reason.count(wording("findings.opens-without-javascript", title="Privacy")) == 3
    assert wording("findings.text-not-judged") in finding.limits[0]
    assert [row[2] for row in finding.tables[0].rows] == ["verified"] * 3


@pytest.mark.parametrize(
    ("given", "end", "said"),
    [
        # A page that needs a script, is gone or leads away verifies nothing, and says why.
        (
            {"privacy": responds(SHELL)},
            INCONCLUSIVE,
            wording("findings.page-without-text", number=0),
        ),
        *(({"privacy": responds("gone", status)}, FAILED, f"answers {status}") for status in GONE),
        # A page that is gone only once, or that a browser may open, decides nothing.
        (
            {"privacy": in_turn(responds("gone", 404), responds(TEXT))},
            INCONCLUSIVE,
            f"404 and then 200. {wording('findings.page-not-opened')}",
        ),
        *(
            (
                {"privacy": responds("no", status)},
                INCONCLUSIVE,
                f"{status}. {wording('findings.page-not-opened')}",
            )
            for status in (401, 403, 405, 408, 409, 425, 451, 500, 502, 504, 520, 521)
        ),
        (
            {"privacy": responds("no", 503)},
            INCONCLUSIVE,
            wording("findings.page-not-opened"),
        ),
        ({"privacy": responds(CHALLENGE)}, INCONCLUSIVE, wording("findings.page-challenge")),
        # A page of which only an id differs from a made-up one shows nothing.
        (
            {
                "privacy": responds(NOT_FOUND),
                "control": responds(NOT_FOUND.replace("7f3a", "91bc")),
            },
            INCONCLUSIVE,
            wording("findings.made-up-page-alike"),
        ),
        (
            {
                "privacy": responds(CHALLENGE),
                "control": responds(CHALLENGE.replace("7f3a", "91bc")),
            },
            INCONCLUSIVE,
            wording("findings.page-challenge"),
        ),
        (
            {"privacy": leads_to(f"{ELSEWHERE}/privacy")},
            INCONCLUSIVE,
            wording("findings.unexpected-response-other-owner", host="www.elsewhere.example"),
        ),
        (
            {"privacy": leads_to("http://www.acme.example/privacy")},
            INCONCLUSIVE,
            wording("findings.unexpected-response-not-https"),
        ),
        (
            {"privacy": leads_to("/privacy")},
            INCONCLUSIVE,
            wording("findings.unexpected-response-redirects-more", number=5),
        ),
        # A page may stand on another host of the same registrable domain.
        ({"privacy": leads_to("https://legal.acme.example/terms", 301)}, VERIFIED, ""),
        # If a made-up page answers like the real one, nothing shows that this is there.
        ({"control": responds(TEXT)}, INCONCLUSIVE, wording("findings.made-up-page-alike")),
        # A redirect of every address to the policy is such an answer too.
        ({"control": leads_to("/privacy")}, INCONCLUSIVE, ""),
        # A host that gives no answer of its own to a made-up page shows no policy either.
        ({"control": fails_with()}, INCONCLUSIVE, wording("findings.host-unreachable")),
        (
            {"control": responds("busy", 503)},
            INCONCLUSIVE,
            wording("findings.made-up-page-not-refused", number=503),
        ),
        (
            {"control": responds("no", 405)},
            INCONCLUSIVE,
            wording("findings.made-up-page-not-refused", number=405),
        ),
        (
            {"control": responds("early", 425)},
            INCONCLUSIVE,
            wording("findings.made-up-page-not-refused", number=425),
        ),
        (
            {"control": responds("slow down", 429)},
            INCONCLUSIVE,
            wording("rate-limited.limits-calls"),
        ),
        ({"control": CACHED}, INCONCLUSIVE, wording("findings.cached-response")),
        # A redirect of the made-up page to another owner's domain is a different answer.
        ({"control": leads_to(f"{ELSEWHERE}/")}, VERIFIED, ""),
        # An address without https, or none at all, is judged without a request.
        (
            {"url": "http://www.acme.example/privacy"},
            INCONCLUSIVE,
            wording("findings.page-not-https"),
        ),
        ({"url": ""}, INCONCLUSIVE, wording("findings.page-not-named")),
        ({"url": "https://"}, INCONCLUSIVE, "Privacy Policy URL:"),
        # No API shows the address of data deletion, so without the input nothing is known of it.
        (
            {"data_deletion_url": ""},
            INCONCLUSIVE,
            f"^{wording('findings.page-not-named-data-deletion')}$",
        ),
    ],
)
def test_each_page_must_open_otherwise_than_a_made_up_one(
    look: RunCheck, given: dict[str, Any], end: Outcome, said: str
) -> None:
    """Each page must open at its own https address, and a made-up one be answered otherwise."""
    look(end, said, **given)


@pytest.mark.parametrize("status", [200, 403, 404, 410, 503])
@pytest.mark.parametrize(
    "title",
    [
        "Just a moment...",
        "Just a moment…",
        "Attention Required! | Cloudflare",
        "Access denied",
        "ACCESS DENIED - www.acme.example",
        "Access to this page has been denied",
        "Sorry, you have been blocked",
        "Pardon Our Interruption",
        "Error 1020",
        "acme.example is for sale",
        "acme.example - Domain for Sale",
        "This domain is parked",
        "Parked Domain name on Hostinger",
    ],
)
def test_a_page_titled_like_a_bot_wall_decides_nothing(
    look: RunCheck, title: str, status: int
) -> None:
    """A page with the title of a bot wall or a parked domain is inconclusive, however long."""
    page = f"<title>{title}</title><p>" + "We delete it. " * 300 + "</p>"

    look(INCONCLUSIVE, title, code="page-challenge", privacy=responds(page, status))


@pytest.mark.parametrize(
    "title", ["Privacy Policy", "Items for sale: privacy", "Security | Acme", "Captain's terms"]
)
def test_another_title_is_the_pages_own(look: RunCheck, title: str) -> None:
    """Other titles are no bot wall's, and a long policy may name one in its text."""
    text = "We delete it. Access denied is what a stranger sees; just a moment. " * 60

    look(VERIFIED, privacy=responds(f"<title>{title}</title><p>{text}</p>"))


def test_a_bot_wall_is_no_control(look: RunCheck) -> None:
    """If a bot wall answers for the made-up page, nothing shows that it is missing."""
    look(
        INCONCLUSIVE,
        code="made-up-page-not-refused",
        control=responds("<title>Just a moment...</title>", 403),
    )
