"""
What a machine can see of Messenger: the page's subscription, the scopes, the Verify Token.

Everything else is checked as for any connector of Facebook.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from runbook_lib.connectors.checks import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.cyclr.connector import ACCOUNT, sign_in_request
from runbook_lib.connectors.facebook.access import USER, user_graph
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.facebook.pages import pages_of
from runbook_lib.connectors.findings import compared, failed, inconclusive, verified
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.plain_text import counted
from runbook_lib.remote.documents import shorten
from runbook_lib.remote.domain import fetch_page

_OK, _FORBIDDEN = 200, 403
# In place of a status: the webhook returned the challenge.
_CONFIRMED = 0
_REFUSAL_UNKNOWN = (
    "That Cyclr refuses a wrong Verify Token the way the webhook refused made-up ones: no "
    "reference says so."
)
_FIELDS_UNKNOWN = (
    "That the subscription has every field that Cyclr's connector needs: no documentation lists "
    "them."
)


@check("page-is-subscribed", needs=(*USER, "page_id"))
def page_is_subscribed(context: CheckContext) -> Finding:
    """
    Look for the app among those that the page is subscribed to.

    (Graph: Page, subscribed_apps.) It is read with the page's own token, which
    Facebook gives to a person who has a task on the page; it is not kept.

    NOTE: the page's node would need pages_read_engagement, which Messenger does not.
    """
    graph = user_graph(context)
    page_id, app_id = context.text("page_id"), context.text("app_id")
    pages = pages_of(context, page_id=page_id)
    page = next((row for row in pages.rows if row.identifier("id") == page_id), None)
    if page is None:
        return inconclusive(
            reason=pages.noted(
                f"Facebook does not list page {page_id} among the "
                f"{counted(len(pages.rows), 'page')} that the token's person manages and chose at "
                "consent."
            ),
        )
    name = f"{shorten(page.words('name')) or 'page'} ({page_id})"
    if "access_token" not in page:
        return inconclusive(
            reason=f"Facebook shows the subscriptions of {name} only to a person who has a task "
            "on it, and the token's person has none.",
        )
    page_token = pages.take_token(context, page)
    apps = graph.rows(f"{page_id}/subscribed_apps", page_token, reads=("subscribed_fields",))
    mine = next((app for app in apps if app.identifier("id") == app_id), None)
    if mine is None:
        return failed(
            reason=pages.noted(
                f"{name} is not subscribed to app {app_id}; Facebook lists "
                f"{counted(len(apps), 'other app')}. Add the page under Messenger > Settings > "
                "Access Tokens."
            ),
            tables=compared((name, "subscribed", "not subscribed")),
        )
    fields = ", ".join(mine.texts("subscribed_fields"))
    if not fields:
        return inconclusive(
            reason=pages.noted(
                f"{name} is subscribed to app {app_id}, but Facebook lists no field of the "
                "subscription, so nothing shows that Facebook passes messages on. Check the "
                "page's fields under Messenger > Settings > Webhooks."
            ),
        )
    return verified(
        reason=pages.noted(f"{name} is subscribed to app {app_id} ({fields})."),
        accepts=("page_id",),
        limits=(_FIELDS_UNKNOWN,),
        tables=compared((name, "subscribed", "subscribed")),
    )


@check(
    "scopes-are-asked-for",
    needs=(*ACCOUNT, "app_id", "scopes", "service_domain", "cyclr_username"),
)
def scopes_are_asked_for(context: CheckContext) -> Finding:
    """Compare the scope that Cyclr asks Facebook for with *Scopes*; the order does not count."""
    request = sign_in_request(FACEBOOK, context)
    if isinstance(request, Finding):
        return request
    app_id = context.text("app_id")
    if request["client_id"] != app_id:
        return inconclusive(
            reason="Cyclr signs users in with Client ID "
            f"{shorten(request['client_id']) or '(none)'}, not with App ID {app_id}, so its scopes "
            "are not this app's. Correct the Client ID in the connector's Setup first.",
        )
    requested = set(request.get("scope", "").replace(",", " ").split())
    wanted = set(context.text("scopes").split(","))
    tables = compared(("Scopes", ", ".join(sorted(wanted)), ", ".join(sorted(requested))))
    if requested == wanted:
        return verified(
            reason=f"At sign-in Cyclr asks for {', '.join(sorted(requested))}, as Scopes says.",
            tables=tables,
        )
    problems = []
    if wanted - requested:
        problems.append(f"does not ask for {', '.join(sorted(wanted - requested))}")
    if requested - wanted:
        problems.append(f"asks for {shorten(', '.join(sorted(requested - wanted)))} as well")
    return failed(
        reason=f"At sign-in Cyclr {' and '.join(problems)}. Correct Scopes in the connector's "
        "Setup.",
        tables=tables,
    )


@check("webhook-takes-verify-token", needs=("verify_token", "webhook_url"))
def webhook_takes_verify_token(context: CheckContext) -> Finding:
    """
    Ask the webhook to confirm a challenge, as Facebook does (Webhooks: Verification Requests).

    It must return the challenge for the Verify Token. Two made-up ones, which
    get the same refusal, show that the token counts: no reference says how
    Cyclr refuses one. After a refusal that may be of everybody, the Verify Token is tried
    once more.
    """
    verify_token = context.secrets["verify_token"].reveal()
    challenge = context.random_hex(8)
    answer = again = _challenge(context, verify_token, challenge)
    is_known = answer in (_CONFIRMED, _FORBIDDEN)
    made_up = [
        _challenge(context, context.random_hex(16), context.random_hex(8))
        for _ in range(2)
        if is_known
    ]
    if answer == _CONFIRMED and may_refuse_caller(made_up[0]):
        afresh = replace(context, session=context.session.branch(once_more=True))
        again = _challenge(afresh, verify_token, challenge)
    outcome, reason = _judge_webhook(answer, made_up, again)
    return Finding(
        outcome=outcome,
        reason=reason,
        accepts=("verify_token",) if outcome is Outcome.VERIFIED else (),
        limits=(_REFUSAL_UNKNOWN, "That Facebook calls this webhook: no API shows it."),
    )


def _judge_webhook(answer: int, made_up: list[int], again: int) -> tuple[Outcome, str]:
    """Return what the answers show: to the Verify Token, to made-up ones, and to it once more."""
    address = "Compare its address with the one in Facebook's webhook settings."
    if not made_up:
        reason = f"The webhook answers {answer} and does not return the challenge. {address}"
        return Outcome.INCONCLUSIVE, reason
    if _CONFIRMED in made_up:
        return Outcome.INCONCLUSIVE, (
            "The webhook returns the challenge for a made-up Verify Token too, so its answer "
            "proves nothing."
        )
    refusal, other = made_up
    if refusal != other or not refuses_made_up(refusal):
        return Outcome.INCONCLUSIVE, (
            f"The webhook answers {refusal} and {other} for two made-up Verify Tokens, not the "
            "same refusal for both, so nothing shows that the token counts. Check again later."
        )
    if answer == again == _CONFIRMED:
        return Outcome.VERIFIED, (
            "Cyclr's webhook returns the challenge for this Verify Token, and refuses two made-up "
            f"ones ({refusal})."
        )
    if answer == refusal:
        # NOTE: before anybody entered it, that is not a contradiction: `conclude` weighs it.
        return Outcome.NOT_RUN, (
            "Cyclr's webhook refuses this Verify Token just like made-up ones "
            f"({refusal}). Enter the same one in the connector's Setup and in Facebook's webhook "
            "settings."
        )
    reason = (
        f"The webhook answers {answer} for this Verify Token and {refusal} for made-up ones, and "
        f"returns the challenge for none. {address}"
    )
    if answer == _CONFIRMED:
        reason = (
            f"The webhook refuses made-up Verify Tokens ({refusal}), and after that this one too "
            f"({again}), so nothing shows that the token counts. Check again later."
        )
    return Outcome.INCONCLUSIVE, reason


def _challenge(context: CheckContext, verify_token: str, challenge: str) -> int:
    """Return `_CONFIRMED` where the webhook returns the challenge, else its answer's status."""
    query = urlencode(
        {
            "hub.mode": "subscribe",
            "hub.verify_token": verify_token,
            "hub.challenge": challenge,
        }
    )
    answer = fetch_page(context.session, f"{context.text('webhook_url')}?{query}")
    is_confirmed = answer.status == _OK and answer.text.strip() == challenge
    return _CONFIRMED if is_confirmed else answer.status
