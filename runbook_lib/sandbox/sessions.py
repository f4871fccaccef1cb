"""
Who is logged in to the sandbox's Facebook: its one invented person, or nobody.
"""

import hmac

from runbook_lib.sandbox.http.web import Headers, Request
from runbook_lib.sandbox.state.world import World

__all__ = ["is_password", "log_in", "log_out", "logged_in"]

_COOKIE = "sandbox_session"


def is_password(world: World, password: str) -> bool:
    """Tell whether `password` is the one person's."""
    return hmac.compare_digest(world.facebook.person.password.encode(), password.encode())


def log_in(world: World, email: str, password: str) -> Headers:
    """Return the headers that log the browser in; none when e-mail or password is wrong."""
    person = world.facebook.person
    if email.strip().lower() != person.email or not is_password(world, password):
        return ()
    session = world.dice.base64url(32)
    world.facebook.sessions.put(session, person.id)
    return (("Set-Cookie", f"{_COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"),)


def logged_in(world: World, request: Request) -> str:
    """Return the ID of the person who is logged in, or an empty text."""
    return world.facebook.sessions.get(request.cookie(_COOKIE)) or ""


def log_out(world: World, request: Request) -> Headers:
    """End the session, and return the headers that make the browser forget it."""
    world.facebook.sessions.pop(request.cookie(_COOKIE))
    return (("Set-Cookie", f"{_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),)
