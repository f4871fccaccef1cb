"""
The log-in of the practice pages, which takes the two invented people.

Browsers share cookies between the ports of a host, so one log-in opens the dashboard and the
console alike.
"""

import hmac
from collections.abc import Mapping

from facebook_cyclr_sandbox.http.page_templates import render_page
from facebook_cyclr_sandbox.http.web_messages import Headers, WebRequest, WebResponse
from facebook_cyclr_sandbox.state.facebook_state import Person
from facebook_cyclr_sandbox.state.sandbox_state import SandboxState

_COOKIE = "sandbox_session"


def is_password(person: Person, password: str) -> bool:
    """Return whether `password` is the person's, in constant time."""
    return hmac.compare_digest(person.password.encode(), password.encode())


def log_in(state: SandboxState, email: str, password: str) -> tuple[str, Headers]:
    """Return the person's ID and the headers that log the browser in; neither if it is wrong."""
    wanted = email.strip().lower()
    person = next(
        (person for person in state.facebook.people.values() if person.email == wanted), None
    )
    if person is None or not is_password(person, password):
        return "", ()
    session = state.random_source.base64url(32)
    state.facebook.sessions.put(session, person.id)
    cookie = f"{_COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"
    return person.id, (("Set-Cookie", cookie),)


def render_log_in_page(
    state: SandboxState, action: str, hidden: Mapping[str, str], *, is_wrong: bool = False
) -> WebResponse:
    """Return the page that asks for one of the two people's credentials."""
    return render_page(
        "login.html",
        action=action,
        hidden=hidden,
        is_wrong=is_wrong,
        operator=state.facebook.operator,
        customer=state.facebook.customer,
    )


def get_logged_in_id(state: SandboxState, request: WebRequest) -> str:
    """Return the ID of the person who is logged in, or an empty string."""
    return state.facebook.sessions.get(request.cookies.get(_COOKIE, "")) or ""


def log_out(state: SandboxState, request: WebRequest) -> Headers:
    """End the session; return the headers that delete its cookie."""
    state.facebook.sessions.pop(request.cookies.get(_COOKIE, ""))
    return (("Set-Cookie", f"{_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),)
