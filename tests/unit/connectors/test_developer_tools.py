"""
Answers of Meta's developer tools: which are understood, and what each says of a step.

Names of fields and the traps: documentation of the developer tools' MCP server (8 September 2026)
and third-party readings, 2026. No complete answer was recorded anywhere.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.connectors.facebook.developer_tools import (
    QUESTIONS,
    Verdict,
    judge,
    read_answers,
)
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.errors import SettingsError
from tests.unit.bodies import APP_ID

VALUES = {
    "app_id": APP_ID,
    "service_domain": "acme-h.cyclr.com",
    "permissions": ("public_profile", "leads_retrieval"),
}
URI = "https://acme-h.cyclr.com/connector/callback"
WANTED = (
    *("leads_retrieval", "ads_management", "ads_read", "business_management"),
    *("pages_manage_ads", "pages_read_engagement", "pages_show_list"),
)


def said(topic: str, answer: Any) -> Verdict:
    return judge(topic, read_answers(json.dumps(answer).encode(), APP_ID), VALUES)


def privileges(**levels: Any) -> dict[str, Any]:
    rows = [
        {"permission": name, "access_level": "advanced", "grant_status": "DEVOPS_APPROVED"}
        for name in WANTED
        if name not in levels
    ]
    rows += [{"permission": name, **row} for name, row in levels.items()]
    return {"app_id": APP_ID, "privileges": rows}


@pytest.mark.parametrize(
    ("topic", "answer", "words"),
    [
        ("app", {"app_id": APP_ID, "is_live": False}, f"app {APP_ID} exists"),
        ("redirect-uri", {"oauth_redirect_uris": ["https://x.example/", URI]}, "is listed"),
        ("published", {"is_live": True, "app_status": "live_mode"}, "the app is live"),
        ("business-verification", {"business_verification_passes": True}, "passes"),
        ("permissions", privileges(), "have advanced access"),
        (
            "public-profile",
            privileges(public_profile={"access_level": "advanced", "grant_status": "x"}),
            "advanced access",
        ),
        (
            "test-calls",
            {
                "can_submit": False,
                "permissions": [
                    {"permission": name, "api_precheck": {"is_completed": True}} for name in WANTED
                ],
            },
            "a call with each permission is logged",
        ),
        (
            "sections",
            {
                "is_live": True,
                "privacy_policy_url": "https://x.example/p",
                "terms_of_service_url": "https://x.example/t",
                "data_deletion_url": "https://x.example/d",
                "category": "Business",
                "icon": "https://x.example/i.png",
            },
            "no section is empty",
        ),
    ],
)
def test_an_answer_that_agrees_says_who_shows_it(topic: str, answer: Any, words: str) -> None:
    """What agrees is told as shown by the tools, and never as verified."""

    verdict = said(topic, answer)

    assert verdict.agrees.startswith("shown by Meta's developer tools: ")
    assert words in verdict.agrees
    assert verdict.contradicts == ""


@pytest.mark.parametrize(
    ("topic", "answer", "words"),
    [
        ("redirect-uri", {"oauth_redirect_uris": [f"{URI}/"]}, f"lists {URI}/, not {URI}"),
        ("redirect-uri", {"oauth_redirect_uris": None}, "lists no address, not"),
        ("published", {"is_live": False}, "the app is not live"),
        ("business-verification", {"business_verification_passes": False}, "does not pass"),
        (
            "permissions",
            privileges(
                leads_retrieval={
                    "access_level": "none",
                    "grant_status": "REJECTED",
                    "rejection_reasons": ["Screencast Not Aligned"],
                }
            ),
            "rejected leads_retrieval (Screencast Not Aligned)",
        ),
        (
            "public-profile",
            privileges(public_profile={"access_level": "standard", "grant_status": "x"}),
            "public_profile has standard access, not advanced",
        ),
        ("sections", {"is_live": True, "icon": "", "category": "B"}, "App Icon is empty"),
    ],
)
def test_an_answer_that_contradicts_says_what_it_shows(topic: str, answer: Any, words: str) -> None:
    """What contradicts a step names what the tools show instead."""

    verdict = said(topic, answer)

    assert verdict.contradicts.startswith("Meta's developer tools show that ")
    assert words in verdict.contradicts
    assert verdict.agrees == ""


NEVER = {"access_level": "none", "grant_status": "REJECTED", "rejection_reasons": []}


@pytest.mark.parametrize(
    ("topic", "answer"),
    [
        # Never granted, which looks like a rejection (recorded trap).
        ("permissions", privileges(leads_retrieval=NEVER)),
        (
            "permissions",
            [privileges(leads_retrieval=NEVER), {"is_pending": True, "submissions": []}],
        ),
        # A submission that is long over can still be said to be in review (recorded trap).
        ("permissions", {"can_submit": False, "cannot_submit_reason": "in review"}),
        # The draft, not what is in force (recorded trap).
        ("permissions", {"can_submit": True, "permissions": [{"permission": "leads_retrieval"}]}),
        ("test-calls", {"can_submit": True, "permissions": []}),
        ("published", {"is_live": True, "app_status": "dev_mode"}),
        ("published", {"is_live": "true"}),
        ("redirect-uri", {"oauth_redirect_uris": "https://x.example/"}),
        ("redirect-uri", {"deauth_callback_url": None}),
        ("app", {"is_live": True}),
        ("sections", {"is_live": True, "category": "Business"}),
        ("business-verification", {"can_submit": True}),
    ],
)
def test_what_the_tools_do_not_settle_says_nothing(topic: str, answer: Any) -> None:
    """Neither a trap nor a value of another type agrees or contradicts."""

    assert said(topic, answer) == Verdict()


def test_reviewed_before_makes_a_rejection_one() -> None:
    """A rejection without reasons counts where the app was reviewed before."""

    status = {"is_pending": False, "has_been_previously_reviewed": True}
    verdict = said("permissions", [privileges(leads_retrieval=NEVER), status])

    assert "rejected leads_retrieval" in verdict.contradicts


def test_an_answer_about_another_app_is_refused() -> None:
    """An answer that names another app is no evidence here."""

    with pytest.raises(SettingsError, match=f"about app 999, not about {APP_ID}"):
        read_answers(b'{"app_id": "999", "is_live": true}', APP_ID)


def test_an_answer_without_an_app_says_so() -> None:
    """Where no answer names its app, the person says which it is of, and the sentence tells."""

    assert "(the answer names no app)" in said("published", {"is_live": True}).agrees
    assert "names no app" not in said("published", {"is_live": True, "app_id": APP_ID}).agrees


@pytest.mark.parametrize(
    "answer",
    [
        {"devtools_app": {"basic_settings": {"is_live": True}}},
        {"devtools_app basic_settings": {"is_live": True}},
        [{"is_live": True}],
        {"result": [{"content": {"is_live": True}}]},
    ],
)
def test_answers_may_be_wrapped(answer: Any) -> None:
    """A person may bring one answer, or several under the tools' names."""

    assert "is live" in said("published", answer).agrees


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff", b"[]", b"{}", b'{"a": 1}', b"[" * 99])
def test_what_is_no_answer_is_refused(content: bytes) -> None:
    """Anything else is refused with what to ask for, or that it is no JSON."""

    with pytest.raises(SettingsError, match="Meta's developer tools"):
        read_answers(content, APP_ID)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("app_id", "is_live", "oauth_redirect_uris", "privileges", "permission"),
                    *(
                        "grant_status",
                        "rejection_reasons",
                        "permissions",
                        "api_precheck",
                        "category",
                    ),
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_no_answer_breaks_it(answer: Any) -> None:
    """Whatever is brought, it is judged or refused, and nothing agrees without its value."""

    try:
        answers = read_answers(json.dumps(answer).encode(), APP_ID)
    except SettingsError:
        return
    for topic in QUESTIONS:
        verdict = judge(topic, answers, VALUES)
        assert not (verdict.agrees and verdict.contradicts)
        assert topic in ("app", "published") or not verdict.agrees


def test_every_topic_of_a_step_is_known() -> None:
    """Each step that the tools can show something about names a topic that is judged."""

    topics = {
        step.developer_tools for name in connector_names() for step in find_procedure(name).steps
    }

    assert topics - {""} == set(QUESTIONS)
