"""The token endpoint, debug_token and appsecret_proof."""

import hashlib
import hmac
from dataclasses import replace

import httpx
import pytest

from facebook_cyclr_sandbox.graph.tokens import format_pacific_time
from facebook_cyclr_sandbox.server import Sandbox
from tests.sandbox.graph_texts import (
    CODE_EXPIRED,
    CODE_USED,
    PROOF_REQUIRED,
    WRONG_PROOF,
    WRONG_SECRET,
)

from .conftest import Graph, Open, Start, app_of, error_of

REDIRECT_URI = "https://connect.partner.test/connector/callback"


def issue_code(sandbox: Sandbox, redirect_uri: str = REDIRECT_URI) -> str:
    app = app_of(sandbox)
    return sandbox.state.issue_code(app, app.admin_id, redirect_uri, ("public_profile",)).value


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_client_credentials_give_the_app_token(graph: Graph, method: str) -> None:
    """The response has an app token, which is not the secret, and no expires_in."""
    params = {**graph.credentials, "grant_type": "client_credentials"}
    url = f"{graph.base}/oauth/access_token"
    options = {"params": params} if method == "GET" else {"data": params}
    response = graph.http.request(method, url, **options).json()
    assert list(response) == ["access_token", "token_type"]
    app_id, _, tail = response["access_token"].partition("|")
    assert app_id == graph.given["app_id"]
    assert len(tail) == 27
    assert tail != graph.given["app_secret"]
    assert graph.get(f"{app_id}/permissions", response["access_token"]).status_code == 200


CREDENTIALS = {"grant_type": "client_credentials"}
DUMMY_CODE = {"redirect_uri": REDIRECT_URI, "code": "DUMMY"}
UNKNOWN_APP = "Error validating application. Cannot get application info due to a system error."
FOREIGN_DOMAIN = (
    "Can't load URL: The domain of this URL isn't included in the app's domains. To be able to "
    "load this URL, add all domains and sub-domains of your app to the App Domains field in your "
    "app settings."
)
RELATIVE_URI = "redirect_uri isn't an absolute URI. Check RFC 3986."


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({**CREDENTIALS, "client_secret": "0" * 32}, 1, WRONG_SECRET),
        ({**CREDENTIALS, "client_secret": ""}, 1, WRONG_SECRET),
        ({**CREDENTIALS, "client_id": "1234567890123456"}, 101, UNKNOWN_APP),
        ({**CREDENTIALS, "client_id": "my app"}, 101, "Invalid Client ID"),
        ({**CREDENTIALS, "client_id": ""}, 101, "Missing client_id parameter."),
        ({"grant_type": ""}, 191, "Missing redirect_uri parameter."),
        ({"grant_type": "password"}, 191, "Missing redirect_uri parameter."),
        # With a dummy code, the first error in the order secret, redirect URI, code is returned.
        ({**DUMMY_CODE, "client_secret": "x"}, 1, WRONG_SECRET),
        ({**DUMMY_CODE, "redirect_uri": "https://other.example/x"}, 191, FOREIGN_DOMAIN),
        ({**DUMMY_CODE, "redirect_uri": "connector/callback"}, 191, RELATIVE_URI),
        (DUMMY_CODE, 100, "Invalid verification code format."),
        # The redirect URI may have another path. Where App Domains has the host alone, another
        # host of its domain is foreign.
        (
            {**DUMMY_CODE, "redirect_uri": "https://connect.partner.test/elsewhere"},
            100,
            "Invalid verification code format.",
        ),
        ({**DUMMY_CODE, "redirect_uri": "https://made-up.partner.test/x"}, 191, FOREIGN_DOMAIN),
    ],
)
def test_an_exchange_is_refused_in_facebooks_words(
    graph: Graph, params: dict[str, str], code: int, message: str
) -> None:
    """Each wrong parameter gets its own recorded error, with HTTP 400 and without a subcode."""
    response = graph.exchange(**params)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["code"], error["message"], error["type"]) == (code, message, "OAuthException")
    assert "error_subcode" not in error


def test_a_code_is_redeemed_once(graph: Graph) -> None:
    """A code gives a 60-day token; the second time it is refused."""
    code = issue_code(graph.sandbox)
    response = graph.exchange(redirect_uri=REDIRECT_URI, code=code).json()
    assert list(response) == ["access_token", "token_type", "expires_in"]
    assert 5_183_000 < response["expires_in"] <= 5_184_000
    assert graph.get("me", response["access_token"]).status_code == 200
    error = error_of(graph.exchange(redirect_uri=REDIRECT_URI, code=code))
    assert (error["code"], error["error_subcode"]) == (100, 36009)
    assert error["message"] == CODE_USED


def test_a_code_keeps_its_redirect_uri(graph: Graph) -> None:
    """A code with another URI of the same domain is refused with 36008."""
    code = issue_code(graph.sandbox, "https://connect.partner.test/other")
    error = error_of(graph.exchange(redirect_uri=REDIRECT_URI, code=code))
    assert error["error_subcode"] == 36008
    assert error["message"] == (
        "Error validating verification code. Please make sure your redirect_uri is identical to "
        "the one you used in the OAuth dialog request"
    )


def test_a_code_expires(start: Start, graph_of: Open) -> None:
    """After ten minutes a code is refused with 36007."""
    sandbox = start("approved")
    code = issue_code(sandbox)
    sandbox.state.offset = 601
    error = error_of(graph_of(sandbox).exchange(redirect_uri=REDIRECT_URI, code=code))
    assert (error["error_subcode"], error["message"]) == (
        36007,
        CODE_EXPIRED,
    )


def test_fb_exchange_token_gives_a_long_lived_token(graph: Graph) -> None:
    """A short-lived token is exchanged for one of about 60 days."""
    state = graph.sandbox.state
    app = app_of(graph.sandbox)
    short = state.issue_user_token(app, app.admin_id, ("public_profile",), lifetime=3600)
    grant = {"grant_type": "fb_exchange_token", "fb_exchange_token": short.value}
    response = graph.exchange(**grant).json()
    assert response["access_token"] != short.value
    assert response["expires_in"] > 5_183_000
    assert error_of(graph.exchange(grant_type="fb_exchange_token"))["code"] == 1


def test_debug_token_has_the_recorded_shape(graph: Graph) -> None:
    """Keys and their order are those of the recorded response; IDs are strings."""
    token = str(graph.given["user_access_token"])
    data = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert list(data) == [
        "app_id",
        "type",
        "application",
        "data_access_expires_at",
        "expires_at",
        "is_valid",
        "issued_at",
        "scopes",
        "granular_scopes",
        "user_id",
    ]
    assert data["app_id"] == graph.given["app_id"]
    assert data["is_valid"] is True
    assert {"scope": "leads_retrieval"} in data["granular_scopes"]


def test_debug_token_knows_page_and_app_tokens(graph: Graph) -> None:
    """A page token of a long-lived user token never expires; an app token has no user."""
    token = str(graph.given["page_access_token"])
    page = graph.get("debug_token", "app", input_token=token).json()["data"]
    assert (page["type"], page["expires_at"], page["profile_id"]) == (
        "PAGE",
        0,
        graph.given["page_id"],
    )
    app = graph.get("debug_token", "app", input_token=graph.app_token).json()["data"]
    assert (app["type"], "user_id" in app) == ("APP", False)


def test_debug_token_says_nothing_else_of_a_garbage_token(graph: Graph) -> None:
    """`data` about a string that is no token has the error, `is_valid` and no scopes; HTTP 200."""
    response = graph.get("debug_token", "app", input_token="nonsense")
    assert response.status_code == 200
    data = response.json()["data"]
    assert list(data) == ["error", "is_valid", "scopes"]
    assert list(data["error"]) == ["code", "message"]
    assert (data["is_valid"], data["scopes"], data["error"]["code"]) == (False, [], 190)


def test_debug_token_still_describes_an_expired_token(own: Graph) -> None:
    """An expired token keeps its type, application, scopes, user and dates."""
    token = str(own.given["user_access_token"])
    before = own.get("debug_token", "app", input_token=token).json()["data"]
    own.sandbox.state.offset = 61 * 86_400
    after = own.get("debug_token", "app", input_token=token).json()["data"]
    error = after.pop("error")
    assert (error["code"], error["subcode"]) == (190, 463)
    assert after == {**before, "is_valid": False}


def test_debug_token_needs_an_input_token(graph: Graph) -> None:
    """A missing input_token is a parameter error."""
    error = error_of(graph.get("debug_token", "app"))
    assert error["message"] == "(#100) The parameter input_token is required"


def test_debug_token_is_for_the_app_or_its_developers(graph: Graph) -> None:
    """debug_token accepts an app token or a developer's user token, but no page token."""
    token = str(graph.given["user_access_token"])
    error = error_of(graph.get("debug_token", "page", input_token=token))
    assert error["message"] == (
        "(#100) You must provide an app access token, or a user access token that is an owner or "
        "developer of the app"
    )
    assert graph.get("debug_token", "user", input_token=token).status_code == 200


def test_debug_token_of_another_app(graph: Graph) -> None:
    """An app cannot inspect another app's token: the call is refused, with HTTP 400."""
    apps = graph.sandbox.state.facebook.apps
    token = str(graph.given["user_access_token"])
    other = replace(app_of(graph.sandbox), id="9999999999999999", secret="f" * 32, roles=set())
    apps[other.id] = other
    response = graph.get("debug_token", f"{other.id}|{other.secret}", input_token=token)
    del apps[other.id]
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["code"]) == ("OAuthException", 100)
    assert error["message"] == (
        "(#100) The App_id in the input_token did not match the Viewing App"
    )


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("nonsense", "Invalid OAuth access token - Cannot parse access token"),
        ("EAA" + "x" * 100, "The access token could not be decrypted"),
        ("1234567890123456|abc", "Invalid OAuth access token signature."),
    ],
)
def test_a_malformed_token_is_refused(graph: Graph, token: str, message: str) -> None:
    """Three kinds of malformed tokens get three recorded messages, all with code 190."""
    error = error_of(graph.get("me", token))
    assert (error["code"], error["message"]) == (190, message)


def test_appsecret_proof_is_verified(graph: Graph) -> None:
    """The right proof is accepted; a wrong one gets a GraphMethodException."""
    token = str(graph.given["user_access_token"])
    secret = str(graph.given["app_secret"])
    proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    assert graph.get("me", appsecret_proof=proof).status_code == 200
    error = error_of(graph.get("me", appsecret_proof="0" * 64))
    assert (error["type"], error["code"]) == ("GraphMethodException", 100)
    assert error["message"] == WRONG_PROOF


def test_appsecret_proof_can_be_required(graph: Graph) -> None:
    """If the app requires the proof, a call without it is refused."""
    app = app_of(graph.sandbox)
    app.requires_proof = True
    error = error_of(graph.get("me"))
    app.requires_proof = False
    assert error["message"] == PROOF_REQUIRED


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (1781352000, "Saturday, 13-Jun-26 05:00:00 PDT"),
        (1796126400, "Tuesday, 01-Dec-26 04:00:00 PST"),
    ],
)
def test_times_in_token_errors_are_pacific(moment: int, text: str) -> None:
    """Times in token errors are Pacific time, in summer and winter."""
    assert format_pacific_time(moment) == text


def test_token_endpoint_says_its_version(graph: Graph) -> None:
    """The token endpoint's response has the header facebook-api-version."""
    response: httpx.Response = graph.exchange(grant_type="client_credentials")
    assert response.headers["facebook-api-version"] == "v26.0"
