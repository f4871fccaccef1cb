"""
Pages, lead forms and leads (graph §7).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.fields import Field
from facebook_cyclr_sandbox.graph.graph_call import GraphCall, parse_list
from facebook_cyclr_sandbox.graph.graph_errors import GraphError
from facebook_cyclr_sandbox.graph.nodes import Edge, NodeType, attribute_getters
from facebook_cyclr_sandbox.state.facebook_state import Lead, LeadForm, Page, TokenKind

_ENGAGEMENT = ("pages_read_engagement",)


def format_graph_time(moment: float) -> str:
    """Write a time as Graph does in nodes."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def _get_page(call: GraphCall, page_id: str) -> Page:
    return call.state.facebook.pages[page_id]


def _require_page_token(call: GraphCall, page: Page) -> None:
    if call.caller.kind is not TokenKind.PAGE or call.caller.profile_id != page.id:
        raise GraphError(graph_errors.PAGE_TOKEN_NEEDED)


# --- leads -----------------------------------------------------------------------------------
def _require_lead_access(call: GraphCall, page_id: str) -> None:
    page = _get_page(call, page_id)
    if call.caller.kind is TokenKind.PAGE:
        _require_page_token(call, page)
    call.require("leads_retrieval")
    call.count_page(page, error=graph_errors.LEADGEN_LIMIT)


def _check_lead_access(call: GraphCall, lead: Lead) -> None:
    _require_lead_access(call, call.state.facebook.forms[lead.form_id].page_id)


def _ad_id(call: GraphCall, lead: Lead, _field: Field) -> str | None:
    return lead.ad_id if lead.ad_id and "ads_management" in call.scopes else None


def _delete_lead(call: GraphCall, lead: Lead) -> dict[str, object]:
    _check_lead_access(call, lead)
    if not lead.is_test:
        raise GraphError(graph_errors.UNSUPPORTED_DELETE, id=lead.id)
    call.state.facebook.forms[lead.form_id].leads.remove(lead)
    return {"success": True}


# The other fields of facebook-business 26 (adobjects/lead.py).
_OTHER_LEAD_FIELDS = (
    "adset_id adset_name campaign_name custom_disclaimer_responses home_listing partner_name post "
    "post_submission_check_result retailer_item_id vehicle"
)

LEAD = NodeType(
    "UserLeadGenInfo",
    {
        **attribute_getters("id", "form_id"),
        "created_time": lambda _call, lead, _field: format_graph_time(lead.created_on),
        "ad_id": _ad_id,
        "ad_name": lambda call, lead, field: _ad_id(call, lead, field) and "Sandbox ad",
        # All ads belong to the first campaign.
        "campaign_id": lambda call, lead, field: (
            _ad_id(call, lead, field)
            and next(chain(*(a.campaigns for a in call.state.facebook.ad_accounts.values())), None)
        ),
        "field_data": lambda _call, lead, _field: [
            {"name": name, "values": [value]} for name, value in lead.answers.items()
        ],
        "is_organic": lambda _call, lead, _field: not lead.ad_id,
        "platform": lambda _call, lead, _field: None if lead.is_test else "fb",
    },
    ("created_time", "id", "ad_id", "form_id", "field_data"),
    other_fields=frozenset(_OTHER_LEAD_FIELDS.split()),
    delete=_delete_lead,
    check_access=_check_lead_access,
    permissions=("leads_retrieval",),
)


# --- forms -----------------------------------------------------------------------------------
def _leads(call: GraphCall, form: LeadForm) -> list[Lead]:
    """Return the form's leads (graph §7)."""
    _require_lead_access(call, form.page_id)
    return sorted(form.leads, key=lambda lead: -lead.created_on)


def _test_leads(call: GraphCall, form: LeadForm) -> list[Lead]:
    """Return the form's test lead (graph §7)."""
    _require_page_token(call, _get_page(call, form.page_id))
    return [lead for lead in _leads(call, form) if lead.is_test]


def _create_test_lead(call: GraphCall, form: LeadForm) -> dict[str, object]:
    """Create the form's test lead (graph §7)."""
    _require_page_token(call, _get_page(call, form.page_id))
    _require_lead_access(call, form.page_id)
    if any(lead.is_test for lead in form.leads):
        raise GraphError(graph_errors.TEST_LEAD_EXISTS)
    answers = {name: f"<test lead: dummy data for {name}>" for name in form.questions}
    lead = Lead(
        call.state.random_source.digits(16), form.id, "", call.state.now(), answers, is_test=True
    )
    form.leads.append(lead)
    return {"id": lead.id}


def _check_form_access(call: GraphCall, form: LeadForm) -> None:
    page = _get_page(call, form.page_id)
    if call.caller.kind is TokenKind.PAGE:
        _require_page_token(call, page)
    call.require("pages_manage_ads")
    call.count_page(page)


FORM = NodeType(
    "LeadgenForm",
    {
        **attribute_getters("id", "locale", "name", "page_id", "status"),
        "created_time": lambda _call, form, _field: format_graph_time(form.created_on),
        "leads_count": lambda _call, form, _field: len(form.leads),
        "page": lambda call, form, _field: {
            "name": _get_page(call, form.page_id).name,
            "id": form.page_id,
        },
        "questions": lambda _call, form, _field: [
            {"key": key, "type": kind} for key, kind in form.questions.items()
        ],
    },
    ("id", "locale", "name", "status"),
    {
        "leads": Edge(list_items=_leads, node_type=LEAD, permissions=LEAD.permissions),
        "test_leads": Edge(
            list_items=_test_leads,
            node_type=LEAD,
            post=_create_test_lead,
            permissions=LEAD.permissions,
        ),
    },
    check_access=_check_form_access,
    permissions=("pages_manage_ads",),
)


# --- pages -----------------------------------------------------------------------------------
def _forms(call: GraphCall, page: Page) -> Sequence[LeadForm]:
    """Return the page's lead forms (graph §7)."""
    _require_page_token(call, page)
    call.require("pages_manage_ads", "pages_read_engagement")
    call.count_page(page)
    return page.forms


def _require_webhook_access(call: GraphCall, page: Page) -> None:
    _require_page_token(call, page)
    call.require("pages_manage_metadata")
    call.count_page(page)


def _subscribed_apps(call: GraphCall, page: Page) -> list[dict[str, object]]:
    """Return the apps that receive the page's events (graph §7)."""
    _require_webhook_access(call, page)
    apps = call.state.facebook.apps
    return [
        {
            "category": apps[app_id].category,
            "link": f"https://www.facebook.com/games/?app_id={app_id}",
            "name": apps[app_id].name,
            "id": app_id,
            "subscribed_fields": list(fields),
        }
        for app_id, fields in page.webhook_subscriptions.items()
        if app_id in apps
    ]


def _subscribe(call: GraphCall, page: Page) -> dict[str, object]:
    """Subscribe the app to the page's events (graph §7)."""
    _require_webhook_access(call, page)
    text = call.params.get("subscribed_fields", "")
    if not text:
        raise GraphError(graph_errors.MISSING_PARAMETER, name="subscribed_fields")
    page.webhook_subscriptions[call.caller.app_id] = parse_list(text, "subscribed_fields")[:50]
    return {"success": True}


def _unsubscribe(call: GraphCall, page: Page) -> dict[str, object]:
    """Unsubscribe the app from the page's events (graph §7)."""
    call.require_app_token(call.caller.app_id)
    page.webhook_subscriptions.pop(call.caller.app_id, None)
    return {"success": True}


def _access_token(call: GraphCall, page: Page, _field: Field) -> str | None:
    if call.caller.kind is TokenKind.PAGE:
        return call.caller.value if call.caller.profile_id == page.id else None
    is_listed = len(call.path) > 1
    if "pages_show_list" not in call.scopes or (is_listed and page.is_listed_without_token):
        return None
    return call.state.issue_page_token(call.caller, page.id).value


def _has_lead_access(call: GraphCall, page: Page, field: Field) -> dict[str, object]:
    call.require("leads_retrieval")
    user_id = field.arguments.get("user_id") or call.caller.user_id
    may = user_id in call.state.facebook.users
    return {
        "app_has_leads_permission": "leads_retrieval" in call.scopes,
        "can_access_lead": may,
        "enabled_lead_access_manager": True,
        "failure_reason": "" if may else "The person has no role on this Page.",
        "failure_resolution": "" if may else "Give the person a role on this Page.",
        "is_page_admin": may and "MANAGE" in page.tasks,
        "page_id": page.id,
        "user_has_leads_permission": may,
        "user_id": user_id,
    }


def _check_page_access(call: GraphCall, page: Page) -> None:
    is_own = call.caller.kind is TokenKind.PAGE and call.caller.profile_id == page.id
    if not is_own and "pages_read_engagement" not in call.scopes:
        raise GraphError(graph_errors.PAGE_NOT_PUBLIC)
    call.require_tech_provider(_ENGAGEMENT)
    call.count_page(page)


def _posts(call: GraphCall, page: Page) -> Sequence[object]:
    """Return no posts (graph §7)."""
    _check_page_access(call, page)
    return ()


def _conversations(call: GraphCall, page: Page) -> Sequence[object]:
    """Return no conversations (graph §7)."""
    _require_page_token(call, page)
    call.require("pages_messaging")
    call.count_page(page)
    return ()


PAGE = NodeType(
    "Page",
    {
        **attribute_getters("category", "id", "name"),
        "access_token": _access_token,
        "category_list": lambda _call, page, _field: [
            {"id": page.category_id, "name": page.category}
        ],
        "tasks": lambda call, page, _field: (
            None if call.caller.kind is TokenKind.PAGE else list(page.tasks)
        ),
        "link": lambda _call, page, _field: f"https://www.facebook.com/{page.id}",
        "is_published": lambda _call, _page, _field: True,
        "has_lead_access": _has_lead_access,
        "leadgen_tos_accepted": lambda _call, page, _field: page.are_terms_accepted,
    },
    ("name", "id"),
    {
        "leadgen_forms": Edge(
            list_items=_forms, node_type=FORM, permissions=("pages_manage_ads", "leads_retrieval")
        ),
        "subscribed_apps": Edge(
            list_items=_subscribed_apps,
            post=_subscribe,
            delete=_unsubscribe,
            permissions=("pages_manage_metadata",),
        ),
        "posts": Edge(list_items=_posts, permissions=_ENGAGEMENT),
        "feed": Edge(list_items=_posts, permissions=_ENGAGEMENT),
        "conversations": Edge(list_items=_conversations, permissions=("pages_messaging",)),
    },
    check_access=_check_page_access,
    permissions=_ENGAGEMENT,
)
