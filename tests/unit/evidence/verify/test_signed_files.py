"""A file that differs from what was signed is refused, and named with the reason."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.redaction import Secret
from runbook_lib.errors import (
    ContentError,
    EnvelopeError,
    EvidenceError,
    ExitCode,
    FormatError,
    SignatureError,
)
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import ChainLink
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.verify import verify_bundle
from tests.support.resigned_statements import payload, resign, sign_again, subject
from tests.support.wording import wording
from tests.unit.evidence.conftest import ended_run, memory_below, seal_run


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return a valid bundle with a step of every outcome; tests alter copies of it."""
    run = ended_run(tmp_path_factory.mktemp("evidence"))
    return seal_run(run, key).folder


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    """Return a copy of the bundle, for one test to alter."""
    return shutil.copytree(sealed, tmp_path / sealed.name)


STATEMENT = "statement.dsse.json"
FILES = (
    "01.ipynb",
    "SHA256SUMS",
    "VERIFY.md",
    "journal.jsonl",
    "record.json",
    "report.html",
    STATEMENT,
)
FOLDER_ADDED = wording("content-altered.folder-added")
NESTED = b"[" * 200_000 + b"]" * 200_000


def refused(
    bundle: Path, trust: TrustAnchors, kind: type[EvidenceError] = EvidenceError
) -> EvidenceError:
    """Return the error of verifying the bundle; fail without one."""
    with pytest.raises(kind) as caught:
        verify_bundle(bundle, trust)
    assert str(caught.value).endswith(".")  # in a sentence
    is_other_form = isinstance(caught.value, FormatError)
    assert caught.value.exit_code == (ExitCode.USAGE if is_other_form else ExitCode.REFUSED)
    return caught.value


def write(path: Path, document: Any) -> None:
    """Write JSON as the runbook writes it."""
    path.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")


def test_a_bundle_in_order_is_accepted(bundle: Path, trust: TrustAnchors, key: SigningKey) -> None:
    """A valid bundle gives its run, key, position in the chain and notes."""
    verified = verify_bundle(bundle, trust)

    assert (verified.claims.tenant, verified.claims.outcome) == ("acme", "failed")
    assert verified.key_id == key.key_id
    assert verified.link == ChainLink(1)
    assert (verified.stamped_on, verified.notes) == ("", ())


def places(content: bytes) -> list[int]:
    step = max(1, len(content) // 24)
    return sorted({*range(0, len(content), step), len(content) - 1})


@pytest.mark.parametrize("name", FILES)
def test_an_altered_byte_is_detected(name: str, bundle: Path, trust: TrustAnchors) -> None:
    """A flipped bit anywhere in any file is detected, and the file is named."""
    content = (bundle / name).read_bytes()
    for place in places(content):
        altered = bytearray(content)
        altered[place] ^= 1
        (bundle / name).write_bytes(altered)
        error = refused(bundle, trust)
        assert error.file == name, place
    (bundle / name).write_bytes(content)
    verify_bundle(bundle, trust)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda content: content[:-1], id="cut"),
        pytest.param(lambda content: content + b"\n", id="lengthened"),
        pytest.param(lambda content: b" " + content, id="blank-before"),
        pytest.param(lambda content: b"", id="emptied"),
        pytest.param(lambda content: content[::-1], id="reversed"),
        pytest.param(lambda content: NESTED, id="nested-deeply"),
    ],
)
def test_a_file_of_another_length_is_detected(
    name: str, alter: Callable[[bytes], bytes], bundle: Path, trust: TrustAnchors
) -> None:
    """Additional, missing or other bytes are detected, also blanks in JSON."""
    path = bundle / name
    path.write_bytes(alter(path.read_bytes()))

    assert refused(bundle, trust).file == name


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_away_is_named(
    name: str, bundle: Path, tmp_path: Path, trust: TrustAnchors
) -> None:
    """A removed file is named, and a link in its place, even with the same content."""
    (bundle / name).rename(tmp_path / "elsewhere")
    error = refused(bundle, trust)
    assert (error.file, "missing" in str(error)) == (name, True)

    (bundle / name).symlink_to(tmp_path / "elsewhere")
    error = refused(bundle, trust, ContentError)
    assert (error.file, "link" in str(error)) == (name, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("extra.txt", "file-added"),
        ("attachments/deep/x.png", "file-added"),
        ("statement.evil", "file-added"),
        (".hidden", "file-added"),
        (f"attachments/{'x/' * 16}", "deep-folder-added"),
    ],
)
def test_an_added_file_is_named(name: str, said: str, bundle: Path, trust: TrustAnchors) -> None:
    """An added file is named, or its folder where that is deeper than any bundle has."""
    path = bundle / name / "file" if name.endswith("/") else bundle / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")

    error = refused(bundle, trust, ContentError)
    added = wording(f"content-altered.{said}")
    assert str(error) == f"{name.rstrip('/')}: {added}"


def test_an_odd_file_is_refused(bundle: Path, tmp_path: Path, trust: TrustAnchors) -> None:
    """An empty folder, a link to a folder and a pipe, which is not opened, are named."""
    added = bundle / "attachments"
    added.mkdir()
    said = f"attachments: {FOLDER_ADDED}"
    assert str(refused(bundle, trust, ContentError)) == said

    added.rename(tmp_path / "elsewhere")
    added.symlink_to(tmp_path / "elsewhere")
    assert refused(bundle, trust, ContentError).file == "attachments"

    added.unlink()
    (bundle / "report.html").unlink()
    os.mkfifo(bundle / "report.html")
    assert refused(bundle, trust, ContentError).file == "report.html"


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each leaf of a JSON document."""
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    if not items:
        yield path
    for key, value in items:
        yield from leaves(value, (*path, key))


def altered(document: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy of the document with another value at `path`."""
    changed = deepcopy(document)
    if not path:
        return changed
    place = changed
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    new = {bool: not old, int: 7_777, float: 0.5}.get(type(old), f"{old}x" if old else "x")
    place[path[-1]] = new
    return changed


def test_each_field_of_a_statement_counts(bundle: Path, trust: TrustAnchors) -> None:
    """A change of any claim in a statement is detected."""
    document = json.loads((bundle / STATEMENT).read_bytes())
    statement = payload(bundle)
    for way in leaves(statement):
        text = json.dumps(altered(statement, way), ensure_ascii=False, separators=(",", ":"))
        changed = base64.b64encode(text.encode()).decode()
        write(bundle / STATEMENT, {**document, "payload": changed})
        assert refused(bundle, trust, SignatureError).file == STATEMENT


def test_each_field_of_an_envelope_counts(bundle: Path, trust: TrustAnchors) -> None:
    """A change of payload, type, key id or signature is detected."""
    document = json.loads((bundle / STATEMENT).read_bytes())
    for way in leaves(document):
        write(bundle / STATEMENT, altered(document, way))
        assert refused(bundle, trust).file == STATEMENT


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda e: {**e, "extra": 1}, id="a-field-more"),
        pytest.param(
            lambda e: {**e, "signatures": [{**e["signatures"][0], "extra": 1}]}, id="in-signature"
        ),
        pytest.param(lambda e: {**e, "signatures": e["signatures"] * 2}, id="twice"),
        pytest.param(lambda e: {**e, "signatures": []}, id="none"),
        pytest.param(lambda e: dict(reversed(e.items())), id="another-order"),
        pytest.param(lambda e: [e], id="a-list"),
    ],
)
def test_an_envelope_of_another_form_is_refused(
    alter: Callable[[Any], Any], bundle: Path, trust: TrustAnchors
) -> None:
    """An envelope has exactly one valid form."""
    document = json.loads((bundle / STATEMENT).read_bytes())
    write(bundle / STATEMENT, alter(document))

    assert refused(bundle, trust, EnvelopeError).file == STATEMENT


def test_a_base64_that_decodes_to_the_same_is_refused(
    bundle: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Base64 with other spare bits (RFC 4648 §3.5) is rejected."""
    statement = payload(bundle)
    signature = ""
    while not signature.endswith("="):  # a DER signature has 70 to 72 bytes
        sign_again(bundle, key, statement)
        document = json.loads((bundle / STATEMENT).read_bytes())
        signature = document["signatures"][0]["sig"]
    spare = signature.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(spare[-1]) ^ 1]
    twin = spare[:-1] + other + "=" * (len(signature) - len(spare))
    assert base64.b64decode(twin) == base64.b64decode(signature)
    document["signatures"][0]["sig"] = twin
    write(bundle / STATEMENT, document)

    refused(bundle, trust, EnvelopeError)


def test_another_key_is_not_trusted(bundle: Path, other_key: SigningKey) -> None:
    """A key beside the evidence or in it is not trusted by itself."""
    trust = TrustAnchors({other_key.key_id: other_key.public})

    assert wording("no-trusted-signature.not-trusted") in str(
        refused(bundle, trust, SignatureError)
    )


def test_a_signature_by_another_key_is_refused(
    bundle: Path, other_key: SigningKey, trust: TrustAnchors
) -> None:
    """A signature by another key is rejected, also under the trusted key's id."""
    sign_again(bundle, other_key, payload(bundle))
    refused(bundle, trust, SignatureError)

    document = json.loads((bundle / STATEMENT).read_bytes())
    (document["signatures"][0]["keyid"],) = trust.keys
    write(bundle / STATEMENT, document)
    refused(bundle, trust, SignatureError)


def test_a_signature_of_another_bundle_is_refused(
    bundle: Path, tmp_path: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A signature or a statement of another bundle is rejected."""
    other = seal_run(ended_run(tmp_path / "other", "ffffffff"), key).folder
    mine, theirs = (json.loads((each / STATEMENT).read_bytes()) for each in (bundle, other))
    write(bundle / STATEMENT, {**mine, "signatures": theirs["signatures"]})
    assert "moved" in str(refused(bundle, trust, SignatureError))

    shutil.copy(other / STATEMENT, bundle / STATEMENT)
    refused(bundle, trust, ContentError)


def test_claims_that_differ_from_the_bundle_are_refused(
    bundle: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A signed claim that differs from the record, or about other files, is rejected."""
    statement = payload(bundle)
    claims = statement["predicate"]
    files = statement["subject"]
    # The record does not have them; a later format is authentic.
    besides = ("configuration", "runbook_chain", "format_version")
    ways = [way for way in leaves(claims) if not set(way).intersection(besides)]
    assert len(ways) > 20
    for way in ways:
        sign_again(bundle, key, {**statement, "predicate": altered(claims, way)})
        assert refused(bundle, trust).file, way
    for way in leaves(files):
        sign_again(bundle, key, {**statement, "subject": altered(files, way)})
        refused(bundle, trust)


PLACE = {"sequence": 2, "previous": None, "timestamp_authority": ""}
OUTSIDE = (ContentError, wording("content-altered.leads-out"))
NO_PLACE = (EnvelopeError, f"{STATEMENT}: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # A path out of the bundle is rejected without opening it.
        ({"subject": "../outside"}, OUTSIDE),
        ({"subject": "/etc/hostname"}, OUTSIDE),
        ({"subject": "a/../../outside"}, OUTSIDE),
        ({"subject": "..\\outside"}, OUTSIDE),
        # A file that a statement names twice is rejected.
        ({"subject": "01.ipynb"}, (EnvelopeError, "named once")),
        # A statement needs a valid position in a chain.
        ({"chain": None}, NO_PLACE),
        ({"chain": {}}, NO_PLACE),
        ({"chain": {**PLACE, "sequence": "x"}}, NO_PLACE),
        ({"chain": {**PLACE, "previous": {"name": "x"}}}, NO_PLACE),
        ({"chain": {**PLACE, "previous": "x"}}, NO_PLACE),
    ],
)
def test_a_statement_that_is_wrong_is_refused(
    change: dict[str, Any],
    expected: tuple[type[EvidenceError], str],
    bundle: Path,
    key: SigningKey,
    trust: TrustAnchors,
) -> None:
    """A signed statement is rejected if its files or its position in a chain cannot be."""
    (bundle.parent / "outside").write_text("x")
    statement = payload(bundle)
    if "chain" in change:
        statement["predicate"]["runbook_chain"] = change["chain"]
    else:
        statement["subject"].append(subject(change["subject"]))
    sign_again(bundle, key, statement)

    kind, said = expected
    assert said in str(refused(bundle, trust, kind))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [2**30, 5 * 2**30])
def test_a_huge_file_is_refused_unread(
    name: str, size: int, bundle: Path, trust: TrustAnchors
) -> None:
    """A file above its signed size, or an envelope above its limit, is rejected unread."""
    with (bundle / name).open("r+b") as file:
        file.truncate(size)

    with memory_below(128 * 2**20):
        assert refused(bundle, trust).file == name


@pytest.mark.parametrize("name", ["record.json", "journal.jsonl"])
@pytest.mark.parametrize(
    "content",
    [
        NESTED,
        b"null\n",
        b"\xff\xfe",
        b'{"seq": 1}\n',
        b'{"format": 15, "x": NaN}\n',
        b'{"x": Infinity}\n',
    ],
)
def test_an_invalid_signed_file_is_refused(
    name: str, content: bytes, bundle: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """An invalid record or journal is rejected, even if it is signed."""
    (bundle / name).write_bytes(content)
    resign(bundle, key)

    assert refused(bundle, trust).file == name


def test_large_attachments_need_little_memory(
    bundle: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Attachments are digested in blocks, with bounded memory."""
    (bundle / "attachments").mkdir()
    for number in range(4):
        (bundle / f"attachments/{number}.pdf").write_bytes(bytes([number]) * 10 * 2**20)
    resign(bundle, key)

    with memory_below(8 * 2**20):
        verify_bundle(bundle, trust)
    (bundle / "attachments" / "3.pdf").write_bytes(b"\3" * (10 * 2**20 - 1) + b"x")
    assert refused(bundle, trust, ContentError).file == "attachments/3.pdf"


def test_a_re_signed_bundle_is_accepted(bundle: Path, key: SigningKey, trust: TrustAnchors) -> None:
    """A bundle that is signed again is accepted, so the tests above fail for their own reason."""
    resign(bundle, key)

    verify_bundle(bundle, trust)


def test_a_statement_that_names_no_authority_needs_no_time_stamp(
    bundle: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """If a statement does not say whether a time-stamp was requested, none is missed."""
    statement = payload(bundle)
    del statement["predicate"]["runbook_chain"]["timestamp_authority"]
    sign_again(bundle, key, statement)

    assert verify_bundle(bundle, trust).notes == ()


def test_a_missing_folder_is_refused(tmp_path: Path, trust: TrustAnchors) -> None:
    """A missing folder raises `ContentError`."""
    refused(tmp_path / "none", trust, ContentError)


def test_no_secret_is_quoted_by_a_refusal(bundle: Path, trust: TrustAnchors) -> None:
    """An error does not quote a file's content."""
    (bundle / "record.json").write_text(Secret("planted-canary").reveal())

    assert "planted-canary" not in str(refused(bundle, trust))
