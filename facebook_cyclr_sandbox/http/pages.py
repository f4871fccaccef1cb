"""
What the practice pages share: templates, the log-in, forms, and error pages.

Each template extends `base.html`, which writes SANDBOX into the title and the page.
The log-in takes the two invented people. Browsers share cookies between
ports of a host, so one log-in opens the dashboard and the console alike.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from facebook_cyclr_sandbox.http.routing import Router
from facebook_cyclr_sandbox.http.web import Headers, Reply, WebRequest, append_query, html, redirect
from facebook_cyclr_sandbox.state.facebook_state import Person
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

_COOKIE = "sandbox_session"
_LONGEST_TEXT = 5_000
_FOLDER = Path(__file__).parent / "templates"


_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, status: int = 200, headers: Headers = (), **values: object) -> Reply:
    """Return the page rendered from `template` with `values`."""
    return html(_TEMPLATES.get_template(template).render(values), status, headers)


# --- the log-in ------------------------------------------------------------------------------
def _is_password(person: Person, password: str) -> bool:
    return hmac.compare_digest(person.password.encode(), password.encode())


def log_in(state: SandboxState, email: str, password: str) -> tuple[str, Headers]:
    """Return the person's ID and the headers that log the browser in; neither if it is wrong."""
    wanted = email.strip().lower()
    person = next(
        (person for person in state.facebook.people.values() if person.email == wanted), None
    )
    if person is None or not _is_password(person, password):
        return "", ()
    session = state.random_source.base64url(32)
    state.facebook.sessions.put(session, person.id)
    cookie = f"{_COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"
    return person.id, (("Set-Cookie", cookie),)


def log_in_page(
    state: SandboxState, action: str, hidden: Mapping[str, str], *, is_wrong: bool = False
) -> Reply:
    """Return the page that asks for one of the two people's credentials."""
    return page(
        "login.html",
        action=action,
        hidden=hidden,
        is_wrong=is_wrong,
        operator=state.facebook.person,
        customer=state.facebook.customer,
    )


def logged_in(state: SandboxState, request: WebRequest) -> str:
    """Return the ID of the person who is logged in, or an empty string."""
    return state.facebook.sessions.get(request.cookies.get(_COOKIE, "")) or ""


def log_out(state: SandboxState, request: WebRequest) -> Headers:
    """End the session; return the headers that delete its cookie."""
    state.facebook.sessions.pop(request.cookies.get(_COOKIE, ""))
    return (("Set-Cookie", f"{_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),)


# --- pages behind the log-in -----------------------------------------------------------------
class MissingPageError(Exception):
    """The page, or the object that it shows, does not exist."""


@dataclass(frozen=True)
class Visit:
    """
    One request for a page, by the person who is logged in.

    `found` are the objects of the path's IDs; every template of a page knows them.
    """

    state: SandboxState
    request: WebRequest
    site: str
    found: Mapping[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a form field, stripped of whitespace."""
        return self.request.form.get(name, "")[:_LONGEST_TEXT].strip()

    def query(self, name: str) -> str:
        """Return a field of the query."""
        return self.request.query_params.get(name, "")[:_LONGEST_TEXT]

    @property
    def has_password(self) -> bool:
        """Whether the form holds the person's password."""
        return _is_password(self.person, self.request.form.get("password", ""))

    @property
    def person(self) -> Person:
        """The person who is logged in; the operator where nobody is."""
        facebook = self.state.facebook
        return facebook.people.get(logged_in(self.state, self.request), facebook.person)

    def page(self, template: str, status: int = 200, **values: object) -> Reply:
        """Return a page whose template also knows the person and the addresses."""
        known = {
            "site": self.site,
            "person": self.person,
            "at": self.state.addresses,
            "notice": self.query("notice"),
        }
        return page(template, status, (), **{**known, **self.found, **values})


def see_other(path: str, notice: str = "") -> Reply:
    """Redirect the browser after a form was saved (303), with a notice to show there."""
    return redirect(append_query(path, notice=notice) if notice else path, 303)


def answer_visit(state: SandboxState, request: WebRequest, router: Router, site: str) -> Reply:
    """Answer a request for one of the `router`'s pages; ask for the log-in first."""
    visit = Visit(state, request, site)
    path = request.path.rstrip("/").lower() or "/"
    if request.is_oversized:
        return _problem(visit, 413, "Too large", "The request is too large.")
    if path in {"/login", "/login.php"}:
        return _log_in(visit)
    if path == "/logout" and request.method == "POST":
        return redirect("/login", 303, log_out(state, request))
    try:
        return _open(visit, router)
    except MissingPageError as missing:
        return _problem(visit, 404, "This page isn't available", str(missing))


def _open(visit: Visit, router: Router) -> Reply:
    request = visit.request
    match = router.match("GET" if request.method == "HEAD" else request.method, request.path)
    if match is None:
        if router.knows(request.path):
            return _problem(visit, 405, "Not possible here", "Use the page's own buttons.")
        raise MissingPageError(f"The sandbox has no page {request.path[:200]}.")
    if not logged_in(visit.state, request):
        return redirect(append_query("/login.php", next=request.path), 303)
    handler, blanks = match
    found = {
        name.removesuffix("_id"): find(visit, blanks.pop(name))
        for name, find in router.finders.items()
        if name in blanks
    }
    return handler(replace(visit, found=found), *found.values(), **blanks)


def _log_in(visit: Visit) -> Reply:
    request, state = visit.request, visit.state
    target = request.params.get("next", "/")
    # It stays on this site, else leads to its first page.
    if not target.startswith("/") or target.startswith(("//", "/\\")):
        target = "/"
    is_wrong = False
    if request.method == "POST":
        form = request.form
        _, headers = log_in(state, form.get("email", ""), form.get("password", ""))
        if headers:
            reply = redirect(target, 303)
            return replace(reply, headers=(*reply.headers, *headers))
        is_wrong = True
    return log_in_page(state, "/login", {"next": target}, is_wrong=is_wrong)


def _problem(visit: Visit, status: int, title: str, message: str) -> Reply:
    return visit.page("message.html", status, title=title, message=message, back="/")
