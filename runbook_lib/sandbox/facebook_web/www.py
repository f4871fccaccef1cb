"""
www.facebook.com and developers.facebook.com in one: the OAuth dialog and the App Dashboard.
"""

from urllib.parse import urlsplit

from runbook_lib.sandbox.facebook_web.dashboard import dashboard_router
from runbook_lib.sandbox.facebook_web.dashboard_app import app_router
from runbook_lib.sandbox.facebook_web.dialog import answer_dialog, is_dialog
from runbook_lib.sandbox.http.routing import Router
from runbook_lib.sandbox.http.web import Reply, Request
from runbook_lib.sandbox.state.world import World
from runbook_lib.sandbox.visits import Page, answer_visit

__all__ = ["FacebookSite", "www_router"]

www_router: Router[Page] = Router.joined(dashboard_router, app_router)
"""Every page of the dashboard."""


class FacebookSite:
    """The sandbox's Facebook for people."""

    name = "facebook"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        is_whole = not request.is_oversized and request.method in {"GET", "HEAD", "POST"}
        if is_dialog(request.path) and is_whole:
            return answer_dialog(self._world, request, self._browse)
        return answer_visit(self._world, request, www_router, "Facebook for Developers")

    def _browse(self, location: str) -> str:
        """Return where a browser finds a URL of the service domain on loopback."""
        parts = urlsplit(location)
        if parts.hostname != self._world.cyclr.service_domain:
            return ""
        base = urlsplit(self._world.addresses.connect)
        return parts._replace(scheme=base.scheme, netloc=base.netloc).geturl()
