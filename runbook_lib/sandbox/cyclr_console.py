"""
The Cyclr console's pages.
"""

from runbook_lib.sandbox.pages import page
from runbook_lib.sandbox.web import Reply, Request
from runbook_lib.sandbox.world import World

__all__ = ["CyclrConsoleSite"]


class CyclrConsoleSite:
    """my.cyclr.com of the sandbox."""

    name = "cyclr-console"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        return page(
            "message.html",
            404,
            site="Cyclr Console",
            title=f"Not Found: {request.path}",
            message="There is no such page in this sandbox.",
        )
