"""
Keys: create, open and export the signing key, and read the keys that a verifier trusts.

A private key is never among the evidence. A public one is exported there for
convenience, and trusted only if the verifier names it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from platformdirs import user_data_path

from runbook_lib.config.settings import Settings
from runbook_lib.config.workspace import require_evidence_here
from runbook_lib.core.files import read_plain, write_once, write_whole
from runbook_lib.core.redaction import Secret
from runbook_lib.errors import SettingsError, SigningError, reason_of, reported_as

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Signer, SSlibKey


PUBLIC_SUFFIX = ".pub.pem"
# Said wherever such a key is trusted.
WHY_LESS = (
    "A key stored next to the evidence proves less: anyone who can change one can change the other."
)
UNENCRYPTED = "The key file is not encrypted, though RUNBOOK_SIGNING_PASSPHRASE is set"

_URI = re.compile(r"[a-z][a-z0-9+.-]+:")
LARGEST_KEY = 65_536
_ENCRYPTED = b"ENCRYPTED"
_NO_KEY = "it is not a P-256 key in PEM"
_NOT_DECRYPTED = "the passphrase is wrong, or the file is damaged"
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signer (ECDSA P-256, SHA-256) and its public key."""

    public: SSlibKey
    _signer: Signer

    @property
    def key_id(self) -> str:
        """The SHA-256 of the public key's SubjectPublicKeyInfo, in hexadecimal."""
        return str(self.public.keyid)

    def sign(self, envelope: Envelope) -> None:
        """Add a signature to `envelope`; raises `SigningError` if the signer fails."""
        try:
            envelope.sign(self._signer)
        except Exception as error:  # noqa: BLE001  (each key service raises errors of its own)
            # NOTE: such an error's text may quote its input, so the message names only its kind.
            raise SigningError(
                f"The signing key could not be used ({type(error).__name__})."
            ) from None


def is_uri(reference: str) -> bool:
    """Return whether `reference` is a signer's URI, not a file."""
    return bool(_URI.match(reference))


def default_key_path(*, is_sandbox: bool) -> Path:
    """Return the path of this person's key; practice has a separate one."""
    name = "sandbox-key.pem" if is_sandbox else "signing-key.pem"
    return Path(user_data_path("facebook-marketing-runbook")) / name


def own_public_keys() -> Path:
    """Return the folder with the public halves of this person's own keys, apart from evidence."""
    return default_key_path(is_sandbox=False).with_name("public-keys")


def open_key(
    reference: str, *, passphrase: Secret | None = None, public_key: str = "", is_sandbox: bool
) -> SigningKey:
    """
    Return the key that `reference` names, or the default key, created on first use.

    `reference` is a PEM file (PKCS#8), or a signer URI of securesystemslib
    (`gcpkms:…`, `awskms:…`, `azurekms:…`, `hsm:…`, `hv:…`), whose public key is
    in the file `public_key`. Raises `SettingsError` if it cannot be used.
    """
    if is_uri(reference):
        return _referenced(reference, public_key, passphrase)
    path = Path(reference).expanduser() if reference else default_key_path(is_sandbox=is_sandbox)
    if not reference and not path.exists():
        create_key(path, passphrase=passphrase)
    return _from_file(path, passphrase)


def key_from_settings(settings: Settings, *, is_sandbox: bool) -> SigningKey:
    """Return the key that the settings name; see `open_key`. Practice needs one that is here."""
    if is_sandbox:
        require_evidence_here({"signing_key": str(settings.values.get("signing_key", ""))})
    return open_key(
        str(settings.values.get("signing_key", "")),
        passphrase=settings.secrets.get("signing_passphrase"),
        public_key=str(settings.values.get("signing_public_key", "")),
        is_sandbox=is_sandbox,
    )


def is_unencrypted(settings: Settings) -> bool:
    """Return whether the settings have a passphrase although the key file needs none."""
    reference = str(settings.values.get("signing_key", ""))
    if is_uri(reference) or "signing_passphrase" not in settings.secrets:
        return False
    path = Path(reference).expanduser() if reference else default_key_path(is_sandbox=False)
    try:
        return _ENCRYPTED not in read_plain(path, LARGEST_KEY)
    except OSError:
        return False


def create_key(path: Path, *, passphrase: Secret | None = None) -> None:
    """
    Create a key (ECDSA P-256) at `path`, mode 0600, unless the file exists.

    Raises `SettingsError` if it cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  (slow to import)
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    protection = (
        BestAvailableEncryption(passphrase.reveal().encode()) if passphrase else NoEncryption()
    )
    private = ec.generate_private_key(ec.SECP256R1())
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    with reported_as(SettingsError, f"A signing key cannot be created at {path}"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # NOTE: two first runs agree on one key: the second keeps the first one's.
        write_once(path, content, mode=0o600)


def rotate(settings: Settings, old: SigningKey, folder: Path) -> SigningKey:
    """
    Replace the file of the key `old` by a new key, and export both public keys to `folder`.

    The old file stays beside it, named by its key id. Raises `SettingsError` if
    the key is not a file: its service must create the new one.
    """
    reference = str(settings.values.get("signing_key", ""))
    if is_uri(reference):
        raise SettingsError(
            "A service stores this key: create the new one there.",
            next_step="Then set RUNBOOK_SIGNING_KEY to it.",
        )
    path = Path(reference).expanduser() if reference else default_key_path(is_sandbox=False)
    passphrase = settings.secrets.get("signing_passphrase")
    drafted = path.with_name(f"{path.name}.new")
    drafted.unlink(missing_ok=True)
    create_key(drafted, passphrase=passphrase)
    new = open_key(str(drafted), passphrase=passphrase, is_sandbox=False)
    for key in (old, new):
        export_public_key(key, folder)
        keep_public_key(key)
    # NOTE: if the process is killed here, the old key goes on signing, which is still valid.
    kept = path.with_name(f"{path.stem}-{old.key_id[:16]}.pem")
    kept.unlink(missing_ok=True)
    kept.hardlink_to(path)
    drafted.replace(path)
    return new


def keep_public_key(key: SigningKey) -> None:
    """Export the public key to this person's own folder, if that can be written."""
    with suppress(OSError):
        export_public_key(key, own_public_keys())


def export_public_key(key: SigningKey, folder: Path) -> Path:
    """Write the public key to `folder`/<key id>.pub.pem, if it is missing, and return its path."""
    path = folder / f"{key.key_id}{PUBLIC_SUFFIX}"
    content = str(key.public.keyval["public"]).encode("ascii")
    with suppress(OSError):
        if read_plain(path, len(content)) == content:
            return path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path


def read_public_key(path: Path) -> SSlibKey:
    """Return the P-256 public key in the PEM file `path`; raises `SettingsError`."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    return _loaded(path, "public key", lambda pem: _p256(load_pem_public_key(pem)))


def read_public_keys(paths: Iterable[Path]) -> dict[str, SSlibKey]:
    """
    Return the keys in `paths` by key id: PEM files, or folders of `*.pub.pem`.

    Raises `SettingsError` if one cannot be read, or a folder has no key.
    """
    keys = (read_public_key(file) for path in paths for file in key_files(path))
    return {str(key.keyid): key for key in keys}


def exported_keys(folder: Path) -> dict[str, SSlibKey]:
    """Return the public keys in `folder` by key id; other files are ignored."""
    keys: dict[str, SSlibKey] = {}
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")):
        with suppress(SettingsError):
            key = read_public_key(path)
            keys[str(key.keyid)] = key
    return keys


def key_files(path: Path) -> Iterator[Path]:
    """
    Yield the files that naming `path` trusts: itself, or the `*.pub.pem` in a folder.

    Raises `SettingsError` if a folder has none.
    """
    try:
        is_folder = path.is_dir()
    except OSError:
        is_folder = False
    if not is_folder:
        yield path
        return
    files = sorted(path.glob(f"*{PUBLIC_SUFFIX}"))
    if not files:
        raise SettingsError(f"No file in {path} ends with {PUBLIC_SUFFIX}.")
    yield from files


def _from_file(path: Path, passphrase: Secret | None) -> SigningKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415  (slow to import)

    word = passphrase.reveal().encode() if passphrase else None

    def load(content: bytes) -> SigningKey:
        is_encrypted = _ENCRYPTED in content
        try:
            private = load_pem_private_key(content, word if is_encrypted else None)
        except ValueError:
            # NOTE: one wrong passphrase in 256 decrypts to something that is not a key.
            raise ValueError(_NOT_DECRYPTED if is_encrypted else _NO_KEY) from None
        public = _p256(private.public_key())
        return SigningKey(public, CryptoSigner(private, public))

    if path.is_file() and path.stat().st_mode & 0o077:
        raise SettingsError(f"Others can read the signing key {path}: run `chmod 600` on it.")
    return _loaded(path, "signing key", load)


def _referenced(reference: str, public_key: str, passphrase: Secret | None) -> SigningKey:
    from securesystemslib.signer import Signer  # noqa: PLC0415  (slow to import)

    scheme = reference.partition(":")[0]
    if not public_key:
        raise SettingsError(
            f"The signer {scheme}: needs its public key: RUNBOOK_SIGNING_PUBLIC_KEY=FILE."
        )
    public = read_public_key(Path(public_key).expanduser())
    try:
        signer = Signer.from_priv_key_uri(
            reference, public, lambda _name: passphrase.reveal() if passphrase else ""
        )
    except Exception as error:  # noqa: BLE001  (each key service raises errors of its own)
        raise SettingsError(
            f"The signer {scheme}: cannot be used ({type(error).__name__})."
        ) from None
    return SigningKey(public, signer)


def _loaded(path: Path, what: str, load: Callable[[bytes], _Key]) -> _Key:
    try:
        return load(read_plain(path, LARGEST_KEY))
    except OSError as error:
        problem = f"cannot be read: {reason_of(error)}"
    except TypeError:
        problem = "is encrypted: set RUNBOOK_SIGNING_PASSPHRASE"
    except ValueError as error:
        reason = _NOT_DECRYPTED if str(error) == _NOT_DECRYPTED else _NO_KEY
        problem = f"cannot be used: {reason}"
    raise SettingsError(f"The {what} {path} {problem}.")


def _p256(public: PublicKeyTypes) -> SSlibKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise ValueError("not on the curve P-256")
    # NOTE: the SHA-256 of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())
