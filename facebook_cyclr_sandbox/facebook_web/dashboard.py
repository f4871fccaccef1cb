"""
The App Dashboard together with the OAuth dialog: `FacebookSite`.

Screens, fields and buttons have the documented names, and the content that they have today
(graph §9); the design is the sandbox's own. The modules that are imported here add their pages to
`dashboard_router`.
"""

from urllib.parse import urlsplit

from facebook_cyclr_sandbox.facebook_web import (
    app_settings,
    creation,
    explorer,
    login_settings,
    messenger,
    products,
    review,
    use_cases,
    verification,
)
from facebook_cyclr_sandbox.facebook_web.common import dashboard_router
from facebook_cyclr_sandbox.facebook_web.dialog import answer_dialog, is_dialog
from facebook_cyclr_sandbox.http.pages import answer_visit
from facebook_cyclr_sandbox.http.web import Reply, WebRequest
from facebook_cyclr_sandbox.state.world import World

PAGES = (
    app_settings,
    creation,
    explorer,
    login_settings,
    messenger,
    products,
    review,
    use_cases,
    verification,
)
"""The modules whose pages the dashboard has."""


class FacebookSite:
    """www.facebook.com and developers.facebook.com in one."""

    name = "facebook"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: WebRequest) -> Reply:
        """Answer one request."""
        is_whole = not request.is_oversized and request.method in {"GET", "HEAD", "POST"}
        if is_dialog(request.path) and is_whole:
            return answer_dialog(self._world, request, self._browse)
        return answer_visit(self._world, request, dashboard_router, "Facebook for Developers")

    def _browse(self, location: str) -> str:
        """Return the loopback address of a URL of the service domain."""
        parts = urlsplit(location)
        if parts.hostname != self._world.cyclr.service_domain:
            return ""
        base = urlsplit(self._world.addresses.connect)
        return parts._replace(scheme=base.scheme, netloc=base.netloc).geturl()
