"""
The connector in Cyclr: the console's Setup, the installed connector, its authentication.

Reading is always safe. Installing, and creating an account, change the partner's Cyclr: each needs
its parameter, and is announced in the journal first and in the finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from msgspec import structs

from runbook_lib.connectors.check_registry import CLIENT_ID, check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.controls import may_refuse_caller, refuses_made_up
from runbook_lib.connectors.cyclr.inputs import SCOPE_FACT
from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.findings import compared, failed, inconclusive, not_done, verified
from runbook_lib.connectors.proof import STATED, Listing, weigh_absence
from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.model import Finding
from runbook_lib.errors import CyclrAPIError, RemoteError
from runbook_lib.remote.cyclr import Cyclr, sign_in_url
from runbook_lib.remote.domain import AllowedRedirects, follow_to_sign_in, redirect_target
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.remote.json_fields import JSONObject
from runbook_lib.remote.quoting import shorten

# The inputs that every check of an account in Cyclr needs.
ACCOUNT = ("cyclr_client_id", "cyclr_client_secret", "account_api_id")

_NOTHING_LISTED = (
    "That the connector is not installed: Cyclr lists no connector at all for this account, which "
    "can also mean that these credentials may not see them."
)
_OK = 200
_DRAFT = "draft"
# The only status that was seen of a usable connector; others, such as Rejected, are undocumented.
_APPROVED = "approved"
_NO_CONSENT_SEEN = (
    "That a person consented in a browser: a token set through Cyclr's API looks the same."
)
# Client errors that ask to come again: they refuse nothing (RFC 9110 §15.5.9, RFC 8470, RFC 6585).
_COME_AGAIN = (408, 425, 429)


@check("connector-is-in-library", needs=ACCOUNT)
def connector_is_in_library(context: CheckContext) -> Finding:
    """Look the connector up by name; its id differs between Cyclr's instances."""
    connector = _in_library(context, context.cyclr())
    if isinstance(connector, Finding):
        return connector
    return verified(
        code="connector-in-library",
        reason=f"Cyclr's library has {context.text('cyclr_connector')!r} (id "
        f"{connector.number('Id')}, {shorten(connector.text('Status'))}).",
        accepts=("cyclr_client_id", "cyclr_connector"),
        tables=compared(("Connector", context.text("cyclr_connector"), connector.text("Name"))),
        limits=("That Setup holds a Client ID and Client Secret: no API shows it.",),
    )


@check(
    "console-holds-app-id",
    needs=(*ACCOUNT, CLIENT_ID, "service_domain", "cyclr_username"),
    side_effect="It uses up one sign-in link. If the user does not exist, Cyclr creates it.",
    allowed_by=("cyclr_username",),
    takes_vendor=True,
)
def console_holds_app_id(vendor: Vendor, context: CheckContext) -> Finding:
    """Compare Cyclr's real request to the vendor's sign-in page with client and redirect URI."""
    request = sign_in_request(vendor, context)
    return (
        request
        if isinstance(request, Finding)
        else _compare_sign_in_request(vendor, context, request)
    )


def sign_in_request(vendor: Vendor, context: CheckContext) -> Mapping[str, str] | Finding:
    """
    Follow Cyclr's sign-in link up to the vendor, and return the authorization request's fields.

    (RFC 6749 §4.1.1: none may come twice.) Return an inconclusive finding if the link does not lead
    there. Uses up one single-use token; sends no request to the vendor itself.
    """
    cyclr = context.cyclr()
    connector = installed_connector(context, cyclr)
    if connector is None:
        return inconclusive(
            code="connector-not-installed",
            reason="The Client ID can be read only through an installed connector. This account "
            "has none yet.",
        )
    token = cyclr.sign_in_token(context.text("account_api_id"), context.text("cyclr_username"))
    host = context.text("service_domain")
    number = connector.number("Id")
    link = sign_in_url(host, number, token, context.text("cyclr_console_url"))
    # A redirect may lead to every address of the systems in the settings.
    addresses = [context.text("cyclr_api_url"), context.text("cyclr_console_url")]
    addresses += [f"https://{host}", *vendor.hosts(context.values)]
    destinations = AllowedRedirects(addresses, context.names("redirect_hosts"))
    server = vendor.oauth(context.values)
    url, last = follow_to_sign_in(context.session, link, server, destinations)
    if not url:
        where = f" and leads to {redirect_target(last)}" if redirect_target(last) else ""
        return inconclusive(
            code="sign-in-link-ends-elsewhere",
            reason=f"Cyclr's sign-in link does not lead to {vendor.title}'s sign-in page; it ends "
            f"with {last.status}{where}. The connector's Setup may be empty.",
        )
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name, least in (("client_id", 1), ("redirect_uri", 1), ("scope", 0)):
        if not least <= names.count(name) <= 1:
            raise unexpected_response(
                "Cyclr's sign-in link",
                f"its address at {vendor.title} has {name} {names.count(name)} times",
            )
    return dict(pairs)


@check(
    "connector-is-installed",
    needs=("cyclr_client_id", "cyclr_client_secret"),
    side_effect="It does only what you permit.",
    allowed_by=("install_connector", "create_test_account"),
    mutates=True,
)
def connector_is_installed(context: CheckContext) -> Finding:
    """
    Look for the connector in the account; install it if `install_connector` permits it.

    `create_test_account` makes an account first, if no setting names one.
    """
    changes: list[str] = []
    if not context.text("account_api_id"):
        if context.values.get("create_test_account") is not True:
            return not_done(
                code="account-not-named",
                reason="You named no Cyclr account. Enter its Account API ID, or tick “Create a "
                "test account”.",
            )
        name = f"Runbook test {context.text('service_domain')}"
        context.announce_change(f"Create Cyclr account {name!r}.")
        account = context.cyclr().create_account(name).text("Id")
        changes.append(f"Created Cyclr account {name!r}: {shorten(account)}.")
        context = replace(context, values={**context.values, "account_api_id": account})
    try:
        finding = _find_or_install(context, changes)
    except RemoteError as error:
        if not changes:
            raise
        # The finding must name the changes, or the next run makes them again.
        finding = inconclusive(code=error.code, reason=str(error))
    facts = {"account_api_id": context.text("account_api_id")}
    return structs.replace(finding, changes=tuple(changes), facts=facts)


@check("connector-is-authenticated", needs=ACCOUNT, takes_vendor=True)
def connector_is_authenticated(vendor: Vendor, context: CheckContext) -> Finding:
    """Ask Cyclr whether the installed connector is authenticated."""
    cyclr = context.cyclr()
    connector = installed_connector(context, cyclr)
    if connector is None:
        return not_installed(cyclr, "The connector is not installed yet.")
    number = connector.number("Id")
    if not connector.boolean("Authenticated"):
        return not_done(
            code="connector-not-authenticated",
            reason=f"Installed, but nobody has signed in with {vendor.title} and consented yet.",
        )
    return _doubt_about_account(context, number) or verified(
        code="connector-authenticated",
        reason=f"Cyclr says that account connector {number} is authenticated.",
        limits=(_NO_CONSENT_SEEN,),
    )


@check("error-webhook-is-set", needs=ACCOUNT)
def error_webhook_is_set(context: CheckContext) -> Finding:
    """
    Ask Cyclr whether this account posts its failed transactions (Cyclr: Transaction Errors).

    The API shows only the account's own fields. It does not show the console's setting, which an
    account without its own follows. The address is not read, since it may hold a key: Cyclr enables
    no webhook without one.
    """
    account = context.text("account_api_id")
    shown = context.cyclr().account(account)
    shown.expect("Id", account)
    field = "TransactionErrorWebhookEnabled"
    if shown.get(field) is None or not shown.boolean(field):
        return inconclusive(
            code="error-webhook-not-set",
            reason=f"Account {account} itself is not set to post failed transactions. The console "
            "may post them for all accounts, but no API shows that setting: check Settings > "
            "General Settings, then confirm it.",
        )
    return verified(
        code="error-webhook-set",
        reason=f"Account {account} is set to post its failed transactions.",
        accepts=("account_api_id",),
        limits=(
            "That Cyclr posts the failed transactions of other accounts: no API shows it for all.",
            "That the Notification Webhook posts paused cycles: no API shows it.",
            "That somebody reads what Cyclr posts.",
        ),
    )


def is_refusal(status: int) -> bool:
    """Return whether Cyclr refused the request, and will refuse it again."""
    return 400 <= status < 500 and status not in _COME_AGAIN


def _in_library(context: CheckContext, cyclr: Cyclr) -> JSONObject | Finding:
    """
    Return the library's approved connector with the lowest id; others do not count.

    Only the search together with the whole library proves its absence. An empty search, or one
    whose query was ignored, shows nothing by itself.
    """
    name = context.text("cyclr_connector")
    rows = cyclr.find_connectors(name)
    if not rows:
        library = cyclr.library()
        gap = "" if library else "it is empty"
        search = Listing(source="The search", present=())
        whole = Listing(source="Cyclr's library", present=library, gap=gap)
        return failed(
            weigh_absence([name], search, whole).proof,
            code="connector-not-in-library",
            reason=f"Cyclr's library has no connector called {name!r} for this account. "
            "Compare the name, or ask Cyclr's support to release the connector to your console.",
        )
    usable = [row for row in rows if row.display_text("Status").strip().lower() == _APPROVED]
    if usable:
        return min(usable, key=lambda row: row.number("Id"))
    for row in rows:
        status = row.display_text("Status").strip()
        if status.lower() != _DRAFT:
            return inconclusive(
                code="connector-status-unknown",
                reason=f"Cyclr's library has {name!r} with the status {status or '(none)'}, so "
                "nothing shows that it can be installed. Ask Cyclr's support whether it is "
                "released to your console.",
            )
    return failed(
        STATED,
        code="connector-is-draft",
        reason=f"Cyclr's library has {name!r} (id {rows[0].number('Id')}) as a draft only, "
        "which cannot be installed. Ask Cyclr's support to release the connector to your "
        "console.",
    )


def installed_connector(context: CheckContext, cyclr: Cyclr) -> JSONObject | None:
    """Return the account's connector: an authenticated one first, then the oldest."""
    name = context.text("cyclr_connector")
    rows = [
        row
        for row in cyclr.account_connectors()
        if row.get("Connector", row) is not None and row.object_at("Connector").text("Name") == name
    ]
    if not rows:
        return None
    return min(rows, key=lambda row: (row.get("Authenticated") is not True, row.number("Id")))


def not_installed(cyclr: Cyclr, reason: str) -> Finding:
    """
    Return the finding that the account lacks the connector.

    It contradicts an attestation only if Cyclr lists other connectors of the account.
    """
    limits = () if cyclr.account_connectors() else (_NOTHING_LISTED,)
    return not_done(code="connector-not-installed", reason=reason, limits=limits)


def _find_or_install(context: CheckContext, changes: list[str]) -> Finding:
    cyclr = context.cyclr()
    connector = installed_connector(context, cyclr)
    if connector is None and context.values.get("install_connector") is not True:
        return not_installed(
            cyclr,
            "The connector is not installed in this account. Install it, or tick “Install the "
            "connector”.",
        )
    listed = _in_library(context, cyclr)
    if isinstance(listed, Finding):
        return listed if connector is None else inconclusive(code=listed.code, reason=listed.reason)
    identifier = listed.number("Id")
    if connector is None:
        connector = _install_connector(context, cyclr, identifier, changes)
    number = connector.number("Id")
    installed = connector.object_at("Connector").number("Id")
    if installed != identifier:
        return inconclusive(
            code="other-library-connector",
            reason=f"Account connector {number} belongs to library connector {installed}, not to "
            f"{identifier}, which the earlier steps are about. Compare the two in the Cyclr "
            "console.",
        )
    doubt = _doubt_about_account(context, number)
    if doubt is not None:
        return doubt
    name = connector.display_text("Name") or context.text("cyclr_connector")
    return verified(
        code="connector-installed",
        reason=f"Installed as {name!r} (account connector {number}).",
        accepts=("account_api_id",),
    )


def _install_connector(
    context: CheckContext, cyclr: Cyclr, identifier: int, changes: list[str]
) -> JSONObject:
    name = context.text("cyclr_connector")
    account = context.text("account_api_id")
    context.announce_change(f"Install {name} in Cyclr account {account}.")
    connector = cyclr.install(identifier, name)
    changes.append(
        f"Installed {name} in Cyclr account {account}: {shorten(str(connector.get('Id')))}."
    )
    connector.object_at("Connector").expect("Name", name)
    return connector


def _doubt_about_account(context: CheckContext, number: int) -> Finding | None:
    """
    Return the doubt that an account connector belongs to this account; `None` without a doubt.

    A row does not name its account, so two made-up accounts are the control. No page documents
    Cyclr's response for an unknown account: both must get the same refusal, or both a list without
    this connector. If the refusal may be of the token, this account is read once more with it.
    """
    account = context.text("account_api_id")
    advice = f"Check the connectors of account {account} in the Cyclr console."
    statuses_seen = []
    for label in ("account", "other account"):
        # NOTE: it has the form of Cyclr's account ids; another form may be refused for itself.
        made_up = str(UUID(hex=context.made_up(label, 16), version=4))
        try:
            rows = context.cyclr(made_up).account_connectors()
        except CyclrAPIError as error:
            if not refuses_made_up(error.status):
                raise
            statuses_seen.append(error.status)
            continue
        statuses_seen.append(_OK)
        if number in [row.number("Id") for row in rows]:
            return inconclusive(
                code="made-up-account-answered",
                reason=f"Cyclr lists account connector {number} for a made-up account too, so "
                f"nothing shows that it is in account {account}. {advice}",
            )
    if len(set(statuses_seen)) > 1:
        answers = " and ".join(map(str, statuses_seen))
        return inconclusive(
            code="made-up-accounts-differ",
            reason=f"Cyclr answers differently ({answers}) for two made-up accounts, so nothing "
            f"shows that account connector {number} is in account {account}. {advice}",
        )
    if not may_refuse_caller(statuses_seen[0]):
        return None
    try:
        context.cyclr(once_more=True).account_connectors()
    except CyclrAPIError as error:
        return inconclusive(
            code="account-refused-after-control",
            reason=f"Cyclr refuses two made-up accounts ({statuses_seen[0]}), and after that does "
            f"not answer for account {account} either ({error.status}: {error}), so nothing shows "
            f"that account connector {number} is in it. The token may have expired: check again.",
        )
    return None


def _compare_sign_in_request(
    vendor: Vendor, context: CheckContext, sent: Mapping[str, str]
) -> Finding:
    """Compare Cyclr's request to the sign-in page with the client ID and the redirect URI."""
    client_id = context.text(vendor.client_id.name)
    uri = redirect_uri(context.text("service_domain"))
    tables = compared(
        ("Client ID", client_id, sent["client_id"] or "(none)"),
        ("Redirect URI", uri, sent["redirect_uri"] or "(none)"),
    )
    if sent["client_id"] != client_id:
        return failed(
            STATED,
            code="client-id-differs",
            reason=f"Cyclr signs users in with Client ID {shorten(sent['client_id']) or '(none)'}, "
            f"not with {vendor.client_id.label} {client_id}. Correct it in Connector Library > "
            "Setup.",
            tables=tables,
        )
    if sent["redirect_uri"] != uri:
        return failed(
            STATED,
            code="redirect-uri-differs",
            reason=f"Cyclr sends users back to {shorten(sent['redirect_uri'])}, but the app "
            f"registers {uri}. Register the one that Cyclr sends.",
            tables=tables,
        )
    scope = sent.get("scope", "").replace(",", " ").split()
    return verified(
        code="console-holds-app-id",
        reason=f"Cyclr signs users in with Client ID {client_id}, sends them back to {uri} and "
        f"asks for {shorten(', '.join(scope)) or 'no scope'}.",
        warnings=vendor.scope_warnings(context, scope),
        tables=tables,
        facts={SCOPE_FACT: tuple(scope)} if scope else {},
    )
