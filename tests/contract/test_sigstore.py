"""Sigstore's own verifier (npm) accepts a bundle and rejects each altered one."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.evidence.signing.keys import SigningKey, export_public_key
from tests.support.npm import installed
from tests.support.programs import needs
from tests.unit.evidence.conftest import ended_run, key, other_key, seal_run

pytestmark = needs("node", "npm")

__all__ = ["key", "other_key"]

FOLDER = Path(__file__).parents[1] / "support" / "node"
Verify = Callable[[Path, Path], dict[str, Any]]


@pytest.fixture(scope="module")
def verify() -> Verify:
    """Return a function that returns the result of Sigstore's verifier for a bundle and a key."""
    installed()

    def run(bundle: Path, public: Path) -> dict[str, Any]:
        done = subprocess.run(
            ["node", str(FOLDER / "verify.js"), str(bundle), str(public)],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


@pytest.fixture
def bundle(tmp_path: Path, key: SigningKey) -> Path:
    """Return the Sigstore bundle of a sealed run."""
    return seal_run(ended_run(tmp_path / "evidence"), key).folder / "statement.sigstore.json"


@pytest.fixture
def public(tmp_path: Path, key: SigningKey) -> Path:
    """Return the file of the trusted key."""
    return export_public_key(key, tmp_path / "trusted")


def test_a_bundle_is_accepted(bundle: Path, public: Path, verify: Verify) -> None:
    """An independent implementation accepts the bundle, with its claims."""
    answer = verify(bundle, public)

    assert answer["accepted"], answer
    predicate = answer["statement"]["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["passedTests"] == ["fb-01-verified"]


def test_another_key_is_refused(
    bundle: Path, tmp_path: Path, other_key: SigningKey, verify: Verify
) -> None:
    """Another key is rejected by the signature, whatever key id the bundle names."""
    answer = verify(bundle, export_public_key(other_key, tmp_path / "other"))

    assert answer == {"accepted": False, "reason": "SIGNATURE_ERROR signature verification failed"}


def _other_claim(document: dict[str, Any]) -> None:
    envelope = document["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b'"FAILED"', b'"PASSED"')
    envelope["payload"] = base64.b64encode(payload).decode()


def _other_type(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["payloadType"] = "application/vnd.other+json"


def _other_signature(document: dict[str, Any]) -> None:
    (signature,) = document["dsseEnvelope"]["signatures"]
    content = bytearray(base64.b64decode(signature["sig"]))
    content[-1] ^= 1
    signature["sig"] = base64.b64encode(content).decode()


def _no_signature(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["signatures"] = []


@pytest.mark.parametrize("alter", [_other_claim, _other_type, _other_signature, _no_signature])
def test_an_altered_bundle_is_refused(
    alter: Callable[[dict[str, Any]], None], bundle: Path, public: Path, verify: Verify
) -> None:
    """An altered claim, type or signature is rejected."""
    document = json.loads(bundle.read_bytes())
    alter(document)
    bundle.write_text(json.dumps(document))

    assert not verify(bundle, public)["accepted"]
