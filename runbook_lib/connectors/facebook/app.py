"""
The app on Facebook: its credentials, its name, its settings, its redirect URI.

`review` checks App Review; `user_token` checks a user's token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.facebook.graph import (
    GRAPH_CALENDAR,
    MARKETING_CALENDAR,
    version_ends,
    version_warnings,
)
from runbook_lib.connectors.facebook.graph_clients import (
    APP,
    app_node,
    app_token,
    authorization_server,
    refused_inputs,
    request_app_token,
    wanted_permissions,
)
from runbook_lib.connectors.facebook.graph_errors import (
    PAIR_REFUSED,
    GraphTokenError,
    RefusedAppError,
)
from runbook_lib.connectors.facebook.refusal_table import (
    APP_DEACTIVATED,
    OLD_REDIRECT_REFUSED,
    REDIRECT_REFUSED,
    SECRET_REFUSED,
    is_refused,
)
from runbook_lib.connectors.findings import compared, failed, inconclusive, verified
from runbook_lib.connectors.proof import REFUSED, STATED
from runbook_lib.core.model import Finding
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import RemoteError
from runbook_lib.remote.oauth import request_token_by_code
from runbook_lib.remote.quoting import shorten
from runbook_lib.remote.registrable_domains import parent_domain

_DUMMY_CODE = "runbook-probe"

_BAD_CODE = "invalid verification code format"
_ENTER_ADDRESS = "Enter it under Valid OAuth Redirect URIs and press Save Changes."
_ENTER_DOMAIN = (
    "Enter {} under App Domains in Settings > Basic, and the whole address under Valid OAuth "
    "Redirect URIs. Press Save Changes on both pages."
)
_DESKTOP_APP = "configured as a desktop app"
_CODE_REFUSED = 100
# "Please make sure your redirect_uri is identical to the one you used": the code belongs to another
# redirect URI. Facebook compares that only after it has accepted this one.
_OTHER_URI = 36008

_SECTIONS: Mapping[str, str] = {
    "privacy_policy_url": "Privacy Policy URL",
    "terms_of_service_url": "Terms of Service URL",
    "category": "Category",
    "icon_url": "App Icon",
    "contact_email": "Contact Email",
}
_PATH_UNPROVEN = (
    "That this address, with its path, is in the list of Valid OAuth Redirect URIs: only its host "
    "is proven. Strict Mode compares every character at sign-in. To test the address before that, "
    "use the Redirect URI Validator in Facebook Login > Settings, which reads the saved list."
)
# Every English sentence of Facebook's has one of these words.
_ENGLISH = frozenset(
    ("the", "is", "are", "not", "of", "to", "this", "has", "been", "invalid", "validating")
)
# Facebook's responses about a redirect URI.
_ACCEPTED = "accepted"
_REFUSED = "refused"
_NOT_REFUSED = "not refused"
_WHICH_IS_WRONG = (
    "Which of the two is wrong: Facebook gives a made-up secret the same response. Look at the App "
    "ID first."
)
_OTHER_HOST = "a host that is not registered"
_LONGEST_NAME = 100
# Permissions for calls that the Marketing API serves.
_MARKETING = frozenset({"ads_management", "ads_read", "leads_retrieval", "pages_manage_ads"})


@check("app-credentials-are-accepted", needs=APP)
def app_credentials_are_accepted(context: CheckContext) -> Finding:
    """
    Have Facebook issue an app token for the App ID and App Secret.

    The token names the app; a made-up secret, which must be refused, shows
    that the secret counts. A refusal counts against the pair only if the table of refusals
    has it. Code 101 does not discriminate, so the made-up secret is tried there too: the same
    answer to both proves nothing.
    """
    refusal = _refusal_of_pair(context)
    if refusal is None:
        return _compare_with_control(context)
    if is_refused(refusal, SECRET_REFUSED):
        return _conclude_refused_secret(refusal)
    if is_refused(refusal, APP_DEACTIVATED):
        return failed(
            REFUSED,
            code=APP_DEACTIVATED.code,
            reason=f"Facebook has deactivated the app ({refusal}): it refuses all of its calls, "
            "and nobody can sign in. Complete the required actions in the app's dashboard.",
        )
    if _DESKTOP_APP in str(refusal).lower():
        return _conclude_other_refusal(refusal)
    control = _control_refusal(context)
    is_like_control = control is not None and (control.error_code, str(control)) == (
        refusal.error_code,
        str(refusal),
    )
    if is_like_control and not refused_inputs(refusal):
        return inconclusive(
            code="refusal-unknown",
            reason=f"Facebook gives the same response to this App Secret and to a made-up one "
            f"({refusal}, code {refusal.error_code}), so it says nothing about yours. Check again.",
        )
    if is_like_control:
        return inconclusive(
            code="app-id-not-recognised",
            refuses=refused_inputs(refusal),
            reason=PAIR_REFUSED,
            limits=(_WHICH_IS_WRONG,),
            quotes=(refusal.in_own_words,),
        )
    return inconclusive(
        code="refusal-unknown",
        reason=f"Facebook refused the App ID and App Secret with a response that names neither "
        f"({refusal}, code {refusal.error_code}).{_note_other_language(refusal)} Run again.",
    )


@check("app-is-registered", needs=APP)
def app_is_registered(context: CheckContext) -> Finding:
    """
    Read the app's node: it is there only once the app was created.

    A refused secret fails the step: nobody can be sure that the App ID is the new app's.
    """
    try:
        node, _ = app_node(context, "name")
    except RefusedAppError as error:
        if not is_refused(error.refusal, SECRET_REFUSED):
            raise
        return _conclude_refused_secret(error.refusal)
    app_id = context.text("app_id")
    name = shorten(node.text("name"))
    return verified(
        code="app-exists",
        reason=f"The app exists: {name} ({app_id}).",
        tables=compared(("App ID", app_id, node.identifier("id"))),
        accepts=("app_id",),
        facts={"app_name": name},
        limits=("Who created the app, and that Facebook asked for the password: no API shows it.",),
    )


@check("app-name-matches", needs=(*APP, "app_display_name"))
def app_name_matches(context: CheckContext) -> Finding:
    """Compare the app's name with the App Display Name that the operator chose."""
    chosen = context.text("app_display_name")
    name = app_node(context, "name")[0].text("name")
    tables = compared(("App Display Name", chosen, name))
    if name != chosen:
        return failed(
            STATED,
            code="app-name-differs",
            reason=f"The app is called {name[:_LONGEST_NAME]!r}, not {chosen!r}; users see this "
            "name at consent.",
            accepts=("app_id",),
            tables=tables,
        )
    return verified(
        code="app-name-matches",
        reason=f"The app is called {name!r}.",
        tables=tables,
        accepts=("app_id", "app_display_name"),
        facts={"app_name": shorten(name)},
        limits=("That the app type is Business and the App Purpose is Clients: no API shows it.",),
    )


@check("missing-sections-are-filled", needs=APP)
def missing_sections_are_filled(context: CheckContext) -> Finding:
    """
    Read the sections of Settings > Basic that the API shows.

    A field that is not returned may be unset or hidden, so a gap is inconclusive, never a failure.
    Warns if App Domains lacks the service domain, if contact and support addresses are missing, and
    if the Graph version nears its end or was replaced. If the connector makes marketing calls, also
    warns about their version.
    """
    node, graph = app_node(context, *_SECTIONS)
    gaps = [label for field, label in _SECTIONS.items() if not node.display_text(field)]
    warnings = []
    host = context.text("service_domain")
    domains = [domain.lower() for domain in node.strings_or_none("app_domains") or ()]
    if host and not any(host == domain or host.endswith(f".{domain}") for domain in domains):
        warnings.append(
            f"App Domains in Settings > Basic does not list {host}; add it, or sign-in may fail."
        )
    is_marketing = not _MARKETING.isdisjoint(wanted_permissions(context))
    calendars = (GRAPH_CALENDAR, MARKETING_CALENDAR) if is_marketing else (GRAPH_CALENDAR,)
    warnings += version_warnings(graph, context.now.date(), *calendars)
    version = ("Graph API version", graph.version, graph.served_version)
    tables = compared(version) if graph.served_version else ()
    limits = ("That a data deletion address is filled in: no API shows it.",)
    facts = version_ends(graph.version, *calendars)
    if gaps:
        return inconclusive(
            code="app-sections-not-shown",
            reason=f"Facebook returns no {', '.join(gaps)}: fill in what is empty in Settings > "
            "Basic, or attest that it is filled in.",
            warnings=tuple(warnings),
            tables=tables,
            limits=limits,
            facts=facts,
        )
    return verified(
        code="app-sections-filled",
        reason=f"Filled in: {', '.join(_SECTIONS.values())}.",
        warnings=tuple(warnings),
        tables=tables,
        limits=limits,
        facts=facts,
    )


@check("redirect-uri-is-accepted", needs=(*APP, "service_domain"))
def redirect_uri_is_accepted(context: CheckContext) -> Finding:
    """
    Send a made-up code with the redirect URI, and with others that nobody registered.

    The token endpoint checks client, secret, redirect URI and code in this order: a complaint about
    the code means that the redirect URI passed. The first control differs in its host alone and
    shows that hosts are compared. The second, a sibling of the host, must be refused too: if App
    Domains let in every host of a domain, the address itself is not proven. The third differs in
    its path alone and only sets the limit.

    NOTE: Facebook gets the names of made-up hosts; nobody contacts them.
    """
    host = context.text("service_domain")
    uri = redirect_uri(host)
    domain = parent_domain(host)
    app_token(context)
    answer = _redeem_made_up_code(context, uri)
    if _is_redirect_refused(answer):
        # Facebook's error names the field App Domains, so the advice does, too.
        is_about_domains = "domains" in str(answer).lower()
        advice = _ENTER_DOMAIN.format(host) if is_about_domains else _ENTER_ADDRESS
        return failed(
            REFUSED,
            code=REDIRECT_REFUSED.code,
            reason=f"Facebook does not accept {uri} ({answer}). {advice}",
            tables=compared((uri, _ACCEPTED, _REFUSED)),
        )
    if not _is_code_refused(answer):
        return _conclude_other_refusal(answer)
    control = _redeem_made_up_code(context, redirect_uri(f"{context.random_hex(8)}.example.com"))
    tried = (f"host of {uri}", _ACCEPTED, _ACCEPTED)
    if not _is_redirect_refused(control):
        return inconclusive(
            code="unregistered-host-not-refused",
            reason="Facebook did not refuse an unregistered host either "
            f"({control}, code {control.error_code}), so its response about yours proves nothing.",
            tables=compared(tried, (_OTHER_HOST, _REFUSED, _NOT_REFUSED)),
        )
    sibling = _redeem_made_up_code(context, redirect_uri(f"{context.random_hex(8)}.{domain}"))
    if not _is_redirect_refused(sibling):
        return _conclude_any_host(uri, domain, sibling)
    refused = (_OTHER_HOST, _REFUSED, _REFUSED)
    if _is_path_compared(context, host):
        return verified(
            code="redirect-uri-accepted",
            reason=f"Facebook accepts {uri}. It refuses another path on that host and "
            f"unregistered hosts, also under {domain}.",
            tables=compared(
                (f"host and path of {uri}", _ACCEPTED, _ACCEPTED),
                refused,
                (f"another path on {host}", _REFUSED, _REFUSED),
            ),
        )
    return verified(
        code="redirect-uri-host-accepted",
        reason=f"Facebook accepts the host of {uri} and refuses unregistered hosts, also under "
        f"{domain}.",
        limits=(_PATH_UNPROVEN,),
        tables=compared(tried, refused),
    )


def _conclude_other_refusal(refusal: GraphTokenError) -> Finding:
    """Return the finding about a refusal that does not name the tested part."""
    answer = f"({refusal}, code {refusal.error_code})."
    if _DESKTOP_APP in str(refusal).lower():
        return inconclusive(
            code="desktop-app",
            reason=f"Facebook refuses every exchange of a code, so nobody can sign in {answer} "
            "Switch Native or desktop app? off in Settings > Advanced, then check again.",
        )
    return inconclusive(
        code="refusal-unknown",
        reason=f"Facebook gave an unexpected response {answer}{_note_other_language(refusal)}",
    )


def _note_other_language(refusal: GraphTokenError) -> str:
    """Return a sentence that a refusal may not be in English; empty if it is."""
    words = set(re.findall(r"[a-z]+", str(refusal).lower()))
    if words & _ENGLISH:
        return ""
    return (
        " Only its text tells what Facebook refused, and the text may be in another language: "
        "`runbook explain` knows some translations."
    )


def _conclude_any_host(uri: str, domain: str, sibling: GraphTokenError) -> Finding:
    """Return the finding that Facebook does not refuse a made-up host of `domain`."""
    if _is_code_refused(sibling):
        doubt = f"Facebook accepts any host under {domain}, so App Domains may let this one in"
    else:
        doubt = (
            f"Facebook neither accepts nor refuses a made-up host under {domain} ({sibling}, code "
            f"{sibling.error_code}), so App Domains may let this one in"
        )
    return inconclusive(
        code="any-host-of-domain-accepted",
        reason=f"{doubt}: nothing shows that {uri} is registered. Check that Valid OAuth Redirect "
        "URIs in Facebook Login > Settings lists it, character by character.",
    )


def _conclude_refused_secret(refusal: GraphTokenError) -> Finding:
    """Return the finding that Facebook knows the App ID and refuses the App Secret."""
    return failed(
        REFUSED,
        code=SECRET_REFUSED.code,
        refuses=refused_inputs(refusal),
        reason=PAIR_REFUSED,
        quotes=(refusal.in_own_words,),
    )


def _refusal_of_pair(context: CheckContext) -> GraphTokenError | None:
    """Return Facebook's refusal of the pair; `None` if it issues a token."""
    try:
        request_app_token(context, context.secrets["app_secret"])
    except GraphTokenError as error:
        return error
    return None


def _control_refusal(context: CheckContext) -> GraphTokenError | None:
    """Return Facebook's refusal of a made-up secret; `None` if it issues a token."""
    try:
        request_app_token(context, Secret(context.random_hex(16)))
    except GraphTokenError as error:
        return error
    return None


def _compare_with_control(context: CheckContext) -> Finding:
    app_id = context.text("app_id")
    control = _control_refusal(context)
    if control is None or not is_refused(control, SECRET_REFUSED):
        answer = f"{control}, code {control.error_code}" if control else "it issued a token"
        return inconclusive(
            code="made-up-secret-not-refused",
            reason=f"Facebook issued an app token for App ID {app_id}, but did not refuse a "
            f"made-up App Secret as wrong ({answer}), so nothing shows that the secret counts."
            f"{_note_other_language(control) if control else ''} Run again.",
        )
    return verified(
        code="app-credentials-accepted",
        reason=f"Facebook issued an app token for App ID {app_id} and refused a made-up secret.",
        accepts=("app_id", "app_secret"),
    )


def _redeem_made_up_code(context: CheckContext, uri: str) -> GraphTokenError:
    """Return the refusal of a made-up code; a token for it would be a fault of the endpoint."""
    try:
        request_token_by_code(
            context.session,
            authorization_server(context.values),
            client_id=context.text("app_id"),
            client_secret=context.secrets["app_secret"],
            redirect_uri=uri,
            code=_DUMMY_CODE,
        )
    except GraphTokenError as error:
        return error
    return GraphTokenError("a token was issued for a made-up code", status=200)


def _is_path_compared(context: CheckContext, host: str) -> bool:
    try:
        return _is_redirect_refused(
            _redeem_made_up_code(context, f"https://{host}/{context.random_hex(8)}")
        )
    except RemoteError:
        # This control only sets the limit, and is in the record: the host's control has decided.
        return False


def _is_redirect_refused(error: GraphTokenError) -> bool:
    """Return whether an address was refused for its host or its path, not for its form."""
    return is_refused(error, REDIRECT_REFUSED, OLD_REDIRECT_REFUSED)


def _is_code_refused(error: GraphTokenError) -> bool:
    """
    Return whether the made-up code was refused, so that the address before it was accepted.

    For code 100 a subcode decides, or the known text.
    """
    is_named = error.error_subcode == _OTHER_URI or _BAD_CODE in str(error).lower()
    return error.error_code == _CODE_REFUSED and is_named and 400 <= error.status < 500
