"""
The app on Facebook: its credentials, its name, its settings, its redirect URI.

App Review is asked in `review`; what a user's token can do in `connection`.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from runbook_lib.checks.context import CheckContext
from runbook_lib.checks.service_domain import redirect_uri
from runbook_lib.errors import TokenRequestError
from runbook_lib.procedure import Finding, Outcome
from runbook_lib.redaction import Secret
from runbook_lib.remote.graph import VERSION_ENDS, Graph
from runbook_lib.remote.oauth import request_token_by_client_credentials, request_token_by_code

__all__ = [
    "app_credentials_are_accepted",
    "app_is_registered",
    "app_name_matches",
    "missing_sections_are_filled",
    "redirect_uri_is_accepted",
]

# An address that no app can have registered (RFC 6761 §6.4 keeps `.invalid` unused).
CONTROL_REDIRECT_URI = "https://unregistered.invalid/connector/callback"
_DUMMY_CODE = "runbook-probe"

_BAD_SECRET = "error validating client secret"  # noqa: S105  (Facebook's words, not a secret)
_NO_SUCH_ID = ("invalid client id", "missing client_id")
_BAD_CODE = "invalid verification code format"
_REDIRECT_REFUSED = 191
_OLD_REDIRECT_REFUSED = "invalid redirect_uri"

_SECTIONS: Mapping[str, str] = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "category": "Category",
    "icon_url": "App Icon",
    "contact_email": "Contact Email",
}
_PATH_UNPROVEN = (
    "The exact path: this probe proves the domain. Strict Mode compares every character when a "
    "person signs in; the Redirect URI Validator in Facebook Login > Settings shows it beforehand."
)
_VERSION_ENDS_SOON = timedelta(days=90)


def app_credentials_are_accepted(context: CheckContext) -> Finding:
    """
    Have Facebook issue an app token for the App ID and App Secret.

    A refusal counts against the pair only where its message names the
    secret or the id. Code 101 does not discriminate, so a made-up secret
    is tried too: the same answer to both tells nothing.
    """
    refusal = _refusal(context, context.secrets["app_secret"])
    if refusal is None:
        return Finding(
            outcome=Outcome.VERIFIED,
            reason=f"Facebook issued an app token for App ID {context.text('app_id')}.",
        )
    message = str(refusal).lower()
    if _BAD_SECRET in message:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Facebook knows App ID {context.text('app_id')} but refuses this App Secret "
            f"({refusal}). Copy it again from Settings > Basic.",
        )
    if any(words in message for words in _NO_SUCH_ID):
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Facebook does not take {context.text('app_id')} as an App ID ({refusal}). "
            "Copy it again from Settings > Basic.",
        )
    control = _refusal(context, Secret(randomness.token_hex(16)))
    if control is not None and (control.code, str(control)) == (refusal.code, str(refusal)):
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook gives one answer to this App Secret and to a made-up one "
            f"({refusal}, code {refusal.code}): the App ID is unknown, blocked or not a Facebook "
            "app's, or Facebook has a fault. Compare the App ID with the one in Settings > Basic.",
        )
    return Finding(
        outcome=Outcome.INCONCLUSIVE,
        reason=f"Facebook refused the App ID and App Secret with an answer that names neither "
        f"({refusal}, code {refusal.code}). Run again.",
    )


def app_is_registered(context: CheckContext) -> Finding:
    """Read the app's node: it is there only once the app was created."""
    node = _application(context, "id,name,link")
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"The app exists: {node.get('name', 'no name')} ({node.get('id')}).",
        limits=("Who created it, and that the password was asked: no API shows it.",),
    )


def app_name_matches(context: CheckContext) -> Finding:
    """Compare the app's name with the App Display Name that was meant."""
    meant = context.text("app_display_name")
    name = str(_application(context, "id,name").get("name", ""))
    if name != meant:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"The app is called {name!r}, not {meant!r}; users see this name at consent.",
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"The app is called {name!r}.",
        limits=("App type Business and App Purpose Clients: no API shows them.",),
    )


def missing_sections_are_filled(context: CheckContext) -> Finding:
    """
    Read the sections of Settings > Basic that the API shows.

    A field that is not returned may be unset or hidden, so a gap is
    inconclusive, never a failure. Warns where App Domains lacks the service
    domain, where contact and support addresses are missing, and where the
    Graph version nears its end or was replaced.
    """
    graph = context.app_graph()
    fields = ",".join(["id", *_SECTIONS, "app_domains", "user_support_email"])
    node = graph.get(context.text("app_id"), context.app_token(), fields=fields)
    gaps = [label for field, label in _SECTIONS.items() if not node.get(field)]
    warnings = (*_domain_warnings(context, node), *_version_warnings(context, graph))
    limits = ("Data deletion address and business verification: no API shows them.",)
    if gaps:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook returns no {', '.join(gaps)}: fill in what is empty in "
            "Settings > Basic, or attest that it is filled in.",
            warnings=warnings,
            limits=limits,
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Filled in: {', '.join(_SECTIONS.values())}.",
        warnings=warnings,
        limits=limits,
    )


def redirect_uri_is_accepted(context: CheckContext) -> Finding:
    """
    Offer a made-up code with the redirect URI, and with one that nobody registered.

    The token endpoint looks at client, secret, redirect URI and code in this
    order: a complaint about the code means that the redirect URI passed. The
    control shows that the endpoint looks at it at all.
    """
    uri = redirect_uri(context.text("service_domain"))
    context.app_token()
    answer = _redeem(context, uri)
    if _is_redirect_refused(answer):
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Facebook does not accept {uri} ({answer}). Enter it under Valid OAuth "
            "Redirect URIs and press Save Changes.",
        )
    if _BAD_CODE not in str(answer).lower():
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook answered with something else ({answer}, code {answer.code}).",
        )
    control = _redeem(context, CONTROL_REDIRECT_URI)
    if not _is_redirect_refused(control):
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Facebook did not refuse an address that nobody registered either ({control}), "
            "so what it says of yours proves nothing.",
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Facebook accepts the domain of {uri} and refuses one that is not registered.",
        limits=(_PATH_UNPROVEN,),
    )


def _refusal(context: CheckContext, app_secret: Secret) -> TokenRequestError | None:
    """Return how Facebook refuses this secret, or `None` where it issues a token."""
    try:
        token = request_token_by_client_credentials(
            context.session,
            context.app_graph().token_endpoint,
            client_id=context.text("app_id"),
            client_secret=app_secret,
        )
    except TokenRequestError as error:
        return error
    context.tokens.get(context.app_token_name, lambda: token.value)
    return None


def _application(context: CheckContext, fields: str) -> dict[str, Any]:
    token = context.app_token()
    return context.app_graph().get(context.text("app_id"), token, fields=fields)


def _redeem(context: CheckContext, uri: str) -> TokenRequestError:
    """Return the refusal of a made-up code; a token for it would be a fault of the endpoint."""
    try:
        request_token_by_code(
            context.session,
            context.app_graph().token_endpoint,
            client_id=context.text("app_id"),
            client_secret=context.secrets["app_secret"],
            redirect_uri=uri,
            code=_DUMMY_CODE,
        )
    except TokenRequestError as error:
        return error
    return TokenRequestError("a token was issued for a made-up code", status=200, code=None)


def _is_redirect_refused(error: TokenRequestError) -> bool:
    return error.code == _REDIRECT_REFUSED or _OLD_REDIRECT_REFUSED in str(error).lower()


def _domain_warnings(context: CheckContext, node: Mapping[str, Any]) -> list[str]:
    host = context.text("service_domain")
    domains = [str(domain).lower() for domain in node.get("app_domains") or ()]
    if not host or any(host == domain or host.endswith(f".{domain}") for domain in domains):
        return []
    warning = f"App Domains in Settings > Basic does not list {host}; add it, or sign-in may fail."
    return [warning]


def _version_warnings(context: CheckContext, graph: Graph) -> list[str]:
    warnings = [graph.upgrade_warning] if graph.upgrade_warning else []
    if graph.served_version and graph.served_version != graph.version:
        warnings.append(
            f"Graph answered in {graph.served_version} instead of {graph.version}: that version "
            "has ended. Set graph_version to a current one."
        )
    end = VERSION_ENDS.get(graph.version)
    if end is not None and end - context.now.date() < _VERSION_ENDS_SOON:
        warnings.append(f"Graph {graph.version} is served until {end}; set graph_version anew.")
    return warnings
