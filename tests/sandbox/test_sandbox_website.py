"""The partner's website: pages as reviewers open them, good and bad."""

import re
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpcore
import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox

from .conftest import _Pinned


@pytest.fixture
def open_page(approved: Sandbox) -> Iterator[Callable[[str], httpx.Response]]:
    """Return a function that opens a page of the website and trusts its certificate."""
    given = approved.description
    context = ssl.create_default_context(cafile=str(given["ca_file"]))
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context, network_backend=_Pinned(str(given["website_address"]))
    )
    with httpx.Client(transport=transport) as client:
        yield client.get


def text_of(page: str) -> str:
    """Return the text of a page, without its markup."""
    return re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])


@pytest.mark.parametrize("path", ["privacy", "terms", "data-deletion"])
def test_good_pages_can_be_read_without_script(
    open_page: Callable[[str], httpx.Response], approved: Sandbox, path: str
) -> None:
    """The pages of the scenarios' app have a title of their own and a real text."""
    response = open_page(f"https://{approved.description['website']}/{path}")
    assert response.status_code == 200
    assert len(text_of(response.text)) > 400
    assert "<script" not in response.text
    other = open_page(f"https://{approved.description['website']}/").text
    title = re.compile("<title>(.*?)</title>")
    assert title.findall(response.text) != title.findall(other)


def test_the_app_names_these_pages(approved: Sandbox) -> None:
    """The addresses in the app's settings are those of the website."""
    given = approved.description
    (app,) = approved.state.facebook.apps.values()
    urls = {app.profile["privacy_policy_url"], app.profile["terms_of_service_url"]}
    assert urls == {f"https://{given['website']}/{path}" for path in ("privacy", "terms")}
    assert given["data_deletion_url"] == app.dashboard_settings["data_deletion_url"]
    assert given["data_deletion_url"] == f"https://{given['website']}/data-deletion"


def test_a_page_that_needs_script_is_empty(open_page: Callable[[str], httpx.Response]) -> None:
    """A program without script finds no text at `/app-page`."""
    response = open_page("https://www.partner.test/app-page")
    assert response.status_code == 200
    assert not text_of(response.text).strip()


def test_redirects_within_and_away(open_page: Callable[[str], httpx.Response]) -> None:
    """`/moved` leaves the registrable domain; `/moved-within` does not, and can be followed."""
    away = open_page("https://www.partner.test/moved")
    assert (away.status_code, urlsplit(away.headers["location"]).hostname) == (
        301,
        "www.elsewhere.test",
    )
    within = open_page("https://www.partner.test/moved-within")
    assert within.headers["location"] == "https://partner.test/privacy"
    assert "Privacy Policy" in open_page(within.headers["location"]).text


def test_missing_pages(open_page: Callable[[str], httpx.Response]) -> None:
    """An unknown path is 404, except on the host that serves each path alike."""
    assert open_page("https://www.partner.test/nowhere").status_code == 404
    first = open_page("https://soft.partner.test/privacy")
    second = open_page("https://soft.partner.test/nowhere")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.text == second.text


def test_the_website_is_no_service_domain(open_page: Callable[[str], httpx.Response]) -> None:
    """Cyclr's callback is at the service domain alone."""
    assert open_page("https://www.partner.test/connector/callback").status_code == 404
