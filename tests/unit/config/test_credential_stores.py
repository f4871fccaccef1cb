"""Credentials are stored in the keyring or in a file with mode 0600, nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dotenv
import pytest

from runbook_lib.config.credential_stores import (
    CredentialStore,
    EnvFileStore,
    KeyringStore,
    load_stored_credentials,
)
from runbook_lib.config.settings import Settings, read_env_file
from runbook_lib.core.procedure import Input
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import SettingsError
from tests.support.memory_keyring import MemoryKeyring, keyring_in_memory
from tests.support.wording import refused, refused_naming, wording

APP_SECRET = Input(name="app_secret", label="App Secret", help="", secret=True)
OTHER = Input(name="other_secret", label="Other", help="", secret=True)
SECRET = Secret('canary\'s "secret" $1#')


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    with keyring_in_memory() as backend:
        yield backend


def test_a_credential_in_the_keyring_is_found_by_its_reference(memory: MemoryKeyring) -> None:
    """The reference leads to the credential in the keyring, and does not contain it."""
    reference = KeyringStore().save("acme", APP_SECRET, SECRET)

    assert SECRET.reveal() not in reference
    found = load_stored_credentials([APP_SECRET, OTHER], Settings(), {"app_secret": reference})
    assert found.secrets["app_secret"].reveal() == SECRET.reveal()
    assert "other_secret" not in found.secrets


def test_tenants_do_not_share_a_credential(memory: MemoryKeyring) -> None:
    """Each tenant's credential has its own entry in the keyring."""
    references = {
        KeyringStore().save(tenant, APP_SECRET, Secret(f"secret-of-{tenant}"))
        for tenant in ("acme", "other")
    }

    assert len(references) == len(memory.stored) == 2


def test_a_forgotten_credential_is_gone(memory: MemoryKeyring) -> None:
    """`forget` removes the credential; a second call, or one without a keyring, is no error."""
    store = KeyringStore()
    reference = store.save("acme", APP_SECRET, SECRET)
    store.forget("acme", APP_SECRET)
    store.forget("acme", APP_SECRET)
    memory.is_broken = True
    store.forget("acme", APP_SECRET)
    memory.is_broken = False

    assert memory.stored == {}
    assert (
        load_stored_credentials([APP_SECRET], Settings(), {"app_secret": reference}).secrets == {}
    )


def test_a_machine_without_a_keyring_says_so(memory: MemoryKeyring) -> None:
    """Without a keyring, the error suggests `.env` and does not quote the credential."""
    memory.is_broken = True

    with pytest.raises(SettingsError) as caught:
        KeyringStore().save("acme", APP_SECRET, SECRET)

    assert ".env" in caught.value.diagnostics()
    assert "canary" not in str(caught.value)
    assert (
        load_stored_credentials([APP_SECRET], Settings(), {"app_secret": "keyring:a/b"}).secrets
        == {}
    )


def test_a_given_credential_takes_precedence(memory: MemoryKeyring) -> None:
    """A credential from the settings takes precedence over a stored one."""
    reference = KeyringStore().save("acme", APP_SECRET, SECRET)
    given = Settings({}, {"app_secret": Secret("given-now")})

    secrets = load_stored_credentials([APP_SECRET], given, {"app_secret": reference}).secrets

    assert secrets["app_secret"].reveal() == "given-now"


def test_a_credential_in_env_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Quotes, dollars and hashes are kept, other lines stay, and the file gets mode 0600."""
    path = tmp_path / ".env"
    path.write_text("# mine\nRUNBOOK_SERVICE_DOMAIN=acme-h.cyclr.com\n")
    path.chmod(0o644)
    store: CredentialStore = EnvFileStore(path)

    assert store.save("acme", APP_SECRET, SECRET) == ""

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_env_file(path) == {
        "RUNBOOK_SERVICE_DOMAIN": "acme-h.cyclr.com",
        "RUNBOOK_APP_SECRET": SECRET.reveal(),
    }
    assert path.read_text().startswith("# mine\n")


def test_a_new_env_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A new `.env` is created with mode 0600."""
    EnvFileStore(tmp_path / ".env").save("acme", APP_SECRET, SECRET)

    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_a_credential_is_removed_from_env(tmp_path: Path) -> None:
    """`forget` removes the credential's line alone; without line or file it changes nothing."""
    path = tmp_path / ".env"
    store = EnvFileStore(path)
    store.forget("acme", APP_SECRET)
    assert not path.exists()
    path.write_text("RUNBOOK_SERVICE_DOMAIN=acme-h.cyclr.com\n")
    store.save("acme", APP_SECRET, SECRET)

    store.forget("acme", OTHER)
    store.forget("acme", APP_SECRET)

    assert read_env_file(path) == {"RUNBOOK_SERVICE_DOMAIN": "acme-h.cyclr.com"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_env_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the file and does not quote the credential."""
    (tmp_path / "file").write_text("")

    with refused(SettingsError, "env-not-writable") as caught:
        EnvFileStore(tmp_path / "file" / ".env").save("acme", APP_SECRET, SECRET)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("does", ["save", "forget"])
def test_a_permission_error_names_the_file_and_a_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    """A permission error on `.env` names that file and says what to do."""
    store = EnvFileStore(tmp_path / ".env")
    store.save("acme", APP_SECRET, SECRET)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(dotenv, "set_key", refuse)
    monkeypatch.setattr(dotenv, "unset_key", refuse)
    given = (SECRET,) if does == "save" else ()
    with refused_naming(SettingsError, str(tmp_path / ".env"), "Permission denied") as caught:
        getattr(store, does)("acme", APP_SECRET, *given)

    assert caught.value.diagnostics().startswith(wording("advice.make-writable"))


def test_a_link_to_the_settings_file_stays_a_link(tmp_path: Path) -> None:
    """`save` and `forget` write to the link's target, and the link stays."""
    path = tmp_path / ".env"
    target = tmp_path / "shared.env"
    target.write_text("RUNBOOK_SERVICE_DOMAIN=acme-h.cyclr.com\n")
    path.symlink_to(target)
    store = EnvFileStore(path)
    store.save("acme", APP_SECRET, SECRET)

    assert path.is_symlink()
    assert read_env_file(target)["RUNBOOK_APP_SECRET"] == SECRET.reveal()
    store.forget("acme", APP_SECRET)
    assert path.is_symlink()
    assert "RUNBOOK_APP_SECRET" not in read_env_file(target)
    assert target.stat().st_mode & 0o777 == 0o600


ALONE = APP_SECRET.variable_for("facebook_messenger")


def test_a_second_connectors_credential_is_its_own(tmp_path: Path) -> None:
    """A second connector's credential has its own variable and does not replace the first."""
    path = tmp_path / ".env"
    EnvFileStore(path, "facebook_marketing").save("acme/m", APP_SECRET, Secret("first-0815"))
    second = EnvFileStore(path, "facebook_messenger", is_shared=True)
    second.save("acme/n", APP_SECRET, Secret("second-4711"))

    assert read_env_file(path) == {APP_SECRET.variable: "first-0815", ALONE: "second-4711"}

    second.forget("acme/n", APP_SECRET)

    assert read_env_file(path) == {APP_SECRET.variable: "first-0815"}
    assert second.holds(APP_SECRET)


def test_a_credential_is_replaced_where_it_would_be_read(tmp_path: Path) -> None:
    """If the file has the connector's own variable, the new credential replaces that value."""
    path = tmp_path / ".env"
    name = APP_SECRET.variable_for("facebook_marketing")
    path.write_text(f"{name}=old-0815\n", encoding="utf-8")
    store = EnvFileStore(path, "facebook_marketing")
    store.save("acme/m", APP_SECRET, Secret("new-4711"))

    assert read_env_file(path) == {name: "new-4711"}

    store.forget("acme/m", APP_SECRET)

    assert not store.holds(APP_SECRET)
