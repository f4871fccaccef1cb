"""
What Meta's developer tools say about an app, made from the state of the world.

The real ones are calls of Meta's own MCP server, which admits named clients only. The names of
fields were recorded, no complete answer was; so each shape here is unknown. Recorded traps are
kept: see `_privilege`, `_can_submit` and `_requirement`.
"""

from collections.abc import Callable

from runbook_lib.sandbox.origins import unknown, verbatim
from runbook_lib.sandbox.state.facebook_world import (
    App,
    Business,
    Review,
    ReviewState,
    Verification,
)
from runbook_lib.sandbox.state.permissions import ALWAYS_GRANTED
from runbook_lib.sandbox.state.required_actions import required_actions
from runbook_lib.sandbox.state.review import SUBMISSION_IN_REVIEW, is_called_lately
from runbook_lib.sandbox.state.world import World

__all__ = ["VIEWS", "devtools_answer"]

_DAY = 86_400
_STATUSES = {
    ReviewState.NONE: "NO_SUBMISSION",
    ReviewState.DRAFT: "UNSUBMITTED",
    ReviewState.PENDING: "PENDING",
}
_SOURCE = "documentation/mcp/devtools-mcp, 2026-09-08; third-party readings, 2026"
verbatim("devtools", "the names of the fields, as far as they were recorded", _SOURCE)

View = Callable[[World, App], dict[str, object]]


# --- devtools_app ----------------------------------------------------------------------------
@unknown("devtools", "devtools_app basic_settings: the shape of the answer", _SOURCE)
def _basic_settings(_world: World, app: App) -> dict[str, object]:
    return {
        "app_id": app.id,
        "app_name": app.name,
        "app_status": "live_mode" if app.is_published else "dev_mode",
        "is_live": app.is_published,
        "base_domains": list(app.app_domains),
        "category": app.category or None,
        "icon": app.profile.get("icon_url"),
        "privacy_policy_url": app.profile.get("privacy_policy_url"),
        "terms_of_service_url": app.profile.get("terms_of_service_url"),
        "data_deletion_url": app.unexposed.get("data_deletion_url"),
        "contact_email": app.contact_email or None,
        "contact_email_verified": bool(app.contact_email),
        "support_url": app.profile.get("user_support_url"),
    }


@unknown("devtools", "devtools_app advanced_settings: the shape of the answer", _SOURCE)
@verbatim("devtools", "oauth_redirect_uris: the exact list, or null", _SOURCE)
def _advanced_settings(_world: World, app: App) -> dict[str, object]:
    return {
        "app_id": app.id,
        "oauth_redirect_uris": list(app.redirect_uris) or None,
        "deauth_callback_url": app.profile.get("deauth_callback_url"),
        "api_version": app.version,
    }


@unknown("devtools", "devtools_app security: the shape of the answer", _SOURCE)
def _security(_world: World, app: App) -> dict[str, object]:
    return {
        "app_id": app.id,
        "require_app_secret": app.requires_proof,
        "require_2fa": False,
        "allowed_domains": list(app.app_domains),
    }


# --- devtools_app_review ---------------------------------------------------------------------
@unknown("devtools", "devtools_app_review privileges: the shape of the answer", _SOURCE)
def _privileges(_world: World, app: App) -> dict[str, object]:
    rows = [_privilege(app, name) for name in app.available_permissions]
    return {"app_id": app.id, "privileges": rows}


@verbatim(
    "devtools",
    "a permission that was never granted: REJECTED, access_level none, no reasons",
    _SOURCE,
)
@unknown("devtools", "a permission under review: as one that was never granted", _SOURCE)
def _privilege(app: App, name: str) -> dict[str, object]:
    """Return what is in force; never granted reads as rejected, without a reason."""
    is_live = app.permissions.get(name) == "live"
    level = "standard" if name in ALWAYS_GRANTED else "none"
    reason = app.declined.get(name, "")
    return {
        "permission": name,
        "access_level": "advanced" if is_live else level,
        "grant_status": "DEVOPS_APPROVED" if is_live else "REJECTED",
        "is_live": is_live,
        "rejection_reasons": [reason] if reason else [],
    }


@unknown("devtools", "devtools_app_review status: the shape of the answer", _SOURCE)
def _status(_world: World, app: App) -> dict[str, object]:
    state = app.review.state
    is_pending = state is ReviewState.PENDING
    return {
        "app_id": app.id,
        "submission_status": _STATUSES.get(state, "ACTIONED"),
        "is_approved": state is ReviewState.APPROVED,
        "is_pending": is_pending,
        "submissions": [_submission(app.review)] if is_pending else [],
        "has_been_previously_reviewed": bool(app.past_reviews),
    }


@unknown("devtools", "devtools_app_review history: the shape of the answer", _SOURCE)
def _history(_world: World, app: App) -> dict[str, object]:
    return {
        "app_id": app.id,
        "submissions": [_submission(one) for one in app.past_reviews],
        "has_been_previously_reviewed": bool(app.past_reviews),
    }


def _submission(review: Review) -> dict[str, object]:
    return {
        "submission_status": _STATUSES.get(review.state, "ACTIONED"),
        "submitted_time": int(review.submitted_on or 0),
        "permissions": [
            {"permission": name, "outcome": review.outcomes.get(name)}
            for name in review.permissions
        ],
    }


@unknown("devtools", "devtools_app_review requirements: the shape of the answer", _SOURCE)
def _requirements(world: World, app: App) -> dict[str, object]:
    business = world.facebook.business
    can_submit = _can_submit(world, app)
    return {
        "app_id": app.id,
        "can_submit": can_submit,
        "cannot_submit_reason": None if can_submit else SUBMISSION_IN_REVIEW,
        "has_privacy_policy": bool(app.profile.get("privacy_policy_url")),
        "business_verification_passes": business.verification is Verification.VERIFIED,
        "permissions": [_requirement(world, app, name) for name in app.available_permissions],
    }


@verbatim(
    "devtools",
    "can_submit: false, a previous submission is in review, can be out of date",
    _SOURCE,
)
@unknown("devtools", "for how long can_submit is out of date: a day here", _SOURCE)
def _can_submit(world: World, app: App) -> bool:
    """Return false while a submission is in review, and for a day after its decision."""
    decided_on = app.review.decides_on
    is_fresh = decided_on is not None and world.now() - decided_on < _DAY
    return app.review.state is not ReviewState.PENDING and not is_fresh


@verbatim("devtools", "requirements describes the draft, privileges what is in force", _SOURCE)
def _requirement(world: World, app: App, name: str) -> dict[str, object]:
    sections = app.review.sections if name in app.review.permissions else {}
    done = {
        "use_case": bool(sections.get("usage")),
        "screencast": bool(sections.get("screencast")),
        "api_precheck": is_called_lately(app, name, world.now()),
        "data_use_checkup": app.has_data_use_checkup,
    }
    return {
        "permission": name,
        **{key: {"is_completed": value} for key, value in done.items()},
    }


# --- devtools_compliance, devtools_api_usage -------------------------------------------------
@unknown("devtools", "devtools_compliance status: the shape of the answer", _SOURCE)
def _compliance(world: World, app: App) -> dict[str, object]:
    actions = _actions(app, world.facebook.business)
    return {
        "app_id": app.id,
        "overall_status": "ACTION_REQUIRED" if actions else "COMPLIANT",
        "required_actions": actions,
    }


def _actions(app: App, business: Business) -> list[dict[str, object]]:
    return [{"title": text, "deadline": None} for text in required_actions(app, business)]


@unknown("devtools", "devtools_api_usage: the shape of the answer and its view's name", _SOURCE)
def _api_usage(world: World, app: App) -> dict[str, object]:
    now = world.now()
    return {
        "app_id": app.id,
        "limits": {"call_count_pct": app.meter.percent(now)},
        "call_volume": {"total_calls": app.calls, "days": 30},
        "deprecations": [],
    }


VIEWS: dict[str, dict[str, View]] = {
    "devtools_app": {
        "basic_settings": _basic_settings,
        "advanced_settings": _advanced_settings,
        "security": _security,
    },
    "devtools_app_review": {
        "privileges": _privileges,
        "status": _status,
        "history": _history,
        "requirements": _requirements,
    },
    "devtools_compliance": {"status": _compliance},
    "devtools_api_usage": {"usage": _api_usage},
}
"""The tools and their views."""


def devtools_answer(world: World, app: App, tool: str, view: str) -> dict[str, object] | None:
    """Return the answer of a view of a tool; None where there is none."""
    found = VIEWS.get(tool, {}).get(view)
    return found(world, app) if found is not None else None
