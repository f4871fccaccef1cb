"""`runbook archive`, and `runbook verify` with the address of an archive."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.config import formats
from runbook_lib.errors import ExitCode, StoreUnavailableError
from runbook_lib.evidence.archive import archive, stores
from runbook_lib.evidence.signing.keys import create_key, open_key
from tests.support.bundles import bundles_below
from tests.unit.cli.test_main import _own_folder, runbook  # noqa: F401  (a fixture that acts by itself)
from tests.unit.evidence.conftest import ended_run, seal_run


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, keys_home: Path) -> Path:
    """Return an evidence folder with three sealed runs of one tenant, made once per module."""
    path = keys_home / "evidence.pem"
    create_key(path)
    evidence = tmp_path_factory.mktemp("sealed") / "evidence"
    for run_id in ("00000001", "00000002", "00000003"):
        seal_run(ended_run(evidence, run_id), open_key(str(path), is_sandbox=False))
    return evidence


@pytest.fixture
def tenant(sealed: Path, folder: Path) -> Path:
    """Return the tenant's folder in a copy of it, below the working directory."""
    return Path(shutil.copytree(sealed, folder / "evidence")) / "acme" / "p"


@pytest.fixture
def keys(tenant: Path) -> tuple[str, str]:
    """Return the arguments that name the trusted keys."""
    return ("--trusted-keys", str(tenant.parents[1] / "keys"))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of an object store in memory."""
    from fsspec.implementations.memory import MemoryFileSystem  # noqa: PLC0415

    monkeypatch.setattr(formats, "OBJECT_STORES", (*formats.OBJECT_STORES, "memory"))
    monkeypatch.setitem(stores._KINDS, "memory", stores._Kind("none", "nothing"))
    yield "memory://bucket"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_a_tenant_is_archived(tenant: Path, folder: Path) -> None:
    """Each bundle is archived and reported on its own line, with exit code 0."""
    result = runbook("archive", str(tenant), "--to", "archive")

    assert result.exit_code == ExitCode.COMPLETE
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"✔ {folder}/archive/acme/p/")
    assert [line.rpartition(": ")[2] for line in lines] == [
        "11 new, 0 were there",
        "10 new, 1 were there",
        "10 new, 1 were there",
    ]


def test_archive_as_json(tenant: Path, folder: Path) -> None:
    """With `--json`, each bundle is one object, in the order in which the paths are given."""
    first, second, _ = bundles_below(tenant)

    result = runbook("archive", str(second), str(first), "--to", "archive", "--json")

    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["path"] for each in documents] == [str(second), str(first)]
    assert documents[0] == {
        "path": str(second),
        "archived": True,
        "outcome": "archived",
        "address": f"{folder}/archive/acme/p/{second.name}",
        "copied": 11,
        "present": 0,
    }


def test_the_environment_names_the_archive(
    tenant: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUNBOOK_ARCHIVE names the archive."""
    monkeypatch.setenv("RUNBOOK_ARCHIVE", "archive")

    assert runbook("archive", str(tenant)).exit_code == ExitCode.COMPLETE
    assert len(bundles_below(folder / "archive")) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name the archive"),
        (("--to", "ftp://host"), "This is not an archive"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_archived(
    words: tuple[str, ...], said: str, tenant: Path, folder: Path
) -> None:
    """A missing or invalid address gives exit code 2, and nothing is archived."""
    result = runbook("archive", str(tenant), *words)

    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert not (folder / "archive").exists()


def test_one_bundle_that_is_refused_does_not_stop_the_others(tenant: Path, folder: Path) -> None:
    """
    If one bundle is refused, the others are archived; exit code 3, with the reason and a next step.
    """
    first, *_ = bundles_below(tenant)
    (folder / "archive" / "acme" / "p" / first.name).mkdir(parents=True)
    (folder / "archive" / "acme" / "p" / first.name / "record.json").write_text("{}")

    result = runbook("archive", str(tenant), "--to", "archive")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.stdout.splitlines()[0].startswith(
        f"✘ {first.name}: acme/p/{first.name}/record.json: The archive has other content under "
    )
    assert [line[0] for line in result.stdout.splitlines()] == ["✘", "✔", "✔"]
    assert "Next: Find out who wrote there" in result.stderr

    again = runbook("archive", str(tenant), "--to", "archive", "--json")
    document = json.loads(again.stdout.splitlines()[0])
    assert document["archived"] is False
    assert document["file"] == f"acme/p/{first.name}/record.json"
    assert "nothing was overwritten" in document["reason"]


def test_an_unavailable_store_is_tried_once(tenant: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the store proves unavailable, the remaining bundles are listed as not tried."""
    asked: list[str] = []

    def refuse(bundle: Path, *_args: Any, **_options: Any) -> None:
        asked.append(bundle.name)
        raise StoreUnavailableError("The archive s3://bucket: it cannot be reached.")

    monkeypatch.setattr(archive, "archive_bundle", refuse)
    first, second, third = bundles_below(tenant)

    result = runbook("archive", str(tenant), "--to", "s3://bucket")

    assert result.exit_code == ExitCode.INCOMPLETE
    assert asked == [first.name]
    assert result.stdout.splitlines() == [
        f"✘ {first.name}: The archive s3://bucket: it cannot be reached.",
        f"- {second.name}: not tried",
        f"- {third.name}: not tried",
    ]

    result = runbook("archive", str(tenant), "--to", "s3://bucket", "--json")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["outcome"] for each in documents] == ["refused", "not_tried", "not_tried"]
    assert [each["path"] for each in documents] == [str(first), str(second), str(third)]


def test_tampering_outranks_a_refusal_by_the_store(tenant: Path, folder: Path) -> None:
    """A tampered bundle gives exit code 4, also if the store refuses another bundle."""
    first, second, _ = bundles_below(tenant)
    (first / "link.txt").symlink_to(second)
    (folder / "archive" / "acme" / "p" / second.name).mkdir(parents=True)
    (folder / "archive" / "acme" / "p" / second.name / "record.json").write_text("{}")

    result = runbook("archive", str(tenant), "--to", "archive")

    assert result.exit_code == ExitCode.REFUSED
    assert "link.txt" in result.stdout
    assert "nothing was overwritten" in result.stdout


def test_an_unfinished_bundle_is_archived_too(tenant: Path) -> None:
    """A bundle that an interrupted run left unfinished is finished and archived."""
    last = bundles_below(tenant)[2]
    last.rename(tenant / ".sealed-00000003")

    result = runbook("archive", str(tenant), "--to", "archive")

    assert result.exit_code == ExitCode.COMPLETE
    assert result.stdout.count("✔") == 3
    assert last.name in result.stdout


def test_the_evidence_folder_cannot_be_its_own_archive(tenant: Path) -> None:
    """The evidence folder as archive gives exit code 2."""
    result = runbook("archive", str(tenant), "--to", str(tenant.parent))

    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "overlaps" in result.stderr


def test_a_bundle_altered_after_sealing_is_refused(tenant: Path, folder: Path) -> None:
    """An altered bundle gives exit code 4 and is not copied; the other bundles are."""
    first, *_ = bundles_below(tenant)
    (first / "report.html").write_text("<p>All is well.</p>")

    result = runbook("archive", str(tenant), "--to", "archive")

    assert result.exit_code == ExitCode.REFUSED
    assert result.stdout.startswith(f"✘ {first.name}: report.html: ")
    assert not (folder / "archive" / "acme" / "p" / first.name).exists()
    assert len(bundles_below(folder / "archive")) == 2


FORGED = "zz: fine\n✔ acme: 3 in a chain, none missing\x1b[2K\x1b[1A\u202e\udcff"


def test_a_file_name_cannot_forge_output_lines(tenant: Path, keys: tuple[str, str]) -> None:
    """Control characters in a file name are escaped, so that they cannot forge a line of output."""
    first, *_ = bundles_below(tenant)
    (first / FORGED).write_text("x")
    shown = "zz: fine[U+000A]✔ acme: 3 in a chain, none missing[U+001B][2K[U+001B][1A[U+202E]"

    for words in (("verify", *keys), ("archive", "--to", "archive")):
        result = runbook(words[0], str(tenant), *words[1:])
        assert result.exit_code == ExitCode.REFUSED
        assert shown + "[U+DCFF]: It was added" in result.stdout
        assert result.stdout.replace("\n", "").isprintable()
        assert not any(line.startswith("✔ acme: 3") for line in result.stdout.splitlines())

        result = runbook(words[0], str(tenant), *words[1:], "--json")
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        assert documents[0]["file"] == FORGED
        assert result.stdout.isascii()


@pytest.mark.parametrize("address", ["file://{folder}/archive", "memory://bucket"])
def test_an_archive_is_verified_by_its_address(
    address: str, tenant: Path, folder: Path, memory: str, keys: tuple[str, str]
) -> None:
    """`verify` takes an archive's address in place of a folder."""
    url = address.format(folder=folder)
    runbook("archive", str(tenant), "--to", url)

    result = runbook("verify", url, *keys)

    assert result.exit_code == ExitCode.COMPLETE
    assert "acme/p: 3 in a chain\n" in result.stdout
    assert "whether later runs were removed" in result.stdout.splitlines()[-1]


def test_json_names_the_path_in_the_archive(
    tenant: Path, memory: str, keys: tuple[str, str]
) -> None:
    """The JSON of `verify` names paths in the archive, not in the local copy."""
    runbook("archive", str(tenant), "--to", memory)
    first, *_ = bundles_below(tenant)

    result = runbook("verify", f"{memory}/", f"{memory}/acme", *keys, "--json")

    paths = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert paths[0] == paths[4] == f"memory://bucket/acme/p/{first.name}"
    assert paths[3] == paths[7] == "memory://bucket/acme/p"


def test_a_bundle_altered_in_the_archive_is_rejected(
    tenant: Path, folder: Path, keys: tuple[str, str]
) -> None:
    """A file altered in the archive gives exit code 4, as in a folder."""
    runbook("archive", str(tenant), "--to", "archive")
    last = bundles_below(folder / "archive")[2]
    (last / "report.html").write_text("<p>All is well.</p>")

    result = runbook("verify", f"file://{folder}/archive", *keys)

    assert result.exit_code == ExitCode.REFUSED
    assert "report.html" in result.stdout


def test_an_empty_archive_is_a_usage_error(memory: str, keys: tuple[str, str]) -> None:
    """`verify` gives exit code 2 for an address without bundles, such as a misspelled one."""
    result = runbook("verify", memory, *keys)

    assert result.exit_code == ExitCode.USAGE
    assert "nothing at memory://bucket" in result.stderr


def test_equal_refusals_do_not_stop_the_archiving(tenant: Path, folder: Path) -> None:
    """If two bundles are refused for the same reason, the others are still tried and reported."""
    shutil.copytree(tenant.parent, tenant.parents[1] / "globex")
    bundles = bundles_below(folder / "evidence")
    for bundle in bundles[:2]:
        (bundle / "report.html").write_text("<p>All is well.</p>")

    result = runbook("archive", "evidence", "--to", "archive", "--json")

    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["path"] for each in documents] == [str(bundle) for bundle in bundles]
    assert [each["outcome"] for each in documents] == ["refused"] * 2 + ["archived"] * 4
    assert result.exit_code == ExitCode.REFUSED

    result = runbook("archive", "evidence", "--to", "archive")
    assert [line[0] for line in result.stdout.splitlines()] == [*"✘✘✔✔✔✔"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("evidence", "evidence/sub"),
        ("evidence", "evidence"),
        ("evidence", "."),
        ("evidence/acme", "evidence/acme/sub"),
        ("evidence/acme/p", "evidence/acme"),
        ("evidence", "link/sub"),
        ("link", "evidence/sub"),
        ("link", "link"),
        ("evidence", "evidence/sub/../other"),
    ],
)
def test_paths_that_overlap_are_refused(
    source: str, target: str, tenant: Path, folder: Path
) -> None:
    """
    Overlapping source and archive paths give exit code 2, also through links; nothing is written.
    """
    (folder / "link").symlink_to(folder / "evidence")
    before = sorted(folder.rglob("*"))

    result = runbook("archive", source, "--to", target)

    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert "overlaps" in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_second_chain_is_refused(tenant: Path, folder: Path) -> None:
    """
    Bundles of another chain of the same tenant give exit code 4, and the archive stays as it is.
    """
    runbook("archive", "evidence", "--to", "archive")
    create_key(folder / "key.pem")
    key = open_key(str(folder / "key.pem"), is_sandbox=False)
    seal_run(ended_run(folder / "other", "0000000a"), key)

    result = runbook("archive", "other", "--to", "archive")

    assert result.exit_code == ExitCode.REFUSED
    assert "another chain of acme/p" in result.stdout
    assert "Nothing was written" in result.stderr
    assert len(bundles_below(folder / "archive")) == 3
