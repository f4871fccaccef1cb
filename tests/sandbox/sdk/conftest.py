"""Sandboxes for third-party clients, and a person who completes their dialog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from facebook_cyclr_sandbox.server import Sandbox
from tests.conftest import NOON

Given = dict[str, Any]


@pytest.fixture
def start() -> Iterator[Callable[..., Sandbox]]:
    """
    Return a function that starts sandboxes with a fixed clock, so that API versions do not expire.
    """
    running: list[Sandbox] = []

    def begin(scenario: str = "approved", *, now: float = NOON.timestamp()) -> Sandbox:
        sandbox = Sandbox(scenario, seed=5, clock=lambda: now)
        sandbox.__enter__()
        running.append(sandbox)
        return sandbox

    yield begin
    for sandbox in running:
        sandbox.__exit__(None, None, None)


@pytest.fixture
def given(start: Callable[..., Sandbox]) -> Given:
    """Return the description of a sandbox in which everything is approved."""
    return start().description


def control(given: Given, path: str, document: dict[str, Any]) -> None:
    """Control the sandbox by `POST /_sandbox/…`, as documented."""
    response = httpx.post(f"{given['graph_url']}/_sandbox/{path}", json=document)
    assert response.status_code == 200, response.text


class _Form(HTMLParser):
    """The page's form: its action, hidden fields and ticked boxes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.ticked: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the form and its fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input" and values.get("type") == "hidden":
            self.hidden[values["name"]] = values["value"]
        elif tag == "input" and "checked" in values and "disabled" not in values:
            self.ticked.append(values["value"])


def complete_dialog(
    given: Given, url: str, decision: str = "continue", *, declined: tuple[str, ...] = ()
) -> str:
    """
    Log in at an authorization URL as a person, untick the `declined` permissions, and decide.

    Returns the address to which the browser is redirected.
    """
    parts = urlsplit(url)
    with httpx.Client(base_url=f"{parts.scheme}://{parts.netloc}") as browser:
        login = _Form(browser.get(url).raise_for_status().text)
        person = {"email": given["login_email"], "password": given["login_password"]}
        page = browser.post(login.action, data={**login.hidden, **person}).raise_for_status()
        consent = _Form(page.text)
        granted = [name for name in consent.ticked if name not in declined]
        fields = {**consent.hidden, "decision": decision, "grant": granted}
        response = browser.post(consent.action, data=fields)
    assert response.status_code == 302, response.text
    location: str = response.headers["location"]
    return location


def query_of(url: str) -> dict[str, str]:
    """Return the query of an address, as an app's callback reads it."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
