"""
www.facebook.com and developers.facebook.com in one: the OAuth dialog and the App Dashboard.
"""

from urllib.parse import urlsplit

from runbook_lib.sandbox.dialog import answer_dialog, is_dialog
from runbook_lib.sandbox.pages import page
from runbook_lib.sandbox.web import Reply, Request
from runbook_lib.sandbox.world import World

__all__ = ["FacebookSite"]


class FacebookSite:
    """The sandbox's Facebook for people."""

    name = "facebook"

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if request.is_oversized:
            return page(
                "message.html",
                413,
                site="Facebook",
                title="Too large",
                message="The request is too large.",
            )
        if is_dialog(request.path) and request.method in {"GET", "HEAD", "POST"}:
            return answer_dialog(self._world, request, self._browse)
        return page(
            "message.html",
            404,
            site="Facebook",
            title="This page isn't available",
            message="There is no such page in this sandbox.",
        )

    def _browse(self, location: str) -> str:
        """Return where a browser finds a URL of the service domain on loopback."""
        parts = urlsplit(location)
        if parts.hostname != self._world.cyclr.service_domain:
            return ""
        base = urlsplit(self._world.addresses.connect)
        return parts._replace(scheme=base.scheme, netloc=base.netloc).geturl()
