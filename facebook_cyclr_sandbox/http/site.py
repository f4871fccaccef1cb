"""
One of the sandbox's hosts.
"""

from abc import ABC, abstractmethod

from facebook_cyclr_sandbox.http.web_messages import PLAIN, WebRequest, WebResponse
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState


class Site(ABC):
    """One of the sandbox's hosts. `name` is its name in faults and reports."""

    name: str

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    @abstractmethod
    def __call__(self, request: WebRequest) -> WebResponse:
        """Respond to a request."""

    def refuse(self, code: int, request: WebRequest) -> WebResponse:  # noqa: ARG002
        """Return the error of a fault, by its `code` if the site has codes."""
        # inferred: the response of a proxy without a backend
        return WebResponse(503, b"Service Unavailable\n", PLAIN)
