"""
The answers of Meta's developer tools about an app, to look at, to copy, or as JSON.
"""

import json

from runbook_lib.sandbox.facebook_web.common import app_page, dashboard_router, find_app
from runbook_lib.sandbox.http.pages import MissingPageError, Visit
from runbook_lib.sandbox.http.web import Reply
from runbook_lib.sandbox.origins import unknown
from runbook_lib.sandbox.state.devtools import VIEWS, devtools_answer

__all__ = ["show_answers", "show_view"]


@dashboard_router.route("GET", "/apps/{app_id}/devtools")
@unknown("devtools", "that the dashboard shows these answers: the real tools are an MCP server's")
def show_answers(visit: Visit, app_id: str) -> Reply:
    """Show each answer as text to copy."""
    app = find_app(visit, app_id)
    answers = {
        f"{tool} {view}": _text(devtools_answer(visit.world, app, tool, view))
        for tool, views in VIEWS.items()
        for view in views
    }
    return app_page(visit, app, "devtools.html", answers=answers)


@dashboard_router.route("GET", "/apps/{app_id}/devtools/{tool}/{view}")
def show_view(visit: Visit, app_id: str, tool: str, view: str) -> Reply:
    """Return one answer as JSON: the view's name ends in `.json`."""
    app, name = find_app(visit, app_id), view.lower().removesuffix(".json")
    answer = devtools_answer(visit.world, app, tool.lower(), name)
    if answer is None or not view.lower().endswith(".json"):
        raise MissingPageError("The developer tools have no such view.")
    headers = (
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Reply(200, _text(answer).encode(), headers)


def _text(answer: object) -> str:
    return json.dumps(answer, indent=1, ensure_ascii=False)
