"""The check of the Plainmail connector alone; its other checks are Cyclr's."""

from __future__ import annotations

from plainmail.inputs import PLAINMAIL
from runbook_lib.connectors.check_registry import check
from runbook_lib.connectors.context import CheckContext
from runbook_lib.connectors.cyclr.service_domain import redirect_uri
from runbook_lib.connectors.findings import failed, inconclusive, verified
from runbook_lib.connectors.proof import REFUSED, KnownRefusal
from runbook_lib.core.model import Finding
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import TokenRequestError
from runbook_lib.remote.oauth import request_token_by_code

# RFC 6749 §5.2: the words of a token endpoint.
PAIR_REFUSED = KnownRefusal(code="pair-refused", error_codes=frozenset({"invalid_client"}))
_CODE_REFUSED = KnownRefusal(code="code-refused", error_codes=frozenset({"invalid_grant"}))


@check("plainmail-pair-is-accepted", needs=("app_id", "app_secret", "service_domain"))
def pair_is_accepted(context: CheckContext) -> Finding:
    """
    Redeem a made-up code: the refusal says whether Plainmail takes Client ID and Client Secret.

    A refusal that names the pair decides at once. Any other proves something only if the control, a
    made-up secret, is refused by the pair.
    """
    refusal = _refusal_of(context, context.secrets["app_secret"])
    if _is(PAIR_REFUSED, refusal):
        return failed(
            REFUSED,
            code=PAIR_REFUSED.code,
            reason=f"Plainmail refuses the Client ID or the Client Secret ({refusal}). Copy both "
            "again.",
            refuses=("app_id", "app_secret"),
        )
    control = _refusal_of(context, Secret(context.made_up("plainmail secret", 25)))
    if not (_is(_CODE_REFUSED, refusal) and _is(PAIR_REFUSED, control)):
        return inconclusive(
            code="pair-not-told-apart",
            reason="Plainmail's responses to this Client Secret and to a made-up one do not say "
            "whether it is right. Check again.",
        )
    return verified(
        code="pair-accepted",
        reason="Plainmail takes the Client ID and the Client Secret: it refuses only the code.",
        accepts=("app_id", "app_secret"),
    )


def _is(known: KnownRefusal, refusal: TokenRequestError | None) -> bool:
    """Return whether Plainmail refused, and for the known reason."""
    return refusal is not None and known.matches(
        str(refusal), status=refusal.status, error_code=refusal.error, subcode=None
    )


def _refusal_of(context: CheckContext, secret: Secret) -> TokenRequestError | None:
    """Return how Plainmail refuses a made-up code from the app with this secret."""
    try:
        request_token_by_code(
            context.session,
            PLAINMAIL.oauth(context.values),
            client_id=context.text("app_id"),
            client_secret=secret,
            redirect_uri=redirect_uri(context.text("service_domain")),
            code=context.made_up("plainmail code", 16),
        )
    except TokenRequestError as error:
        return error
    return None
