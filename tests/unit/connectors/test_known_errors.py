"""Rules that the known errors of every connector keep, and what is said about each."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import connectors
from runbook_lib.cli import explain as command
from runbook_lib.connectors.error_text import read_error
from runbook_lib.connectors.explanation import explanation_document
from runbook_lib.connectors.facebook.graph_errors import PAIR_REFUSED
from runbook_lib.connectors.known_errors import KnownErrors
from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.connectors.texts import read_known_errors
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.procedure import KnownError, Procedure, step_name
from runbook_lib.core.redaction import MASK
from runbook_lib.errors import SettingsError
from runbook_lib.run.advice import what_to_do
from tests.support.attestations import declined
from tests.support.connectors import FACEBOOK_CONNECTORS
from tests.support.run_states import step_state
from tests.support.wording import refused, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN, graph_error

PROCEDURES = [find_procedure(name) for name in connector_names()]
MARKETING, MESSENGER = map(find_procedure, ("facebook_marketing", "facebook_messenger"))
ERRORS = list(
    {error.id: error for procedure in PROCEDURES for error in procedure.known_errors}.values()
)
FOLDERS = [path.parent for path in Path(connectors.__path__[0]).glob("*/known_errors.toml")]
REFUSALS = [
    line
    for line in Path(__file__).with_name("refusals.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
SEVERAL = (1, 2, 3, 4, 10, 15, 100, 102, 190, 200, 210, 803)
CHECKS = {check.id for procedure in PROCEDURES for step in procedure.steps for check in step.checks}
WHO_ACTS = {"you", "your customer", "Facebook", "Cyclr"}
MAX_SHOWN_WORDS = 80


def of_error(error: KnownError) -> Procedure:
    """Return a procedure that knows `error`."""
    return next(
        procedure
        for procedure in PROCEDURES
        if any(other.id == error.id for other in procedure.known_errors)
    )


def explained(text: str, procedure: Procedure = MARKETING) -> dict[str, Any]:
    """Return the explanation of `text` as a document."""
    return explanation_document(text, procedure)


def known(text: str, procedure: Procedure = MARKETING) -> list[str]:
    """Return the id of the error that is known for `text`, in a list; empty if none is."""
    document = explained(text, procedure)
    return [document["errors"][0]["id"]] if document["known"] else []


def shown(document: dict[str, Any], *, is_verbose: bool = False) -> str:
    """Return the command's output for a document."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        command._show(document, is_verbose=is_verbose)
    return output.getvalue()


each_connector = pytest.mark.parametrize("name", FACEBOOK_CONNECTORS)
each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.id)


@each_connector
def test_every_error_has_a_step(name: str) -> None:
    """`explain` knows every error that is written, and says at which step people meet it."""
    procedure = find_procedure(name)
    written = {name for folder in FOLDERS for name in read_known_errors(folder).errors}
    met = {error.id for step in procedure.steps for error in step.known_errors}
    met |= {error.id for error in procedure.known_errors if error.more_steps}

    assert {error.id for error in procedure.known_errors} == written == met
    assert len(procedure.known_errors) == len(written)


def test_a_place_is_a_step_of_some_connector() -> None:
    """The steps that an error names exist, so no slip leaves it without one."""
    steps = {step.id for procedure in PROCEDURES for step in procedure.steps}
    short = {re.sub("^[a-z]+-[0-9]+[a-z]?-", "", step) for step in steps} | {"submit-review"}
    named = {
        place
        for folder in FOLDERS
        for _, error in read_known_errors(folder).errors.values()
        for place in error.more_steps
    }

    assert named <= short


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda each: each.id)
def test_the_errors_at_a_step_are_few_and_come_once(procedure: Procedure) -> None:
    """A panel lists what people meet there, each error once: of some 160, 40 at most."""
    for step in procedure.steps:
        assert len(step.known_errors) <= 40
        assert len(step.known_errors) == len({error.id for error in step.known_errors}), step.id


def test_a_code_with_several_meanings_decides_nothing() -> None:
    """Such codes are no error's own, and no other code is that of two."""
    codes = [code for error in ERRORS for code in error.codes]
    subcodes = [code for error in ERRORS for code in error.subcodes]

    assert not set(SEVERAL) & set(codes)
    assert len(codes) == len(set(codes))
    assert len(subcodes) == len(set(subcodes))


@pytest.mark.parametrize("code", SEVERAL)
@pytest.mark.parametrize("form", ["(#{})", '{{"error": {{"code": {}}}}}', "(#{}) Unheard of this"])
def test_a_bare_code_with_several_meanings_is_not_answered(code: int, form: str) -> None:
    """It says which errors may be behind the code, and claims none."""
    document = explained(form.format(code))
    having = {error.id for error in ERRORS if code in (*error.shared_codes, *error.codes)}

    assert not document["known"]
    assert document["decided_by"] == "code"
    assert document["errors"][0]["id"] in having


@pytest.mark.parametrize(
    ("text", "not_meant"),
    [
        ("(#100) Pages Public Content Access requires either app secret proof", "not-there"),
        ("(#10) This message is sent outside of allowed window.", "not-permitted"),
        ("(#270) Development access is not allowed to access business API", "lacks-permission"),
        (
            "Error validating access token: The user is enrolled in a blocking checkpoint",
            "bad-token",
        ),
    ],
)
def test_a_wrong_cause_is_not_named(text: str, not_meant: str) -> None:
    """The earlier wrong causes of these texts are not among the answers."""
    assert explained(text)["errors"][0]["id"] != not_meant


@pytest.mark.parametrize(
    "place", ["permission-declined", "lacks-permission", "messenger-permission"]
)
def test_the_way_out_of_a_declined_permission_is_told(place: str) -> None:
    """Ask again with Edit settings or rerequest; removing the app ends all of their tokens."""
    (advice,) = (error.advice for error in ERRORS if error.id == place)

    told = ("does not ask a second time", "Edit settings", "auth_type=rerequest", "ends all")
    assert all(part in advice for part in told)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("The token lacks leads_retrieval. Sign in again", "lacks-permission"),
        ("The token lacks ads_read (declined: ads_read). Facebook does", "permission-declined"),
        ("This person's token lacks leads_retrieval. Without a role", "lacks-permission"),
        ("Facebook does not accept this App ID with this App Secret. Compare", "bad-pair"),
        ("The token belongs to another app, not to 12 (x). Paste a token", "other-app"),
        ("Cyclr signs users in with Client ID 99, not 12.", "other-client-id"),
        (
            "Installed, but nobody has signed in with Facebook and consented yet.",
            "not-authenticated",
        ),
        ("Cyclr sends users back to https://a.example/x, but the app registers", "url-blocked"),
        ("This address contains no code: copy all of it from the browser's", "code-spent"),
        ("Facebook gives the same response to this App Secret and to a made-up one (x)", "bad-app"),
        ("2 calls, but none shows that it used ads_read. In App Review >", "needs-advanced-access"),
        ("Acme, which owns the app, is not verified: start verification.", "verification-wanted"),
        ("The token's access to the person's data ended on 2026-01-05T00:00:00Z. The", "bad-token"),
        ("This is a token of type PAGE, not a user's. Sign in for a", "user-token-wanted"),
        ("Facebook answers, but lists no ad account of this person (2 pages)", "empty-list"),
        (
            "Both tokens belong to the same person. Sign in here as somebody without a",
            "wrong-person",
        ),
        ("Terms: h.example answers 200, so nothing shows that this page is there.", "privacy-url"),
        ("At sign-in Cyclr asks for x as well. Correct Scopes in the connector's", "scopes-differ"),
        ("Acme is not subscribed to app 12; Facebook lists 1 other app. Add", "not-subscribed"),
        ("Cyclr's webhook refuses this Verify Token just like made-up ones (403)", "webhook"),
        ("Cyclr's library has no connector called 'X' for this account. Compare", "draft"),
        ("graph.facebook.com could not be reached: no name server answered", "unreachable"),
        # A number or a sentence about no error is not taken for an error of Facebook's.
        ("10 leads were read", ""),
        ("HTTP 200 OK, 100 rows, 190 ms", ""),
        ("It waits since 5 Jan, 09:40; 368 days", ""),
        ("Facebook lists public_profile as live.", ""),
        ("Not checked yet.", ""),
        ("The access token is this app's, valid until 2026-01-05, and grants ads_read.", ""),
    ],
)
def test_the_runbooks_own_sentences_are_known(text: str, cause: str) -> None:
    """People paste the runbook's own sentences, too; those about no error are not explained."""
    assert known(text) == cause.split()


def test_no_text_is_masked_whole() -> None:
    """A part of an unknown text remains readable, also in languages without blanks."""
    for text in (
        "某个完全未知的错误信息出现在这里而且没有任何空格分隔",
        "https://m.example/oauth/?error_code=SOMETHING__NEW_AND_UNHEARD_OF",
        "https://h.example/?state=abcdefghijklmnopqrstuvwxyz0123456789",
    ):
        said = explained(text)["quoted"]
        assert said.strip("*…") or not said
    assert "SOMETHING__NEW" in explained("SOMETHING__NEW_AND_UNHEARD_OF")["quoted"]


@each_error
def test_an_error_says_all_that_a_person_needs(error: KnownError) -> None:
    """Each has a meaning, causes, something to do and a public source; what tests it exists."""
    said = (error.meaning, error.advice, *(cause.text for cause in error.causes))
    for text in (*said, *filter(None, (cause.advice for cause in error.causes))):
        assert text.endswith((".", ")"))
        assert text[0].isupper() or text.startswith(("public_profile", "https://"))
        # Texts for people have no id in braces.
        assert "{" not in text
    assert error.causes
    assert {name for cause in error.causes for name in cause.tested_by} <= CHECKS
    # A source is an address, or a third-party reading with its date; never an internal id.
    for source in error.source.split("; "):
        is_address = re.fullmatch(r"https://[\w.-]+/?[\w./#?=-]*", source)
        is_reading = re.fullmatch(r"third-party reading.* [A-Z][a-z]+ 20[0-9]{2}", source)
        assert is_address or is_reading, source


@each_error
def test_an_error_says_who_must_act_and_what_to_tell_a_customer(error: KnownError) -> None:
    """Somebody must act; where that is the customer there is a sentence to send, in plain words."""
    assert error.who_acts in WHO_ACTS
    if error.who_acts == "your customer" and not {"test-lead", "ad-rules"} & {error.id}:
        assert error.for_customer or error.id in {"other-program"}, error.id
    assert not re.search(r"token|scope|/me|granular|Cyclr", error.for_customer)
    assert len(error.for_customer.split()) <= 25


@each_error
def test_the_words_of_an_error_are_plain(error: KnownError) -> None:
    """People's words have no signs: no rule stands in them."""
    assert not re.search(r"[/$!~;\\]", error.search_words)


@each_error
def test_causes_have_their_own_first_actions_or_none(error: KnownError) -> None:
    """If actions differ, each cause has one, and two causes may share it."""
    actions = [cause.advice for cause in error.causes]

    assert all(actions) or not any(actions)


@each_error
def test_an_explanation_is_short(error: KnownError) -> None:
    """Title, meaning, who must act, the first action, a customer's sentence and step: 80 words."""
    for text in error.shown:
        document = explained(text.replace("…", "ads_read"), of_error(error))
        document["errors"] = document["errors"][:1]
        words = shown(document).split()
        assert len(words) <= MAX_SHOWN_WORDS, (len(words), text)


@each_error
def test_each_of_its_texts_is_known(error: KnownError) -> None:
    """Each of its texts, with any names in the gaps, leads to the error itself."""
    for text in error.shown:
        document = explained(text.replace("…", "leads_retrieval, ads_read"), of_error(error))
        assert document["known"]
        assert document["errors"][0]["id"] == error.id
        assert document["decided_by"] in ("text", "subcode")
        assert len(document["errors"]) == 1 or error.is_generic


@pytest.mark.parametrize(
    ("pasted", "title"),
    [
        ("It looks like this app isn't available.", "It looks like this app isn't available"),
        ("This app needs at least one supported permission.", "It looks like this app isn't"),
        ("Error validating client secret", "Error validating client secret."),
        ("CRM access has been revoked", "CRM access has been revoked from Lead Access Manager"),
        ("Feature Unavailable: Facebook Login is currently unavailable", "Feature unavailable"),
        ("(#200) Requires leads_retrieval permission to manage the object", "(#200) Requires"),
        ("code 101", "Error validating application."),
        ("(#368) x", "Temporarily blocked"),
        ("(#80004) x", "(#4) Application request limit reached"),
        (
            '{"error":{"message":"Invalid parameter","code":100,"error_subcode":1815089}}',
            "You can't run lead ads",
        ),
        (
            (
                "Terms of Service Not Accepted: You can't run lead ads until your Facebook Page "
                "accepts Facebook's Lead Generation Terms of Service. (#1815089)"
            ),
            "You can't run lead ads",
        ),
        # A whole answer, a line of a log or an address as it was published.
        *(line.split(" => ")[::-1] for line in REFUSALS),
    ],
    ids=lambda text: text[:60],
)
def test_the_texts_that_people_meet_are_known(pasted: str, title: str) -> None:
    """The error texts that people report are explained."""
    document = explained(pasted)

    assert document["known"]
    assert document["errors"][0]["shown"][0].startswith(title)


def test_a_refused_webhook_is_known_to_both() -> None:
    """Leads have a webhook of their own, so Marketing's people meet the text, too."""
    for procedure in (MESSENGER, MARKETING):
        document = explained("(#2201) response does not match challenge", procedure)
        assert document["known"]
        assert document["errors"][0]["steps"]


def test_an_answer_is_headed_by_the_text_that_was_met() -> None:
    """The pasted one of an error's texts stands above its explanation."""
    (error,) = explained("OAuth: (#210) A page access token is required to request this resource")[
        "errors"
    ]

    assert "A page access token is required" in error["title"]
    assert error["title"] != error["shown"][0]


@each_connector
@pytest.mark.parametrize(
    ("title", "met_at"),
    [
        ("The request is invalid because the app", ("fb-08-redirect-uri", "test-02-authenticate")),
        ("API access deactivated.", ("fb-05-confirm-creation", "test-04-user-token")),
        ("Customers are refused", ("fb-05b-access-verification", "test-02-authenticate")),
        ("A permission that worked is refused", ("publish", "test-02-authenticate")),
        ("A review starts again", ("submit", "app-review", "publish")),
        ("Certain terms like", ("fb-04-create-app",)),
    ],
)
def test_an_error_is_at_the_steps_where_it_is_met(
    name: str, title: str, met_at: tuple[str, ...]
) -> None:
    """In both connectors the steps show it, and whoever looks there needs no command."""
    steps = [
        step.id
        for step in find_procedure(name).steps
        for error in step.known_errors
        if error.title.startswith(title)
    ]

    assert any(part in step for part in met_at for step in steps), steps
    assert all(any(part in step for step in steps) for part in met_at if part.startswith("fb-"))


@pytest.mark.parametrize(
    "title", ["(#200) Requires", "(#10) This endpoint requires", "(#100) Tried accessing"]
)
def test_a_permission_granted_later_is_a_cause(title: str) -> None:
    """It counts only once the person has removed the app and signed in again."""
    (error,) = (error for error in ERRORS if error.title.startswith(title))
    (cause,) = (each.text for each in error.causes if "Business Integrations" in each.text)

    assert wording("explain.after-removing-the-app") in cause
    assert cause.endswith(wording("explain.signs-in-again"))


def test_lead_access_is_given_in_an_order() -> None:
    """The advice names the role on the page first, then the person, then the CRM."""
    (error,) = explained("CRM access has been revoked from Lead Access Manager")["errors"]
    advice = error["advice"]
    places = [advice.index(part) for part in ("role on the page", "Assign people", "Assign CRMs")]

    assert places == sorted(places)


def test_a_report_of_one_organisation_is_marked_single() -> None:
    """A source that nobody else confirms says so."""
    singles = [error.title for error in ERRORS if "(single" in error.source]

    assert singles == [
        "A review starts again, or tokens end, after a change of the app",
        "Test lead already exists for this form.",
    ]


def test_an_explanation_names_the_steps_with_their_numbers() -> None:
    """It says where people meet the text, and which step tests for each cause."""
    (error,) = explained("URL Blocked")["errors"]

    assert "fb-08-redirect-uri" in [place["step"] for place in error["steps"]]
    assert all(place["number"] == MARKETING.numbers[place["step"]] for place in error["steps"])
    assert [place["step"] for place in error["causes"][0]["steps"]] == ["fb-08-redirect-uri"]


@each_connector
@pytest.mark.parametrize(
    ("text", "settled_at"),
    [
        ("URL Blocked", "fb-08-redirect-uri"),
        (
            "Can't Load URL: The domain of this URL isn't included in the app's domains.",
            "fb-08-redirect-uri",
        ),
        (
            "Invalid redirect_uri: Given URL is not allowed by the Application configuration.",
            "fb-08-redirect-uri",
        ),
        ("redirect_uri isn't an absolute URI. Check RFC 3986.", "fb-08-redirect-uri"),
        ("Error validating client secret.", "cy-03-client-secret"),
        ("Failed to authenticate the connector", "cy-03-client-secret"),
        ("Missing client_id parameter.", "cy-02-client-id"),
        ("Invalid Scopes: ads_read", "fb-04a-use-case"),
    ],
)
def test_at_sign_in_the_advice_names_the_step_to_go_to(
    name: str, text: str, settled_at: str
) -> None:
    """During authentication, the advice names the step that settles the error."""
    procedure = find_procedure(name)
    (step,) = (each for each in procedure.steps if each.id == "test-02-authenticate")
    (error,) = KnownErrors(step.known_errors).decide(read_error(text)).errors
    (target,) = (each for each in procedure.steps if each.id == settled_at)

    assert f"step {procedure.numbers[settled_at]} ({target.title})" in error.advice


@each_connector
def test_the_submission_says_what_to_do_when_overdue_or_declined(name: str) -> None:
    """The step of the review names the longest wait, and what to do then and after a decline."""
    (step,) = (each for each in find_procedure(name).steps if each.review_kit)
    word = declined(step.id, note="No screencast.").statement
    reason = (
        f"{word.by} reported on {word.at} that the reviewer declined this: No screencast. Correct "
        "what the reviewer names, submit it again, then confirm that it was submitted."
    )
    state = step_state(step, Outcome.FAILED, reason=reason, by_person=True, attestation=word)
    advice = what_to_do(state, step)

    told = (
        "Read under App Review",
        "Fix the recording",
        "submit it",
        "Then choose Submitted again",
    )
    places = [advice.find(each) for each in told]
    assert places == sorted(places)
    assert places[0] == 0
    assert "reported 1 to 22 days" in step.prose
    assert step.overdue.startswith("Read every result")
    assert wording("explain.declined-is-chosen-below") in step.prose


@each_error
def test_at_most_three_steps_are_named(error: KnownError) -> None:
    """Steps that test a cause come first, and three are enough."""
    procedure = of_error(error)
    document = explained(error.title.replace("…", "x"), procedure)["errors"][0]
    tested = {name for cause in error.causes for name in cause.tested_by}
    tests = [
        any(check.id in tested for check in step.checks)
        for place in document["steps"]
        for step in procedure.steps
        if step.id == place["step"]
    ]

    # A rate limit is no fault of a step.
    is_limit = error.fault_domain == "a limit"
    assert len(document["steps"]) in ((0,) if is_limit else (1, 2, 3))
    assert tests == sorted(tests, reverse=True)
    assert all(len(cause["steps"]) <= 3 for cause in document["causes"])
    assert {place["connector"] for place in document["steps"]} <= {procedure.id}


@pytest.mark.parametrize(
    "pasted",
    [
        f"https://h.example/cb?code=AQDabc123&state=s3cr3t&access_token={USER_TOKEN}",
        f"what is {APP_SECRET} and {USER_TOKEN}?",
        f'{{"access_token": "{USER_TOKEN}", "message": "Unheard of {APP_SECRET}"}}',
        "password=hunter2hunter2 xyzzy",
        "xyzzy " + "sesame9" * 4,
        '{"pin": 4711, "word": "hunter2"}',
    ],
)
def test_only_a_short_part_of_a_pasted_text_is_repeated(pasted: str) -> None:
    """A short part of an unknown text is repeated, without addresses, values and credentials."""
    document = explained(pasted)

    assert not document["known"]
    assert len(document["quoted"]) <= 61
    for secret in (USER_TOKEN, APP_SECRET, "AQDabc123", "s3cr3t", "hunter2", "sesame9", "4711"):
        assert secret not in str(document)


def test_a_known_text_is_not_repeated() -> None:
    """A known error is explained in the runbook's own words."""
    pasted = f"https://h.example/?error_message=URL+Blocked&code={USER_TOKEN}"
    document = explained(pasted)

    assert document["known"]
    assert document["quoted"] == ""
    assert USER_TOKEN not in str(document)
    assert MASK not in str(document)


@pytest.mark.parametrize("pasted", ["", "  \n", "…", "“”", "?!"])
def test_nothing_cannot_be_explained(pasted: str) -> None:
    """Without a word there is nothing to look for."""
    with refused(SettingsError, "no-text-to-explain"):
        explained(pasted)


LOST_STATUS = (
    "This person consented, but Facebook refuses the data ((#100) Tried accessing nonexisting "
    "field (accounts)): check Access Verification, as a Tech Provider."
)
DESKTOP = "The request is invalid because the app is configured"


@each_connector
@pytest.mark.parametrize(
    ("place", "reason", "title"),
    [
        ("fb-08-redirect-uri", f"({DESKTOP} as a desktop app, code 1).", DESKTOP),
        ("test-02-authenticate", f"{DESKTOP} as a desktop app", DESKTOP),
        (
            "fb-05-confirm-creation",
            "API access deactivated. To reactivate, go to the app dashboard.",
            "API access deactivated.",
        ),
        # The reason of the check of a person without a role is known as a lost provider status.
        ("customer-consents-without-role", LOST_STATUS, "Customers are refused"),
    ],
)
def test_a_reason_leads_to_its_error(name: str, place: str, reason: str, title: str) -> None:
    """A check's reason leads to a known error of its step."""
    (step,) = (
        step
        for step in find_procedure(name).steps
        if place in (step.id, *(check.id for check in step.checks))
    )
    found = KnownErrors(step.known_errors).decide(read_error(reason))

    assert found.names_cause
    assert found.errors[0].title.startswith(title)


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda each: each.id)
def test_no_step_sends_people_to_itself(procedure: Procedure) -> None:
    """A step's advice names only other steps."""
    for step in procedure.steps:
        number = procedure.numbers[step.id]
        for error in step.known_errors:
            advice = error.advice_at(step_name(number, step.title))
            assert f"step {number} " not in advice, (step.id, advice)


def graph_text(message: str, code: int, **more: Any) -> str:
    """Return an error response of Graph's as text."""
    return json.dumps(graph_error(message, code, **more))


TITLE = {"error_user_title": "Budget too low", "error_user_msg": "Raise your budget."}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Invalid parameter", 100),
        ("(#100) Invalid parameter", 100),
        ("Permissions error", 200),
        ("An unknown error occurred", 1),
        ("An unknown error has occurred.", 1),
        ("Unsupported post request.", 100),
        ("(#10) Application does not have permission for this action", 10),
    ],
)
def test_a_title_beside_an_unknown_subcode_leaves_a_generic_message_open(
    message: str, code: int
) -> None:
    """A generic message is no certain answer if an unknown subcode and a title say more."""
    pasted = graph_text(message, code, error_subcode=1999999, **TITLE)

    document = explained(pasted)

    assert not document["known"]
    assert document["shown_to_people"] == ["Budget too low", "Raise your budget."]
    assert document["errors"]


@pytest.mark.parametrize(
    ("message", "code", "more", "known"),
    [
        # A known subcode, a known title and a message that names its cause stay certain.
        ("Invalid parameter", 100, {"error_subcode": 1815089, **TITLE}, "lead-terms"),
        (
            "User request limit reached",
            17,
            {"error_subcode": 1999999, "error_user_title": "Ad Account Has Too Many API Calls"},
            "account-blocked",
        ),
        (
            "Error validating access token: The user has not authorized application 1.",
            190,
            {"error_subcode": 1999999, **TITLE},
            "not-authorized",
        ),
    ],
)
def test_a_cause_that_is_named_stays_certain(
    message: str, code: int, more: Any, known: str
) -> None:
    """Only a generic message is doubted because of its title."""
    document = explained(graph_text(message, code, **more))

    assert document["known"]
    assert document["errors"][0]["id"] == known


def test_words_for_people_are_repeated_without_credentials() -> None:
    """Title and message for people are shown, also from a log, but no token in them."""
    more = {"error_user_title": f"See {USER_TOKEN}", "error_user_msg": "x " * 1_000}
    pasted = graph_text("Invalid parameter", 100, **more)

    for text in (pasted, f"2026-12-01 ERROR {json.dumps(pasted)}"):
        title, message = explained(text)["shown_to_people"]
        assert USER_TOKEN not in title
        assert len(message) <= 301


@pytest.mark.parametrize("name", ["test-04-user-token", "test-05-marketing-data"])
def test_a_known_error_of_a_call_has_the_same_advice_in_the_run(name: str) -> None:
    """A step whose reason has a known error gives the advice that `explain` gives."""
    step = next(step for step in MARKETING.steps if step.id == name)
    refused = "Error validating access token: The user has not authorized application 1."
    reason = f"{refused} (code 190, subcode 458)"
    finding = Finding(
        outcome=Outcome.INCONCLUSIVE, code="graph-request-refused", reason=reason, check="a"
    )
    state = step_state(step, Outcome.INCONCLUSIVE, reason=reason, findings=(finding,))

    advice = what_to_do(state, step)

    assert advice == explained(graph_text(refused, 190, error_subcode=458))["errors"][0]["advice"]
    assert "customer" not in advice


@pytest.mark.parametrize("reason", ["refused", "pair"])
def test_a_refused_secret_names_both_places(reason: str) -> None:
    """The advice about a refused App Secret names the setting here and Cyclr's Setup."""
    step = next(step for step in MARKETING.steps if step.id == "fb-13-app-id-and-secret")
    words = {"refused": ("Error validating client secret. (code 1)",), "pair": ()}[reason]
    finding = Finding(
        outcome=Outcome.FAILED, code="app-secret-refused", reason=PAIR_REFUSED, quotes=words
    )
    state = step_state(step, Outcome.FAILED, reason=PAIR_REFUSED, findings=(finding,))

    advice = what_to_do(state, step)

    assert "App Secret here" in advice
    assert f"Cyclr's Setup, step {MARKETING.numbers['cy-03-client-secret']} " in advice
