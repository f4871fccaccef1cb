"""Settings: their sources, types and precedence, and secrets by reference only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from runbook_lib.config import formats
from runbook_lib.config.settings import read_env_file, resolve, settings_file, typed, variables_of
from runbook_lib.connectors.facebook import formats as facebook_formats
from runbook_lib.core.procedure import Input
from runbook_lib.errors import SettingsError
from tests.unit.bodies import USER_TOKEN

DOMAIN = Input(name="service_domain", label="Domain", help="", parse=formats.domain_name)
NAMES = Input(
    name="permissions",
    label="Permissions",
    help="",
    parse=facebook_formats.permission_names,
    default=("public_profile",),
)
FLAG = Input(name="install", label="Install", help="", default=False)
APP_SECRET = Input(
    name="app_secret", label="App Secret", help="", parse=facebook_formats.app_secret, secret=True
)
OPAQUE = Input(
    name="cyclr_secret", label="Cyclr Secret", help="", parse=formats.opaque_secret, secret=True
)
INPUTS = (DOMAIN, NAMES, FLAG, APP_SECRET, OPAQUE)
GOOD_SECRET = "0123456789abcdef0123456789abcdef"
BAD_SECRET = "canary-NOT-32-hex-characters"


def _owned(name: str, provider: str, *, secret: bool = False) -> Input:
    return Input(name=name, label="Label", help="", provider=provider, secret=secret)


THEIRS = (
    _owned("app_secret", "facebook", secret=True),
    _owned("app_id", "facebook"),
    _owned("service_domain", "cyclr"),
    _owned("cyclr_client_id", "cyclr"),
    _owned("archive", ""),
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RUNBOOK_APP_SECRET", "RUNBOOK_FACEBOOK_APP_SECRET"),
        ("RUNBOOK_APP_ID", "RUNBOOK_FACEBOOK_APP_ID"),
        ("RUNBOOK_SERVICE_DOMAIN", "RUNBOOK_CYCLR_SERVICE_DOMAIN"),
    ],
)
@pytest.mark.parametrize("value", ["", GOOD_SECRET])
@pytest.mark.parametrize("source", ["environ", "env_file"])
def test_a_name_without_its_provider_is_refused(
    old: str, new: str, value: str, source: str
) -> None:
    """It is refused in both sources, even without a value, and the whole name is suggested."""
    sources = {"environ": {}, source: {"RUNBOOK_ARCHIVE": "x", old: value}}
    with pytest.raises(SettingsError) as caught:
        resolve(THEIRS, connector="facebook_marketing", **sources)  # type: ignore[arg-type]

    assert f"{old}, which is not a setting. Did you mean {new}?" in str(caught.value)
    assert GOOD_SECRET not in str(caught.value)


def test_a_reference_may_lead_to_any_name() -> None:
    """A reference says what a variable is for, so that one may have any name."""
    environ = {"RUNBOOK_FACEBOOK_APP_SECRET": "env:RUNBOOK_APP_SECRET"}
    settings = resolve(THEIRS, environ={**environ, "RUNBOOK_APP_SECRET": GOOD_SECRET})

    assert settings.secrets["app_secret"].reveal() == GOOD_SECRET


def test_another_providers_variable_is_not_read() -> None:
    """A connector without a secret of its own is not given that of another provider."""
    others = variables_of({"facebook_marketing": THEIRS})
    mine = _owned("app_secret", "other", secret=True)
    environ = {"RUNBOOK_FACEBOOK_APP_SECRET": GOOD_SECRET}
    settings = resolve([mine], environ=environ, env_file=environ, connector="x", others=others)

    assert settings.secrets == {}


def test_what_is_given_wins_over_environment_and_file() -> None:
    """A parameter takes precedence over the environment, and the environment over `.env`."""
    given = {"service_domain": "given.cyclr.com"}
    environ = {"RUNBOOK_SERVICE_DOMAIN": "environ.cyclr.com"}
    file = {"RUNBOOK_SERVICE_DOMAIN": "file.cyclr.com"}

    def domain(**sources: object) -> object:
        return resolve(INPUTS, **{"environ": {}, **sources}).values["service_domain"]  # type: ignore[arg-type]

    assert domain(given=given, environ=environ, env_file=file) == "given.cyclr.com"
    assert domain(environ=environ, env_file=file) == "environ.cyclr.com"
    assert domain(env_file=file) == "file.cyclr.com"


def test_secrets_have_the_same_precedence() -> None:
    """
    A reference as parameter takes precedence over the environment, and the environment over `.env`.
    """
    environ = {"RUNBOOK_CYCLR_SECRET": "from-environ-1", "OTHER": "from-other-1"}
    file = {"RUNBOOK_CYCLR_SECRET": "from-file-1"}

    def secret(given: dict[str, str], environ: dict[str, str]) -> str:
        settings = resolve(INPUTS, given=given, environ=environ, env_file=file)
        return settings.secrets["cyclr_secret"].reveal()

    assert secret({"cyclr_secret": "env:OTHER"}, environ) == "from-other-1"
    assert secret({}, environ) == "from-environ-1"
    assert secret({}, {}) == "from-file-1"


@pytest.mark.parametrize("nothing", [None, "", ()])
def test_an_empty_parameter_is_not_given(nothing: object) -> None:
    """An empty parameter of a notebook counts as not set, so the next source is used."""
    environ = {"RUNBOOK_PERMISSIONS": "ads_read"}
    settings = resolve(INPUTS, given={"permissions": nothing}, environ=environ)

    assert settings.values == {"permissions": ("public_profile", "ads_read")}


def test_unset_values_are_absent() -> None:
    """
    Defaults are not filled in here, so that an earlier run's value can take precedence over them.
    """
    settings = resolve(INPUTS, environ={"RUNBOOK_SERVICE_DOMAIN": ""})

    assert (settings.values, settings.secrets) == ({}, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("leads_retrieval, ads_read", ("public_profile", "leads_retrieval", "ads_read")),
        (["leads_retrieval"], ("public_profile", "leads_retrieval")),
        (("ads_read",), ("public_profile", "ads_read")),
    ],
)
def test_names_come_as_text_or_as_a_list(value: object, expected: tuple[str, ...]) -> None:
    """Permissions may be a list, as from papermill, or text, as from the environment."""
    assert typed(NAMES, value) == expected


@pytest.mark.parametrize("word", [True, "true", "TRUE", " yes ", "on", "1", 1])
def test_yes_is_true(word: object) -> None:
    """True can be written in any of the usual words."""
    assert typed(FLAG, word) is True


@pytest.mark.parametrize("word", [False, "false", "No", "off", "0", 0])
def test_no_is_false(word: object) -> None:
    """False can be written in any of the usual words."""
    assert typed(FLAG, word) is False


@pytest.mark.parametrize(
    ("item", "value", "said"),
    [
        (FLAG, "maybe", "install (Install) takes true or false"),
        (FLAG, 2, "takes true or false"),
        (DOMAIN, True, "service_domain (Domain) takes text, not bool"),
        (DOMAIN, 1.5, "takes text, not float"),
        (DOMAIN, ["a.b"], "takes text, not list"),
        (DOMAIN, {"a": 1}, "takes text, not dict"),
        (DOMAIN, "localhost", "service_domain (Domain): "),
        (NAMES, 7.0, "takes names separated by commas, not float"),
        (NAMES, "Not A Permission!", "permissions (Permissions): 'Not'"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(item: Input, value: object, said: str) -> None:
    """The error names the parameter, its label and the accepted type."""
    with pytest.raises(SettingsError) as caught:
        typed(item, value)

    assert said in str(caught.value)


def test_an_unknown_parameter_is_refused_with_a_suggestion() -> None:
    """A misspelled parameter is an error that suggests the nearest name."""
    with pytest.raises(SettingsError, match=r"called servce_domain\. Did you mean service_domain"):
        resolve(INPUTS, given={"servce_domain": "x"}, environ={})


def test_an_unknown_name_without_a_similar_one_gets_no_suggestion() -> None:
    """An unknown parameter with no similar name gets no suggestion."""
    with pytest.raises(SettingsError) as caught:
        resolve(INPUTS, given={"zzzz": "x"}, environ={})

    assert "Did you mean" not in str(caught.value)


def test_an_unknown_setting_in_the_file_is_refused_with_a_suggestion() -> None:
    """A misspelled RUNBOOK_ name in `.env` is an error; other programs' variables are ignored."""
    with pytest.raises(SettingsError, match=r"RUNBOOK_APP_SECRT.*Did you mean RUNBOOK_APP_SECRET"):
        resolve(INPUTS, env_file={"RUNBOOK_APP_SECRT": BAD_SECRET}, environ={})

    settings = resolve(INPUTS, env_file={"DATABASE_URL": "x"}, environ={"OTHER_RUNBOOK": "x"})
    assert settings.values == {}


def test_an_unknown_variable_is_refused_unless_a_reference_leads_to_it() -> None:
    """An unknown RUNBOOK_ variable is refused unless a credential refers to it with `env:`."""
    with pytest.raises(SettingsError, match=r"The environment names RUNBOOK_APP_SECRT"):
        resolve(INPUTS, environ={"RUNBOOK_APP_SECRT": BAD_SECRET})

    environ = {"RUNBOOK_APP_SECRET": "env:RUNBOOK_REAL_ONE", "RUNBOOK_REAL_ONE": GOOD_SECRET}
    assert resolve(INPUTS, environ=environ).secrets["app_secret"].reveal() == GOOD_SECRET


@pytest.mark.parametrize("source", ["environ", "env_file"])
def test_command_settings_are_known_in_both_sources(source: str) -> None:
    """Tenant and evidence folder may be set in the environment and in `.env`."""
    own = {"RUNBOOK_TENANT": "acme", "RUNBOOK_EVIDENCE": "evidence"}
    assert resolve(INPUTS, **{"environ": {}, source: own}).values == {}


@pytest.mark.parametrize(
    "value", [BAD_SECRET, GOOD_SECRET, 12345, ["env:X"], "environ:X", " env:X"]
)
def test_a_secret_is_never_taken_from_a_parameter(value: object) -> None:
    """
    A secret as parameter is refused unquoted, since others can read it; a reference is accepted.
    """
    with pytest.raises(SettingsError) as caught:
        resolve(INPUTS, given={"app_secret": value}, environ={"X": GOOD_SECRET})

    assert "app_secret (App Secret) is a secret" in str(caught.value)
    assert "RUNBOOK_APP_SECRET" in str(caught.value)
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize("token", [USER_TOKEN, f"1234567890123456|{'a1B' * 9}"])
@pytest.mark.parametrize("source", ["given", "environ", "env_file"])
def test_a_token_in_an_ordinary_setting_is_refused(token: str, source: str) -> None:
    """
    A Facebook token in a setting that is not secret is refused, and the error does not quote it.
    """
    user = Input(name="cyclr_username", label="User", help="")
    name = user.name if source == "given" else user.variable
    with pytest.raises(SettingsError, match="looks like an access token") as caught:
        resolve([user], **{"environ": {}, source: {name: f"me {token}"}})

    assert token not in str(caught.value) + caught.value.diagnostics()


class FakeKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, error: Exception | None = None) -> None:
        self.stored = {("cyclr/eu", "operator"): f" {GOOD_SECRET}\n"}
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        """Return the stored password."""
        if self.error:
            raise self.error
        return self.stored.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Fail: the product only reads here."""
        raise AssertionError("the product wrote to the keyring")


@pytest.fixture
def use_keyring() -> Iterator[object]:
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def references(tmp_path: Path, use_keyring: object) -> dict[str, str]:
    """Return a reference of each scheme, all to the same secret."""
    use_keyring(FakeKeyring())  # type: ignore[operator]
    file = tmp_path / "secret"
    file.write_text(f"{GOOD_SECRET}\n")
    settings = tmp_path / "other.env"
    settings.write_text(f"OTHER=1\nAPP_SECRET={GOOD_SECRET}\n")
    return {
        "env": "env:X",
        "file": f"file:{file}",
        "dotenv": f"dotenv:{settings}#APP_SECRET",
        "keyring": "keyring:cyclr/eu/operator",
    }


@pytest.mark.parametrize("scheme", ["env", "file", "dotenv", "keyring"])
@pytest.mark.parametrize("source", ["given", "environ", "file"])
def test_a_secret_comes_by_reference(references: dict[str, str], scheme: str, source: str) -> None:
    """Each kind of reference works from a parameter, the environment and `.env`."""
    reference = references[scheme]
    environ, variable = {"X": f"{GOOD_SECRET} "}, "RUNBOOK_APP_SECRET"
    settings = resolve(
        INPUTS,
        given={"app_secret": reference} if source == "given" else {},
        environ={**environ, variable: reference} if source == "environ" else environ,
        env_file={variable: reference} if source == "file" else {},
    )

    assert settings.secrets["app_secret"].reveal() == GOOD_SECRET
    assert "app_secret" not in settings.values


def test_a_file_in_the_home_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` in a file reference is the operator's home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text(GOOD_SECRET)

    settings = resolve(INPUTS, given={"app_secret": "file:~/secret"}, environ={})

    assert settings.secrets["app_secret"].reveal() == GOOD_SECRET


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NOT_SET", "nothing is stored under env:NOT_SET"),
        ("env:", "nothing is stored under env:"),
        ("keyring:cyclr/eu/nobody", "nothing is stored under keyring:cyclr/eu/nobody"),
        ("keyring:cyclr", "nothing is stored under keyring:cyclr"),
        ("file:{folder}/none", "cannot be read: No such file"),
        ("file:{folder}", "it is a folder, not a regular file"),
        ("file:{folder}/empty", "nothing is stored under file:"),
        ("file:{folder}/binary", "it is not UTF-8 text"),
        ("file:{folder}/bad", "an App Secret has 32 characters"),
        ("file:~nobody-of-this-name/secret", "cannot be read"),
        ("file:a\0b", "cannot be read"),
        ("env:BAD", "an App Secret has 32 characters"),
        ("dotenv:{folder}/none#X", "cannot be read: No such file"),
        ("dotenv:{folder}/bad#X", "is not NAME=value"),
        ("dotenv:{folder}/other.env#X", "nothing is stored under dotenv:"),
        ("dotenv:~nobody-of-this-name/x#X", "home directory"),
    ],
)
def test_an_invalid_reference_is_refused(
    tmp_path: Path, references: dict[str, str], reference: str, said: str
) -> None:
    """The error names the input and the reference, and never quotes the content."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(BAD_SECRET.encode() + b"\xff\xfe")
    (tmp_path / "bad").write_text(BAD_SECRET)

    with pytest.raises(SettingsError) as caught:
        resolve(
            INPUTS,
            given={"app_secret": reference.format(folder=tmp_path)},
            environ={"BAD": BAD_SECRET},
        )

    assert "app_secret (App Secret): " in str(caught.value)
    assert said in str(caught.value)
    assert BAD_SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "error", [keyring.errors.NoKeyringError("none"), keyring.errors.KeyringLocked("locked")]
)
def test_an_unreadable_keyring_is_an_error(use_keyring: object, error: Exception) -> None:
    """A missing or locked keyring raises `SettingsError`, which names the keyring's error."""
    use_keyring(FakeKeyring(error))  # type: ignore[operator]

    with pytest.raises(SettingsError, match=type(error).__name__):
        resolve(INPUTS, given={"app_secret": "keyring:cyclr/eu/operator"}, environ={})


@pytest.mark.parametrize("source", ["environ", "env_file"])
@pytest.mark.parametrize("value", [BAD_SECRET, BAD_SECRET.upper(), f"{GOOD_SECRET}0"])
def test_a_malformed_secret_is_refused_without_being_quoted(source: str, value: str) -> None:
    """Neither the error about an invalid secret nor its cause contains the secret."""
    with pytest.raises(SettingsError) as caught:
        resolve(INPUTS, **{"environ": {}, source: {"RUNBOOK_APP_SECRET": value}})  # type: ignore[arg-type]

    assert "app_secret (App Secret): " in str(caught.value)
    assert value not in str(caught.value)
    assert caught.value.__suppress_context__


def test_settings_show_no_secret() -> None:
    """`repr` of the settings shows no secret."""
    settings = resolve(INPUTS, environ={"RUNBOOK_APP_SECRET": GOOD_SECRET})

    assert GOOD_SECRET not in repr(settings)


def env_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "settings.env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("# comment\n\nexport A='x y'\n", {"A": "x y"}),
        ('A="a#b"  # comment\r\n', {"A": "a#b"}),
        (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
        ("A=ä\nB=\n", {"A": "ä", "B": ""}),
        ("A=$HOME/${X}\n", {"A": "$HOME/${X}"}),
        ('A="two\nlines"\n', {"A": "two\nlines"}),
    ],
)
def test_an_env_file_is_read(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    """
    The usual forms of `.env` are read.

    Variables are not expanded, since a secret may hold a dollar.
    """
    assert read_env_file(env_file(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "contains no settings"),
        ("  \n\t\n", "contains no settings"),
        ("# RUNBOOK_APP_SECRET=canary\n", "contains no settings"),
        ("A=1\nRUNBOOK_APP_SECRET canary\n", "Line 2 of "),
        ("RUNBOOK_APP_SECRET\n", "Line 1 of "),
        ("A=1\nB='canary\n", "Line 2 of "),
        ('A="canary" trailing\n', "Line 1 of "),
        ("A=1\n\nB='canary\n", "Line 3 of "),
        ("=canary\n", "Line 1 of "),
        (b"A=\xff\xfecanary\n", "is not UTF-8 text"),
        ("A=canary\n".encode("utf-16"), "is not UTF-8 text"),
    ],
)
def test_a_malformed_env_file_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    """
    The error names the file and line number but does not quote the line, which may hold a secret.
    """
    path = env_file(tmp_path, content)

    with pytest.raises(SettingsError) as caught:
        read_env_file(path)

    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.env", "."])
def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """A settings file that is missing or a folder is an error."""
    with pytest.raises(SettingsError, match="cannot be read"):
        read_env_file(tmp_path / name)


def test_load_finds_the_nearest_env_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no file is named, the nearest `.env` in the working directory or a parent is read."""
    (folder / ".env").write_text("RUNBOOK_SERVICE_DOMAIN=near.cyclr.com\n")
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")

    assert resolve(INPUTS, env_file=settings_file("")).values == {
        "service_domain": "near.cyclr.com"
    }


def test_load_takes_the_file_that_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file replaces `.env`; the environment takes precedence over both."""
    (folder / ".env").write_text("RUNBOOK_SERVICE_DOMAIN=near.cyclr.com\n")
    other = folder / "other.env"
    other.write_text("RUNBOOK_SERVICE_DOMAIN=other.cyclr.com\nRUNBOOK_INSTALL=yes\n")
    monkeypatch.setenv("RUNBOOK_INSTALL", "no")

    values = resolve(INPUTS, env_file=settings_file(str(other))).values

    assert values == {"service_domain": "other.cyclr.com", "install": False}


def test_load_without_any_file_takes_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a `.env`, the environment alone is used."""
    monkeypatch.setenv("RUNBOOK_SERVICE_DOMAIN", "environ.cyclr.com")

    assert resolve(INPUTS, env_file=settings_file("")).values == {
        "service_domain": "environ.cyclr.com"
    }


@pytest.mark.parametrize(
    "text", ["Acme\x1b[2J", "Acme\u202egpj", "Ac\u200bme", "Acme\ud800", "A\nB"]
)
def test_a_value_with_an_invisible_character_is_refused(text: str) -> None:
    """A value with an invisible character is refused; accents and other scripts are accepted."""
    item = Input(name="app_display_name", label="App Display Name", help="")

    with pytest.raises(SettingsError, match="invisible character") as caught:
        typed(item, text)

    assert text not in str(caught.value)
    assert typed(item, "Zoë\u00a0 & Söhne 株式会社") == "Zoë\u00a0 & Söhne 株式会社"


CONNECTOR = "facebook_messenger"
NAME = Input(name="app_display_name", label="Name", help="")
ALONE = NAME.variable_for(CONNECTOR)


@pytest.mark.parametrize(
    ("environ", "env_file"),
    [
        ({ALONE: "mine"}, {}),
        ({}, {ALONE: "mine"}),
        ({ALONE: "mine", NAME.variable: "for all"}, {}),
        ({NAME.variable: "for all"}, {ALONE: "mine"}),
        ({ALONE: "mine"}, {ALONE: "from the file", NAME.variable: "for all"}),
        ({ALONE: ""}, {ALONE: "mine"}),
        ({ALONE: ""}, {NAME.variable: "mine"}),
    ],
)
def test_a_value_for_one_connector_alone_wins(
    environ: dict[str, str], env_file: dict[str, str]
) -> None:
    """A connector's own variable takes precedence over the shared one, whatever its source."""
    settings = resolve([NAME], environ=environ, env_file=env_file, connector=CONNECTOR)

    assert settings.values == {NAME.name: "mine"}


def test_a_value_for_another_connector_is_not_read() -> None:
    """Another connector's variable in `.env` is neither an error nor read."""
    theirs = NAME.variable_for("facebook_marketing")
    settings = resolve(
        [NAME], environ={}, env_file={theirs: "x"}, connector=CONNECTOR, others={theirs: ()}
    )

    assert settings.values == {}


def test_a_misspelled_connector_variable_is_refused() -> None:
    """A misspelled connector variable is an error that suggests the right name."""
    with pytest.raises(SettingsError, match=f"Did you mean {ALONE}"):
        resolve([NAME], environ={ALONE + "X": "x"}, connector=CONNECTOR)


def test_a_secret_for_one_connector_alone_wins() -> None:
    """A connector's own secret takes precedence over the shared one."""
    environ = {
        OPAQUE.variable: "a-secret-for-all-0815",
        OPAQUE.variable_for(CONNECTOR): "0nly-al0ne-4711",
    }

    settings = resolve([OPAQUE], environ=environ, connector=CONNECTOR)

    assert settings.secrets[OPAQUE.name].reveal() == "0nly-al0ne-4711"
