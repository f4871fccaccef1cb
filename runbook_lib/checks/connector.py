"""
The connector in Cyclr: what the console holds, what is installed, what is authenticated.

Reading is always safe. Installing, and creating an account, change the
partner's Cyclr: each happens only where its parameter says so, is announced
in the journal first, and stands in the finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from runbook_lib.checks.context import CheckContext
from runbook_lib.checks.service_domain import redirect_uri
from runbook_lib.errors import CyclrAPIError
from runbook_lib.procedure import Finding, Outcome
from runbook_lib.remote.cyclr import Cyclr, sign_in_url
from runbook_lib.remote.domain import follow_to_host

__all__ = [
    "connector_is_authenticated",
    "connector_is_in_library",
    "connector_is_installed",
    "console_holds_app_id",
    "permissions_are_seen_through_cyclr",
]

_LIST_PERMISSIONS = "List My Permissions"
_FORBIDDEN = 403


def connector_is_in_library(context: CheckContext) -> Finding:
    """Look the connector up by name; its id differs between Cyclr's instances."""
    name = context.text("connector_name")
    found = context.cyclr().find_connectors(name)
    if not found:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Cyclr's library has no connector called {name!r} for this account.",
        )
    connector = found[0]
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Cyclr's library has {name!r} (id {connector.get('Id')}, "
        f"{connector.get('Status')}).",
        limits=("Whether Setup holds a Client ID and Client Secret: no API shows it.",),
    )


def console_holds_app_id(context: CheckContext) -> Finding:
    """
    Follow Cyclr's sign-in link up to Facebook, and read there what Cyclr really sends.

    Uses up one single-use token; Facebook itself is not asked.
    """
    cyclr = context.cyclr()
    connector = _installed(context, cyclr)
    if connector is None:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason="The Client ID can be read only through an installed connector; there is none "
            "in this account yet.",
        )
    token = cyclr.sign_in_token(context.text("account_api_id"), context.text("cyclr_username"))
    host = context.text("service_domain")
    link = sign_in_url(host, int(connector["Id"]), token, context.text("cyclr_console_url"))
    dialog_host = urlsplit(context.text("dialog_url")).netloc
    url, last = follow_to_host(context.session, link, dialog_host)
    if not url:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"Cyclr's sign-in link does not lead to Facebook; it ends with {last.status}. "
            "The connector's Setup may be empty.",
        )
    return _compare(context, dict(parse_qsl(urlsplit(url).query)))


def connector_is_installed(context: CheckContext) -> Finding:
    """
    Look for the connector in the account; install it where `install_connector` says so.

    `create_test_account` makes an account first, where none is named.
    """
    changes: tuple[str, ...] = ()
    if not context.text("account_api_id"):
        if context.values.get("create_test_account") is not True:
            return Finding(
                outcome=Outcome.NOT_RUN,
                reason="No Cyclr account is named. Give account_api_id, or let "
                "create_test_account make one.",
            )
        context, change = _with_new_account(context)
        changes += (change,)
    cyclr = context.cyclr()
    connector = _installed(context, cyclr)
    if connector is None and context.values.get("install_connector") is True:
        connector, change = _install(context, cyclr)
        changes += (change,)
    facts = {"account_api_id": context.text("account_api_id")}
    if connector is None:
        return Finding(
            outcome=Outcome.NOT_RUN,
            reason="The connector is not installed in this account. Install it there, or let "
            "install_connector do it.",
            changes=changes,
            facts=facts,
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Installed as {connector.get('Name')!r} (account connector {connector['Id']}).",
        changes=changes,
        facts=facts,
    )


def connector_is_authenticated(context: CheckContext) -> Finding:
    """Ask Cyclr whether the installed connector is authenticated."""
    connector = _installed(context, context.cyclr())
    if connector is None:
        return Finding(outcome=Outcome.NOT_RUN, reason="The connector is not installed yet.")
    if connector.get("Authenticated") is not True:
        return Finding(
            outcome=Outcome.NOT_RUN,
            reason="Installed, but nobody has signed in with Facebook and consented yet.",
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Cyclr says that account connector {connector['Id']} is authenticated.",
        limits=(
            "That it was by consent in a browser: a token set through Cyclr's API looks the same.",
        ),
    )


def permissions_are_seen_through_cyclr(context: CheckContext) -> Finding:
    """
    Run the connector's own method and compare what Facebook grants it with what is wanted.

    Cyclr refuses methods from addresses it does not know: then nothing can
    be told from here.
    """
    cyclr = context.cyclr()
    connector = _installed(context, cyclr)
    if connector is None:
        return Finding(outcome=Outcome.NOT_RUN, reason="The connector is not installed yet.")
    methods = cyclr.methods(int(connector["Connector"]["Id"]))
    method = next((m for m in methods if m.get("Name") == _LIST_PERMISSIONS), None)
    if method is None:
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"The connector has no method called {_LIST_PERMISSIONS!r} here.",
        )
    try:
        answer = cyclr.run_method(int(connector["Id"]), str(method["MethodUniqueIdentifier"]))
    except CyclrAPIError as error:
        if error.status != _FORBIDDEN:
            raise
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"This cannot be tested from here: Cyclr does not know this address ({error}). "
            "Ask Cyclr to allow it, or run from one that it knows.",
        )
    return _compare_grants(context, answer)


def _installed(context: CheckContext, cyclr: Cyclr) -> dict[str, Any] | None:
    name = context.text("connector_name")
    rows = cyclr.account_connectors()
    return next((row for row in rows if (row.get("Connector") or {}).get("Name") == name), None)


def _install(context: CheckContext, cyclr: Cyclr) -> tuple[dict[str, Any], str]:
    name, account = context.text("connector_name"), context.text("account_api_id")
    found = cyclr.find_connectors(name)
    if not found:
        msg = f"Cyclr's library has no connector called {name!r}."
        raise CyclrAPIError(msg, status=404)
    context.announce_change(f"Install {name} in Cyclr account {account}.")
    connector = cyclr.install(int(found[0]["Id"]), name)
    return connector, f"Installed {name} in Cyclr account {account}: {connector.get('Id')}."


def _with_new_account(context: CheckContext) -> tuple[CheckContext, str]:
    name = f"Runbook test {context.text('service_domain')}"
    context.announce_change(f"Create Cyclr account {name!r}.")
    account = str(context.cyclr().create_account(name)["Id"])
    values = {**context.values, "account_api_id": account}
    return replace(context, values=values), f"Created Cyclr account {name!r}: {account}."


def _compare(context: CheckContext, sent: Mapping[str, str]) -> Finding:
    app_id, uri = context.text("app_id"), redirect_uri(context.text("service_domain"))
    if sent.get("client_id") != app_id:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Cyclr signs users in with Client ID {sent.get('client_id')}, not with App ID "
            f"{app_id}. Correct it in Connector Library > Setup.",
        )
    if sent.get("redirect_uri") != uri:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"Cyclr sends users back to {sent.get('redirect_uri')}, but step 8 registers "
            f"{uri}. Register the one that Cyclr sends.",
        )
    scope = ", ".join(sent.get("scope", "").replace(",", " ").split())
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Cyclr signs users in with Client ID {app_id}, sends them back to {uri} and asks "
        f"for {scope or 'no scope'}.",
        warnings=_scope_warnings(context, scope),
    )


def _scope_warnings(context: CheckContext, scope: str) -> tuple[str, ...]:
    asked = scope.split(", ")
    lacking = [name for name in context.names("permissions") if name not in asked]
    # NOTE: public_profile is granted whether it is asked for or not (Facebook Login: Permissions).
    lacking = [name for name in lacking if name != "public_profile"]
    if not lacking:
        return ()
    return (f"Cyclr does not ask users for {', '.join(lacking)}; see the connector's scopes.",)


def _compare_grants(context: CheckContext, answer: Any) -> Finding:
    rows = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        return Finding(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"{_LIST_PERMISSIONS} answered with something that is not a list.",
        )
    granted = {
        str(row.get("permission"))
        for row in rows
        if isinstance(row, dict) and row.get("status") == "granted"
    }
    lacking = [name for name in context.names("permissions") if name not in granted]
    if lacking:
        return Finding(
            outcome=Outcome.FAILED,
            reason=f"The connection lacks {', '.join(lacking)}: the person who signed in did not "
            "grant it, or Cyclr did not ask.",
        )
    return Finding(
        outcome=Outcome.VERIFIED,
        reason=f"Through Cyclr, Facebook grants {', '.join(context.names('permissions'))}.",
    )
