"""
What Meta's developer tools answered, as a person with an admitted assistant brings it.

Only the names of fields were recorded (documentation of the developer tools'
MCP server, September 2026; third-party readings), no complete answer: so what
agrees is a person's word at best, and what contradicts a step fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.facebook.review import with_dependencies
from runbook_lib.core.json_text import parse_json
from runbook_lib.core.procedure import Value
from runbook_lib.errors import SettingsError
from runbook_lib.remote.documents import shorten

__all__ = ["QUESTIONS", "Answers", "Verdict", "judge", "read_answers"]

# A view of a tool is recognised by one of its fields.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "basic_settings": ("app_status", "is_live", "base_domains"),
    "advanced_settings": ("oauth_redirect_uris", "deauth_callback_url"),
    "security": ("require_app_secret", "require_2fa"),
    "privileges": ("privileges", "grant_status"),
    "requirements": ("can_submit", "business_verification_passes"),
    "status": ("submission_status", "is_approved", "is_pending"),
    "compliance": ("overall_status", "required_actions"),
    "usage": ("call_volume",),
}
_PREFIX = "Meta's developer tools"
_MOST_ANSWERS = 50
_PRIVILEGES = "devtools_app_review privileges"

# Which answers settle a step, by the step's topic: what the panel says to ask for.
QUESTIONS: Mapping[str, str] = {
    "app": "devtools_app basic_settings",
    "business-verification": "devtools_app_review requirements",
    "redirect-uri": "devtools_app advanced_settings",
    "test-calls": "devtools_app_review requirements",
    "public-profile": _PRIVILEGES,
    "permissions": f"{_PRIVILEGES}, devtools_app_review status",
    "published": "devtools_app basic_settings",
    "sections": "devtools_app basic_settings",
}

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers by view; `names_app` is false where none of them names its app."""

    views: Mapping[str, Mapping[str, Any]]
    names_app: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers say of one step: one of both sentences, or neither."""

    agrees: str = ""
    contradicts: str = ""


def read_answers(content: bytes, app_id: str) -> Answers:
    """
    Return the answers in a JSON document: one of them, a list, or an object of several.

    Raises `SettingsError` for anything else, and for an answer about another app.
    """
    try:
        document = parse_json(content.decode("utf-8"))
    except (ValueError, RecursionError):
        msg = f"This is no JSON, so it is no answer of {_PREFIX}."
        raise SettingsError(msg) from None
    views: dict[str, Mapping[str, Any]] = {}
    for answer in _answers(document):
        owner = str(answer.get("app_id") or answer.get("id") or "")
        if owner not in ("", app_id):
            msg = f"This answer is about app {shorten(owner, 40)}, not about {app_id}."
            raise SettingsError(msg)
        views |= {
            name: answer for name, fields in _FIELDS.items() if any(f in answer for f in fields)
        }
    if not views:
        msg = f"This has no field that {_PREFIX} are known to answer with."
        raise SettingsError(msg, next_step=f"Ask for {'; '.join(sorted(set(QUESTIONS.values())))}.")
    owners = [answer.get("app_id") or answer.get("id") for answer in views.values()]
    return Answers(views, names_app=any(owners))


def judge(topic: str, answers: Answers, values: Values) -> Verdict:
    """Return what the answers say of the step with this topic; `values` are the run's."""
    verdict = _JUDGES[topic](answers.views, values)
    unnamed = "" if answers.names_app else " (the answer names no app)"
    return Verdict(
        agrees=verdict.agrees and f"shown by {_PREFIX}: {verdict.agrees}{unnamed}",
        contradicts=verdict.contradicts and f"{_PREFIX} show that {verdict.contradicts}{unnamed}",
    )


def _answers(document: Any) -> Iterator[Mapping[str, Any]]:
    """Return each object that is an answer, however deep the tools' names put it."""
    found = 0
    waiting = [(document, 0)]
    while waiting:
        part, depth = waiting.pop(0)
        found += 1
        if found > _MOST_ANSWERS or depth > 3:
            break
        if isinstance(part, list):
            rows = [each for each in part if isinstance(each, dict)]
            if rows and all("grant_status" in each for each in rows):
                yield {"privileges": rows}
            else:
                waiting += [(each, depth + 1) for each in rows]
        elif isinstance(part, dict):
            if any(field in part for fields in _FIELDS.values() for field in fields):
                yield part
            else:
                waiting += [(each, depth + 1) for each in part.values()]


def _app(views: Mapping[str, Any], values: Values) -> Verdict:
    answer = views.get("basic_settings", {})
    if str(answer.get("app_id") or "") != str(values.get("app_id") or "-"):
        return Verdict()
    return Verdict(agrees=f"app {values['app_id']} exists")


def _redirect_uri(views: Mapping[str, Any], values: Values) -> Verdict:
    host = str(values.get("service_domain") or "")
    answer = views.get("advanced_settings", {})
    if not host or "oauth_redirect_uris" not in answer:
        return Verdict()
    listed = _texts(answer["oauth_redirect_uris"] or [])
    wanted = redirect_uri(host)
    if listed is None:
        return Verdict()
    if wanted in listed:
        return Verdict(agrees=f"{wanted} is listed, character by character")
    shown = ", ".join(shorten(each) for each in listed[:5]) or "no address"
    return Verdict(contradicts=f"the app lists {shown}, not {wanted}")


def _published(views: Mapping[str, Any], _values: Values) -> Verdict:
    answer = views.get("basic_settings", {})
    live = answer.get("is_live")
    status = answer.get("app_status")
    if live is True and status in (None, "live_mode"):
        return Verdict(agrees="the app is live")
    if live is False and status in (None, "dev_mode"):
        return Verdict(contradicts="the app is not live")
    return Verdict()


def _sections(views: Mapping[str, Any], _values: Values) -> Verdict:
    answer = views.get("basic_settings", {})
    labels = {
        "privacy_policy_url": "Privacy Policy URL",
        "terms_of_service_url": "Terms of Service URL",
        "data_deletion_url": "data deletion",
        "category": "Category",
        "icon": "App Icon",
    }
    shown = {name: answer[name] for name in labels if name in answer}
    empty = [labels[name] for name, value in shown.items() if not value]
    if empty:
        return Verdict(contradicts=f"{', '.join(empty)} is empty")
    return Verdict(agrees="no section is empty") if len(shown) == len(labels) else Verdict()


def _business(views: Mapping[str, Any], _values: Values) -> Verdict:
    passes = views.get("requirements", {}).get("business_verification_passes")
    if passes is True:
        return Verdict(agrees="Business Verification passes")
    if passes is False:
        return Verdict(contradicts="Business Verification does not pass")
    return Verdict()


def _test_calls(views: Mapping[str, Any], values: Values) -> Verdict:
    # NOTE: it describes the draft, and lags behind: what is missing there contradicts nothing.
    rows = _rows(views.get("requirements", {}).get("permissions"))
    done = {
        str(row.get("permission"))
        for row in rows
        if isinstance(row.get("api_precheck"), dict)
        and row["api_precheck"].get("is_completed") is True
    }
    if not set(_wanted(values)) <= done:
        return Verdict()
    return Verdict(agrees="a call with each permission is logged")


def _public_profile(views: Mapping[str, Any], _values: Values) -> Verdict:
    level = _privileges(views).get("public_profile", {}).get("access_level")
    if level == "advanced":
        return Verdict(agrees="public_profile has advanced access")
    if level in ("none", "standard"):
        return Verdict(contradicts=f"public_profile has {level} access, not advanced")
    return Verdict()


def _permissions(views: Mapping[str, Any], values: Values) -> Verdict:
    """
    Judge the wanted permissions by `privileges`, which is what is in force.

    NOTE: REJECTED without reasons, and never reviewed before, means never granted,
    not declined (read twice or more): it decides nothing.
    """
    seen, wanted = _privileges(views), _wanted(values)
    was_reviewed = any(
        answer.get("has_been_previously_reviewed") is True for answer in views.values()
    )
    declined = [
        f"{name}{_reasons(seen[name])}"
        for name in wanted
        if name in seen
        and seen[name].get("grant_status") == "REJECTED"
        and (_texts(seen[name].get("rejection_reasons")) or was_reviewed)
    ]
    if declined:
        return Verdict(contradicts=f"Facebook rejected {', '.join(declined)}")
    if wanted and all(seen.get(name, {}).get("access_level") == "advanced" for name in wanted):
        return Verdict(agrees=f"{', '.join(wanted)} have advanced access")
    return Verdict()


_JUDGES: Mapping[str, Callable[[Mapping[str, Any], Values], Verdict]] = {
    "app": _app,
    "business-verification": _business,
    "redirect-uri": _redirect_uri,
    "test-calls": _test_calls,
    "public-profile": _public_profile,
    "permissions": _permissions,
    "published": _published,
    "sections": _sections,
}


def _wanted(values: Values) -> tuple[str, ...]:
    permissions = values.get("permissions", ())
    names = with_dependencies(permissions) if isinstance(permissions, tuple) else ()
    return tuple(name for name in names if name != "public_profile")


def _privileges(views: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    answer = views.get("privileges", {})
    rows = _rows(answer.get("privileges", [answer]))
    return {str(row.get("permission") or row.get("name")): row for row in rows}


def _reasons(row: Mapping[str, Any]) -> str:
    reasons = _texts(row.get("rejection_reasons"))
    return f" ({shorten('; '.join(reasons))})" if reasons else ""


def _rows(content: Any) -> list[Mapping[str, Any]]:
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _texts(content: Any) -> list[str] | None:
    is_list = isinstance(content, list) and all(isinstance(each, str) for each in content)
    return content if is_list else None
