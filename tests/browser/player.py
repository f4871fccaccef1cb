"""
A player: somebody at the walkthrough who knows only what the page says.

It reads what is visible, finds things by their role and name, and presses what is blue. It knows no
ids of steps, and nothing of the kernel. What a step's text says to do, it does at the sandbox's
pages, as `Person`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import ElementHandle, Locator, Page, expect
from playwright.sync_api import Error as PlaywrightError

OPERATOR = "Sandbox operator"
_PATIENCE = 120_000
_TRIES = 10
# So long the header may lag behind the cards.
_REDRAWN = 500
# What is blue: the one action that a person needs next.
_BLUE = """() => [...document.querySelectorAll(".rb button, .rb a")].filter((one) => {
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return style.backgroundColor === "rgb(11, 87, 164)" && style.visibility === "visible"
    && box.width > 0 && box.height > 0;
})"""
# Header and cards are drawn one after the other: what is blue belongs to what is next.
_AGREES = f"""() => {{
  const blue = ({_BLUE})();
  const next = document.querySelector(".rb-header").innerText.match(/Next: (\\S+) ·/);
  return blue.every((one) => !next
    || one.closest("section").getAttribute("aria-label").startsWith(`${{next[1]}} ·`));
}}"""
_NEXT = re.compile(r"Next: (\S+) · ([^\n]*)")


@dataclass
class Next:
    """The next step in the header: its number, its title and the advice."""

    number: str
    title: str
    advice: str


@dataclass
class Player:
    """Somebody at the walkthrough."""

    page: Page
    pressed: list[str] = field(default_factory=list)
    """The pressed buttons in order, each with the number of the step that was next."""

    # --- what the page shows -------------------------------------------------------------------
    @property
    def header(self) -> Locator:
        """Return the header."""
        return self.page.get_by_role("region", name="Progress of the runbook")

    def next(self) -> Next | None:
        """Return what the header names as next, or `None` once every step is done."""
        shown = _NEXT.search(self.header.inner_text())
        if shown is None:
            return None
        label = self.card(shown[1]).get_attribute("aria-label") or ""
        title = label.partition(" · ")[2]
        return Next(shown[1], title, shown[2].removeprefix(title))

    def next_number(self) -> str:
        """Return the number of the step that is next; empty once every step is done."""
        following = self.next()
        return following.number if following else ""

    def card(self, number: str) -> Locator:
        """Return the card of the step with this number, also if another one is in sight."""
        name = re.compile(rf"^{re.escape(number)} · ")
        return self.page.get_by_role("region", name=name, include_hidden=True)

    def blue(self) -> list[ElementHandle]:
        """Return all that is blue."""
        found = self.page.evaluate_handle(_BLUE)
        return [
            element
            for value in found.get_properties().values()
            if (element := value.as_element()) is not None
        ]

    def is_next_in_sight(self) -> bool:
        """Return whether the whole line that names the next step can be seen."""
        line = self.header.get_by_text("Next:", exact=True)
        box = line.bounding_box()
        window = self.page.evaluate("[innerWidth, innerHeight]")
        return (
            box is not None
            and box["x"] >= 0
            and box["x"] + box["width"] <= window[0]
            and box["y"] >= 0
            and box["y"] + box["height"] <= window[1]
        )

    # --- what a person does --------------------------------------------------------------------
    def act(self, element: ElementHandle | Locator, number: str) -> None:
        """Press something in the card of a step, and wait until the page has answered."""
        self.pressed.append(f"{number}: {element.inner_text()}")
        element.click(timeout=10_000)
        self.settle(number)

    def settle(self, number: str) -> None:
        """Wait until nothing is under way, and what is blue is in the card that is next."""
        self.page.wait_for_timeout(150)
        expect(self.card(number)).to_have_attribute("aria-busy", "false", timeout=_PATIENCE)
        self.page.wait_for_function(_AGREES, timeout=_PATIENCE)

    def enter(self, number: str, **fields: str) -> None:
        """Type into fields of a card by their labels, with `_` for a blank."""
        for label, text in fields.items():
            self.field(number, label.replace("_", " ")).fill(text)

    def field(self, number: str, label: str) -> Locator:
        """Return a visible field of a card, by its label."""
        return self.card(number).get_by_label(label, exact=True).filter(visible=True).first

    def button(self, number: str, name: str | re.Pattern[str]) -> Locator:
        """Return a visible button of a card, by its name."""
        return self.card(number).get_by_role("button", name=name).filter(visible=True).first

    def says(self, number: str, text: str | re.Pattern[str]) -> None:
        """Wait until a card shows this text."""
        shown = self.card(number).get_by_text(text).filter(visible=True).first
        expect(shown).to_be_visible(timeout=_PATIENCE)

    def confirm(self, number: str) -> None:
        """Confirm by name that the step is done, with the form that is blue or in the card."""
        name = self.card(number).get_by_label("Your name", exact=True).filter(visible=True)
        if name.count():
            name.first.fill(OPERATOR)
        self.act(self.button(number, re.compile(f"^{OPERATOR} confirms")), number)

    def open_page(self, number: str) -> None:
        """Open the step's page, if that is what is blue."""
        if any(one.inner_text().startswith("Open ") for one in self.blue()):
            self.press_blue(number)

    def press_blue(self, number: str = "") -> None:
        """
        Press what is blue; it is in the step that is next, and nothing else is blue.

        With `number`, only while the step with this number is next.
        """
        for tries_left in reversed(range(_TRIES)):
            following = self.next_number()
            blue = self.blue()
            if not following or (number and following != number):
                return
            is_drawn = self.page.evaluate(_AGREES) and self.next_number() == following
            if not (blue and is_drawn) and tries_left:
                self.page.wait_for_timeout(_REDRAWN)
                continue
            assert len(blue) == 1, (following, [one.inner_text() for one in blue])
            try:
                self._press(blue[0], following)
                return
            except PlaywrightError:
                # The page was drawn again in between, as a look of its own does.
                if not tries_left:
                    raise

    def _press(self, blue: ElementHandle, number: str) -> None:
        if not blue.inner_text().startswith("Open "):
            self.act(blue, number)
            return
        self.pressed.append(f"{number}: {blue.inner_text()}")
        with self.page.context.expect_page() as opened:
            blue.click()
        opened.value.close()
        self.page.bring_to_front()
        self.settle(number)


Deed = Callable[[Player, str], None]
