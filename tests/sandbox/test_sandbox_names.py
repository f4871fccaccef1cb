"""The steps' texts and pictures, and the sandbox's pages, have the documented names."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

import facebook_cyclr_sandbox
from runbook_lib.connectors.registry import connector_names, find_procedure

# Menus, fields and buttons as Cyclr's page Facebook Marketing Authentication names them.
DOCUMENTED = (
    "My Apps",
    "Create App",
    "App Display Name",
    "Add Products to Your App",
    "Facebook Login",
    "Set Up",
    "Settings",
    "Valid OAuth Redirect URIs",
    "Save Changes",
    "App Review",
    "Permissions and Features",
    "public_profile",
    "Get Advanced Access",
    "leads_retrieval",
    "Edit App Review Request",
    "Submit for Review",
    "Basic",
    "App ID",
    "App Secret",
    "Connectors",
    "Connector Library",
    "Setup",
    "Client ID",
    "Client Secret",
)
# Names without a page in the sandbox: a portfolio, Facebook's forms, a second way to a review.
NOT_PLAYED = {"security center", "open checkup", "add to app review"}
# Newer consoles call it so; the sandbox has the documented name.
RENAMED = {"application connector library": "connector library"}


def names_in_pictures() -> set[str]:
    """Return every menu entry, field and button of a picture, in small letters."""
    screens = [step.screen for name in connector_names() for step in find_procedure(name).steps]
    return {
        name.lower()
        for screen in screens
        if screen
        for name in (
            *screen.menu,
            *(field.label for field in screen.fields),
            *screen.highlight.split(" | "),
        )
        if name
    }


@pytest.fixture(scope="module")
def pages() -> str:
    """Return the sources of the sandbox's pages, in small letters."""
    folder = Path(facebook_cyclr_sandbox.__path__[0])
    files = [path for path in folder.rglob("*") if path.suffix in {".html", ".py"}]
    return html.unescape(" ".join(path.read_text(encoding="utf-8") for path in files)).lower()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_texts_and_pages_have_the_documented_names(name: str, pages: str) -> None:
    """A documented menu, field or button stands in a step's text, and on a page of the sandbox."""
    steps = [step for name in connector_names() for step in find_procedure(name).steps]
    texts = [f"{step.title} {step.instructions} {step.prose} {step.pastes}" for step in steps]
    assert any(name in text for text in texts)
    assert name.lower() in pages


def test_a_picture_names_nothing_that_the_sandbox_does_not_play(pages: str) -> None:
    """But for what it has no page for, which is listed here."""
    names = names_in_pictures()
    assert {name for name in names if RENAMED.get(name, name) not in pages} == NOT_PLAYED
