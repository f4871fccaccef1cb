"""The checks of Plainmail's connector keep the promises of every connector."""

from __future__ import annotations

from plainmail.procedure import PROCEDURE

from runbook_lib.core.redaction import Secret
from runbook_lib.testing import (
    ConnectorCase,
    ConnectorSafety,
    Control,
    MinimalExchanges,
    ScriptedExchange,
    asking,
    made_up,
    named_refusals,
    with_cyclr,
)
from runbook_lib.testing.connector_case import REFUSALS

APP_ID = "402716358911"
APP_SECRET = "7c1f0be29d8a4e63b5a07d1946f2c8e3b0d54a7f91"
TOKEN = "/oauth2/token"
# RFC 6749 §5.2.
ERRORS = ("invalid_client", "invalid_grant", "invalid_request", "unauthorized_client")

CASE = with_cyclr(
    ConnectorCase(
        procedures=(PROCEDURE,),
        values={"app_id": APP_ID},
        secrets={"app_secret": Secret(APP_SECRET)},
        exchanges={
            "plainmail-pair-is-accepted": (
                MinimalExchanges(
                    (
                        ScriptedExchange(
                            TOKEN,
                            {"error": "invalid_grant"},
                            400,
                            asks=asking(client_secret=APP_SECRET, code=made_up(16)),
                        ),
                        ScriptedExchange(
                            TOKEN,
                            {"error": "invalid_client"},
                            401,
                            asks=asking(client_secret=made_up(25), code=made_up(16)),
                        ),
                    )
                ),
            ),
        },
        other_names={APP_ID: "999999999999"},
        controls=(
            Control(
                check="plainmail-pair-is-accepted",
                places=(1,),
                proves=named_refusals("invalid_client"),
            ),
        ),
        # The code is made up in both requests; the secret is the control's part.
        not_controls={"plainmail-pair-is-accepted": frozenset({0})},
        refusals={**REFUSALS, **{error: (400, {"error": error}) for error in ERRORS}},
    )
)


class TestPlainmail(ConnectorSafety):
    """Its own check, and Cyclr's for it."""

    case = CASE
