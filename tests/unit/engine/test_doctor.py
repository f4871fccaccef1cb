"""The doctor finds problems that would stop a run, and changes nothing."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_client import kernelspec

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.redaction import Secret
from runbook_lib.engine import doctor
from runbook_lib.engine.doctor import Examination, ExaminedItem
from runbook_lib.engine.notebooks import build_notebook
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.signing.keys import create_key, default_key_path
from runbook_lib.remote.client import HTTPClient
from tests.support.commands import runbook
from tests.support.wording import wording
from tests.unit.fake_remote import FakeRemote, fails_with, responds


class Network(FakeRemote):
    """The network that the doctor sees."""

    is_down = False


@pytest.fixture(autouse=True)
def network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    network.on("/", fails_with(), when=lambda **_: network.is_down)
    network.on("/", responds("hello", 404))
    monkeypatch.setattr(doctor, "HTTPClient", functools.partial(HTTPClient, transport=network))
    return network


@pytest.fixture
def env(folder: Path) -> Path:
    """Return a settings file with mode 0600."""
    path = folder / ".env"
    path.touch(mode=0o600)
    path.write_text(
        "RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\nRUNBOOK_FACEBOOK_APP_SECRET="
        + "0a1b2c3d" * 4
    )
    return path


def examine(env_file: str = "", evidence: str = "") -> Examination:
    return doctor.examine(PROCEDURE, env_file, evidence)


def by_subject(examination: Examination) -> dict[str, ExaminedItem]:
    return {item.subject: item for item in examination.items}


def item_of(subject: str, env_file: str = "", evidence: str = "") -> ExaminedItem:
    """Return the doctor's item of this subject."""
    return by_subject(examine(env_file, evidence))[subject]


def test_a_machine_that_is_ready_is_well(env: Path, folder: Path) -> None:
    """If everything is ready, every item is well and the exit code is 0; nothing is changed."""
    build_notebook(PROCEDURE, folder / "notebooks")

    examination = examine()

    assert [item for item in examination.items if not item.is_well] == []
    assert examination.exit_code is ExitCode.COMPLETE
    items = by_subject(examination)
    assert items["https://graph.facebook.com"].message == "answers (404)"
    assert items["https://api.cyclr.com"].is_well
    assert "service_domain, app_secret" in items["Settings"].message
    assert str(env) in items["Settings"].message
    assert "0a0a" not in repr(examination)
    assert {path.name for path in folder.iterdir()} == {".env", "notebooks"}


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.usefixtures("env")
def test_a_sqlite_without_full_text_search_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, *, has_it: bool
) -> None:
    """FTS5 is a compile option of SQLite: without it texts and codes are still explained."""
    monkeypatch.setattr(doctor, "has_full_text_search", lambda: has_it)
    item = item_of("Search of error texts")

    assert (item.is_warning, item.is_well) == (not has_it, True)
    assert (wording("doctor.searches-texts-and-codes") in item.message) is not has_it


@pytest.mark.parametrize("is_kept", [True, False])
def test_missing_bytecode_is_a_warning(
    env: Path, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    """If Python keeps no bytecode, the doctor says how to compile; that is no failure."""
    cached = env if is_kept else env.with_name("nowhere")
    monkeypatch.setattr(doctor, "cache_from_source", lambda _: str(cached))

    item = item_of("Bytecode")

    assert (item.is_well, item.is_warning) == (True, not is_kept)
    assert ("-m compileall" in item.message) is not is_kept
    (line,) = [line for line in runbook("doctor").stdout.splitlines() if " Bytecode " in line]
    assert line.startswith("✔ " if is_kept else "! ")


def test_a_doubtful_value_is_a_warning(env: Path) -> None:
    """A brand in a name and an unknown permission are named; that is no failure."""
    with env.open("a") as file:
        file.write("\nRUNBOOK_FACEBOOK_PERMISSIONS=ads_raed\n")
        file.write("RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Acme for Facebook\n")

    items = by_subject(examine())

    assert items["Permissions"].message.endswith(
        wording("setting-invalid.did-you-mean", name="ads_read")
    )
    assert items["Permissions"].is_warning
    assert items["Permissions"].is_well
    assert items["App Display Name"].message.startswith(
        wording("findings.name-contains", word="facebook")
    )


def test_a_notebook_that_was_run_and_saved_is_well(folder: Path) -> None:
    """Outputs and another file layout do not make a notebook stale; another content does."""
    path = build_notebook(PROCEDURE, folder / "notebooks")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"][1] |= {"execution_count": 1, "outputs": [{"output_type": "stream"}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert item_of("Notebook").message == wording("doctor.notebook-matches", file=path.name)

    path.write_text("{}")
    item = item_of("Notebook")
    assert item.exit_code is ExitCode.INCOMPLETE
    assert item.message == wording("doctor.notebook-stale", file="facebook_marketing.ipynb")


def test_without_settings_a_machine_is_still_well(folder: Path) -> None:
    """As after the installation: the exit code is 0, and a notebook is built for each run."""
    examination = examine()
    items = by_subject(examination)

    assert examination.exit_code is ExitCode.COMPLETE
    assert items["Settings"].message == wording("doctor.no-env-file")
    assert items["Notebook"].is_well
    assert wording("doctor.notebook-is-built") in items["Notebook"].message
    assert list(folder.iterdir()) == []


def test_an_unreachable_host_is_reported(network: Network) -> None:
    """An unreachable host gives exit code 3 and the reason."""
    network.is_down = True
    examination = examine()

    assert network.paths == ["/", "/"]
    assert examination.exit_code is ExitCode.INCOMPLETE
    message = by_subject(examination)["https://graph.facebook.com"].message
    assert wording("host-unreachable.not-reached", host="graph.facebook.com") in message


def test_invalid_settings_give_exit_code_2(env: Path, network: Network) -> None:
    """Invalid settings give exit code 2, even if the network is down too."""
    network.is_down = True
    env.write_text("RUNBOOK_FACEBOOK_APP_SECRET=canary")
    examination = examine()

    assert by_subject(examination)["Settings"].exit_code is ExitCode.USAGE
    assert examination.exit_code is ExitCode.USAGE
    assert "canary" not in repr(examination)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_settings_file_that_others_can_read_is_reported(env: Path, mode: int) -> None:
    """A settings file that others can read is reported with the chmod command to run."""
    env.chmod(mode)

    item = item_of("Settings")

    assert not item.is_well
    assert f"chmod 600 {env}" in item.message


def test_the_addresses_of_the_settings_are_contacted(env: Path) -> None:
    """The addresses in the settings are contacted, such as those of another region."""
    env.write_text("RUNBOOK_CYCLR_API_URL=https://api.eu.cyclr.com\n")

    assert item_of("https://api.eu.cyclr.com", str(env)).is_well


def test_an_unusable_folder_or_kernel_gives_exit_code_3(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evidence folder that cannot be written, or no kernel python3, which papermill needs."""

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    def fail(self: object, name: str) -> None:
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", refuse)
    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", fail)

    items = by_subject(examine(evidence=str(folder / "evidence")))
    assert items["Evidence folder"].exit_code is ExitCode.INCOMPLETE
    assert items["Evidence folder"].message == f"{folder / 'evidence'}: Permission denied"
    assert items["Jupyter kernel"].exit_code is ExitCode.INCOMPLETE


def test_an_unusable_signing_key_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unusable signing key gives exit code 2; the doctor does not create a key."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    item = item_of("Signing key", evidence="evidence")
    assert item.is_well
    assert wording("doctor.key-with-first-run") in item.message
    assert not default_key_path(is_sandbox=False).exists()

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "none.pem"))
    item = item_of("Signing key", evidence="evidence")
    assert item.exit_code is ExitCode.USAGE
    assert "none.pem" in item.message

    create_key(folder / "none.pem")
    assert wording("doctor.can-be-used") in item_of("Signing key", evidence="evidence").message


def test_an_unencrypted_key_with_a_passphrase_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passphrase set for an unencrypted key is reported with the command that encrypts it."""
    create_key(folder / "bare.pem")
    create_key(folder / "encrypted.pem", passphrase=Secret("correct horse battery staple"))
    monkeypatch.setenv("RUNBOOK_SIGNING_PASSPHRASE", "correct horse battery staple")

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "bare.pem"))
    item = item_of("Signing key", evidence="evidence")
    assert item.exit_code is ExitCode.INCOMPLETE
    assert wording("key.not-encrypted", variable="RUNBOOK_SIGNING_PASSPHRASE") in item.message
    assert "runbook key --rotate" in item.message

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "encrypted.pem"))
    assert item_of("Signing key", evidence="evidence").is_well


def test_the_doctor_shows_a_settings_file_that_cannot_be_read(folder: Path) -> None:
    """Settings or evidence that cannot be read are items; all others are reported too."""
    (folder / ".env").write_text("no setting\n")
    (folder / "file").write_text("")

    result = runbook("doctor", "--evidence", "file", "--json")

    items = {item["subject"]: item for item in json.loads(result.stdout)}
    assert result.exit_code == ExitCode.USAGE
    assert "Line 1" in items["Settings"]["message"]
    assert wording("doctor.is-a-file", file="file") in items["Evidence folder"]["message"]


def test_the_doctor_looks_at_the_evidence_folder_that_the_settings_name(folder: Path) -> None:
    """The doctor examines the evidence folder that a run would use."""
    (folder / ".env").write_text("RUNBOOK_EVIDENCE=elsewhere\n")

    assert (
        wording("doctor.can-be-written", folder="elsewhere") in runbook("doctor", "--json").stdout
    )


def test_secrets_that_a_timer_does_not_have_are_named(
    env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value or reference only in this session's environment is a warning; a file is not."""
    assert not item_of("Environment without a session").is_warning
    monkeypatch.setenv("RUNBOOK_MAIL_PASSWORD", "kD93-mail-Account")
    monkeypatch.setenv("ELSEWHERE", "1f2e3d4c" * 4)
    env.write_text("RUNBOOK_FACEBOOK_APP_SECRET=env:ELSEWHERE\n")

    item = item_of("Environment without a session")

    assert item.is_warning
    assert item.is_well
    assert wording("doctor.set-for-cron") in item.message
    assert "1f2e" not in item.message + item_of("Settings").message


_KEYRING = """
from keyring.backend import KeyringBackend
class Keyring(KeyringBackend):
    priority = 9
    def get_password(self, service, username):
        return {("acme", "app"): "0a1b2c3d" * 4}.get((service, username))
    def set_password(self, service, username, password): ...
"""


@pytest.mark.parametrize(
    ("backend", "reference", "can_be_read", "is_warning"),
    [
        ("kept.Keyring", "acme/app", True, False),
        ("kept.Keyring", "acme/other", False, True),
        ("keyring.backends.fail.Keyring", "acme/app", False, True),
        ("keyring.backends.fail.Keyring", "", False, False),
    ],
)
def test_a_keyring_is_asked_without_the_session(
    env: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
    backend: str, reference: str, *, can_be_read: bool, is_warning: bool,
) -> None:  # fmt: skip
    """It reads the entries that the settings name; this session's backend does not count."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    (folder / "kept.py").write_text(_KEYRING)
    configured = folder / ".config" / "python_keyring" / "keyringrc.cfg"
    configured.parent.mkdir(parents=True)
    configured.write_text(f"[backend]\ndefault-keyring={backend}\nkeyring-path={folder}\n")
    env.write_text(f"RUNBOOK_FACEBOOK_APP_SECRET={reference and f'keyring:{reference}'}\n")

    item = item_of("Keyring without a session")

    assert item.message.startswith(wording("doctor.can-be-read")) is can_be_read
    assert item.is_warning is is_warning


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ({"/": "ext4"}, ""),
        ({"/": "ext4", "{place}": "nfs4"}, "nfs4"),
        ({"/": "nfs4", "{place}": "ext4"}, ""),
        ({"{place}": "fuse.sshfs"}, "fuse.sshfs"),
        ({"{place}x": "nfs4"}, ""),
        ({}, ""),
    ],
)
def test_a_network_file_system_is_recognised(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mounts: dict[str, str], kind: str
) -> None:
    """The nearest mount above the evidence folder decides."""
    disks = [
        SimpleNamespace(mountpoint=point.format(place=folder.resolve()), fstype=fstype)
        for point, fstype in mounts.items()
    ]
    monkeypatch.setattr(doctor.psutil, "disk_partitions", lambda **_: disks)

    item = item_of("Evidence folder", evidence="evidence")

    assert item.is_warning is bool(kind)
    assert kind in item.message


def test_a_machine_that_does_not_list_its_mounts_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, as in some containers, nobody can know: that is no warning."""

    def refuse(**_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(doctor.psutil, "disk_partitions", refuse)

    assert not item_of("Evidence folder", evidence="evidence").is_warning
