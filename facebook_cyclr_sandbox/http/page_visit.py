"""
Pages behind the log-in: one visit to them, and their errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from facebook_cyclr_sandbox.http.log_in import (
    get_logged_in_id,
    is_password,
    log_in,
    log_out,
    render_log_in_page,
)
from facebook_cyclr_sandbox.http.page_templates import render_page
from facebook_cyclr_sandbox.http.router import Router
from facebook_cyclr_sandbox.http.web_messages import (
    WebRequest,
    WebResponse,
    append_query,
    redirect_response,
)
from facebook_cyclr_sandbox.state.facebook_state import Person
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

_MAX_TEXT_CHARACTERS = 5_000


class PageNotFoundError(Exception):
    """The page, or the object that it shows, does not exist."""


@dataclass(frozen=True)
class PageVisit:
    """
    One request for a page, by the person who is logged in.

    `path_objects` are the objects of the path's IDs; each template of the page gets them.
    """

    state: SandboxState
    request: WebRequest
    site: str
    path_objects: Mapping[str, object] = field(default_factory=dict)

    def get_form_text(self, name: str) -> str:
        """Return a form field, stripped of whitespace."""
        return self.request.form.get(name, "")[:_MAX_TEXT_CHARACTERS].strip()

    def get_query_text(self, name: str) -> str:
        """Return a field of the query."""
        return self.request.query_params.get(name, "")[:_MAX_TEXT_CHARACTERS]

    @property
    def has_right_password(self) -> bool:
        """Whether the form holds the person's password."""
        return is_password(self.person, self.request.form.get("password", ""))

    @property
    def person(self) -> Person:
        """The person who is logged in; the operator where nobody is."""
        facebook = self.state.facebook
        return facebook.people.get(get_logged_in_id(self.state, self.request), facebook.operator)

    def render(self, template: str, status: int = 200, **values: object) -> WebResponse:
        """Return a page whose template also knows the person and the addresses."""
        known = {
            "site": self.site,
            "person": self.person,
            "at": self.state.addresses,
            "notice": self.get_query_text("notice"),
        }
        return render_page(template, status, (), **{**known, **self.path_objects, **values})


def see_other(path: str, notice: str = "") -> WebResponse:
    """Redirect the browser after a form was saved (303), with a notice to show there."""
    return redirect_response(append_query(path, notice=notice) if notice else path, 303)


def handle_page_request(
    state: SandboxState, request: WebRequest, router: Router, site: str
) -> WebResponse:
    """Respond to a request for one of the `router`'s pages; show the log-in first."""
    visit = PageVisit(state, request, site)
    path = request.path.rstrip("/").lower() or "/"
    if request.is_oversized:
        return _render_problem(visit, 413, "Too large", "The request is too large.")
    if path in {"/login", "/login.php"}:
        return _handle_log_in(visit)
    if path == "/logout" and request.method == "POST":
        return redirect_response("/login", 303, log_out(state, request))
    try:
        return _open_page(visit, router)
    except PageNotFoundError as missing:
        return _render_problem(visit, 404, "This page isn't available", str(missing))


def _open_page(visit: PageVisit, router: Router) -> WebResponse:
    request = visit.request
    match = router.match("GET" if request.method == "HEAD" else request.method, request.path)
    if match is None:
        if router.has_path(request.path):
            return _render_problem(visit, 405, "Not possible here", "Use the page's own buttons.")
        raise PageNotFoundError(f"The sandbox has no page {request.path[:200]}.")
    if not get_logged_in_id(visit.state, request):
        return redirect_response(append_query("/login.php", next=request.path), 303)
    handler, placeholders = match
    path_objects = {
        name.removesuffix("_id"): find(visit, placeholders.pop(name))
        for name, find in router.finders.items()
        if name in placeholders
    }
    return handler(
        replace(visit, path_objects=path_objects), *path_objects.values(), **placeholders
    )


def _handle_log_in(visit: PageVisit) -> WebResponse:
    request = visit.request
    state = visit.state
    target = request.params.get("next", "/")
    # It stays on this site, else leads to its first page.
    if not target.startswith("/") or target.startswith(("//", "/\\")):
        target = "/"
    is_wrong = False
    if request.method == "POST":
        form = request.form
        _, headers = log_in(state, form.get("email", ""), form.get("password", ""))
        if headers:
            response = redirect_response(target, 303)
            return replace(response, headers=(*response.headers, *headers))
        is_wrong = True
    return render_log_in_page(state, "/login", {"next": target}, is_wrong=is_wrong)


def _render_problem(visit: PageVisit, status: int, title: str, message: str) -> WebResponse:
    return visit.render("message.html", status, title=title, message=message, back="/")
