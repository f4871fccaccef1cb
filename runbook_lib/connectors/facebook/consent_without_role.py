"""
A person without a role on the app: only such a person gets the customers' dialog.
"""

from __future__ import annotations

from msgspec import structs

from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.facebook.graph import next_cursor
from runbook_lib.connectors.facebook.graph_clients import (
    ROLE_READS,
    USER,
    app_node,
    app_token,
    user_graph,
    wanted_permissions,
)
from runbook_lib.connectors.facebook.graph_errors import GraphAPIError
from runbook_lib.connectors.facebook.page_listing import pages_of
from runbook_lib.connectors.facebook.permissions import (
    ASK_AGAIN,
    GRANTED,
    REISSUE,
    compared_permissions,
    granted_to,
)
from runbook_lib.connectors.facebook.refusal_table import ACCESS_VERIFICATION_MISSING, is_refused
from runbook_lib.connectors.facebook.tokens import (
    SYSTEM_USER,
    carried_permissions,
    inspect_token,
    listed_scopes,
)
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import REFUSED, STATED, weigh_absence
from runbook_lib.core.model import Finding
from runbook_lib.errors import RemoteError
from runbook_lib.remote.http_messages import unexpected_response
from runbook_lib.text import pluralize

_MOST_PAGES = 50
# The title of the step that takes the token of a person with a role.
OTHER_STEP = "Inspect a user's token of this app"


@check("customer-consents-without-role", needs=(*USER, "customer_access_token"))
def customer_consents_without_role(context: CheckContext) -> Finding:
    """
    Compare the person behind the customer's token with everybody who has a role on the app.

    The list of roles counts only if it names the person whose token made the
    test calls, since the form of Facebook's answer is documented nowhere.
    """
    token = context.secrets["customer_access_token"]
    customer, contradiction = inspect_token(context, token)
    if contradiction:
        return contradiction
    tester, contradiction = inspect_token(context, context.secrets["user_access_token"])
    if contradiction:
        return inconclusive(
            code=contradiction.code,
            reason=f"The token of the person with a role: {contradiction.reason}",
        )
    if tester.get("type") == SYSTEM_USER:
        return inconclusive(
            code="tester-is-system-user",
            reason=f"The token of the step “{OTHER_STEP}” is a system user's. The list of roles "
            "names people only, so it cannot show here that the customer has no role. Give that "
            "step a person's token, or look at the app's roles yourself and confirm this step.",
        )
    doubt = _doubt_about_role(context, customer.identifier("user_id"), tester.identifier("user_id"))
    if doubt is not None:
        return doubt
    wanted = carried_permissions(context, customer)
    scopes = listed_scopes(customer)
    tables = compared_permissions(wanted, GRANTED, dict.fromkeys(scopes.present, GRANTED))
    if not all(map(scopes.lists, wanted)):
        _, granted = granted_to(user_graph(context), token)
        absence = weigh_absence(wanted, scopes, granted, advice=REISSUE)
        return failed(
            absence.proof,
            code="customer-token-lacks-permission",
            reason=f"This person's token lacks {', '.join(absence.names)}. Without a role on the "
            "app, people can grant only what App Review has approved. If it approved these, sign "
            f"in again and grant everything. {ASK_AGAIN}",
            tables=tables,
        )
    return structs.replace(_with_data(context), tables=tables)


def _doubt_about_role(context: CheckContext, customer: str, with_role: str) -> Finding | None:
    """Return the finding that `customer` may have a role; `None` if the list shows no role."""
    if customer == with_role:
        return _same_person(context, customer)
    roles = _read_roles(context)
    if customer in roles:
        return failed(
            STATED,
            code="customer-has-role",
            reason=f"This person has a role on the app ({roles[customer] or 'unnamed'}). Sign in "
            "as somebody without one.",
        )
    if with_role not in roles:
        return inconclusive(
            code="roles-list-incomplete",
            reason=f"Facebook's list of {pluralize(len(roles), 'role')} does not name the person "
            "whose token made the test calls, so it proves nothing about this person.",
        )
    return None


def _same_person(context: CheckContext, person: str) -> Finding:
    """Return the failed finding that both tokens belong to `person`, if `/me` confirms it."""
    token = context.secrets["customer_access_token"]
    owner = user_graph(context).get("me", token, fields="id").identifier("id")
    if owner != person:
        return inconclusive(
            code="sources-disagree",
            reason=f"debug_token says that this token belongs to the person {person}, /me says "
            f"{owner}. So nothing shows whose token it is. Check again.",
        )
    return failed(
        STATED,
        code="same-person-twice",
        reason=f"Both tokens belong to the same person. {_wrong_token(context, person)}",
    )


def _wrong_token(context: CheckContext, person: str) -> str:
    """Return advice: the step with the wrong token, as far as the roles show it."""
    try:
        roles = _read_roles(context)
    except RemoteError:
        roles = {}
    if person in roles:
        return (
            f"The token of this step is the wrong one: this person has a role on the app "
            f"({roles[person] or 'unnamed'}). Sign in here as somebody without one."
        )
    if roles:
        return (
            f"The token of the step “{OTHER_STEP}” is the wrong one: this person has no role on "
            "the app. Give it the token of a person with a role."
        )
    return "Sign in here as somebody without a role."


def _with_data(context: CheckContext) -> Finding:
    """Read a page of this person's, as the connector will; inconclusive without a page."""
    # NOTE: a token reaches the business data of others only once the app is a verified Tech
    # Provider.
    try:
        pages = pages_of(context, "customer_access_token")
    except GraphAPIError as error:
        if not is_refused(error, ACCESS_VERIFICATION_MISSING):
            raise
        return failed(
            REFUSED,
            code=ACCESS_VERIFICATION_MISSING.code,
            reason=f"This person consented, but Facebook refuses the data ({error}): check Access "
            "Verification, as a Tech Provider.",
        )
    if not pages.rows:
        return inconclusive(
            code="customer-without-page",
            reason=pages.noted(
                "This person consented, but Facebook lists no page of this person, so nothing "
                f"shows that the app reads a customer's data. {_describe_declined(context)} Check "
                "that the person has a page, granted pages_show_list and chose the page at "
                "sign-in, and that the app has Access Verification, as a Tech Provider; then "
                "check again."
            ),
        )
    return verified(
        code="customer-data-read",
        reason=pages.noted(
            "A person without a role on the app granted "
            f"{', '.join(wanted_permissions(context))}, and the app reads that person's pages."
        ),
    )


def _describe_declined(context: CheckContext) -> str:
    """Return a sentence about the permissions that the customer did not grant."""
    token = context.secrets["customer_access_token"]
    try:
        grants, _ = granted_to(user_graph(context), token)
    except RemoteError as error:
        return f"The declined permissions could not be read ({error})."
    declined = [f"{name} ({status})" for name, status in grants.items() if status != GRANTED]
    if "pages_show_list" not in grants:
        declined.append("pages_show_list (not listed)")
    if not declined:
        return "The person declined nothing."
    return f"Not granted: {', '.join(declined)}. {ASK_AGAIN}"


def _read_roles(context: CheckContext) -> dict[str, str]:
    """
    Return the role of each person, from all pages of the app's `roles`.

    Raises `UnexpectedResponseError` if there is no end to the pages.
    """
    app_id = context.text("app_id")
    token = app_token(context)
    cursor = ""
    node, graph = app_node(context, "roles")
    role_of: dict[str, str] = {}
    for page in range(_MOST_PAGES):
        if page:
            fields = f"id,roles.limit(100).after({cursor})"
            node = graph.get(app_id, token, reads=ROLE_READS, fields=fields)
            node.expect("id", app_id)
        roles = node.object_at("roles")
        for row in roles.objects_at("data"):
            role_of[row.identifier("user")] = row.display_text("role")
        following = next_cursor(roles)
        if following is None:
            return role_of
        if not following:
            break
        cursor = following
    raise unexpected_response("Facebook (/roles)", "its pages have no end")
