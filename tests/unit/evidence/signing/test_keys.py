"""The signing key: created once, private, named by reference, and replaced by another."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Signer

from runbook_lib.config.settings import Settings
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import ExitCode, SettingsError, SigningError
from runbook_lib.evidence.signing.keys import (
    SigningKey,
    create_key,
    default_key_path,
    export_public_key,
    key_from_settings,
    open_key,
    read_public_key,
    read_public_keys,
    rotate,
)
from runbook_lib.evidence.signing.statement import (
    TEST_RESULT,
    Resource,
    open_envelope,
    sign_statement,
)
from tests.support.programs import needs
from tests.support.wording import refused, refused_naming, wording

PASSPHRASE = Secret("correct horse / battery")
FILE = Resource("a", "00" * 32, 1)


def encrypted(path: Path) -> Settings:
    """Return settings that name a new key at this path, which a passphrase protects."""
    create_key(path, passphrase=PASSPHRASE)
    return Settings({"signing_key": str(path)}, {"signing_passphrase": PASSPHRASE})


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def signs(key: SigningKey, public: Any) -> bool:
    """Return whether a signature of `key` is accepted with trust in `public`."""
    envelope = sign_statement(key, [FILE], TEST_RESULT, {})
    return open_envelope(envelope, {str(public.keyid): public}, TEST_RESULT).key_id == key.key_id


def test_a_first_key_is_private(tmp_path: Path) -> None:
    """The first key is outside the evidence, mode 0600 in a folder of 0700, PKCS#8, on P-256."""
    key = open_key("", is_sandbox=False)

    path = default_key_path(is_sandbox=False)
    assert path.is_relative_to(tmp_path / "home")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert [each.name for each in path.parent.iterdir()] == ["signing-key.pem"]
    assert signs(key, key.public)
    assert open_key("", is_sandbox=False).key_id == key.key_id


def test_practice_signs_with_a_key_of_its_own() -> None:
    """Practice has its own signing key, in a file beside the other one."""
    assert open_key("", is_sandbox=True).key_id != open_key("", is_sandbox=False).key_id

    folder = default_key_path(is_sandbox=False).parent
    assert {path.name for path in folder.iterdir()} == {"sandbox-key.pem", "signing-key.pem"}
    assert default_key_path(is_sandbox=True) == folder / "sandbox-key.pem"


@needs("openssl")
def test_the_key_id_is_one_that_openssl_prints(tmp_path: Path) -> None:
    """The key id is the SHA-256 of the SubjectPublicKeyInfo, as openssl gives it."""
    key = open_key("", is_sandbox=False)
    path = export_public_key(key, tmp_path / "keys")
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(path), "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout

    assert hashlib.sha256(der).hexdigest() == key.key_id
    assert path.name == f"{key.key_id}.pub.pem"


def test_an_existing_key_is_not_replaced(tmp_path: Path) -> None:
    """A second `create_key` keeps the first key and leaves no other file."""
    path = tmp_path / "key.pem"
    create_key(path)
    content = path.read_bytes()

    create_key(path)

    assert path.read_bytes() == content
    assert list(tmp_path.glob(".key*")) == []


def test_a_passphrase_protects_the_key_file(tmp_path: Path) -> None:
    """With a passphrase the key is encrypted PKCS#8, and is refused without the right one."""
    path = tmp_path / "key.pem"
    create_key(path, passphrase=PASSPHRASE)
    assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")

    key = open_key(str(path), passphrase=PASSPHRASE, is_sandbox=False)
    assert signs(key, key.public)
    for wrong, reason in ((None, "needs-passphrase"), (Secret("x"), "wrong-passphrase")):
        with refused(SettingsError, reason) as caught:
            open_key(str(path), passphrase=wrong, is_sandbox=False)
        assert "horse" not in str(caught.value)
        assert caught.value.exit_code == ExitCode.USAGE


def test_every_wrong_passphrase_is_reported_as_such(tmp_path: Path) -> None:
    """A wrong passphrase is reported as such, even if its padding fits (RFC 8018 §6.2)."""
    path = tmp_path / "key.pem"
    create_key(path, passphrase=PASSPHRASE)
    pem = path.read_bytes()
    wrong = next(f"{n}" for n in itertools.count() if decrypts_to_something(pem, f"{n}"))

    with refused(SettingsError, "wrong-passphrase"):
        open_key(str(path), passphrase=Secret(wrong), is_sandbox=False)


def decrypts_to_something(pem: bytes, passphrase: str) -> bool:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - cryptography's own texts vary
        load_pem_private_key(pem, passphrase.encode())
    return "password" not in str(caught.value)


def test_a_passphrase_for_an_unencrypted_key_is_ignored(tmp_path: Path) -> None:
    """A passphrase for an unencrypted key is no error."""
    create_key(tmp_path / "key.pem")

    open_key(str(tmp_path / "key.pem"), passphrase=PASSPHRASE, is_sandbox=False)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    """A key file that others can read is refused with the chmod command to run."""
    create_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)

    with refused_naming(SettingsError, "chmod 600"):
        open_key(str(tmp_path / "key.pem"), is_sandbox=False)


def pem(private: Any) -> bytes:
    content: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return content


def test_an_invalid_key_is_refused(tmp_path: Path) -> None:
    """Other content, another curve or another kind of key is refused."""
    path = tmp_path / "key.pem"
    other_curve = pem(ec.generate_private_key(ec.SECP384R1()))
    for content in (b"rubbish", b"", other_curve, pem(ed25519.Ed25519PrivateKey.generate())):
        path.write_bytes(content)
        path.chmod(0o600)
        with refused(SettingsError, "not-a-p256-key"):
            open_key(str(path), is_sandbox=False)


def test_a_named_key_is_never_created(tmp_path: Path) -> None:
    """A missing key that was named by path is an error; no new one is created."""
    with pytest.raises(SettingsError) as caught:
        open_key(str(tmp_path / "none.pem"), is_sandbox=False)
    said = wording("setting-invalid.signing-key-missing", path=tmp_path / "none.pem")
    assert str(caught.value) == said
    assert not (tmp_path / "none.pem").exists()


def test_a_read_only_home_is_an_error(tmp_path: Path) -> None:
    """A key that cannot be created raises `SettingsError`."""
    (tmp_path / "file").write_text("x")

    with refused(SettingsError, "key-cannot-be-created"):
        create_key(tmp_path / "file" / "key.pem")


class Vault(Signer):
    """A key service that signs with the right PIN and never returns the key."""

    private = ec.generate_private_key(ec.SECP256R1())

    def __init__(self, public_key: Any) -> None:
        self._signer = CryptoSigner(self.private, public_key)

    @classmethod
    def from_priv_key_uri(cls, uri: str, public_key: Any, secrets_handler: Any = None) -> Vault:
        """Open the key with the right PIN."""
        if uri != "vault-of-tests:key-1" or secrets_handler("pin") != PASSPHRASE.reveal():
            raise ConnectionError(f"refused {uri} {secrets_handler('pin')}")
        return cls(public_key)

    @property
    def public_key(self) -> Any:
        return self._signer.public_key

    def sign(self, payload: bytes) -> Any:
        """Sign within the service."""
        return self._signer.sign(payload)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register the key service under its own scheme; return the file of the public key."""
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "vault-of-tests", Vault)
    path = tmp_path / "vault.pem"
    path.write_bytes(pem(Vault.private))
    path.chmod(0o600)
    return export_public_key(open_key(str(path), is_sandbox=False), tmp_path / "keys")


def test_a_signer_elsewhere_is_used_by_reference(vault: Path) -> None:
    """A key in a service is used by its URI, with passphrase and public key from the settings."""
    key = open_key(
        "vault-of-tests:key-1", passphrase=PASSPHRASE, public_key=str(vault), is_sandbox=False
    )

    assert signs(key, read_public_key(vault))


NEEDS_PUBLIC_KEY = "setting-invalid.needs-public-key"
UNUSABLE = "setting-invalid.signer-unusable"
NOT_READABLE = "setting-invalid.public-key-not-readable"


@pytest.mark.parametrize(
    ("reference", "public", "reason"),
    [
        ("vault-of-tests:key-1", "", wording(NEEDS_PUBLIC_KEY, signer="vault-of-tests")),
        ("vault-of-tests:horse:1", "", wording(NEEDS_PUBLIC_KEY, signer="vault-of-tests")),
        ("vault-of-tests:horse:1", "vault", wording(UNUSABLE, signer="vault-of-tests")),
        ("vault-of-tests:key-2", "vault", "ConnectionError"),
        ("nothing-known:key-1", "vault", "ValueError"),
        ("vault-of-tests:key-1", "none.pem", wording(NOT_READABLE, path="none.pem")),
    ],
)
def test_an_unusable_signer_is_an_error(
    reference: str, public: str, reason: str, vault: Path
) -> None:
    """The error names the signer's scheme only, neither the rest nor the service's error."""
    public_key = str(vault) if public == "vault" else public
    with refused_naming(SettingsError, reason) as caught:
        open_key(reference, passphrase=PASSPHRASE, public_key=public_key, is_sandbox=False)

    assert "horse" not in str(caught.value)


def test_a_service_that_fails_to_sign_is_an_error(vault: Path) -> None:
    """If signing fails, `SigningError` has the type of the service's error but not its text."""

    class Broken(Vault):
        def sign(self, payload: bytes) -> Any:
            """Raise an error."""
            raise TimeoutError(PASSPHRASE.reveal())

    key = SigningKey(read_public_key(vault), Broken(read_public_key(vault)))
    with refused_naming(SigningError, "TimeoutError") as caught:
        sign_statement(key, [FILE], TEST_RESULT, {})

    assert "horse" not in str(caught.value)


def test_the_settings_name_the_key(tmp_path: Path) -> None:
    """The settings name path and passphrase of the key."""
    key = key_from_settings(encrypted(tmp_path / "key.pem"), is_sandbox=True)

    assert not default_key_path(is_sandbox=True).exists()
    assert signs(key, key.public)


def test_without_a_setting_the_key_in_the_home_folder_is_used() -> None:
    """Without `signing_key`, the key in the home folder is used; practice has a key of its own."""
    key = key_from_settings(Settings({}, {}), is_sandbox=True)

    assert key.key_id == open_key("", is_sandbox=True).key_id
    assert default_key_path(is_sandbox=True).is_file()


def test_the_settings_name_the_public_key_of_a_service(vault: Path, tmp_path: Path) -> None:
    """`signing_public_key` names the public key of a key that a service holds."""
    named = {"signing_key": f"file2:{tmp_path}/vault.pem", "signing_public_key": str(vault)}

    key = key_from_settings(Settings(named, {}), is_sandbox=False)

    assert signs(key, read_public_key(vault))
    with refused(SettingsError, "needs-public-key", signer="file2"):
        key_from_settings(Settings({"signing_key": named["signing_key"]}, {}), is_sandbox=False)


def test_keys_are_read_from_files_and_folders(tmp_path: Path) -> None:
    """Trusted keys are read from a file or from a folder."""
    one, two = (open_key("", is_sandbox=flag) for flag in (True, False))
    for key in (one, two):
        export_public_key(key, tmp_path / "keys")

    assert set(read_public_keys([tmp_path / "keys"])) == {one.key_id, two.key_id}
    path = tmp_path / "keys" / f"{one.key_id}.pub.pem"
    assert set(read_public_keys([path])) == {one.key_id}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "public-key-missing"),
        (b"rubbish", "not-a-p256-key"),
        (b"-----BEGIN PUBLIC KEY-----\n", "not-a-p256-key"),
        ("a folder", "no-public-key"),
    ],
)
def test_an_invalid_public_key_is_an_error(
    content: bytes | str | None, reason: str, tmp_path: Path
) -> None:
    """A missing or invalid public key, and a folder without keys, raise `SettingsError`."""
    path = tmp_path / "key.pub.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()

    with refused(SettingsError, reason) as caught:
        read_public_keys([path])
    assert str(path) in str(caught.value)


def test_a_replaced_exported_key_is_restored(tmp_path: Path) -> None:
    """Exporting a key again replaces other content under its name."""
    key = open_key("", is_sandbox=False)
    path = export_public_key(key, tmp_path)
    path.write_text("another key")

    export_public_key(key, tmp_path)

    assert path.read_text() == key.public.keyval["public"]
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]


def test_rotation_puts_a_new_key_in_place_and_keeps_the_old(tmp_path: Path) -> None:
    """After a rotation the new key is in place, and both keys are kept for verifiers."""
    old = open_key("", is_sandbox=False)

    new = rotate(Settings(), old, tmp_path / "keys")

    path = default_key_path(is_sandbox=False)
    assert open_key("", is_sandbox=False).key_id == new.key_id != old.key_id
    kept = path.with_name(f"signing-key-{old.key_id[:16]}.pem")
    assert open_key(str(kept), is_sandbox=False).key_id == old.key_id
    private = [each for each in path.parent.iterdir() if each.suffix == ".pem"]
    assert {each.stat().st_mode & 0o777 for each in private} == {0o600}
    assert len(private) == 2
    both = {f"{key.key_id}.pub.pem" for key in (old, new)}
    assert {each.name for each in (tmp_path / "keys").iterdir()} == both


def test_rotation_of_an_encrypted_key_stays_encrypted(tmp_path: Path) -> None:
    """The new key is encrypted with the same passphrase."""
    settings = encrypted(tmp_path / "key.pem")

    rotate(settings, key_from_settings(settings, is_sandbox=False), tmp_path / "keys")

    assert "ENCRYPTED" in (tmp_path / "key.pem").read_text()
    key_from_settings(settings, is_sandbox=False)


def test_an_interrupted_rotation_can_be_repeated(tmp_path: Path) -> None:
    """After an interrupted rotation the old key is still in use, and a second rotation works."""
    old = open_key("", is_sandbox=False)
    with pytest.MonkeyPatch.context() as patched:
        replace = Path.replace

        def refuse(self: Path, target: Path) -> Path:
            if self.suffix == ".new":
                raise OSError(errno.ENOSPC, "No space left: full")
            return replace(self, target)

        patched.setattr(Path, "replace", refuse)
        with refused_naming(OSError, "full"):
            rotate(Settings(), old, tmp_path / "keys")
    assert open_key("", is_sandbox=False).key_id == old.key_id

    new = rotate(Settings(), old, tmp_path / "keys")

    assert open_key("", is_sandbox=False).key_id == new.key_id


def test_a_key_in_a_service_is_rotated_there(vault: Path, tmp_path: Path) -> None:
    """A key in a service cannot be rotated here; the error says what to set."""
    settings = Settings({"signing_key": "vault-of-tests:key-1"})

    with refused(SettingsError, "create-key-there"):
        rotate(settings, open_key("", is_sandbox=False), tmp_path / "keys")


def test_the_private_key_is_never_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key file is created with mode 0600 from the start."""
    modes: list[int] = []
    opened = os.open

    def note(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        modes.append(mode)
        return opened(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", note)
    create_key(tmp_path / "key.pem")

    assert modes[0] == 0o600
