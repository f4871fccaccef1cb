"""
What a partner asks Cyclr about its connector, since no API shows it.

How Cyclr's connectors call Facebook is not public. Each question is a step: a text to copy, why
it matters, what to do with either answer, and a person's word that keeps the answer.
"""

from __future__ import annotations

from typing import NamedTuple

from runbook_lib.connectors.cyclr.steps import OUR_CYCLR
from runbook_lib.connectors.facebook.sources import CHANGES, FOR_BUSINESS, TOKENS, VERSIONS
from runbook_lib.core.procedure import Answer, Paste, Section, Source, Step, StepKind


class _Question(NamedTuple):
    """
    A question: `name` ends the id of its step, `confirms` and `other` are the two answers.

    `today` is what to do with either, `prose` why it matters.
    """

    name: str
    title: str
    text: str
    today: str
    prose: str
    label: str
    confirms: str
    other: Answer
    reading: str


_QUESTIONS = (
    _Question(
        name="ask-old-requests",
        title="Ask whether it sends requests that Facebook no longer serves",
        text=(
            "Does the {cyclr_connector} connector, with an App ID made since 4 November 2026, "
            "send one of these to Facebook: requests for several IDs (?ids=), the parameters "
            "pretty, debug or date_format, the header If-None-Match, a method override, field "
            "aliases, JSONP or asynchronous batch requests? If so, when will it stop?"
        ),
        today=(
            "**None**: nothing to do. **At least one**: ask when Cyclr changes it, and try that "
            "method first."
        ),
        prose=(
            "Facebook has ended `?ids=`, `pretty`, `debug`, `date_format` and `If-None-Match` for "
            "all apps (27 October 2026). Apps made since 4 November 2026 get no requests for "
            "several IDs, date and time formats, method overrides, field aliases, JSONP or "
            "asynchronous batches; all apps lose these with v28.0. So a connector that works with "
            "older apps may fail with yours."
        ),
        label="None of them",
        confirms=(
            "Cyclr answered: its connector sends none of the requests that Facebook no longer "
            "serves to new apps."
        ),
        other=Answer(
            name="some",
            label="At least one",
            sentence=(
                "Cyclr answered: its connector sends requests that Facebook no longer serves to "
                "new apps."
            ),
        ),
        reading=f"{CHANGES}; which ones ended: third-party readings, August to November 2026",
    ),
    _Question(
        name="ask-login-product",
        title="Ask which login product it uses",
        text=(
            "Does the {cyclr_connector} connector open Facebook's dialog with scope (classic "
            "Facebook Login) or with config_id (Facebook Login for Business)? If with config_id: "
            "where do we enter ours?"
        ),
        today=(
            "**Facebook Login**: set it up, and see that the redirect URI stands in its own "
            "settings. **For Business**: make a configuration with the permissions that you "
            "chose, and give Cyclr its ID."
        ),
        prose=(
            "Use cases for business bring **Facebook Login for Business**; some of these apps "
            "answer a dialog with `scope` with *This app needs at least one supported "
            "permission*. With a configuration a customer grants all of its permissions or none."
        ),
        label="Facebook Login",
        confirms="Cyclr answered: its connector uses classic Facebook Login, with scope.",
        other=Answer(
            name="for-business",
            label="Login for Business",
            sentence=(
                "Cyclr answered: its connector uses Facebook Login for Business, with config_id."
            ),
        ),
        reading=f"{FOR_BUSINESS} (5 May 2026); third-party readings, 2026",
    ),
    _Question(
        name="ask-token-kind",
        title="Ask which kind of token it keeps",
        text=(
            "Does the {cyclr_connector} connector keep a user access token or a system user's "
            "token of each customer? Does it renew it, and how do we learn that it has ended?"
        ),
        today=(
            "**User token**: tell your customers that they will have to sign in again. **System "
            "user**: note what the configuration says about its end."
        ),
        prose=(
            "A user's token ends after about 60 days, with a new password, a withdrawn permission "
            "or a lost role on a page, and Facebook notifies nobody. A system user's token ends "
            "as its configuration says."
        ),
        label="A user token",
        confirms="Cyclr answered: its connector keeps a user access token.",
        other=Answer(
            name="system-user",
            label="A system user's",
            sentence="Cyclr answered: its connector keeps a system user's token.",
        ),
        reading=f"{FOR_BUSINESS} (5 May 2026), {TOKENS}, read in November 2026",
    ),
    _Question(
        name="ask-graph-version",
        title="Ask which Graph version it calls",
        text=(
            "Which version of the Graph API, and of the Marketing API, does the {cyclr_connector} "
            "connector call with our App ID, and when will it move to the next one?"
        ),
        today=(
            "**No end announced**: nothing to do. **Its end is announced**: ask when Cyclr moves "
            "on, and hand this step over with a day before the end."
        ),
        prose=(
            "Calls of a version that has ended fail, or are answered by the rules of a newer one. "
            "The Marketing API ends its versions earlier than Graph."
        ),
        label="No end announced",
        confirms="Cyclr named the Graph version that its connector calls; it has no announced end.",
        other=Answer(
            name="ends",
            label="Its end is announced",
            sentence=(
                "Cyclr named the Graph version that its connector calls; its end is announced."
            ),
        ),
        reading=f"{VERSIONS}; third-party readings, 2026",
    ),
)


def ask_cyclr(first: int) -> Section:
    """Return the section with the questions; its steps are `test-{first}` and the next ones."""
    return Section(
        id="ask-cyclr",
        title="Ask Cyclr",
        intro=(
            "How Cyclr's connector calls Facebook decides whether it works with a new app, and no "
            "API shows it. Send these questions to Cyclr's support when you begin the test."
        ),
        steps=tuple(
            Step(
                id=f"test-{number:02}-{question.name}",
                title=question.title,
                kind=StepKind.MANUAL,
                source=Source(2, reading=question.reading),
                sitting="Questions to Cyclr's support",
                today=f"Send this question. {question.today} Copy Cyclr's answer into the note.",
                prose=question.prose,
                confirms=question.confirms,
                subject=OUR_CYCLR,
                pastes=(Paste("Question", question.text),),
                attest_label=question.label,
                question="What did Cyclr answer?",
                answers=(question.other,),
            )
            for number, question in enumerate(_QUESTIONS, first)
        ),
    )
