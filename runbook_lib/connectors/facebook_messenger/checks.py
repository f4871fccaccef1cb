"""
The checks of Messenger alone: the page's subscription, the scopes, the Verify Token.

All its other checks are shared with Facebook's other connectors.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.cyclr.connector import ACCOUNT, sign_in_request
from runbook_lib.connectors.facebook.graph_clients import USER, user_graph
from runbook_lib.connectors.facebook.inputs import FACEBOOK
from runbook_lib.connectors.facebook.page_listing import pages_of
from runbook_lib.connectors.findings import compared, failed, inconclusive, not_done, verified
from runbook_lib.connectors.proof import STATED, Listing, weigh_absence
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.remote.domain import fetch_page
from runbook_lib.remote.quoting import shorten
from runbook_lib.text import pluralize

_OK = 200
_FORBIDDEN = 403
# Without this field of a subscription Facebook passes on no message (Messenger Platform: Webhooks).
_MESSAGES = "messages"
# Stands for a status: the webhook returned the challenge.
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
    Look for the app among the apps that the page is subscribed to.

    (Graph: Page, subscribed_apps.) The call uses the page's own token, which Facebook gives to a
    person who has a task on the page; it is not kept.

    NOTE: the page's node would need pages_read_engagement, which Messenger does not.
    """
    graph = user_graph(context)
    page_id = context.text("page_id")
    app_id = context.text("app_id")
    pages = pages_of(context, page_id=page_id)
    page = next((row for row in pages.rows if row.identifier("id") == page_id), None)
    if page is None:
        return inconclusive(
            code="page-not-listed",
            reason=pages.noted(
                f"Facebook does not list page {page_id} among the "
                f"{pluralize(len(pages.rows), 'page')} that the token's person manages "
                "and chose at consent."
            ),
        )
    name = f"{shorten(page.display_text('name')) or 'page'} ({page_id})"
    if "access_token" not in page:
        return inconclusive(
            code="page-without-token",
            reason=f"Facebook shows the subscriptions of {name} only to a person who has a task "
            "on it, and the token's person has none.",
        )
    page_token = pages.take_token(context, page)
    listed = graph.list_all(f"{page_id}/subscribed_apps", page_token, reads=("subscribed_fields",))
    apps = {app.identifier("id"): app for app in listed.rows}
    if not apps:
        return inconclusive(
            code="no-subscription-listed",
            reason=pages.noted(
                f"Facebook lists no app to which {name} is subscribed, so nothing shows whether it "
                f"is subscribed to app {app_id}. Run the cycle whose webhook step names this page: "
                "that subscribes it. Then check again."
            ),
        )
    gap = f"the list {listed.gap}" if listed.gap else ""
    absence = weigh_absence([app_id], Listing(source="subscribed_apps", present=apps, gap=gap))
    if absence.names:
        return failed(
            absence.proof,
            code="page-not-subscribed",
            reason=pages.noted(
                f"{name} is not subscribed to app {app_id}; Facebook lists "
                f"{pluralize(len(apps), 'other app')}. Add the page under Messenger > Settings > "
                "Access Tokens."
            ),
            tables=compared((name, "subscribed", "not subscribed")),
        )
    fields = apps[app_id].strings_or_none("subscribed_fields") or ()
    if _MESSAGES not in fields:
        shown = f"only {shorten(', '.join(fields))}" if fields else "no field"
        return inconclusive(
            code="messages-not-subscribed",
            reason=pages.noted(
                f"{name} is subscribed to app {app_id}, but Facebook lists {shown} of the "
                f"subscription, so nothing shows that Facebook passes messages on: {_MESSAGES} is "
                "needed. Check the page's fields under Messenger > Settings > Webhooks."
            ),
        )
    return verified(
        code="page-subscribed",
        reason=pages.noted(f"{name} is subscribed to app {app_id} ({', '.join(fields)})."),
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
            code="client-id-differs",
            reason="Cyclr signs users in with Client ID "
            f"{shorten(request['client_id']) or '(none)'}, not with App ID {app_id}, so its scopes "
            "are not this app's. Correct the Client ID in the connector's Setup first.",
        )
    if "scope" not in request:
        named = " It sends a config_id, which names them." if "config_id" in request else ""
        return inconclusive(
            code="scope-not-sent",
            reason=f"Cyclr's sign-in link names no scope, so nothing shows which permissions Cyclr "
            f"asks for.{named}",
        )
    requested = set(request["scope"].replace(",", " ").split())
    wanted = set(context.text("scopes").split(","))
    tables = compared(("Scopes", ", ".join(sorted(wanted)), ", ".join(sorted(requested))))
    if requested == wanted:
        return verified(
            code="scopes-asked-for",
            reason=f"At sign-in Cyclr asks for {', '.join(sorted(requested))}, as Scopes says.",
            tables=tables,
        )
    problems = []
    if wanted - requested:
        problems.append(f"does not ask for {', '.join(sorted(wanted - requested))}")
    if requested - wanted:
        problems.append(f"asks for {shorten(', '.join(sorted(requested - wanted)))} as well")
    return failed(
        STATED,
        code="scopes-differ",
        reason=f"At sign-in Cyclr {' and '.join(problems)}. Correct Scopes in the connector's "
        "Setup.",
        tables=tables,
    )


@check("webhook-takes-verify-token", needs=("verify_token", "webhook_url"))
def webhook_takes_verify_token(context: CheckContext) -> Finding:
    """
    Ask the webhook to confirm a challenge, as Facebook does (Webhooks: Verification Requests).

    It must return the challenge for the Verify Token. Two made-up tokens with the same refusal show
    that the token counts: no reference documents Cyclr's refusal. If the refusal may be of
    everybody, the Verify Token is tried once more. Its refusal contradicts an attestation only if a
    made-up page of the host gets a different answer.
    """
    verify_token = context.secrets["verify_token"].reveal()
    challenge = context.random_hex(8)
    answer = again = _send_challenge(context, verify_token, challenge)
    is_known = answer in (_CONFIRMED, _FORBIDDEN)
    made_up = [
        _send_challenge(context, context.random_hex(16), context.random_hex(8))
        for _ in range(2)
        if is_known
    ]
    if answer == _CONFIRMED and may_refuse_caller(made_up[0]):
        afresh = replace(context, session=context.session.branch(once_more=True))
        again = _send_challenge(afresh, verify_token, challenge)
    finding = _conclude_webhook(answer, made_up, again)
    if finding.outcome is Outcome.NOT_RUN and not _refuses_everybody(context, answer):
        return finding
    limits = (_REFUSAL_UNKNOWN, "That Facebook calls this webhook: no API shows it.")
    return structs.replace(finding, limits=limits)


def _refuses_everybody(context: CheckContext, refusal: int) -> bool:
    """Return whether the host responds to a made-up page as to the Verify Token."""
    address = urlsplit(context.text("webhook_url"))
    made_up = address._replace(path=f"{address.path}-{context.random_hex(8)}", query="").geturl()
    return fetch_page(context.session, made_up).status == refusal


def _conclude_webhook(answer: int, made_up: list[int], again: int) -> Finding:
    """Return the finding: responses to the Verify Token, to made-up ones, and to it once more."""
    address = "Compare its address with the one in Facebook's webhook settings."
    if not made_up:
        return inconclusive(
            code="webhook-not-confirmed",
            reason=f"The webhook answers {answer} and does not return the challenge. {address}",
        )
    if _CONFIRMED in made_up:
        return inconclusive(
            code="made-up-verify-token-accepted",
            reason="The webhook returns the challenge for a made-up Verify Token too, so its "
            "response proves nothing.",
        )
    refusal, other = made_up
    if refusal != other or not refuses_made_up(refusal):
        return inconclusive(
            code="made-up-verify-token-not-refused",
            reason=f"The webhook answers {refusal} and {other} for two made-up Verify Tokens, not "
            "the same refusal for both, so nothing shows that the token counts. Check again later.",
        )
    if answer == again == _CONFIRMED:
        return verified(
            code="verify-token-accepted",
            reason="Cyclr's webhook returns the challenge for this Verify Token, and refuses two "
            f"made-up ones ({refusal}).",
            accepts=("verify_token",),
        )
    if answer == refusal:
        return not_done(
            code="verify-token-refused",
            reason="Cyclr's webhook refuses this Verify Token just like made-up ones "
            f"({refusal}). Enter the same one in the connector's Setup and in Facebook's webhook "
            "settings.",
        )
    if answer == _CONFIRMED:
        return inconclusive(
            code="verify-token-answers-differ",
            reason=f"The webhook refuses made-up Verify Tokens ({refusal}), and after that this "
            f"one too ({again}), so nothing shows that the token counts. Check again later.",
        )
    return inconclusive(
        code="webhook-not-confirmed",
        reason=f"The webhook answers {answer} for this Verify Token and {refusal} for made-up "
        f"ones, and returns the challenge for none. {address}",
    )


def _send_challenge(context: CheckContext, verify_token: str, challenge: str) -> int:
    """Return `_CONFIRMED` if the webhook returns the challenge, else the status of its answer."""
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
