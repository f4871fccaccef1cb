"""A statement that is altered and signed again, so that only its content is wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from runbook_lib.evidence.bundle import checksum_text, describe_file
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import (
    PROVENANCE,
    TEST_RESULT,
    Resource,
    sign_statement,
    sigstore_bundle,
)

STATEMENT = "statement.dsse.json"
SIGSTORE = "statement.sigstore.json"
PROVENANCE_FILE = "provenance.dsse.json"


def payload(envelope: Path) -> dict[str, Any]:
    document = json.loads(envelope.read_bytes())
    statement: dict[str, Any] = json.loads(base64.b64decode(document["payload"]))
    return statement


def sign_again(bundle: Path, key: SigningKey, statement: dict[str, Any]) -> None:
    """Sign the statement again, as the holder of the key can, with all files that repeat it."""
    subjects = [
        Resource(each["name"], each["digest"]["sha256"], each["annotations"]["size"])
        for each in statement["subject"]
    ]
    envelope = sign_statement(key, subjects, TEST_RESULT, statement["predicate"])
    (bundle / STATEMENT).write_bytes(envelope)
    (bundle / SIGSTORE).write_bytes(sigstore_bundle(envelope))


def sign_provenance(bundle: Path, key: SigningKey, subjects: list[Any], predicate: Any) -> None:
    envelope = sign_statement(key, subjects, PROVENANCE, predicate)
    (bundle / PROVENANCE_FILE).write_bytes(envelope)


def resources(bundle: Path, statement: dict[str, Any]) -> list[Resource]:
    """Return the files of a statement, as they are now, without the list of digests."""
    names = [subject["name"] for subject in statement["subject"]]
    return [describe_file(bundle / name, name) for name in names if name != "SHA256SUMS"]


def resign_everything(
    bundle: Path, key: SigningKey, statement: dict[str, Any], provenance_key: Any = None
) -> None:
    """Update the lists and both statements to the current files, and sign them."""
    made = payload(bundle / PROVENANCE_FILE)
    sign_provenance(bundle, provenance_key or key, resources(bundle, made), made["predicate"])
    listed = resources(bundle, statement)
    (bundle / "SHA256SUMS").write_text(checksum_text(listed))
    every = [*listed, describe_file(bundle / "SHA256SUMS", "SHA256SUMS")]
    sign_again(bundle, key, {**statement, "subject": [each.descriptor() for each in every]})


def subject(name: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": "0" * 64}, "annotations": {"size": 1}}
