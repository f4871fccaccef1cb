"""
A small router: from method and path template to handler.

Starlette's distinguishes letter case and a trailing slash, and runs handlers in a thread of their
own.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from facebook_cyclr_sandbox.http.web_messages import WebResponse
from facebook_cyclr_sandbox.response_sources import handles

_Handler = TypeVar("_Handler", bound=Callable[..., WebResponse])
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Router:
    """
    Routes in the order in which they were added; the first match wins.

    A placeholder `{name}` in a template matches one path segment. Letter case and a trailing slash
    do not count. `finders` map a placeholder to the function that finds its object: a handler
    gets `app` for `{app_id}`.
    """

    def __init__(self, **finders: Callable[[Any, str], object]) -> None:
        self.finders = finders
        self._routes: list[
            tuple[frozenset[str], re.Pattern[str], str, Callable[..., WebResponse]]
        ] = []

    def route(self, methods: str, template: str) -> Callable[[_Handler], _Handler]:
        """Add the decorated handler for `methods` (separated by spaces) under `template`."""
        pattern = _PLACEHOLDER.sub(r"(?P<\1>[^/]+)", template)
        compiled = re.compile(f"{pattern}/?\\Z", re.IGNORECASE)

        def add(handler: _Handler) -> _Handler:
            if not template.startswith("/_sandbox/"):
                handles(f"{methods} {template}")(handler)
            self._routes.append((frozenset(methods.split()), compiled, template, handler))
            return handler

        return add

    def match(
        self, method: str, path: str
    ) -> tuple[Callable[..., WebResponse], dict[str, str]] | None:
        """Return the handler and the values of the placeholders; None if no route matches."""
        for methods, pattern, _, handler in self._routes:
            if method in methods and (match := pattern.match(path)):
                return handler, match.groupdict()
        return None

    def has_path(self, path: str) -> bool:
        """Return whether a route of any method is at `path`."""
        return any(pattern.match(path) for _, pattern, _, _ in self._routes)

    def list_routes(self) -> tuple[tuple[str, str], ...]:
        """Return every route as method and template."""
        return tuple(
            (method, template)
            for methods, _, template, _ in self._routes
            for method in sorted(methods)
        )
