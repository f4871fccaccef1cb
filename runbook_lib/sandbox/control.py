"""
`/_sandbox/…`, on every site: what the sandbox says about itself, and how tests drive it.

* `GET /_sandbox/fidelity`: which answers are verbatim, inferred or unknown (HTML or JSON)
* `GET /_sandbox/description`: what `runbook sandbox --json` printed
"""

from collections.abc import Callable

from runbook_lib.sandbox.cyclr_shapes import json_reply
from runbook_lib.sandbox.origins import Mark, origins
from runbook_lib.sandbox.pages import page
from runbook_lib.sandbox.routing import Router
from runbook_lib.sandbox.web import Reply, Request
from runbook_lib.sandbox.world import World

__all__ = ["Control"]

_router: Router[Callable[["Control", Request], Reply]] = Router()


class Control:
    """The handlers of `/_sandbox/…`."""

    def __init__(self, world: World, description: Callable[[], dict[str, str | int]]) -> None:
        self.world = world
        self.description = description

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        found = _router.match(request.method, request.path)
        if found is None:
            return json_reply({"error": "there is no such page of the sandbox"}, 404)
        return found[0](self, request)

    @_router.route("GET", "/_sandbox/description")
    def _description(self, _request: Request) -> Reply:
        return json_reply(self.description())

    @_router.route("GET", "/_sandbox/fidelity")
    def _fidelity(self, request: Request) -> Reply:
        known = origins()
        if request.accepts_html:
            return page("fidelity.html", origins=known, marks=list(Mark))
        rows = [
            {"mark": one.mark.value, "section": one.section, "what": one.what, "source": one.source}
            for one in known
        ]
        return json_reply(rows)
