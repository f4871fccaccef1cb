"""
Reads public pages as a browser without scripts shows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from runbook_lib.errors import UnexpectedResponseError
from runbook_lib.remote.check_session import Session
from runbook_lib.remote.domain import REDIRECTS, fetch_page
from runbook_lib.remote.http_messages import Response
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.registrable_domains import is_same_registrable_domain

_MAX_REDIRECTS = 5
_CHARSET = re.compile(rb"<meta[^>]{0,100}charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
# Texts of pages that test whether visitors are people, block them, or offer a parked domain. A
# longer page may be about such pages, unless it has such a title.
_CHALLENGES = (
    "just a moment",
    "checking your browser",
    "attention required",
    "verify you are human",
    "enable javascript and cookies",
    "are you a robot",
    "ddos protection",
    "captcha",
    "domain is for sale",
    "domain may be for sale",
    "buy this domain",
    "domain is parked",
    "parked domain",
    "domain parking",
)
# Titles of such pages that may stand in another page's text.
_OTHER_TITLES = re.compile(
    r"access denied|has been denied|have been blocked|pardon our interruption|security check"
    r"|request unsuccessful|human verification|robot check|ddos-guard|error 1[0-9]{3}\b"
    r"|^(?:one moment|please wait|coming soon|parked)\b"
    r"|\b(?:domain|website|[\w-]+\.[a-z]{2,}) (?:(?:is|may be) )?(?:for sale|parked)\b",
    re.IGNORECASE,
)
_MAX_CHALLENGE_LENGTH = 2_000
# A browser without scripts does not show the content of these elements.
_HIDDEN = frozenset({"head", "script", "style", "template", "svg", "noscript"})


@dataclass(frozen=True, slots=True)
class PublicPage:
    """The content of a page, after redirects."""

    url: str
    """The URL of the last response."""

    status: int
    """The status code of the last response."""

    title: str
    """The title, shortened."""

    text: str
    """The visible text, as one line."""

    @property
    def is_challenge(self) -> bool:
        """Whether the page may be a test that visitors are people, a block or a parked domain."""
        is_short = len(self.text) <= _MAX_CHALLENGE_LENGTH
        shown = f"{self.title} {self.text if is_short else ''}".lower()
        is_titled = _OTHER_TITLES.search(self.title) is not None
        return is_titled or any(words in shown for words in _CHALLENGES)


def open_page(session: Session, url: str) -> PublicPage:
    """
    Return the page at `url`, after redirects within its registrable domain.

    Raises `UnexpectedResponseError` for a redirect to plain HTTP or to another registrable
    domain, and `RemoteError` if there is no response.
    """
    current = url
    for _ in range(_MAX_REDIRECTS):
        response = fetch_page(session, current)
        location = response.headers.get("location", "")
        if response.status not in REDIRECTS or not location:
            return read_page(current, response)
        target = urljoin(current, location)
        why = ""
        if urlsplit(target).scheme != "https":
            why = "which is not https"
        elif not is_same_registrable_domain(_host(current), _host(target)):
            why = "which is another owner's domain"
        if why:
            raise UnexpectedResponseError(
                f"{_host(current)} redirects to {shorten(_host(target) or 'no host')}, {why}."
            )
        current = target
    raise UnexpectedResponseError(f"{_host(url)} redirects more than {_MAX_REDIRECTS} times.")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def read_page(url: str, response: Response) -> PublicPage:
    """Return the page in the `response` to `url`."""
    # A page names its encoding in its first KiB.
    named = _CHARSET.search(response.content[:1024])
    try:
        page = response.content.decode(named[1].decode() if named else "utf-8", "replace")
    except (LookupError, ValueError):
        page = response.text
    reader = _TextParser()
    reader.feed(page)
    reader.close()
    title, text = (" ".join("".join(parts).split()) for parts in (reader.title, reader.text))
    return PublicPage(url, response.status, shorten(title), text)


class _TextParser(HTMLParser):
    """Collects the title and the text that is shown without scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.text: list[str] = []
        self._inside: list[str] = []
        self._is_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Note the start of the title, or of a hidden element."""
        if tag == "body":
            # NOTE: it ends the head, even one that was left open (HTML: optional tags).
            self._inside.clear()
        self._is_title = tag == "title" or (self._is_title and tag not in _HIDDEN)
        if tag in _HIDDEN:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of the title, or of a hidden element."""
        self._is_title = False
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Keep a piece of text."""
        if self._is_title:
            self.title.append(data)
        elif not self._inside:
            self.text.append(f"{data} ")
