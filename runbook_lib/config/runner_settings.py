"""
Settings of the runner itself, the same for every connector; no step asks for them.

They cover network and time limits, signing and archive of the evidence, and attestations that need
a second person.
"""

from __future__ import annotations

from functools import partial

from runbook_lib.config import formats
from runbook_lib.core.procedure import Input, Procedure

# The parameter that limits the days for which attestations count.
ATTESTATION_DAYS = "attestation_days"

SIGNING_KEY = Input(
    name="signing_key",
    label="Signing key",
    help="A PEM file or a signer's URI; created on first use if left out.",
    example="awskms:1234abcd-12ab-34cd-56ef-1234567890ab",
)
SIGNING_PUBLIC_KEY = Input(
    name="signing_public_key",
    label="Public half of the signing key",
    help="If the signing key is a URI: the PEM file with its public key.",
    example="evidence-key.pub.pem",
)
SIGNING_PASSPHRASE = Input(
    name="signing_passphrase",
    label="Passphrase of the signing key",
    help="Opens an encrypted key file, and encrypts a new key.",
    parse=formats.passphrase,
    secret=True,
)

# Signing and archive of the evidence: a kernel does not need these.
EVIDENCE = (
    SIGNING_KEY,
    SIGNING_PUBLIC_KEY,
    SIGNING_PASSPHRASE,
    Input(
        name="tsa",
        label="Time-stamp authority",
        help="Time-stamps the evidence (RFC 3161).",
        parse=formats.timestamp_authority,
        example="http://timestamp.digicert.com",
    ),
    Input(
        name="archive",
        label="Archive",
        help="The runbook copies sealed evidence to s3://…, gs://…, az://… or a folder.",
        parse=formats.archive_address,
        example="s3://bucket/evidence",
    ),
    Input(
        name="archive_seconds",
        label="Archive time-out",
        help="How many seconds a transfer may stall; a large file may take longer in total.",
        parse=partial(formats.whole_number, least=1, most=3600, unit="seconds"),
        default=60,
    ),
)
# Settings that the checks, and so the kernel, need.
IN_KERNEL = (
    Input(
        name="four_eyes",
        label="Four eyes",
        help="Steps whose attestation a second person must confirm, separated by commas; or all.",
        parse=formats.step_names,
        default=(),
        example="cy-03-client-secret",
    ),
    Input(
        name=ATTESTATION_DAYS,
        label="Days that a confirmation counts",
        help="The most days, for steps with a limit. 0 means as long as the procedure says. No "
        "number extends that.",
        parse=partial(formats.whole_number, least=0, most=3650, unit="days"),
        default=0,
    ),
    Input(
        name="connect_to",
        label="Other hosts' addresses",
        help="host=host:port: connect there instead of resolving the name; the sandbox sets it.",
        parse=formats.addresses,
        default=(),
    ),
    Input(
        name="ca_file",
        label="Certificate authority",
        help="A PEM file with one more authority to trust; the sandbox sets it.",
        parse=formats.certificate_file,
    ),
    Input(
        name="response_limit_kib",
        label="Largest response",
        help="In KiB, after decoding. The runbook does not read the rest of a larger response.",
        parse=partial(formats.whole_number, least=64, most=65_536, unit="KiB"),
        default=4096,
    ),
    Input(
        name="exchange_seconds",
        label="Longest exchange",
        help="How many seconds one request may take, from resolving the name to the last byte.",
        parse=partial(formats.whole_number, least=1, most=600, unit="seconds"),
        default=30,
    ),
    Input(
        name="step_seconds",
        label="Longest step",
        help="How many seconds all checks of a step may take, with their retries and waits.",
        parse=partial(formats.whole_number, least=1, most=3600, unit="seconds"),
        default=120,
    ),
    Input(
        name="queue_seconds",
        label="Queue",
        help="How many seconds a headless run waits until another run of the tenant ends.",
        parse=partial(formats.whole_number, least=0, most=86_400, unit="seconds"),
        default=900,
    ),
)
# Channels and recipients of a watch's messages: neither the evidence nor a kernel needs these.
NOTIFY = (
    Input(
        name="mail_server",
        label="Mail server",
        help="host:port of the SMTP server; implicit TLS on port 465, otherwise STARTTLS.",
        parse=formats.address,
        example="smtp.acme.example:587",
    ),
    Input(
        name="mail_user",
        label="Mail user",
        help="The user name for the mail server; no login if left out.",
        parse=formats.header_text,
    ),
    Input(
        name="mail_password",
        label="Mail password",
        help="The password of that user.",
        parse=formats.header_text,
        secret=True,
    ),
    Input(
        name="mail_from",
        label="Mail sender",
        help="The sender's address.",
        parse=formats.mail_address,
        example="runbook@acme.example",
    ),
    Input(
        name="mail_to",
        label="Mail recipient",
        help="This tenant's address, for everything that is not assigned to a person.",
        parse=formats.mail_address,
        example="operations@acme.example",
    ),
    Input(
        name="mail_people",
        label="Mail addresses of people",
        help="name=address, separated by commas: each person gets messages about their steps.",
        parse=formats.people,
        default=(),
        example="Ann=ann@acme.example, Ben=ben@acme.example",
    ),
    Input(
        name="webhook",
        label="Webhook",
        help="A URL that gets each message as JSON, signed according to Standard Webhooks.",
        parse=formats.web_address,
        example="https://hooks.acme.example/runbook",
    ),
    Input(
        name="webhook_secret",
        label="Signing secret of the webhook",
        help="whsec_ and base64 of 24 to 64 bytes; give the receiver the same secret.",
        parse=formats.webhook_secret,
        secret=True,
    ),
    Input(
        name="apprise_file",
        label="Apprise configuration",
        help="Apprise's own file, with the addresses of other services; needs the extra apprise.",
        example="/etc/runbook/apprise.conf",
    ),
    Input(
        name="healthcheck",
        label="Health check",
        help="A URL that gets a GET after each look, so you notice if the watch stops.",
        parse=formats.web_address,
        example="https://hc-ping.com/00000000-0000-0000-0000-000000000000",
    ),
)
OUTSIDE_KERNEL = (*EVIDENCE, *NOTIFY)
RUNNER = (*IN_KERNEL, *OUTSIDE_KERNEL)


def inputs_of(procedure: Procedure) -> tuple[Input, ...]:
    """Return all settings of a run of `procedure`: its own, its providers', the runner's."""
    return (*procedure.settings, *RUNNER)
