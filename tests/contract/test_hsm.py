"""A key that stays in its security module signs evidence: SoftHSM through PKCS#11."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote_plus

import pkcs11
import pkcs11.util.ec
import pytest

from runbook_lib.core.redaction import Secret
from runbook_lib.errors import ExitCode, SigningError
from runbook_lib.evidence.signing.keys import SigningKey, open_key
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import verify_bundle
from tests.support.programs import needs
from tests.support.wording import refused
from tests.unit.evidence.conftest import ended_run, seal_run

pytestmark = needs("softhsm2-util", "openssl")

PIN = "493817"
LABEL = "evidence of the tests"
KEY = f"hsm:2?label={quote_plus(LABEL)}"
_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a token with a key pair, and return the file of the public key."""
    library = next((place for place in _PLACES if Path(place).is_file()), None)
    if library is None:
        pytest.fail("SoftHSM is missing: apt-get install softhsm2.", pytrace=False)
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    monkeypatch.setenv("PYKCS11LIB", library)
    command = ["softhsm2-util", "--init-token", "--free", "--label", LABEL]
    subprocess.run([*command, "--so-pin", PIN, "--pin", PIN], check=True, capture_output=True)
    loaded = pkcs11.lib(library)
    loaded.reinitialize()
    curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
    with loaded.get_token(token_label=LABEL).open(user_pin=PIN, rw=True) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
        )
        pair = parameters.generate_keypair(id=b"\x02", label="evidence", store=True)
        der = pkcs11.util.ec.encode_ec_public_key(pair[0])
    path = tmp_path / "evidence.pub.pem"
    pem = ["openssl", "pkey", "-pubin", "-inform", "DER", "-out", str(path)]
    subprocess.run(pem, input=der, check=True)
    return path


def opened(public: Path, pin: str = PIN, reference: str = KEY) -> SigningKey:
    return open_key(reference, passphrase=Secret(pin), public_key=str(public), is_sandbox=False)


def test_a_key_in_a_security_module_seals_a_bundle(public: Path, tmp_path: Path) -> None:
    """The PIN is the passphrase; the bundle verifies with the module's public key."""
    key = opened(public)

    folder = seal_run(ended_run(tmp_path / "evidence"), key).folder

    verified = verify_bundle(folder, TrustAnchors({key.key_id: key.public}))
    assert verified.key_id == key.key_id


@pytest.mark.parametrize(
    ("pin", "reference"), [("000000", KEY), (PIN, KEY.replace("hsm:2", "hsm:7"))]
)
def test_an_unusable_module_key_is_reported(
    pin: str, reference: str, public: Path, tmp_path: Path
) -> None:
    """A wrong PIN or a missing key gives exit code 3 and no bundle; the message has no PIN."""
    run = ended_run(tmp_path / "evidence")
    with refused(SigningError, "key-could-not-be-used") as caught:
        seal_run(run, opened(public, pin, reference))

    assert caught.value.exit_code == ExitCode.INCOMPLETE
    assert pin not in str(caught.value)
    assert not list(run.journal.path.parent.glob("2*"))
