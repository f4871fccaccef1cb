"""Settings: their sources, types and precedence, and secrets by reference only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest

from runbook_lib.config import formats
from runbook_lib.config.settings import (
    convert_value,
    read_env_file,
    resolve,
    settings_file,
    variables_of,
)
from runbook_lib.connectors.facebook import facebook_formats
from runbook_lib.core.procedure import Input
from runbook_lib.errors import SettingsError
from tests.support.wording import wording
from tests.unit.bodies import USER_TOKEN


def item(name: str, label: str = "Label", **more: Any) -> Input:
    return Input(name=name, label=label, help="", **more)


DOMAIN = item("service_domain", "Domain", parse=formats.domain_name)
NAMES = item(
    "permissions",
    "Permissions",
    parse=facebook_formats.permission_names,
    default=("public_profile",),
)
FLAG = item("install", "Install", default=False)
APP_SECRET = item("app_secret", "App Secret", parse=facebook_formats.app_secret, secret=True)
OPAQUE = item("cyclr_secret", "Cyclr Secret", parse=formats.opaque_secret, secret=True)
INPUTS = (DOMAIN, NAMES, FLAG, APP_SECRET, OPAQUE)
GOOD_SECRET = "0123456789abcdef0123456789abcdef"
BAD_SECRET = "canary-NOT-32-hex-characters"
APP_TOKEN = f"1234567890123456|{'a1B' * 9}"
# Inputs with their providers' names in the variables.
THEIRS = (
    item("app_secret", provider="facebook", secret=True),
    item("app_id", provider="facebook"),
    item("service_domain", provider="cyclr"),
    item("cyclr_client_id", provider="cyclr"),
    item("archive"),
)
NAME = item("app_display_name", "Name")
CONNECTOR = "facebook_messenger"
ALONE = NAME.variable_for(CONNECTOR)
THEIR_OWN = NAME.variable_for("facebook_marketing")
# The settings that resolve the name for one connector, and another provider's secret.
MINE = {"inputs": [NAME], "connector": CONNECTOR}
MARKETINGS = {"inputs": THEIRS, "connector": "facebook_marketing"}
ANOTHERS = {
    "inputs": [item("app_secret", provider="other", secret=True)],
    "connector": "x",
    "others": variables_of({"facebook_marketing": THEIRS}),
}
IN_BOTH = pytest.mark.parametrize("source", ["environ", "env_file"])
DOMAIN_IS: dict[str, Any] = {
    "given": {"service_domain": "given.cyclr.com"},
    "environ": {"RUNBOOK_SERVICE_DOMAIN": "environ.cyclr.com"},
    "env_file": {"RUNBOOK_SERVICE_DOMAIN": "envfile.cyclr.com"},
}
SECRET_IS: dict[str, Any] = {
    "given": {"cyclr_secret": "env:OTHER"},
    "environ": {"RUNBOOK_CYCLR_SECRET": "from-environ-1", "OTHER": "from-other-1"},
    "env_file": {"RUNBOOK_CYCLR_SECRET": "from-file-1"},
}


def settle(inputs: Any = INPUTS, **sources: Any) -> dict[str, Any]:
    """Return the values of the settings from these sources, secrets among them."""
    settings = resolve(inputs, **{"environ": {}, **sources})
    secrets = {name: secret.reveal() for name, secret in settings.secrets.items()}
    assert not secrets.keys() & settings.values.keys()
    assert not any(secret in repr(settings) for secret in secrets.values())
    return {**settings.values, **secrets}


def refused(inputs: Any = INPUTS, *, by: Callable[..., Any] = settle, **sources: Any) -> str:
    """Return the refusal of these settings; it quotes no secret."""
    with pytest.raises(SettingsError) as caught:
        by(inputs, **sources)
    said = f"{caught.value} {caught.value.diagnostics()}"
    assert not any(secret in said for secret in (GOOD_SECRET, "canary", USER_TOKEN, APP_TOKEN))
    return str(caught.value)


# An empty parameter of a notebook counts as not set.
EMPTY = [
    {"given": {"permissions": empty}, "environ": {"RUNBOOK_PERMISSIONS": "ads_read"}}
    for empty in (None, "", ())
]
# A connector's own variable, the shared one and `.env`'s.
OWN = [
    ({ALONE: "mine"}, {}),
    ({}, {ALONE: "mine"}),
    ({ALONE: "mine", NAME.variable: "for all"}, {}),
    ({NAME.variable: "for all"}, {ALONE: "mine"}),
    ({ALONE: "mine"}, {ALONE: "from the file", NAME.variable: "for all"}),
    ({ALONE: ""}, {ALONE: "mine"}),
    ({ALONE: ""}, {NAME.variable: "mine"}),
]
FACEBOOKS = {"RUNBOOK_FACEBOOK_APP_SECRET": GOOD_SECRET}
COMMANDS = {"RUNBOOK_TENANT": "acme", "RUNBOOK_EVIDENCE": "evidence"}
REFERS = {"RUNBOOK_APP_SECRET": "env:RUNBOOK_REAL", "RUNBOOK_REAL": GOOD_SECRET}
REFERS_TO_ANOTHER = {
    "RUNBOOK_FACEBOOK_APP_SECRET": "env:RUNBOOK_APP_SECRET",
    "RUNBOOK_APP_SECRET": GOOD_SECRET,
}
FOR_ALL_AND_ALONE = {
    OPAQUE.variable: "a-secret-for-all-0815",
    OPAQUE.variable_for(CONNECTOR): "0nly-al0ne-4711",
}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        # A parameter wins over the environment, and the environment over `.env`.
        (DOMAIN_IS, {"service_domain": "given.cyclr.com"}),
        ({**DOMAIN_IS, "given": {}}, {"service_domain": "environ.cyclr.com"}),
        ({"env_file": DOMAIN_IS["env_file"]}, {"service_domain": "envfile.cyclr.com"}),
        (SECRET_IS, {"cyclr_secret": "from-other-1"}),
        ({**SECRET_IS, "given": {}}, {"cyclr_secret": "from-environ-1"}),
        ({"env_file": SECRET_IS["env_file"]}, {"cyclr_secret": "from-file-1"}),
        *((sources, {"permissions": ("public_profile", "ads_read")}) for sources in EMPTY),
        # Defaults are not filled in here: an earlier run's value wins over them.
        ({"environ": {"RUNBOOK_SERVICE_DOMAIN": ""}}, {}),
        # Other programs' variables, and the commands' own, are no inputs.
        ({"env_file": {"DATABASE_URL": "x"}, "environ": {"OTHER_RUNBOOK": "x"}}, {}),
        ({"environ": COMMANDS}, {}),
        ({"env_file": COMMANDS}, {}),
        # A reference says what a variable is for, so that one may have any name.
        ({"environ": REFERS}, {"app_secret": GOOD_SECRET}),
        ({"inputs": THEIRS, "environ": REFERS_TO_ANOTHER}, {"app_secret": GOOD_SECRET}),
        # A connector without a secret of its own is not given that of another provider.
        ({**ANOTHERS, "environ": FACEBOOKS, "env_file": FACEBOOKS}, {}),
        # A connector's own variable wins over the shared one, whatever its source.
        *(
            ({**MINE, "environ": environ, "env_file": file}, {NAME.name: "mine"})
            for environ, file in OWN
        ),
        (
            {"inputs": [OPAQUE], "environ": FOR_ALL_AND_ALONE, "connector": CONNECTOR},
            {OPAQUE.name: "0nly-al0ne-4711"},
        ),
        # Another connector's variable is neither an error nor read.
        ({**MINE, "env_file": {THEIR_OWN: "x"}, "others": {THEIR_OWN: ()}}, {}),
    ],
)
def test_the_nearest_source_of_a_value_wins(
    sources: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The source that is nearest to the run wins."""
    assert settle(**sources) == expected


def meant(name: str) -> str:
    return wording("setting-invalid.did-you-mean", name=name)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            {"given": {"servce_domain": "x"}},
            (wording("setting-invalid.no-parameter", name="servce_domain"), "service_domain"),
        ),
        (
            {"env_file": {"RUNBOOK_APP_SECRT": BAD_SECRET}},
            ("RUNBOOK_APP_SECRT", meant("RUNBOOK_APP_SECRET")),
        ),
        (
            {"environ": {"RUNBOOK_APP_SECRT": BAD_SECRET}},
            (wording("setting-invalid.environment-names", name="RUNBOOK_APP_SECRT"),),
        ),
        ({**MINE, "environ": {f"{ALONE}X": "x"}}, (meant(ALONE),)),
        # A name without its provider is refused in both sources, even without a value.
        *(
            (
                {**MARKETINGS, source: {"RUNBOOK_ARCHIVE": "x", old: value}},
                (wording("setting-invalid.not-a-setting", name=old), meant(new)),
            )
            for old, new in (
                ("RUNBOOK_APP_SECRET", "RUNBOOK_FACEBOOK_APP_SECRET"),
                ("RUNBOOK_APP_ID", "RUNBOOK_FACEBOOK_APP_ID"),
                ("RUNBOOK_SERVICE_DOMAIN", "RUNBOOK_CYCLR_SERVICE_DOMAIN"),
            )
            for value in ("", GOOD_SECRET)
            for source in ("environ", "env_file")
        ),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(
    sources: dict[str, Any], said: tuple[str, ...]
) -> None:
    """A misspelt name is an error that suggests the nearest one; no value is quoted."""
    message = refused(**sources)
    assert [part for part in said if part not in message] == []


def test_an_unknown_name_without_a_similar_one_gets_no_suggestion() -> None:
    """An unknown parameter with no similar name gets no suggestion."""
    assert "Did you mean" not in refused(given={"zzzz": "x"})


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        # A list comes from papermill, a text from the environment.
        (NAMES, "leads_retrieval, ads_read", ("public_profile", "leads_retrieval", "ads_read")),
        (NAMES, ["leads_retrieval"], ("public_profile", "leads_retrieval")),
        (NAMES, ("ads_read",), ("public_profile", "ads_read")),
        # Yes and no are written in the usual words.
        *((FLAG, word, True) for word in (True, "true", "TRUE", " yes ", "on", "1", 1)),
        *((FLAG, word, False) for word in (False, "false", "No", "off", "0", 0)),
        # Accents and other scripts are no invisible characters.
        (NAME, "Zoë\u00a0 & Söhne 株式会社", "Zoë\u00a0 & Söhne 株式会社"),
    ],
)
def test_a_value_has_the_type_of_its_input(wanted: Input, value: Any, expected: Any) -> None:
    """A value is read in each of its usual forms."""
    assert convert_value(wanted, value) == expected
    assert type(convert_value(wanted, value)) is type(expected)


TRUE_OR_FALSE = wording("setting-invalid.takes-true-or-false-only")
NOT_BOOL = wording("confirmation-invalid.takes-text", type="bool")


@pytest.mark.parametrize(
    ("wanted", "value", "said"),
    [
        (FLAG, "maybe", f"install (Install): it {TRUE_OR_FALSE}"),
        (FLAG, 2, TRUE_OR_FALSE),
        (DOMAIN, True, f"service_domain (Domain): it {NOT_BOOL}"),
        (DOMAIN, 1.5, wording("confirmation-invalid.takes-text", type="float")),
        (DOMAIN, ["a.b"], wording("confirmation-invalid.takes-text", type="list")),
        (DOMAIN, {"a": 1}, wording("confirmation-invalid.takes-text", type="dict")),
        (DOMAIN, "localhost", "service_domain (Domain): "),
        (NAMES, 7.0, wording("setting-invalid.takes-names-type", type="float")),
        (NAMES, "Not A Permission!", "permissions (Permissions): 'Not'"),
        *(
            (NAME, text, wording("setting-invalid.invisible-character"))
            for text in ("Acme\x1b[2J", "Acme\u202egpj", "Ac\u200bme", "Acme\ud800", "A\nB")
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(wanted: Input, value: Any, said: str) -> None:
    """The error names the parameter, its label and the accepted type; odd text is not quoted."""
    with pytest.raises(SettingsError) as caught:
        convert_value(wanted, value)
    assert said in str(caught.value)
    assert "invisible" not in said or value not in str(caught.value)


@pytest.mark.parametrize(
    "value", [BAD_SECRET, GOOD_SECRET, 12345, ["env:X"], "environ:X", " env:X"]
)
def test_a_secret_is_never_taken_from_a_parameter(value: object) -> None:
    """A secret as parameter is refused unquoted, since others can read it."""
    said = refused(given={"app_secret": value}, environ={"X": GOOD_SECRET})
    assert wording("setting-invalid.parameter-is-secret") in said
    assert "RUNBOOK_APP_SECRET" in said
    assert str(value) not in said


@pytest.mark.parametrize("token", [USER_TOKEN, APP_TOKEN])
@pytest.mark.parametrize("source", ["given", "environ", "env_file"])
def test_a_token_in_an_ordinary_setting_is_refused(token: str, source: str) -> None:
    """A token in a setting that is not secret is refused, and the error does not quote it."""
    user = item("cyclr_username", "User")
    name = user.name if source == "given" else user.variable
    assert wording("setting-invalid.looks-like-token") in refused(
        [user], **{source: {name: f"me {token}"}}
    )


@IN_BOTH
@pytest.mark.parametrize("value", [BAD_SECRET, BAD_SECRET.upper(), f"{GOOD_SECRET}0"])
def test_a_malformed_secret_is_refused_without_being_quoted(source: str, value: str) -> None:
    """Neither the error about an invalid secret nor its cause contains the secret."""
    with pytest.raises(SettingsError) as caught:
        settle(**{source: {"RUNBOOK_APP_SECRET": value}})
    assert "app_secret (App Secret): " in str(caught.value)
    assert value not in str(caught.value)
    assert caught.value.__suppress_context__


class FakeKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory, which is only read."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        """Return the stored password."""
        if self.error:
            raise self.error
        return f" {GOOD_SECRET}\n" if (service, username) == ("cyclr/eu", "operator") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Fail: the product only reads here."""
        raise AssertionError("the product wrote to the keyring")


@pytest.fixture
def use_keyring() -> Iterator[Callable[[FakeKeyring], None]]:
    before = keyring.get_keyring()
    keyring.set_keyring(FakeKeyring())
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def places(
    tmp_path: Path, use_keyring: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Return a function that writes references to a secret: files, home folder, keyring."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text(f"{GOOD_SECRET}\n")
    (tmp_path / "other.env").write_text(f"OTHER=1\nAPP_SECRET={GOOD_SECRET}\n")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(BAD_SECRET.encode() + b"\xff\xfe")
    (tmp_path / "bad").write_text(BAD_SECRET)
    return lambda reference: reference.format(folder=tmp_path)


@pytest.mark.parametrize(
    "reference",
    [
        "env:X",
        "file:{folder}/secret",
        "file:~/secret",
        "keyring:cyclr/eu/operator",
        "dotenv:{folder}/other.env#APP_SECRET",
    ],
)
@pytest.mark.parametrize("source", ["given", "environ", "env_file"])
def test_a_secret_comes_by_reference(
    places: Callable[[str], str], reference: str, source: str
) -> None:
    """Each kind of reference works from a parameter, the environment and `.env`."""
    name = "app_secret" if source == "given" else "RUNBOOK_APP_SECRET"
    sources: dict[str, Any] = {"environ": {"X": f"{GOOD_SECRET} "}}
    sources[source] = {**sources.get(source, {}), name: places(reference)}
    assert settle(**sources) == {"app_secret": GOOD_SECRET}


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("env:NOT_SET", wording("setting-invalid.nothing-stored", reference="env:NOT_SET")),
        ("env:", wording("setting-invalid.nothing-stored", reference="env:")),
        (
            "keyring:cyclr/eu/nobody",
            wording("setting-invalid.nothing-stored", reference="keyring:cyclr/eu/nobody"),
        ),
        ("keyring:cyclr", wording("setting-invalid.nothing-stored", reference="keyring:cyclr")),
        ("file:{folder}/none", "cannot be read: No such file"),
        ("file:{folder}", wording("OSError.not-a-regular-file", kind="a folder")),
        ("file:{folder}/empty", wording("setting-invalid.nothing-stored", reference="file:")),
        ("file:{folder}/binary", wording("setting-invalid.file-not-utf-8")),
        ("file:{folder}/bad", wording("setting-invalid.app-secret-length", length=32)),
        ("file:~nobody-of-this-name/secret", "cannot be read"),
        ("file:a\0b", "cannot be read"),
        ("env:BAD", wording("setting-invalid.app-secret-length", length=32)),
        ("dotenv:{folder}/none#X", "cannot be read: No such file"),
        ("dotenv:{folder}/bad#X", wording("setting-invalid.not-name-value")),
        (
            "dotenv:{folder}/other.env#X",
            wording("setting-invalid.nothing-stored", reference="dotenv:"),
        ),
        ("dotenv:~nobody-of-this-name/x#X", "home directory"),
    ],
)
def test_an_invalid_reference_is_refused(
    places: Callable[[str], str], reference: str, text: str
) -> None:
    """The error names the input and the reference, and never quotes the content."""
    said = refused(given={"app_secret": places(reference)}, environ={"BAD": BAD_SECRET})
    assert "app_secret (App Secret): " in said
    assert text in said


@pytest.mark.parametrize(
    "error", [keyring.errors.NoKeyringError("none"), keyring.errors.KeyringLocked("locked")]
)
def test_an_unreadable_keyring_is_an_error(
    use_keyring: Callable[[FakeKeyring], None], error: Exception
) -> None:
    """A missing or locked keyring raises `SettingsError`, which names the keyring's error."""
    use_keyring(FakeKeyring(error))
    assert type(error).__name__ in refused(given={"app_secret": "keyring:cyclr/eu/operator"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A=1\nB=2\n", {"A": "1", "B": "2"}),
        (b"# comment\n\nexport A='x y'\n", {"A": "x y"}),
        (b'A="a#b"  # comment\r\n', {"A": "a#b"}),
        (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
        ("A=ä\nB=\n".encode(), {"A": "ä", "B": ""}),
        # Variables are not expanded, since a secret may hold a dollar.
        (b"A=$HOME/${X}\n", {"A": "$HOME/${X}"}),
        (b'A="two\nlines"\n', {"A": "two\nlines"}),
        (b"", wording("setting-invalid.no-settings")),
        (b"  \n\t\n", wording("setting-invalid.no-settings")),
        (b"# RUNBOOK_APP_SECRET=canary\n", wording("setting-invalid.no-settings")),
        (b"A=1\nRUNBOOK_APP_SECRET canary\n", "Line 2 of "),
        (b"RUNBOOK_APP_SECRET\n", "Line 1 of "),
        (b"A=1\nB='canary\n", "Line 2 of "),
        (b'A="canary" trailing\n', "Line 1 of "),
        (b"A=1\n\nB='canary\n", "Line 3 of "),
        (b"=canary\n", "Line 1 of "),
        (b"A=\xff\xfecanary\n", wording("setting-invalid.settings-not-utf-8")),
        ("A=canary\n".encode("utf-16"), wording("setting-invalid.settings-not-utf-8")),
    ],
)
def test_an_env_file_is_read_or_refused(tmp_path: Path, content: bytes, expected: Any) -> None:
    """The usual forms of `.env` are read; an error names file and line, and quotes nothing."""
    path = tmp_path / "settings.env"
    path.write_bytes(content)
    if isinstance(expected, dict):
        assert read_env_file(path) == expected
    else:
        said = refused(path, by=read_env_file)
        assert expected in said
        assert str(path) in said


@pytest.mark.parametrize("name", ["none.env", "."])
def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """A settings file that is missing or a folder is an error."""
    assert "cannot be read" in refused(tmp_path / name, by=read_env_file)


def test_the_projects_env_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` here or above `notebooks/`, or a named file; the environment wins over both."""
    monkeypatch.setenv("RUNBOOK_INSTALL", "no")
    assert resolve(INPUTS, env_file=settings_file("")).values == {"install": False}
    (folder / ".env").write_text("RUNBOOK_SERVICE_DOMAIN=near.cyclr.com\n")
    (folder / "other.env").write_text(
        "RUNBOOK_SERVICE_DOMAIN=other.cyclr.com\nRUNBOOK_INSTALL=yes\n"
    )
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "facebook_marketing.ipynb").touch()
    monkeypatch.chdir(folder / "notebooks")
    for name, domain in (("", "near.cyclr.com"), (str(folder / "other.env"), "other.cyclr.com")):
        values = resolve(INPUTS, env_file=settings_file(name)).values
        assert values == {"service_domain": domain, "install": False}
