"""
The parameters that connectors of Facebook share: names, forms, help, defaults.

An input's name is the papermill parameter; `RUNBOOK_` and the name in upper
case is the environment variable.
"""

from __future__ import annotations

from runbook_lib.config import formats
from runbook_lib.core.procedure import Input
from runbook_lib.evidence.archive.stores import (
    DEFAULT_SECONDS,
    archive_address,
    retention_days,
    transfer_seconds,
)
from runbook_lib.remote.graph import DEFAULT_VERSION
from runbook_lib.remote.limits import Limits

__all__ = ["ALL"]

_LIMITS = Limits()

SERVICE_DOMAIN = Input(
    name="service_domain",
    label="Service Domain",
    help="Cyclr console: Settings > General Settings > Service Domain.",
    parse=formats.domain_name,
    example="acme-h.cyclr.com",
    required=True,
)
APP_DISPLAY_NAME = Input(
    name="app_display_name",
    label="App Display Name",
    help="The name that your users see when they consent.",
    example="Acme Lead Sync",
)
PERMISSIONS = Input(
    name="permissions",
    label="Permissions",
    help="What your use case asks users for; commas between them. public_profile is always there.",
    parse=formats.permission_names,
    default=("public_profile", "leads_retrieval"),
    example="leads_retrieval, ads_read",
)
APP_ID = Input(
    name="app_id",
    label="App ID",
    help="Facebook: Settings > Basic. It becomes Cyclr's Client ID.",
    parse=formats.app_id,
    example="123456789012345",
)
APP_SECRET = Input(
    name="app_secret",
    label="App Secret",
    help="Facebook: Settings > Basic > Show. It becomes Cyclr's Client Secret.",
    parse=formats.app_secret,
    secret=True,
)
GRAPH_VERSION = Input(
    name="graph_version",
    label="Graph API version",
    help="The version that every check is pinned to.",
    parse=formats.graph_version,
    default=DEFAULT_VERSION,
)
CYCLR_CLIENT_ID = Input(
    name="cyclr_client_id",
    label="Cyclr API Client ID",
    help="Cyclr console: Settings > OAuth Client Credentials. Not the Facebook pair.",
)
CYCLR_CLIENT_SECRET = Input(
    name="cyclr_client_secret",
    label="Cyclr API Client Secret",
    help="Cyclr console: Settings > OAuth Client Credentials. Not the Facebook pair.",
    parse=formats.opaque_secret,
    secret=True,
)
ACCOUNT_API_ID = Input(
    name="account_api_id",
    label="Account API ID",
    help="Cyclr console: Accounts > Account Management > Settings, of the account to test in.",
    parse=formats.header_text,
)
CYCLR_USERNAME = Input(
    name="cyclr_username",
    label="Cyclr user name",
    help="An existing user of that account, for the sign-in link. Cyclr creates unknown ones.",
    example="operator@acme.example",
)
CONNECTOR_NAME = Input(
    name="connector_name",
    label="Connector",
    help="The connector's name in Cyclr's library.",
    default="Facebook Marketing API",
)
INSTALL_CONNECTOR = Input(
    name="install_connector",
    label="Install the connector",
    help="Permit the runbook to install the connector in the account. This changes your Cyclr.",
    default=False,
)
CREATE_TEST_ACCOUNT = Input(
    name="create_test_account",
    label="Create a test account",
    help="Permit the runbook to create a Cyclr account where none is named. Changes your Cyclr.",
    default=False,
)
USER_ACCESS_TOKEN = Input(
    name="user_access_token",
    label="User access token",
    help="A user's token that was issued for this app.",
    parse=formats.opaque_secret,
    secret=True,
)
FOUR_EYES = Input(
    name="four_eyes",
    label="Four eyes",
    help="Steps whose attestation a second person must confirm, commas between them; or all.",
    parse=formats.step_names,
    default=(),
    example="cy-03-client-secret",
)
GRAPH_URL = Input(
    name="graph_url",
    label="Graph API address",
    help="Changed only for a proxy or the sandbox; a loopback address marks a run SANDBOX.",
    parse=formats.web_address,
    default="https://graph.facebook.com",
)
DIALOG_URL = Input(
    name="dialog_url",
    label="OAuth dialog address",
    help="Where Facebook asks users for consent.",
    parse=formats.web_address,
    default=f"https://www.facebook.com/{DEFAULT_VERSION}/dialog/oauth",
)
DASHBOARD_URL = Input(
    name="dashboard_url",
    label="App dashboard address",
    help="Where apps are registered.",
    parse=formats.web_address,
    default="https://developers.facebook.com",
)
CYCLR_API_URL = Input(
    name="cyclr_api_url",
    label="Cyclr API address",
    help="api.cyclr.com, or your region's: api.eu.cyclr.com, api.us2.cyclr.com, api.cyclr.uk.",
    parse=formats.web_address,
    default="https://api.cyclr.com",
)
CYCLR_CONSOLE_URL = Input(
    name="cyclr_console_url",
    label="Cyclr console address",
    help="my.cyclr.com, or that of your region.",
    parse=formats.web_address,
    default="https://my.cyclr.com",
)
SERVICE_DOMAIN_ADDRESS = Input(
    name="service_domain_address",
    label="Service Domain's address",
    help="host:port to connect to instead of what the name resolves to; the sandbox sets it.",
    parse=formats.address,
)
CA_FILE = Input(
    name="ca_file",
    label="Certificate authority",
    help="A PEM file with one more authority to trust; the sandbox sets it.",
    parse=formats.certificate_file,
)
REDIRECT_HOSTS = Input(
    name="redirect_hosts",
    label="Further hosts of Cyclr's",
    help="Hosts that Cyclr's sign-in link may lead to beside those named elsewhere; commas between "
    "them. They, and the Service Domain if it is here, may be on a private network.",
    parse=formats.host_names,
    default=(),
    example="login.cyclr.example",
)
ANSWER_LIMIT_KIB = Input(
    name="answer_limit_kib",
    label="Largest answer",
    help="In KiB, after decoding; a larger answer is not read to its end.",
    parse=formats.answer_limit,
    default=_LIMITS.answer_kib,
)
EXCHANGE_SECONDS = Input(
    name="exchange_seconds",
    label="Longest exchange",
    help="How long one request may take, from the look-up of the name to the last byte.",
    parse=formats.exchange_seconds,
    default=_LIMITS.exchange_seconds,
)
STEP_SECONDS = Input(
    name="step_seconds",
    label="Longest step",
    help="How long all checks of a step may take, with their retries and waits.",
    parse=formats.step_seconds,
    default=_LIMITS.step_seconds,
)
SIGNING_KEY = Input(
    name="signing_key",
    label="Signing key",
    help="What signs the evidence: a PEM file, or a signer's URI; made on first use if left out.",
    example="awskms:1234abcd-12ab-34cd-56ef-1234567890ab",
)
SIGNING_PUBLIC_KEY = Input(
    name="signing_public_key",
    label="Public half of the signing key",
    help="The PEM file of a key that a signer's URI names.",
    example="evidence-key.pub.pem",
)
SIGNING_PASSPHRASE = Input(
    name="signing_passphrase",
    label="Passphrase of the signing key",
    help="Opens an encrypted key file; a first key is encrypted with it.",
    parse=formats.passphrase,
    secret=True,
)
TSA = Input(
    name="tsa",
    label="Time-stamp authority",
    help="Is asked to time-stamp the evidence (RFC 3161).",
    parse=formats.timestamp_authority,
    example="http://timestamp.digicert.com",
)
ARCHIVE = Input(
    name="archive",
    label="Archive",
    help="Where sealed evidence is copied to: s3://…, gs://…, az://… or a folder.",
    parse=archive_address,
    example="s3://bucket/evidence",
)
ARCHIVE_RETENTION_DAYS = Input(
    name="archive_retention_days",
    label="Retention in the archive",
    help="For so many days nobody can delete it there (S3 Object Lock). There is no way back.",
    parse=retention_days,
    default=0,
)
ARCHIVE_SECONDS = Input(
    name="archive_seconds",
    label="Patience with the archive",
    help="For so many seconds it may be silent in a transfer; what is large may take longer.",
    parse=transfer_seconds,
    default=DEFAULT_SECONDS,
)

QUEUE_SECONDS = Input(
    name="queue_seconds",
    label="Queue",
    help="How many seconds a headless run waits for another one of the same tenant to end.",
    parse=formats.queue_seconds,
    default=900,
)

# What evidence is signed with and where it is kept: no step asks for it.
EVIDENCE = (
    SIGNING_KEY,
    SIGNING_PUBLIC_KEY,
    SIGNING_PASSPHRASE,
    TSA,
    ARCHIVE,
    ARCHIVE_RETENTION_DAYS,
    ARCHIVE_SECONDS,
)

# How a run is performed: no step asks for it.
RUNNER = (ANSWER_LIMIT_KIB, EXCHANGE_SECONDS, STEP_SECONDS, QUEUE_SECONDS)

ALL = (
    SERVICE_DOMAIN,
    APP_DISPLAY_NAME,
    PERMISSIONS,
    APP_ID,
    APP_SECRET,
    GRAPH_VERSION,
    CYCLR_CLIENT_ID,
    CYCLR_CLIENT_SECRET,
    ACCOUNT_API_ID,
    CYCLR_USERNAME,
    CONNECTOR_NAME,
    INSTALL_CONNECTOR,
    CREATE_TEST_ACCOUNT,
    USER_ACCESS_TOKEN,
    FOUR_EYES,
    GRAPH_URL,
    DIALOG_URL,
    DASHBOARD_URL,
    CYCLR_API_URL,
    CYCLR_CONSOLE_URL,
    SERVICE_DOMAIN_ADDRESS,
    CA_FILE,
    REDIRECT_HOSTS,
    *RUNNER,
    *EVIDENCE,
)
