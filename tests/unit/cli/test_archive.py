"""`runbook archive`, and `runbook verify` with the address of an archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import ExitCode, StoreUnavailableError
from runbook_lib.evidence.archive import archive
from runbook_lib.evidence.archive.stores import Store
from runbook_lib.evidence.signing.keys import SigningKey, create_key, open_key
from runbook_lib.evidence.verify.verify import Verdict
from tests.support.bundles import bundles_below
from tests.support.commands import refused, runbook
from tests.support.wording import wording
from tests.unit.evidence.conftest import ended_run, key, memory, seal_run, sealed_evidence

__all__ = ["key", "memory"]  # fixtures


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Return an evidence folder with three sealed runs of one tenant, made once per module."""
    return sealed_evidence(tmp_path_factory.mktemp("sealed"), key, 3)


@pytest.fixture
def tenant(sealed: Path, folder: Path) -> Path:
    """Return the tenant's folder in a copy of it, below the working directory."""
    return Path(shutil.copytree(sealed, folder / "evidence")) / "acme" / "p"


@pytest.fixture
def keys(tenant: Path) -> tuple[str, str]:
    """Return the arguments that name the trusted keys."""
    return ("--trusted-keys", str(tenant.parents[1] / "keys"))


def documents(*words: str, code: int = ExitCode.COMPLETE) -> list[dict[str, Any]]:
    """Return the objects that the command prints with `--json`."""
    return [json.loads(line) for line in printed(*words, "--json", code=code)]


def printed(*words: str, code: int = ExitCode.COMPLETE) -> list[str]:
    """Return the lines that the command prints."""
    result = runbook(*words)
    assert result.exit_code == code
    return result.stdout.splitlines()


def archive_other(bundle: Path) -> None:
    """Let the archive have other content under the name of a bundle."""
    there = Path("archive", "acme", "p", bundle.name)
    there.mkdir(parents=True)
    (there / "record.json").write_text("{}")


def alter(bundle: Path) -> None:
    (bundle / "report.html").write_text("<p>All is well.</p>")


def test_a_tenant_is_archived(tenant: Path, folder: Path) -> None:
    """Each bundle is archived and reported on its own line, with exit code 0."""
    lines = printed("archive", str(tenant), "--to", "archive")

    place = folder / "archive" / "acme" / "p"
    assert lines == [f"✔ {place / bundle.name}" for bundle in bundles_below(tenant)]


def test_archive_as_json(tenant: Path, folder: Path) -> None:
    """With `--json`, each bundle is one object, in the order in which the paths are given."""
    first, second, _ = bundles_below(tenant)
    seen = documents("archive", str(second), str(first), "--to", "archive")

    assert [each["path"] for each in seen] == [str(second), str(first)]
    assert seen[0] == {
        "path": str(second),
        "outcome": "archived",
        "address": f"{folder}/archive/acme/p/{second.name}",
    }


def test_the_environment_names_the_archive(tenant: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNBOOK_ARCHIVE names the archive."""
    monkeypatch.setenv("RUNBOOK_ARCHIVE", "archive")

    assert printed("archive", str(tenant))
    assert len(bundles_below(Path("archive"))) == 3


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("evidence/acme/p", "", "Name the archive"),
        ("evidence/acme/p", "ftp://host", wording("setting-invalid.not-an-archive")),
        # Source and archive overlap, also through links.
        ("evidence", "evidence/sub", "overlaps"),
        ("evidence", "evidence", "overlaps"),
        ("evidence", ".", "overlaps"),
        ("evidence/acme", "evidence/acme/sub", "overlaps"),
        ("evidence/acme/p", "evidence/acme", "overlaps"),
        ("evidence", "link/sub", "overlaps"),
        ("link", "evidence/sub", "overlaps"),
        ("link", "link", "overlaps"),
        ("evidence", "evidence/sub/../other", "overlaps"),
    ],
)
@pytest.mark.usefixtures("tenant")
def test_an_address_that_cannot_be_used_is_refused(
    source: str, target: str, said: str, folder: Path
) -> None:
    """A missing or invalid address gives exit code 2; nothing is written."""
    Path("link").symlink_to(folder / "evidence")
    before = sorted(folder.rglob("*"))

    assert said in refused("archive", source, *(("--to", target) if target else ()))
    assert sorted(folder.rglob("*")) == before


def test_one_bundle_that_is_refused_does_not_stop_the_others(tenant: Path) -> None:
    """The others are archived; exit code 3, with the reason and a next step."""
    first, *_ = bundles_below(tenant)
    archive_other(first)
    words = ("archive", str(tenant), "--to", "archive")
    result = runbook(*words)

    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.stdout.startswith(
        f"✘ {first.name}: acme/p/{first.name}/record.json: "
        f"{wording('archive-refused.other-content')}"
    )
    assert [line[0] for line in result.stdout.splitlines()] == ["✘", "✔", "✔"]
    assert wording("archive.find-out-who") in result.stderr

    document, *_ = documents(*words, code=ExitCode.INCOMPLETE)
    assert document["outcome"] == "refused"
    assert document["file"] == f"acme/p/{first.name}/record.json"
    assert wording("archive-refused.nothing-overwritten") in document["reason"]


def test_an_unavailable_store_is_tried_once(tenant: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the store proves unavailable, no other bundle is tried."""
    asked: list[str] = []

    def refuse(verdict: Verdict, _store: Store) -> None:
        asked.append(verdict.path.name)
        raise StoreUnavailableError("The archive s3://bucket: it cannot be reached.")

    monkeypatch.setattr(archive, "archive_bundle", refuse)
    first, *_ = (bundle.name for bundle in bundles_below(tenant))
    lines = printed("archive", str(tenant), "--to", "memory://bucket", code=ExitCode.INCOMPLETE)

    assert lines == [f"✘ {first}: The archive s3://bucket: it cannot be reached."]
    assert asked == [first]


def test_tampering_outranks_a_refusal_by_the_store(tenant: Path) -> None:
    """A tampered bundle gives exit code 4, also if the store refuses another bundle."""
    first, second, _ = bundles_below(tenant)
    (first / "link.txt").symlink_to(second)
    archive_other(second)
    text = "".join(printed("archive", str(tenant), "--to", "archive", code=ExitCode.REFUSED))

    assert "link.txt" in text
    assert wording("archive-refused.nothing-overwritten") in text


def test_an_unfinished_bundle_is_named(tenant: Path) -> None:
    """A bundle that an interrupted run left is named; the others are archived."""
    bundles_below(tenant)[2].rename(tenant / ".sealed-00000003")
    lines = printed("archive", str(tenant), "--to", "archive", code=ExitCode.INCOMPLETE)

    assert [line[0] for line in lines] == ["✔", "✔", "✘"]
    assert wording("archive-refused.not-finished") in lines[2]


def test_a_bundle_altered_after_sealing_is_refused(tenant: Path) -> None:
    """An altered bundle gives exit code 4 and is not copied; the other bundles are."""
    first, *_ = bundles_below(tenant)
    alter(first)
    lines = printed("archive", str(tenant), "--to", "archive", code=ExitCode.REFUSED)

    assert lines[0].startswith(f"✘ {first.name}: report.html: ")
    assert not Path("archive", "acme", "p", first.name).exists()
    assert len(bundles_below(Path("archive"))) == 2


FORGED = "zz: fine\n✔ acme: 3 in a chain, none missing\x1b[2K\x1b[1A\u202e\udcff"


def test_a_file_name_cannot_forge_output_lines(tenant: Path, keys: tuple[str, str]) -> None:
    """Control characters in a file name are escaped, so that they cannot forge a line of output."""
    first, *_ = bundles_below(tenant)
    (first / FORGED).write_text("x")
    shown = "zz: fine[U+000A]✔ acme: 3 in a chain, none missing[U+001B][2K[U+001B][1A[U+202E]"

    for words in (("verify", *keys), ("archive", "--to", "archive")):
        result = runbook(words[0], str(tenant), *words[1:])
        assert result.exit_code == ExitCode.REFUSED
        assert f"{shown}[U+DCFF]: {wording('content-altered.added')}" in result.stdout
        assert result.stdout.replace("\n", "").isprintable()
        assert not any(line.startswith("✔ acme: 3") for line in result.stdout.splitlines())

        lines = printed(words[0], str(tenant), *words[1:], "--json", code=ExitCode.REFUSED)
        assert json.loads(lines[0])["file"] == FORGED
        assert "".join(lines).isascii()


@pytest.mark.parametrize("address", ["file://{folder}/archive", "memory://bucket"])
def test_an_archive_is_verified_by_its_address(
    address: str, tenant: Path, folder: Path, memory: str, keys: tuple[str, str]
) -> None:
    """`verify` takes an archive's address in place of a folder."""
    url = address.format(folder=folder)
    runbook("archive", str(tenant), "--to", url)
    lines = printed("verify", url, *keys)

    assert "acme/p: 3 in a chain" in [line.removeprefix("✔ ") for line in lines]
    assert wording("verify.later-runs") in lines[-1]


def test_json_names_the_path_in_the_archive(
    tenant: Path, memory: str, keys: tuple[str, str]
) -> None:
    """The JSON of `verify` names paths in the archive, not in the local copy."""
    runbook("archive", str(tenant), "--to", memory)
    first, *_ = bundles_below(tenant)

    paths = [each["path"] for each in documents("verify", f"{memory}/", f"{memory}/acme", *keys)]
    assert paths[0] == paths[4] == f"memory://bucket/acme/p/{first.name}"
    assert paths[3] == paths[7] == "memory://bucket/acme/p"


def test_a_bundle_altered_in_the_archive_is_rejected(
    tenant: Path, folder: Path, keys: tuple[str, str]
) -> None:
    """A file altered in the archive gives exit code 4, as in a folder."""
    runbook("archive", str(tenant), "--to", "archive")
    alter(bundles_below(folder / "archive")[2])

    lines = printed("verify", f"file://{folder}/archive", *keys, code=ExitCode.REFUSED)
    assert "report.html" in "".join(lines)


def test_an_empty_archive_is_a_usage_error(memory: str, keys: tuple[str, str]) -> None:
    """`verify` gives exit code 2 for an address without bundles, such as a misspelled one."""
    message = refused("verify", memory, *keys)
    assert wording("setting-invalid.object-count", count=0, address=memory) in message


def test_equal_refusals_do_not_stop_the_archiving(tenant: Path) -> None:
    """If two bundles are refused for the same reason, the others are still tried and reported."""
    shutil.copytree(tenant.parent, tenant.parents[1] / "globex")
    bundles = bundles_below(tenant.parents[1])
    for bundle in bundles[:2]:
        alter(bundle)
    words = ("archive", "evidence", "--to", "archive")

    seen = documents(*words, code=ExitCode.REFUSED)
    outcomes = {each["path"]: each["outcome"] for each in seen}
    assert [outcomes[str(bundle)] for bundle in bundles] == ["refused"] * 2 + ["archived"] * 4
    assert [line[0] for line in printed(*words, code=ExitCode.REFUSED)] == [*"✘✘✔✘✔✔✔✘"]


def test_a_second_chain_is_refused(tenant: Path, folder: Path) -> None:
    """Another chain of the same tenant gives exit code 4, and the archive stays as it is."""
    runbook("archive", "evidence", "--to", "archive")
    create_key(folder / "key.pem")
    key = open_key(str(folder / "key.pem"), is_sandbox=False)
    seal_run(ended_run(folder / "other", "0000000a"), key)

    result = runbook("archive", "other", "--to", "archive")

    assert result.exit_code == ExitCode.REFUSED
    assert wording("archive-refused.another-chain", tenant="acme/p") in result.stdout
    assert wording("advice.nothing-written") in result.stderr
    assert len(bundles_below(folder / "archive")) == 3
