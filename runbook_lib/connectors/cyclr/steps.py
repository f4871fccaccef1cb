"""
Steps at Cyclr that connectors share, in their documented order.

A connector's procedure composes them with its own.
"""

from __future__ import annotations

from functools import partial

from runbook_lib.connectors.cyclr import connector as checks
from runbook_lib.connectors.cyclr import inputs, troubles
from runbook_lib.connectors.provider import Vendor
from runbook_lib.core.procedure import Check, Input, Link, Paste, Source, Step, StepKind

# What checks of the connector cannot do without.
CYCLR = ("cyclr_client_id", "cyclr_client_secret", "account_api_id")

# What a person's word, or a check, is about: said of another console or account it is void.
OUR_CYCLR = ("service_domain", "cyclr_client_id", "cyclr_connector")
OUR_ACCOUNT = (*OUR_CYCLR, "account_api_id")

# Sittings: what is done in one go (`Step.sitting`).
CONSOLE = "The connector in Cyclr"
ACCOUNT = "A user's account"
# What nothing shows, in any connector of Cyclr's.
UNSEEN = (
    (
        "Whether a connection works: Cyclr says signed in, and whether that changes when a token "
        "of a customer ends, and how soon, is not known."
    ),
    "When customers' tokens end: Cyclr keeps them, and shows no date.",
)


def connector_setup(connector: Input) -> Step:
    """Open the connector's Setup; `connector` holds its name in Cyclr's library."""
    return Step(
        id="cy-01-connector-setup",
        title="Open the connector's Setup in the Cyclr console",
        kind=StepKind.MANUAL,
        source=Source(2),
        confirms="The connector's Setup is open in our Cyclr console.",
        subject=OUR_CYCLR,
        sitting=CONSOLE,
        today=(
            "In your Cyclr console, search for the connector under **Connectors > Application "
            "Connector Library**, and press **Setup Required**, or the **pencil** and "
            "**Settings**."
        ),
        prose=(
            f"In your Cyclr console go to **Connectors > Connector Library > {connector.default} > "
            "Setup**. Newer consoles have it elsewhere, as above: the **Setup Required** icon, or "
            "the **pencil** and its **Settings** tab. You need full access to the library."
        ),
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        inputs=(
            inputs.CYCLR_CLIENT_ID,
            inputs.CYCLR_CLIENT_SECRET,
            inputs.ACCOUNT_API_ID,
            connector,
        ),
        checks=(Check("connector-is-in-library", checks.connector_is_in_library, CYCLR),),
    )


def client_id(vendor: Vendor, credentials: str) -> Step:
    """Enter the app's id as Client ID; `credentials` is the step that yields it."""
    app_id = vendor.client_id
    return Step(
        id="cy-02-client-id",
        title=f"Client ID: the {app_id.label}",
        kind=StepKind.MANUAL,
        source=Source(2),
        confirms=f"Client ID in the connector's Setup is the {app_id.label}, and it is saved.",
        subject=(app_id.name, *OUR_CYCLR),
        sitting=CONSOLE,
        today=f"Enter the {app_id.label} of your {vendor.title} app as **Client ID**.",
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        pastes=(Paste("Client ID", f"{{{app_id.name}}}"),),
        inputs=(inputs.CYCLR_USERNAME,),
        checks=(
            Check(
                "console-holds-app-id",
                partial(checks.console_holds_app_id, vendor),
                (*CYCLR, app_id.name, "service_domain", "cyclr_username"),
                spends="It uses up one sign-in link; Cyclr creates that user if there is none.",
                permitted_by=("cyclr_username",),
            ),
        ),
        requires=(credentials,),
    )


def client_secret(vendor: Vendor, credentials: str) -> Step:
    """Enter the app's secret as Client Secret; `credentials` is the step that yields it."""
    secret = vendor.client_secret
    return Step(
        id="cy-03-client-secret",
        title=f"Client Secret: the {secret.label}",
        kind=StepKind.MANUAL,
        source=Source(2),
        confirms=(
            f"Client Secret in the connector's Setup is the {secret.label}, it is saved, and "
            "the padlock is closed."
        ),
        subject=(vendor.client_id.name, secret.name, *OUR_CYCLR),
        sitting=CONSOLE,
        today=(
            f"Enter the {secret.label} as **Client Secret** and press **Save Changes**. The "
            "padlock beside the connector closes once both fields are filled."
        ),
        prose=(
            "No API shows the secret that the console holds; that a user can sign in (next "
            "section) does."
        ),
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        requires=(credentials,),
        hands_over=secret,
    )


def error_webhook(step_id: str) -> Step:
    """Have failed transactions posted (not on the page)."""
    return Step(
        id=step_id,
        title="Have failed transactions posted to you",
        kind=StepKind.MANUAL,
        source=Source(2, reading="https://github.com/cyclr/docs (Transaction Errors)"),
        confirms=(
            "Cyclr posts the failed transactions of our accounts to an address of ours, and "
            "somebody reads them."
        ),
        subject=OUR_ACCOUNT,
        sitting=CONSOLE,
        today=(
            "Under **Settings > General Settings**, switch the **Transaction Error Webhook** on, "
            "and name an address of yours."
        ),
        prose=(
            "Nobody is notified when a customer's token ends: the customer's transactions fail. "
            "An account may have a setting of its own, which wins; only that one can be read here. "
            "“runbook explain --webhook” reads what is posted, and says for each cause whom it "
            "hits and what to do."
        ),
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        counts_days=365,
        checks=(Check("error-webhook-is-set", checks.error_webhook_is_set, CYCLR),),
    )


def install(connector: Input) -> Step:
    """Install the connector in one account; `connector` holds its name in Cyclr."""
    return Step(
        id="test-01-install",
        title="Install the connector in one user account",
        kind=StepKind.CALL,
        source=Source(2),
        confirms="The connector is installed in this user account.",
        subject=OUR_ACCOUNT,
        sitting=ACCOUNT,
        today=(
            f"Install the {connector.default} connector in one of your user accounts, in the "
            "console, or permit the runbook to do it."
        ),
        prose=(
            "`install_connector` permits the installation, `create_test_account` makes an account "
            "first. Both change your Cyclr, and the record says so."
        ),
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        inputs=(
            inputs.ACCOUNT_API_ID,
            inputs.INSTALL_CONNECTOR,
            inputs.CREATE_TEST_ACCOUNT,
        ),
        checks=(
            Check(
                "connector-is-installed",
                checks.connector_is_installed,
                ("cyclr_client_id", "cyclr_client_secret"),
                spends="It installs the connector, and creates an account, where you permit that.",
                permitted_by=("install_connector", "create_test_account"),
                alters=True,
            ),
        ),
        requires=("cy-01-connector-setup",),
        troubles=troubles.INSTALLING,
    )


def authenticate(vendor: Vendor) -> Step:
    """Authenticate the installed connector as a user would."""
    signed_in = (
        f"I signed in through Cyclr with {vendor.title} in this account and granted every "
        "permission that was asked for."
    )
    return Step(
        id="test-02-authenticate",
        title="Authenticate it as a user would",
        kind=StepKind.MANUAL,
        source=Source(2),
        confirms=signed_in,
        subject=(*vendor.subject, *OUR_ACCOUNT),
        sitting=ACCOUNT,
        today=(
            "In that account open the connector, press **Authenticate**, sign in with "
            f"{vendor.title} and grant every permission that is asked for."
        ),
        links=(Link("Cyclr console", "{cyclr_console_url}/"),),
        checks=(
            Check(
                "connector-is-authenticated",
                partial(checks.connector_is_authenticated, vendor),
                CYCLR,
                person_confirms=signed_in,
            ),
        ),
        troubles=(*troubles.AUTHENTICATING, *vendor.troubles),
        requires=("cy-02-client-id", "test-01-install"),
    )
