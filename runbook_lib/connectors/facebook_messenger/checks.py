"""
What a machine can see of Messenger: the page's subscription, the scopes, the Verify Token.

Everything else is checked as for any connector of Facebook.
"""

from __future__ import annotations

from urllib.parse import urlencode

from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.connector import sign_in_request
from runbook_lib.connectors.findings import failed, inconclusive, not_done, verified
from runbook_lib.core.credential_form import is_facebook_token
from runbook_lib.core.procedure import Finding
from runbook_lib.plain_text import counted
from runbook_lib.remote.documents import shorten
from runbook_lib.remote.domain import fetch_page

__all__ = ["page_is_subscribed", "scopes_are_asked_for", "webhook_takes_verify_token"]

_OK, _FORBIDDEN = 200, 403


def page_is_subscribed(context: CheckContext) -> Finding:
    """
    Look for the app among those that the page is subscribed to.

    (Graph: Page, subscribed_apps.) It is read with the page's own token, which
    Facebook gives to a person who has a task on the page; it is not kept.

    NOTE: the page's node would need pages_read_engagement, which Messenger does not.
    """
    graph, token = context.user_graph(), context.secrets["user_access_token"]
    page_id, app_id = context.text("page_id"), context.text("app_id")
    pages = graph.rows("me/accounts", token, fields="id,name,access_token", limit="100")
    page = next((each for each in pages if each.identifier("id") == page_id), None)
    if page is None:
        return inconclusive(
            reason=f"Facebook does not list page {page_id} among the {counted(len(pages), 'page')} "
            "that the token's person manages and chose at consent.",
        )
    name = f"{shorten(page.words('name')) or 'page'} ({page_id})"
    if "access_token" not in page:
        return inconclusive(
            reason=f"Facebook shows the subscriptions of {name} only to a person who has a task "
            "on it, and the token's person has none.",
        )
    page_token = context.session.take_token(
        page["access_token"], endpoint="Graph /me/accounts", is_token=is_facebook_token
    )
    apps = graph.rows(f"{page_id}/subscribed_apps", page_token)
    mine = next((app for app in apps if app.identifier("id") == app_id), None)
    if mine is None:
        return failed(
            reason=f"{name} is not subscribed to app {app_id}; Facebook lists "
            f"{counted(len(apps), 'other app')}. Add the page under Messenger > Settings > "
            "Access Tokens.",
        )
    fields = ", ".join(mine.texts("subscribed_fields")) or "no field"
    return verified(
        reason=f"{name} is subscribed to app {app_id} ({fields}).",
        limits=("Which fields Cyclr's connector needs: it is documented nowhere.",),
    )


def scopes_are_asked_for(context: CheckContext) -> Finding:
    """Compare the scope that Cyclr asks Facebook for with *Scopes*; the order does not count."""
    request = sign_in_request(context)
    if isinstance(request, Finding):
        return request
    asked = set(request.get("scope", "").replace(",", " ").split())
    wanted = set(context.text("scopes").split(","))
    if asked == wanted:
        return verified(
            reason=f"At sign-in Cyclr asks for {', '.join(sorted(asked))}, as Scopes says.",
        )
    said = []
    if wanted - asked:
        said.append(f"does not ask for {', '.join(sorted(wanted - asked))}")
    if asked - wanted:
        said.append(f"asks for {shorten(', '.join(sorted(asked - wanted)))} as well")
    return failed(
        reason=f"At sign-in Cyclr {' and '.join(said)}. Correct Scopes in the connector's Setup.",
    )


def webhook_takes_verify_token(context: CheckContext) -> Finding:
    """
    Ask the webhook to confirm a challenge, as Facebook does (Webhooks: Verification Requests).

    It must return the challenge for the Verify Token, and must not for a
    made-up one: that control shows that the token counts.
    """
    answer = _challenge(context, context.secrets["verify_token"].reveal())
    if answer == _FORBIDDEN:
        # NOTE: before anybody entered it, that is no contradiction: `conclude` weighs it.
        return not_done(
            reason="Cyclr's webhook refuses this Verify Token. Enter the same one in the "
            "connector's Setup and in Facebook's webhook settings.",
        )
    if answer is not None:
        return inconclusive(
            reason=f"The webhook answers {answer} and does not return the challenge. Compare its "
            "address with the one in Facebook's webhook settings.",
        )
    if _challenge(context, context.random_hex(16)) is None:
        return inconclusive(
            reason="The webhook returns the challenge for a made-up Verify Token too, so its "
            "answer proves nothing.",
        )
    return verified(
        reason="Cyclr's webhook returns the challenge for this Verify Token, and not for a "
        "made-up one.",
        limits=("That this is the address that Facebook calls: no API shows it.",),
    )


def _challenge(context: CheckContext, verify_token: str) -> int | None:
    """Return `None` where the webhook returns a fresh challenge, else the status of its answer."""
    challenge = context.random_hex(8)
    query = urlencode(
        {
            "hub.mode": "subscribe",
            "hub.verify_token": verify_token,
            "hub.challenge": challenge,
        }
    )
    answer = fetch_page(context.session, f"{context.text('webhook_url')}?{query}")
    is_confirmed = answer.status == _OK and answer.text.strip() == challenge
    return None if is_confirmed else answer.status
