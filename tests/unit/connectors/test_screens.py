"""The picture of a screen shows what its step's text tells a person to open, fill in and press."""

from __future__ import annotations

import pytest

from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.procedure import Procedure, Screen, Step

PICTURES = [
    pytest.param(procedure, step, step.screen, id=f"{name} {step.id}")
    for name in connector_names()
    for procedure in [find_procedure(name)]
    for step in procedure.steps
    if step.screen
]


def words(text: str) -> str:
    """Return a text as it is compared: without marks of emphasis, in small letters."""
    return " ".join(text.replace("*", "").split()).lower()


def names_in(screen: Screen) -> list[str]:
    """Return every menu entry, field and button of a screen, and what the button belongs to."""
    area, _, button = screen.highlight.rpartition(" | ")
    names = [*screen.menu, *(field.label for field in screen.fields), area, button]
    return [name for name in names if name]


def text_of(procedure: Procedure, step: Step) -> str:
    """Return a step's texts for people, with the connector's name."""
    labels = [part.label for part in (*step.links, *step.pastes, *step.inputs)]
    return "\n".join([procedure.title, step.title, step.instructions, step.prose, *labels])


@pytest.mark.parametrize(("procedure", "step", "screen"), PICTURES)
def test_a_picture_names_only_what_the_text_names(
    procedure: Procedure, step: Step, screen: Screen
) -> None:
    """Each menu entry, field and button of a picture stands in the text of its step."""
    text = words(text_of(procedure, step))

    assert names_in(screen)
    assert [name for name in names_in(screen) if words(name) not in text] == []


def test_the_menu_is_that_of_the_recommended_use_case() -> None:
    """The use case for ad leads brings Facebook Login for Business, not classic Facebook Login."""
    procedure = find_procedure("facebook_marketing")
    menus = [step.screen.menu for step in procedure.steps if step.screen]
    products = {menu[0] for menu in menus if menu and menu[0].startswith("Facebook Login")}

    assert products == {"Facebook Login for Business"}
