"""A walkthrough that notes what a panel asks of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from runbook_lib.walkthrough.controller import Walkthrough
from tests.unit.bodies import APP_SECRET

ANSWERS: dict[str, Any] = {
    "problem": {"problem": "It is too short.", "effect": "2 is undone."},
    "secret_to_copy": APP_SECRET,
}


class FakeWalkthrough:
    """Records the calls that it receives, of methods that a walkthrough has."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.panels = self
        self.run = SimpleNamespace(tenant="acme", procedure=SimpleNamespace(id="one"))

    def add_header(self, header: Any) -> None:
        """Show it at once, as the real one does."""
        header.show({"title": "One"})

    def add_panel(self, step_id: str, panel: Any) -> None:
        """Show it at once, as the real one does."""
        panel.show({"id": step_id})

    def add_finish(self, finish: Any) -> None:
        """Show it at once, as the real one does."""
        finish.show({"done": 0})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method that records its call, and returns the answer to it."""
        if name not in vars(Walkthrough):
            raise AttributeError(name)

        def call(*asked: Any, **more: Any) -> Any:
            self.asked.append((name, *asked, *more.values()))
            return ANSWERS.get(name)

        return call


def receive(panel: Any, message: Any, *buffers: Any) -> None:
    """Deliver a message as the kernel does."""
    panel._handle_custom_msg(message, list(buffers))
