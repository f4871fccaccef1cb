"""Altered evidence is refused: by whoever has no key, and by the state for whoever has it."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from runbook_lib.errors import ContentError, FormatError
from runbook_lib.evidence.claims import claims_of
from runbook_lib.evidence.record import JournalExcerpt, record_bytes
from runbook_lib.evidence.signing.keys import SigningKey
from runbook_lib.evidence.signing.statement import (
    ChainLink,
)
from runbook_lib.evidence.verify.signed_files import TrustAnchors
from runbook_lib.evidence.verify.tree import verify_tree
from runbook_lib.evidence.verify.verify import Verdict, verdict_on, verify_home
from runbook_lib.run.fold import fold
from runbook_lib.run.journal import Line, digest_of, parse_line
from runbook_lib.run.state import RunState
from tests.support.resigned_statements import resign
from tests.unit.evidence.sealed_runs import MATERIALS, RUNS

STATEMENT = "statement.dsse.json"
LINES = "journal.jsonl"
OLDER = "older.jsonl"
RECORD = "record.json"
Change = Callable[[Path], Any]
# A change of a bundle by whoever has the key.
Forgery = Callable[[Path, SigningKey], None]


def bundles(home: Path) -> list[Path]:
    """Return the bundles of a tenant, oldest first."""
    return sorted(path for path in home.iterdir() if path.name[0].isdigit())


def refusals(home: Path, trust: TrustAnchors) -> list[Verdict]:
    """Return the verdicts that refuse."""
    return [verdict for verdict in verify_home(home, trust) if verdict.error]


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file."""
    return [parse_line(text, "A line") for text in path.read_bytes().splitlines(keepends=True)]


def write_lines(path: Path, lines: list[Line]) -> None:
    """Write lines as a file."""
    path.write_bytes(b"".join(line.encoded for line in lines))


def linked(lines: list[Line]) -> list[Line]:
    """Return the lines, each naming the digest of its data and the head before it, hashed anew."""
    again: list[Line] = []
    for line in lines:
        prev = again[-1].digest if again else line.head.prev
        head = structs.replace(line.head, sha256=digest_of(line.data), prev=prev)
        again.append(Line(head, line.data))
    return again


def test_a_chain_is_accepted(home: Path, trust: TrustAnchors) -> None:
    """Each bundle has a verdict, and so has the chain."""
    verdicts = list(verify_home(home, trust))

    assert [verdict.error for verdict in verdicts] == [None] * 4
    records = [verdict.verified.record for verdict in verdicts if verdict.verified]
    assert [record.run for record in records if record] == list(RUNS)


def test_a_bundle_alone_is_accepted(home: Path, trust: TrustAnchors, tmp_path: Path) -> None:
    """A bundle that is mailed to an auditor is proven; the chain is a note."""
    mailed = tmp_path / "mailed"
    shutil.copytree(bundles(home)[2], mailed)

    (verdict,) = verify_tree(mailed, trust)
    assert verdict.error is None
    assert [note.split(":")[0] for note in verdict.notes] == ["2 older lines"]


def test_without_the_journal_a_note_says_what_is_unknown(home: Path, trust: TrustAnchors) -> None:
    """Later runs may have been removed."""
    (home / LINES).unlink()

    *_, chain = verify_home(home, trust)
    assert (chain.error, len(chain.notes)) == (None, 1)


FILES = ("SHA256SUMS", "VERIFY.md", LINES, OLDER, RECORD, "report.html", "run.ipynb", STATEMENT)


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    """Take everything out of a file."""
    path.write_bytes(b"")


def link(path: Path) -> None:
    """Put a link in the place of a file, to the same content."""
    elsewhere = path.parents[2] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def take_from_another(path: Path) -> None:
    """Take the file of that name from the newest bundle."""
    newest = bundles(path.parents[1])[-1]
    content = (newest / path.name).read_bytes()
    if path.name == OLDER:  # both have the same lines
        content += b"\n"
    path.write_bytes(content)


def pipe(path: Path) -> None:
    """Put a pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [flip, empty, link, take_from_another, pipe, os.unlink])
def test_a_changed_file_is_refused(
    home: Path, trust: TrustAnchors, name: str, change: Change
) -> None:
    """Every file of the second bundle: altered, emptied, linked, swapped, a pipe, or missing."""
    change(bundles(home)[1] / name)

    assert len(refusals(home, trust)) == 2


def swap_bundles(home: Path) -> None:
    first, second, _ = bundles(home)
    first.rename(home / "aside")
    second.rename(first)
    (home / "aside").rename(second)


def change_journal(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Return a change of the tenant's journal as lines of text."""

    def act(home: Path) -> None:
        path = home / LINES
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return act


def hash_anew(home: Path) -> None:
    """Alter what a person said, and hash every line from there on again."""
    lines = read_lines(home / LINES)
    altered = [Line(line.head, line.data.replace(b'"by":"Ann"', b'"by":"Eve"')) for line in lines]
    write_lines(home / LINES, linked(altered))


def withhold(lines: list[Line], number: int) -> list[Line]:
    return [line.withheld if line.head.seq == number else line for line in lines]


def withhold_in_journal(home: Path) -> None:
    write_lines(home / LINES, withhold(read_lines(home / LINES), 2))


def withhold_after_the_last_bundle(home: Path) -> None:
    """Withhold the last line, which no bundle has."""
    lines = read_lines(home / LINES)
    write_lines(home / LINES, withhold(lines, len(lines)))


def withhold_in_bundle(home: Path) -> None:
    path = bundles(home)[0] / LINES
    write_lines(path, withhold(read_lines(path), 2))


def sign_in_the_other_form(home: Path) -> None:
    """Write the other form of the signature (r, n - s), which needs no key."""
    from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415
        decode_dss_signature,
        encode_dss_signature,
    )

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    path = bundles(home)[2] / STATEMENT
    document = json.loads(path.read_bytes())
    signature = document["signatures"][0]
    r, s = decode_dss_signature(base64.b64decode(signature["sig"]))
    signature["sig"] = base64.b64encode(encode_dss_signature(r, order - s)).decode()
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def lay_out_anew(home: Path) -> None:
    path = bundles(home)[2] / STATEMENT
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))


def announce_again(home: Path) -> None:
    """Append the announcement of the first bundle, which needs no key."""
    lines = read_lines(home / LINES)
    first = next(line for line in lines if line.head.type == "bundle.sealed")
    head = structs.replace(first.head, seq=len(lines) + 1)
    write_lines(home / LINES, linked([*lines, Line(head, first.data)]))


ALTERATIONS: dict[str, Change] = {
    "a file more": lambda home: (bundles(home)[1] / "more.txt").write_text("more"),
    "an unlisted file": lambda home: (bundles(home)[1] / "statement.sigstore.json").write_text(""),
    "an empty folder more": lambda home: (bundles(home)[1] / "more").mkdir(),
    "the first bundle removed": lambda home: shutil.rmtree(bundles(home)[0]),
    "the second bundle removed": lambda home: shutil.rmtree(bundles(home)[1]),
    "the newest bundle removed": lambda home: shutil.rmtree(bundles(home)[2]),
    "all bundles removed": lambda home: [shutil.rmtree(bundle) for bundle in bundles(home)],
    "two bundles swapped": swap_bundles,
    "a bundle renamed": lambda home: bundles(home)[1].rename(home / "20200101T000000Z-00000000"),
    "a bundle twice": lambda home: shutil.copytree(
        bundles(home)[1], home / "20200101T000000Z-00000000"
    ),
    "a line of the journal removed": change_journal(lambda lines: lines[:3] + lines[4:]),
    "two lines of the journal swapped": change_journal(
        lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]]
    ),
    "a word of the journal altered": change_journal(
        lambda lines: [line.replace(b"failed", b"verified") for line in lines]
    ),
    "the journal cut before the last bundle": change_journal(lambda lines: lines[:-3]),
    "the first bundle announced again": announce_again,
    "the journal emptied": lambda home: empty(home / LINES),
    "the journal cut in its first line": change_journal(lambda lines: [lines[0][:50]]),
    "an older journal put back": lambda home: shutil.copy(bundles(home)[0] / LINES, home / LINES),
    "the journal hashed anew": hash_anew,
    "a line of the journal withheld": withhold_in_journal,
    "the last line of the journal withheld": withhold_after_the_last_bundle,
    "a line of a bundle withheld": withhold_in_bundle,
    "the envelope laid out anew": lay_out_anew,
    "the signature in its other form": sign_in_the_other_form,
    "another tenant's folder": lambda home: home.parent.rename(home.parent.with_name("other")),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_evidence_is_refused(home: Path, trust: TrustAnchors, name: str) -> None:
    """Whoever has no key alters nothing unseen."""
    ALTERATIONS[name](home)

    (place,) = home.parents[1].glob("*/p")
    assert refusals(place, trust)


def change_step(**fields: Any) -> Forgery:
    """Return a change of the step in the record, signed again."""

    def act(bundle: Path, key: SigningKey) -> None:
        record = msgspec.json.decode((bundle / RECORD).read_bytes(), type=RunState)
        steps = (structs.replace(record.steps[0], **fields),)
        (bundle / RECORD).write_bytes(record_bytes(structs.replace(record, steps=steps)))
        resign(bundle, key)

    return act


def write_anew(bundle: Path, key: SigningKey, older: list[Line], own: list[Line]) -> None:
    """Write these lines, and the record and the claims that follow from them."""
    write_lines(bundle / OLDER, older)
    write_lines(bundle / LINES, own)
    record = fold([*older, *own], bundle.name.rpartition("-")[2])
    (bundle / RECORD).write_bytes(record_bytes(record))
    excerpt = JournalExcerpt(
        first=own[0].head.seq,
        lines=own[-1].head.seq,
        previous=own[0].head.prev,
        head=own[-1].digest,
    )

    def change(claims: Any) -> None:
        place = claims["runbook_chain"]
        made = claims_of(
            record,
            excerpt=excerpt,
            link=ChainLink(1),
            configuration=MATERIALS,
            timestamp_authority="",
        )
        claims.update(json.loads(json.dumps(made)), runbook_chain=place)

    resign(bundle, key, change)


def replace_in(name: str, old: bytes, new: bytes) -> Forgery:
    """Return a change of a file's bytes in the newest bundle, signed again."""

    def act(bundle: Path, key: SigningKey) -> None:
        content = (bundle / name).read_bytes()
        assert old in content
        (bundle / name).write_bytes(content.replace(old, new))
        resign(bundle, key)

    return act


def claim(change: Callable[[Any], Any]) -> Forgery:
    """Return a change of the claims, signed again."""
    return lambda bundle, key: resign(bundle, key, change)


def change_lines(name: str, change: Callable[[list[Line]], list[Line]]) -> Forgery:
    """Return a change of the lines in a file; the record that follows from them is signed."""

    def act(bundle: Path, key: SigningKey) -> None:
        lines = {file: read_lines(bundle / file) for file in (OLDER, LINES)}
        lines[name] = change(lines[name])
        write_anew(bundle, key, lines[OLDER], lines[LINES])

    return act


def altered(line: Line, old: bytes, new: bytes) -> Line:
    """Return a line with other data, and the digest of that."""
    data = line.data.replace(old, new)
    return Line(structs.replace(line.head, sha256=digest_of(data)), data)


def forged(lines: list[Line]) -> list[Line]:
    """Return the lines with a better result, each hashed anew."""
    return linked([altered(line, b'"outcome":"failed"', b'"outcome":"verified"') for line in lines])


def list_other_digests(bundle: Path, key: SigningKey) -> None:
    """Write another list of digests, which the statement names as it is."""
    resign(bundle, key, sums="0" * 64 + "  record.json\n")


# Changes that a bundle shows alone.
ALONE: dict[str, Forgery] = {
    "a better outcome in the record": replace_in(
        RECORD, b'"outcome": "failed"', b'"outcome": "verified"'
    ),
    "another sentence in the record": change_step(reason="As seen."),
    "another person in the record": replace_in(RECORD, b"Ann", b"Eve"),
    "another layout of the record": replace_in(RECORD, b'"format": 15', b'"format":  15'),
    "no record": replace_in(RECORD, b"{", b"["),
    "a field more in the record": replace_in(RECORD, b'"format": 15', b'"format": 15, "x": 1'),
    "another list of digests": list_other_digests,
    "PASSED in the claims": claim(lambda claims: claims.update(result="PASSED")),
    "another run": claim(lambda claims: claims["runbook_run"].update(run_id="00000001")),
    "no chain": claim(lambda claims: claims.pop("runbook_chain")),
    "no run": claim(lambda claims: claims.pop("runbook_run")),
    "an earlier format": claim(lambda claims: claims["runbook_run"].update(format_version=14)),
    "a number that is none": claim(lambda claims: claims["runbook_run"].update(format_version="x")),
    "no results": claim(lambda claims: claims.pop("failedTests")),
    "lines that end elsewhere": claim(
        lambda claims: claims["runbook_run"]["journal"].update(head="0" * 64)
    ),
    "lines that begin elsewhere": claim(
        lambda claims: claims["runbook_run"]["journal"].update(previous="0" * 64)
    ),
    "a line left out": change_lines(LINES, lambda lines: [*lines[:3], *lines[4:]]),
    "lines not hashed anew": change_lines(
        LINES, lambda lines: [altered(line, b"failed", b"verified") for line in lines]
    ),
    "older lines in another order": change_lines(OLDER, lambda lines: lines[::-1]),
    "an older line twice": change_lines(OLDER, lambda lines: [lines[0], *lines]),
    "a person's line withheld": change_lines(OLDER, lambda lines: [lines[0].withheld, *lines[1:]]),
}
# Changes that the bundles before it show, without the journal.
IN_CHAIN: dict[str, Forgery] = {
    "another number": claim(lambda claims: claims["runbook_chain"].update(sequence=2)),
    "the number of nobody": claim(lambda claims: claims["runbook_chain"].update(sequence=9)),
    "another statement before it": claim(
        lambda claims: claims["runbook_chain"]["previous"]["digest"].update(sha256="0" * 64)
    ),
    "lines that begin later": change_lines(LINES, lambda lines: lines[1:]),
    "lines after other ones": change_lines(
        LINES,
        lambda lines: linked(
            [Line(structs.replace(lines[0].head, prev="0" * 64), lines[0].data), *lines[1:]]
        ),
    ),
    "an older line left out": change_lines(OLDER, lambda lines: lines[1:]),
    "another person in an older line": change_lines(
        OLDER, lambda lines: [altered(line, b"Ann", b"Eve") for line in lines]
    ),
}
# Changes that only the journal shows.
BY_JOURNAL: dict[str, Forgery] = {
    "forged lines": change_lines(LINES, forged),
    "another signature of the same": resign,
}


@pytest.mark.parametrize("name", ALONE)
def test_the_key_forges_no_bundle(
    home: Path, key: SigningKey, trust: TrustAnchors, name: str
) -> None:
    """A record that the trusted key signed follows from the lines beside it."""
    ALONE[name](bundles(home)[2], key)

    assert verdict_on(bundles(home)[2], trust).error
    assert refusals(home, trust)


@pytest.mark.parametrize("name", IN_CHAIN)
def test_the_key_forges_no_chain(
    home: Path, key: SigningKey, trust: TrustAnchors, name: str
) -> None:
    """A bundle and those before it say the same."""
    IN_CHAIN[name](bundles(home)[2], key)
    assert refusals(home, trust)

    (home / LINES).unlink()
    assert verdict_on(bundles(home)[2], trust).error is None
    assert [verdict.path for verdict in refusals(home, trust)] == [home]


def test_two_bundles_of_one_number_are_refused(home: Path, trust: TrustAnchors) -> None:
    """A copy beside it is no further bundle."""
    shutil.copytree(bundles(home)[2], home / "copy")
    (home / LINES).unlink()

    assert [verdict.path for verdict in refusals(home, trust)] == [home]


@pytest.mark.parametrize("name", BY_JOURNAL)
def test_the_key_forges_no_journal(
    home: Path, key: SigningKey, trust: TrustAnchors, name: str
) -> None:
    """The newest bundle is the one that the journal announced."""
    BY_JOURNAL[name](bundles(home)[2], key)
    assert [verdict.path for verdict in refusals(home, trust)] == [home]

    (home / LINES).unlink()
    assert not refusals(home, trust)


def test_another_key_is_refused(home: Path, other_key: SigningKey, trust: TrustAnchors) -> None:
    """Nothing in a bundle counts that no trusted key has signed."""
    resign(bundles(home)[2], other_key)

    assert refusals(home, trust)


def test_an_older_format_is_named(home: Path, key: SigningKey, trust: TrustAnchors) -> None:
    """Evidence of format 14 or older is of another format."""
    ALONE["an earlier format"](bundles(home)[2], key)

    assert isinstance(verdict_on(bundles(home)[2], trust).error, FormatError)


def test_a_later_format_is_authentic_and_not_computed(
    home: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """Its signature, digests and chain are checked; the version that computes it is named."""
    newest = bundles(home)[2]

    def change(claims: Any) -> None:
        claims["runbook_run"].update(format_version=16, runbook="2.0.0", later=True)

    resign(newest, key, change)
    (newest / RECORD).write_text('{"format": 16}')
    assert isinstance(verdict_on(newest, trust).error, ContentError)

    resign(newest, key)
    verdict = verdict_on(newest, trust)
    assert "authentic" in str(verdict.error)
    assert "version 2.0.0" in str(verdict.error)
    assert "altered" not in str(verdict.error)


def test_sentences_of_another_version_may_differ(
    home: Path, key: SigningKey, trust: TrustAnchors
) -> None:
    """A later runbook that words its reasons otherwise accepts this evidence; facts stay facts."""
    newest = bundles(home)[2]

    lines = read_lines(newest / LINES)
    other = [Line(line.head, line.data.replace(b"0.1.0", b"0.0.9")) for line in lines]
    write_anew(newest, key, read_lines(newest / OLDER), linked(other))

    def verdict_with(**fields: Any) -> Verdict:
        """Return the verdict on the bundle if its record has these fields of the step."""
        change_step(**fields)(newest, key)
        return verdict_on(newest, trust)

    assert verdict_with(reason="As seen.").error is None
    assert verdict_with(code="b-code").error is not None
    assert verdict_with(code="a-code").error is None
    assert verdict_with(findings=()).error is not None
