"""
graph.facebook.com: from HTTP to a Graph call, or to a batch of them.

The dialog and the dashboard are served elsewhere.
"""

from runbook_lib.sandbox.graph import refusals as graph_refusals
from runbook_lib.sandbox.graph import transient_refusals
from runbook_lib.sandbox.graph.batch import answer_batch
from runbook_lib.sandbox.graph.errors import GraphError
from runbook_lib.sandbox.graph.front import answer_graph
from runbook_lib.sandbox.graph.wire import Trace, failure
from runbook_lib.sandbox.http.web import Reply, Request
from runbook_lib.sandbox.origins import inferred, verbatim
from runbook_lib.sandbox.state.world import World

__all__ = ["GraphSite"]


class GraphSite:
    """graph.facebook.com."""

    name = "graph"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if request.method == "OPTIONS":
            return Reply(200, b"", (("Access-Control-Allow-Origin", "*"),))
        if request.is_oversized:
            trace = Trace.roll(self._world.dice)
            return failure(
                GraphError(graph_refusals.TOO_LARGE), trace, version=self._world.calendar.latest
            )
        params = {**request.params, **_bearer(request)}
        if "batch" in params and request.method == "POST":
            return answer_batch(self._world, request.path, params)
        method = "GET" if request.method == "HEAD" else request.method
        return answer_graph(
            self._world, method, request.path, params, request.headers.get("if-none-match", "")
        )

    def refuse(self, code: int) -> Reply:
        """Return one of the passing errors by its code; an unknown code gives `2`."""
        refusal = transient_refusals.BY_CODE.get(code, transient_refusals.UNAVAILABLE)
        world = self._world
        trace = Trace.roll(world.dice)
        return failure(GraphError(refusal), trace, version=world.facebook_version())


@verbatim("graph §10", "tokens in the query, in the form or as a Bearer header", "clients")
@inferred("graph §10", "`Authorization: OAuth …` is taken like Bearer", "older SDKs")
def _bearer(request: Request) -> dict[str, str]:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() in {"bearer", "oauth"} and value and "access_token" not in request.params:
        return {"access_token": value.strip()}
    return {}
