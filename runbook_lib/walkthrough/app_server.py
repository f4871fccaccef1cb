"""
The server behind `runbook lab --app`: voila inside Jupyter Server, and nothing else of either.

Token, login, Host, Origin and XSRF checks are Jupyter Server's own, as in
JupyterLab; voila's standalone program has no check of the Host. `notebook`
decides what is shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupyter_server.utils import JupyterServerAuthWarning
from tornado.routing import Router, Rule, RuleRouter
from tornado.web import HTTPError
from traitlets.config import Config

# voila, and the page for a second person, which needs no login.
_EXTENSIONS = {"voila.server_extension": True, "runbook_lib.notebook.confirm_page": True}
_OWN = "runbook_lib."
_PORT = 8866
# A page that was closed ends its kernel; this is for a browser that was killed.
_FORGOTTEN_SECONDS = 15 * 60
# Defaults; a person's own settings and options override them.
_DEFAULTS = Config(
    {
        "ServerApp": {
            "port": _PORT,
            "allow_unauthenticated_access": False,
            # NOTE: voila asks it of each picture in a text, and awaits no answer (0.5).
            "contents_manager_class": LargeFileManager,
        },
        # A link on another site must not open the walkthrough: opening it starts a kernel.
        "IdentityProvider": {"cookie_options": {"samesite": "Strict"}},
        "VoilaConfiguration": {"template": "runbook", "file_allowlist": []},
        "MappingKernelManager": {
            "cull_idle_timeout": _FORGOTTEN_SECONDS,
            "cull_interval": 60,
            # As in voila's own program: the page uses panels, and runs no code.
            "allowed_message_types": [
                "comm_open",
                "comm_close",
                "comm_msg",
                "comm_info_request",
                "kernel_info_request",
                "shutdown_request",
            ],
        },
    }
)


class AppServer(ServerApp):
    """
    A Jupyter Server that shows notebooks as pages, and neither edits nor lists files.

    Its first argument is the folder of the notebooks.
    """

    name = "runbook-app"
    # No contents, files, nbconvert, sessions or configuration: a page needs its kernel only.
    default_services = ("api", "auth", "kernels", "kernelspecs", "security", "shutdown")  # type: ignore[assignment]

    def initialize(self, *arguments: Any, **options: Any) -> None:
        """Initialize, with other defaults than Jupyter Server's."""
        self.update_config(_DEFAULTS)
        super().initialize(*arguments, **options)

    def find_server_extensions(self) -> None:
        """Find only these, even if others are installed and enabled."""
        self.config.ServerApp.jpserver_extensions = dict(_EXTENSIONS)
        self.jpserver_extensions = dict(_EXTENSIONS)

    def load_server_extensions(self) -> None:
        """Load the extensions, and put the server's checks before each handler of voila."""
        # As in voila's own program: nothing is loaded from another machine.
        self.web_app.settings.update(mathjax_url=None, mathjax_config=None)
        with warnings.catch_warnings():
            # Handlers without a check get one in the next lines.
            warnings.simplefilter("ignore", JupyterServerAuthWarning)
            super().load_server_extensions()
        *added, _own = self.web_app.default_router.rules
        for rule in _handlers(added):
            if not rule.target.__module__.startswith(_OWN):
                rule.target = type(f"Guarded{rule.target.__name__}", (_Guarded, rule.target), {})


class _Guarded(JupyterHandler):
    """Checks that go before every handler of voila, since some have none."""

    async def prepare(self, **options: Any) -> None:
        """Refuse a foreign Host, a missing token, and another site that opens this page."""
        await super().prepare(**options)
        if self._finished:  # sent to the login page
            return
        if self.current_user is None:
            raise HTTPError(403)
        # NOTE: where a request comes from, by the browser (Fetch Metadata); a request that brings
        # the token along may come from anywhere: a terminal's link, or the file that opens it.
        site = self.request.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and not self.token_authenticated:
            raise HTTPError(403)
        # NOTE: reading it sets the cookie with which a page asks to end its kernel when it is left.
        _ = self.xsrf_token
        if self.token_authenticated:
            # The kernel of a page has the address in its environment; it needs no token.
            self.request.uri = self.request.path
            self.request.query = ""


def _handlers(rules: list[Rule]) -> Iterator[Rule]:
    """Yield the rules that lead to a handler, through those that lead to further rules."""
    for rule in rules:
        if isinstance(rule.target, RuleRouter):
            yield from _handlers(rule.target.rules)
        elif not isinstance(rule.target, Router):
            yield rule


if __name__ == "__main__":
    AppServer.launch_instance()
