"""
OAuth 2.0 as Facebook implements it: grants at the token endpoint, by the RFC's names.

The endpoint returns errors as Graph's error object, not as RFC 6749 §5.2's;
both are accepted.
"""

from __future__ import annotations

from runbook_lib.core.credential_form import is_facebook_token
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import TokenRequestError
from runbook_lib.remote.documents import Answer, Document
from runbook_lib.remote.transport import Request, Session

_SOURCE = "The token endpoint"


def request_token_by_client_credentials(
    session: Session, endpoint: str, *, client_id: str, client_secret: Secret
) -> Secret:
    """
    Request an app access token (RFC 6749 §4.4; Graph: Access Tokens, App Access Tokens).

    Sent as a form, so that no URL contains the secret. Safe to repeat. Raises
    `TokenRequestError` if the server refuses.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
    }
    return _request_token(session, endpoint, form, is_repeatable=True)


def request_token_by_code(
    session: Session,
    endpoint: str,
    *,
    client_id: str,
    client_secret: Secret,
    redirect_uri: str,
    code: str,
) -> Secret:
    """
    Redeem an authorization code (RFC 6749 §4.1.3).

    Never repeated: a code is single use. Raises `TokenRequestError` if the
    server refuses.
    """
    form = {
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
        "redirect_uri": redirect_uri,
        "code": code,
    }
    return _request_token(session, endpoint, form, is_repeatable=False)


def _request_token(
    session: Session, endpoint: str, form: dict[str, str], *, is_repeatable: bool
) -> Secret:
    request = Request(method="POST", url=endpoint, form=form, app=form["client_id"])
    answer = session.send(request, is_repeatable=is_repeatable)
    document = answer.document()
    if answer.status != 200 or (isinstance(document, dict) and "error" in document):
        raise _refusal(answer, document)
    issued = Document(document, _SOURCE).get("access_token")
    return session.take_token(issued, endpoint=endpoint, is_token=is_facebook_token)


def _refusal(answer: Answer, content: object) -> TokenRequestError:
    document = Document(content if isinstance(content, dict) else {}, _SOURCE)
    error = document.get("error")
    if not isinstance(error, dict):
        reason = document.words("error_description") or document.words("error")
        message = reason or f"The token endpoint answered {answer.status}."
        return TokenRequestError(message, status=answer.status, code=None)
    refusal = document.document("error")
    return TokenRequestError(
        refusal.words("message"),
        status=answer.status,
        code=refusal.code("code"),
        trace_id=refusal.words("fbtrace_id"),
    )
