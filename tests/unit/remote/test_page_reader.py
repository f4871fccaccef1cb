"""A public page as somebody sees it whose browser runs no scripts."""

from __future__ import annotations

import httpx
import pytest

from runbook_lib.errors import UnexpectedResponseError, UnreachableError
from runbook_lib.remote.page_reader import PublicPage, open_page
from tests.support.wording import refused
from tests.unit.fake_remote import FakeRemote, fails_with, open_session, responds

URL = "https://www.acme.example/privacy"


def visible_page(content: str | bytes) -> PublicPage:
    """Return the page with this content."""
    remote = FakeRemote()
    response = content if isinstance(content, bytes) else content.encode()
    remote.on("/privacy", lambda _: httpx.Response(200, content=response))
    return open_page(open_session(remote), URL)


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        ("<title>Privacy</title><p>We keep <b>it</b>.</p>", "Privacy", "We keep it ."),
        ("<p>Only text", "", "Only text"),
        ("<html><head><title>T</title><meta x></head><body>Body</body>", "T", "Body"),
        ("<head><title>Never closed</title><body>Body", "Never closed", "Body"),
        ("<script>var a = 'shown?'</script><style>p{}</style>Text", "", "Text"),
        ("<noscript>Switch on JavaScript</noscript><p>Text", "", "Text"),
        ("<template><p>later</p></template>Text", "", "Text"),
        ("<svg><title>Logo</title></svg>Text", "Logo", "Text"),
        ("", "", ""),
        ("<p>1 < 2 & 3", "", "1 < 2 & 3"),
    ],
)
def test_text_excludes_elements_that_are_hidden_without_scripts(
    content: str, title: str, text: str
) -> None:
    """Scripts, styles and what stands in for a script do not count as text."""
    page = visible_page(content)

    assert (page.title, page.text) == (title, text)


@pytest.mark.parametrize(
    "content",
    [
        '<meta charset="latin-1">Caf\xe9'.encode("latin-1"),
        "<meta charset=utf-8>Café".encode(),
        "Café".encode(),
    ],
)
def test_a_page_may_name_its_encoding(content: bytes) -> None:
    """A page is read in the encoding that it names, else as UTF-8."""
    assert visible_page(content).text == "Café"


@pytest.mark.parametrize("name", ["rot13", "no-such", "utf-16"])
def test_an_encoding_that_is_none_breaks_nothing(name: str) -> None:
    """A page that names a codec that is not for text, or none, is read all the same."""
    page = visible_page(f'<meta charset="{name}"><p>Text</p>'.encode())

    assert page.status == 200


def test_a_redirect_within_the_domain_is_followed() -> None:
    """The address at which the page stands is kept."""
    remote = FakeRemote()
    remote.on("/privacy", responds("", 301, {"location": "https://legal.acme.example/p"}))
    remote.on("/p", responds("<p>Here"))

    page = open_page(open_session(remote), URL)

    assert (page.url, page.text) == ("https://legal.acme.example/p", "Here")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://acme.example.evil.example/", "unexpected-response.another-owner"),
        ("https://notacme.example/", "unexpected-response.another-owner"),
        ("http://www.acme.example/", "unexpected-response.not-https"),
        ("javascript:alert(1)", "unexpected-response.not-https"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str, said: str) -> None:
    """A page of another owner, or without https, is not requested."""
    remote = FakeRemote()
    remote.on("/privacy", responds("", 302, {"location": location}))

    with refused(UnexpectedResponseError, said):
        open_page(open_session(remote), URL)
    assert len(remote.requests) == 1


def test_a_missing_response_is_raised_unchanged() -> None:
    """A host that gives no response is unreachable."""
    remote = FakeRemote()
    remote.on("/privacy", fails_with())

    with pytest.raises(UnreachableError):
        open_page(open_session(remote), URL)
