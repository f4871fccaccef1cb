"""The file of a fleet: every mistake is found, with its table and key, and no secret is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.config.fleet_file import FleetTenant, read_fleet_file
from runbook_lib.connectors.registry import DEFAULT, connector_names, find_procedure
from runbook_lib.core.procedure import Input
from runbook_lib.errors import ExitCode, FleetFileError
from tests.support.wording import refused, refused_naming, wording
from tests.unit.bodies import APP_SECRET, USER_TOKEN

PROCEDURES = {name: find_procedure(name) for name in connector_names()}
ACME = '[[tenant]]\ntenant = "acme"\n'
TOML = """\
# Two tenants.
[defaults]
graph_version = "v26.0"
page_id = "12345"              # Facebook Messenger's alone
secrets = {app_secret = "env:SHARED"}

[[tenant]]
tenant = "acme"
service_domain = "acme-h.cyclr.com"
permissions = [
    "ads_read",
    "ads_management",
]

[[tenant]]
tenant = "bloom"
connector = "facebook_messenger"
graph_version = "v25.0"
[tenant.secrets]
app_secret = "dotenv:bloom.env#APP_SECRET"
"""


def read(folder: Path, text: str, name: str = "tenants.toml") -> list[FleetTenant]:
    """Return the tenants in a file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return read_fleet_file(path, PROCEDURES, DEFAULT).tenants


def mistakes(folder: Path, text: str, name: str = "tenants.toml") -> list[str]:
    """Return the mistakes of a file with this text."""
    with pytest.raises(FleetFileError) as caught:
        read(folder, text, name)
    assert caught.value.exit_code == ExitCode.USAGE
    return [*caught.value.mistakes] or [str(caught.value)]


def test_a_tenant_has_its_own_values_else_those_of_all(tmp_path: Path) -> None:
    """A tenant's values and references win over the defaults, which reach whom they concern."""
    acme, bloom = read(tmp_path, TOML)

    assert (acme.tenant, acme.procedure.id) == ("acme", "facebook_marketing")
    assert acme.given == {
        "graph_version": "v26.0",
        "service_domain": "acme-h.cyclr.com",
        "permissions": ("public_profile", "ads_read", "ads_management"),
    }
    assert acme.references == {"app_secret": "env:SHARED"}
    assert (bloom.tenant, bloom.procedure.id) == ("bloom", "facebook_messenger")
    assert bloom.given == {"graph_version": "v25.0", "page_id": "12345"}
    assert bloom.references == {"app_secret": "dotenv:bloom.env#APP_SECRET"}


NOT_TWO_NUMBERS = "a Client ID is two numbers with a dot between them"


def _two_numbers(text: str) -> str:
    """Return `text` if it is a Client ID of the third connector."""
    if "." not in text:
        raise ValueError(NOT_TWO_NUMBERS)
    return text


THIRD = replace(
    PROCEDURES[DEFAULT],
    id="third",
    inputs=(
        Input(name="app_id", label="Client ID", help="", parse=_two_numbers),
        Input(name="page_id", label="Page ID", help="", secret=True),
        Input(name="app_secret", label="Client name", help=""),
    ),
)


@pytest.mark.parametrize("order", [("third", *PROCEDURES), (*PROCEDURES, "third")])
def test_defaults_are_read_with_each_tenants_own_connector(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    """Defaults must be valid for the connectors of the tenants, and for no others."""
    procedures = {name: {**PROCEDURES, "third": THIRD}[name] for name in order}
    path = tmp_path / "tenants.toml"
    head = '[defaults]\napp_id = "123456789012345"\nsecrets = {app_secret = "env:SHARED"}\n'
    path.write_text(f"{head}{ACME}")

    (acme,) = read_fleet_file(path, procedures, DEFAULT).tenants
    assert acme.given == {"app_id": "123456789012345"}
    assert acme.references == {"app_secret": "env:SHARED"}

    path.write_text(f'{head}{ACME}[[tenant]]\ntenant = "bloom"\nconnector = "third"\n')
    with pytest.raises(FleetFileError) as caught:
        read_fleet_file(path, procedures, DEFAULT)
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].startswith("[defaults]: app_id (Client ID)")
    assert NOT_TWO_NUMBERS in caught.value.mistakes[0]

    path.write_text(f'[defaults]\npage_id = "12345"\n{ACME}')
    with refused(FleetFileError, "has-mistakes", count=1) as caught:
        read_fleet_file(path, {"third": THIRD, DEFAULT: PROCEDURES[DEFAULT]}, DEFAULT)
    secret = wording("tenants-file-invalid.is-secret")
    assert caught.value.mistakes == [f"[defaults], page_id: {secret}"]


def test_one_tenant_may_have_two_connectors(tmp_path: Path) -> None:
    """A tenant is there once for each connector."""
    text = f'{ACME}{ACME}connector = "facebook_messenger"\n'

    assert [each.procedure.id for each in read(tmp_path, text)] == [
        "facebook_marketing",
        "facebook_messenger",
    ]


NOT_TOML = wording("tenants-file-invalid.not-toml")
NO_TENANT = wording("tenants-file-invalid.no-tenant")
NAME_MISSING = wording("tenants-file-invalid.name-missing")
NAME_FORM = wording("tenants-file-invalid.name-form")
NO_CONNECTOR = wording("tenants-file-invalid.no-connector")
NAME_FOR_ALL = wording("tenants-file-invalid.name-for-all")
TAKES_REFERENCE = wording("tenants-file-invalid.takes-reference")
IS_SECRET = wording("tenants-file-invalid.is-secret")
TOO_DEEP = wording("ValueError.too-deep")
AS_TABLE = wording("tenants-file-invalid.as-a-table")
TWO_BRACKETS = wording("tenants-file-invalid.two-brackets")
OWN_TABLE = wording("tenants-file-invalid.own-table")


def not_known(key: str) -> str:
    return wording("tenants-file-invalid.name-not-known", key=key)


def twice(name: str) -> str:
    return wording("tenants-file-invalid.twice", name=name)


MISTAKES: Mapping[str, tuple[str, list[str]]] = {
    "no name": ("[[tenant]]\n", [f"1 (line 1), tenant: {NAME_MISSING}"]),
    "a name that no folder has": (
        '[[tenant]]\n\ntenant = "a/b"\n',
        [f"1 (line 1), tenant: {NAME_FORM}"],
    ),
    "a name that is no text": (
        "[[tenant]]\ntenant = 7\n",
        [f"1 (line 1), tenant: {NAME_MISSING}"],
    ),
    "twice": (ACME + ACME, [f"2 (acme, line 3), tenant: {twice('acme')}"]),
    "an unknown connector": (
        f'{ACME}connector = "mailchimp"\n',
        [f"1 (acme, line 1), connector: {NO_CONNECTOR}"],
    ),
    "a misspelt connector": (
        f'{ACME}connector = "facebook_mesenger"\n',
        [f"connector: {NO_CONNECTOR} (Did you mean facebook_messenger?)"],
    ),
    "a connector that is a list": (
        f"{ACME}connector = []",
        [f"1 (acme, line 1), connector: {NO_CONNECTOR}"],
    ),
    "an unknown key": (
        f'{ACME}app_ids = "1"\n',
        [f"1 (acme, line 1), {not_known('app_ids')}. Did you mean app_id?"],
    ),
    "another connector's key": (
        f'{ACME}page_id = "12345"',
        [f"1 (acme, line 1), {not_known('page_id')}"],
    ),
    "a value that is refused": (
        f'{ACME}app_id = "x"',
        ["1 (acme, line 1): app_id (App ID): an App ID is"],
    ),
    "a value of another type": (
        f"{ACME}app_id = {{a = 1}}",
        ["1 (acme, line 1): app_id (App ID): it takes"],
    ),
    "in the defaults": (
        f'[defaults]\n\napp_id = "x"\n{ACME}',
        ["[defaults]: app_id (App ID): an App ID"],
    ),
    "a name for all": (
        f'[defaults]\ntenant = "x"\n{ACME}',
        [f"[defaults], tenant: {NAME_FOR_ALL}"],
    ),
    "a secret": (
        f'{ACME}secrets = {{app_secret = "{APP_SECRET}"}}',
        [f"1 (acme, line 1), secrets, app_secret: {TAKES_REFERENCE}"],
    ),
    "a secret among several lines": (
        f'{ACME}note = """\n[[tenant]]\n"""\n[tenant.secrets]\napp_secret = "{APP_SECRET}"',
        [f"1 (acme), {not_known('note')}", f"1 (acme), secrets, app_secret: {TAKES_REFERENCE}"],
    ),
    "a secret as a parameter": (
        f'{ACME}app_secret = "{APP_SECRET}"',
        [f"1 (acme, line 1), app_secret: {IS_SECRET}"],
    ),
    "a token in a reference": (
        f'{ACME}secrets.app_secret = "env:{USER_TOKEN}"',
        [f"1 (acme, line 1), secrets, app_secret: {TAKES_REFERENCE}"],
    ),
    "a parameter as a secret": (
        f'{ACME}secrets.app_id = "env:A"',
        [f"1 (acme, line 1), secrets, {not_known('app_id')}"],
    ),
    "a secret as a key": (
        f'{ACME}{APP_SECRET} = ""',
        [f"1 (acme, line 1), {not_known('a key')}"],
    ),
    "a secret in another's place": (
        f'{ACME}permissions = "{APP_SECRET}!"',
        ["[[tenant]] 1 (acme, line 1): permissions (Permissions): '…' is not a permission"],
    ),
    "secrets that are no table": (
        f'{ACME}secrets = "env:A"',
        [f"1 (acme, line 1), secrets: {AS_TABLE}"],
    ),
    "a number as reference": (
        f"{ACME}secrets = {{app_secret = 7}}",
        [f"1 (acme, line 1), secrets, app_secret: {TAKES_REFERENCE}"],
    ),
    "one bracket": ('[tenant]\ntenant = "acme"', [f"tenant: {TWO_BRACKETS}"]),
    "defaults twice": (f"[[defaults]]\n{ACME}", [f"defaults: {OWN_TABLE}"]),
    "another table": (
        f"{ACME}[default]\n",
        [f"{not_known('default')}. Did you mean defaults?"],
    ),
    "all of them": (
        '[[tenant]]\n[[tenant]]\ntenant = "b"\napp_id = "x"\nb = 1\n',
        [
            f"[[tenant]] 1 (line 1), tenant: {NAME_MISSING}",
            "[[tenant]] 2 (b, line 2): app_id",
            f"[[tenant]] 2 (b, line 2), {not_known('b')}",
        ],
    ),
    "inline tables": (
        'tenant = [{tenant = "a"},\n  {tenant = "a"}]',
        [f"2 (a), tenant: {twice('a')}"],
    ),
    "no TOML": ("[[tenant]\n", [NOT_TOML]),
    "deep TOML": (f"a = {'[' * 100_000}", [f"{NOT_TOML}it is {TOO_DEEP}"]),
    "no tenant": ('[defaults]\napp_id = "123456789"', [NO_TENANT]),
    "nothing": ("", [NO_TENANT]),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_named_with_its_table_and_key(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    """Each mistake is named, in the order of tables, with what it is; nothing secret is shown."""
    found = mistakes(tmp_path, text)

    assert [words in each for words, each in zip(said, found, strict=True)] == [True] * len(said), (
        found
    )
    assert not [each for each in found if APP_SECRET in each or USER_TOKEN in each]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "file-not-utf-8"),
        (b"#" * (16 * 1024 * 1024 + 1), "file-too-large"),
        (None, "file-missing"),
    ],
    ids=["bytes", "large", "missing"],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """A file that is missing, too large or no text is refused by name."""
    path = tmp_path / "tenants.toml"
    if content is not None:
        path.write_bytes(content)

    with refused(FleetFileError, said, path=path):
        read_fleet_file(path, PROCEDURES, DEFAULT)


def test_csv_was_withdrawn(tmp_path: Path) -> None:
    """A file in CSV is refused, with the page that converts it."""
    path = tmp_path / "tenants.csv"
    path.write_text("tenant\nacme\n")

    with refused_naming(FleetFileError, "docs/fleet.md"):
        read_fleet_file(path, PROCEDURES, DEFAULT)
