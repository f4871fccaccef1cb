"""A bundle that is altered and signed again, so that only its content is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runbook_lib.evidence.bundle import (
    STATEMENT_NAME,
    SUMS_NAME,
    UNSIGNED,
    checksum_text,
    describe_file,
    describe_files,
)
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import TEST_RESULT, Resource, sign_statement


def payload(bundle: Path) -> dict[str, Any]:
    """Return the statement of a bundle."""
    document = json.loads((bundle / STATEMENT_NAME).read_bytes())
    statement: dict[str, Any] = json.loads(base64.b64decode(document["payload"]))
    return statement


def sign_again(bundle: Path, key: SigningKey, statement: dict[str, Any]) -> None:
    """Sign this statement in place of the bundle's own."""
    subjects = [
        Resource(each["name"], each["digest"]["sha256"], each["annotations"]["size"])
        for each in statement["subject"]
    ]
    envelope = sign_statement(key, subjects, TEST_RESULT, statement["predicate"])
    (bundle / STATEMENT_NAME).write_bytes(envelope)


def resign(
    bundle: Path,
    key: SigningKey,
    change: Callable[[Any], Any] = lambda claims: None,
    sums: str = "",
) -> None:
    """Sign a bundle again as it is now, as whoever has the key can, with changed claims."""
    claims = payload(bundle)["predicate"]
    change(claims)
    unlisted = (*UNSIGNED, SUMS_NAME)
    files = [file for file in describe_files(bundle) if file.name not in unlisted]
    (bundle / SUMS_NAME).write_text(sums or checksum_text(files))
    listed = [describe_file(bundle / SUMS_NAME, SUMS_NAME), *files]
    (bundle / STATEMENT_NAME).write_bytes(sign_statement(key, listed, TEST_RESULT, claims))


def subject(name: str) -> dict[str, Any]:
    """Return a file as a statement names it."""
    return {"name": name, "digest": {"sha256": "0" * 64}, "annotations": {"size": 1}}
