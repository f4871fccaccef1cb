"""The doctor finds problems that would stop a run, and changes nothing."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook_lib.cli.main import main
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.redaction import Secret
from runbook_lib.engine import doctor
from runbook_lib.engine.doctor import Examination, Symptom
from runbook_lib.engine.notebooks import build
from runbook_lib.errors import ExitCode
from runbook_lib.evidence.signing.keys import create_key, default_key_path
from runbook_lib.remote.transport import Transport
from tests.unit.fake_remote import FakeRemote, breaks, says


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> FakeRemote:
    """Return the network that the doctor sees."""
    remote = FakeRemote()
    monkeypatch.setattr(doctor, "Transport", functools.partial(Transport, wire=remote))
    return remote


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


def found(examination: Examination) -> dict[str, Symptom]:
    return {symptom.subject: symptom for symptom in examination.symptoms}


def test_a_machine_that_is_ready_is_well(remote: FakeRemote, env: Path, folder: Path) -> None:
    """If everything is ready, every symptom is well and the exit code is 0."""
    remote.on("/", says("hello", 404))
    build(PROCEDURE, folder / "notebooks")

    examination = examine()

    assert [symptom for symptom in examination.symptoms if not symptom.is_well] == []
    assert examination.exit_code is ExitCode.COMPLETE
    symptoms = found(examination)
    assert symptoms["https://graph.facebook.com"].said == "answers (404)"
    assert symptoms["https://api.cyclr.com"].is_well
    assert "service_domain, app_secret" in symptoms["Settings"].said
    assert str(env) in symptoms["Settings"].said
    assert "0a0a" not in repr(examination)


@pytest.mark.parametrize("is_kept", [True, False])
def test_missing_bytecode_is_a_warning(
    remote: FakeRemote, env: Path, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    """If Python keeps no bytecode, the doctor says how to compile; that is no failure."""
    cached = env if is_kept else env.with_name("nowhere")
    remote.on("/", says("hello", 404))
    monkeypatch.setattr(doctor, "cache_from_source", lambda _: str(cached))

    symptom = found(examine())["Bytecode"]

    assert (symptom.is_well, symptom.is_warning) == (True, not is_kept)
    assert ("-m compileall" in symptom.said) is not is_kept
    shown = CliRunner().invoke(main, ["doctor"]).output
    (line,) = [line for line in shown.splitlines() if " Bytecode " in line]
    assert line.startswith("✔ " if is_kept else "! ")


def test_a_doubtful_value_is_a_warning(
    remote: FakeRemote, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brand in a name and an unknown permission are named; that is no failure."""
    remote.on("/", says("hello", 404))
    with env.open("a") as file:
        file.write("\nRUNBOOK_FACEBOOK_PERMISSIONS=ads_raed\n")
        file.write("RUNBOOK_FACEBOOK_APP_DISPLAY_NAME=Acme for Facebook\n")

    examination = examine()
    symptoms = found(examination)

    assert symptoms["Permissions"].said.endswith("Did you mean ads_read?")
    assert symptoms["App Display Name"].said.startswith("It contains facebook")
    assert symptoms["Permissions"].is_warning
    assert symptoms["Permissions"].is_well


def test_the_doctor_changes_nothing(remote: FakeRemote, env: Path, folder: Path) -> None:
    """The doctor creates no evidence folder and leaves no file."""
    remote.on("/", says(""))

    examine()

    assert [path.name for path in folder.iterdir()] == [".env"]


def test_a_notebook_that_was_run_and_saved_is_well(remote: FakeRemote, folder: Path) -> None:
    """Outputs and another file layout do not make a notebook stale."""
    remote.on("/", says(""))
    path = build(PROCEDURE, folder / "notebooks")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"][1] |= {"execution_count": 1, "outputs": [{"output_type": "stream"}]}
    path.write_text(json.dumps(document), encoding="utf-8")

    assert found(examine())["Notebook"].said == f"{path.name} matches the procedure"


def test_a_folder_without_notebooks_is_well(remote: FakeRemote, folder: Path) -> None:
    """Without a notebooks folder, as with the wheel, a notebook is built for each run."""
    remote.on("/", says(""))

    symptom = found(examine())["Notebook"]

    assert symptom.is_well
    assert "one is built for each run" in symptom.said


def test_without_settings_a_machine_is_still_well(remote: FakeRemote, folder: Path) -> None:
    """Without settings, as after the installation, the exit code is 0."""
    remote.on("/", says(""))

    examination = examine()

    assert found(examination)["Settings"].said == "no .env; from the environment: none"
    assert examination.exit_code is ExitCode.COMPLETE


def test_an_unreachable_host_is_reported(remote: FakeRemote, folder: Path) -> None:
    """An unreachable host gives exit code 3 and the reason."""
    remote.on("/", breaks())

    examination = examine()

    symptom = found(examination)["https://graph.facebook.com"]
    assert "graph.facebook.com could not be reached" in symptom.said
    assert examination.exit_code is ExitCode.INCOMPLETE
    assert remote.paths == ["/", "/"]


def test_invalid_settings_give_exit_code_2(remote: FakeRemote, env: Path) -> None:
    """Invalid settings give exit code 2, even if the network is down too."""
    remote.on("/", breaks())
    env.write_text("RUNBOOK_FACEBOOK_APP_SECRET=canary")

    examination = examine()

    assert found(examination)["Settings"].exit_code is ExitCode.USAGE
    assert examination.exit_code is ExitCode.USAGE
    assert "canary" not in repr(examination)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_settings_file_that_others_can_read_is_reported(
    remote: FakeRemote, env: Path, mode: int
) -> None:
    """A settings file that others can read is reported with the chmod command to run."""
    remote.on("/", says(""))
    env.chmod(mode)

    symptom = found(examine())["Settings"]

    assert not symptom.is_well
    assert f"chmod 600 {env}" in symptom.said


def test_the_addresses_of_the_settings_are_contacted(remote: FakeRemote, env: Path) -> None:
    """The addresses in the settings are contacted, such as those of another region."""
    remote.on("/", says(""))
    env.write_text("RUNBOOK_CYCLR_API_URL=https://api.eu.cyclr.com\n")

    assert found(examine(str(env)))["https://api.eu.cyclr.com"].is_well


def test_a_stale_notebook_is_reported(remote: FakeRemote, folder: Path) -> None:
    """A notebook that differs from the procedure gives exit code 3."""
    remote.on("/", says(""))
    build(PROCEDURE, folder / "notebooks")
    (folder / "notebooks" / "facebook_marketing.ipynb").write_text("{}")

    symptom = found(examine())["Notebook"]

    assert symptom.exit_code is ExitCode.INCOMPLETE
    assert symptom.said == "facebook_marketing.ipynb is stale: run `runbook notebooks`"


def test_an_evidence_folder_that_cannot_be_written_is_reported(
    remote: FakeRemote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evidence folder that cannot be written gives exit code 3."""

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    remote.on("/", says(""))
    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", refuse)

    symptom = found(examine("", str(folder / "evidence")))["Evidence folder"]

    assert symptom.exit_code is ExitCode.INCOMPLETE
    assert symptom.said == f"{folder / 'evidence'}: Permission denied"


def test_a_missing_kernel_is_reported(
    remote: FakeRemote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the kernel python3, which papermill needs, the exit code is 3."""
    from jupyter_client import kernelspec  # noqa: PLC0415

    def fail(self: object, name: str) -> None:
        raise kernelspec.NoSuchKernel(name)

    remote.on("/", says(""))
    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", fail)

    assert found(examine())["Jupyter kernel"].exit_code is ExitCode.INCOMPLETE


def test_an_unusable_signing_key_is_reported(
    remote: FakeRemote, env: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unusable signing key gives exit code 2; the doctor does not create a key."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "home"))
    remote.on("/", says(""))
    symptom = found(examine(str(env), "evidence"))["Signing key"]
    assert symptom.is_well
    assert "at the first run" in symptom.said
    assert not default_key_path(is_sandbox=False).exists()

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "none.pem"))
    symptom = found(examine(str(env), "evidence"))["Signing key"]
    assert (symptom.exit_code, "none.pem" in symptom.said) == (ExitCode.USAGE, True)

    create_key(folder / "none.pem")
    assert "can be used" in found(examine(str(env), "evidence"))["Signing key"].said


def test_an_unencrypted_key_with_a_passphrase_is_reported(
    remote: FakeRemote, env: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passphrase set for an unencrypted key is reported with the command that encrypts it."""
    remote.on("/", says(""))
    create_key(folder / "bare.pem")
    create_key(folder / "encrypted.pem", passphrase=Secret("correct horse battery staple"))
    monkeypatch.setenv("RUNBOOK_SIGNING_PASSPHRASE", "correct horse battery staple")

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "bare.pem"))
    symptom = found(examine(str(env), "evidence"))["Signing key"]
    assert symptom.exit_code is ExitCode.INCOMPLETE
    assert "not encrypted, though RUNBOOK_SIGNING_PASSPHRASE is set" in symptom.said
    assert "runbook key --rotate" in symptom.said

    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(folder / "encrypted.pem"))
    assert found(examine(str(env), "evidence"))["Signing key"].is_well


def test_the_doctor_shows_a_settings_file_that_cannot_be_read(
    remote: FakeRemote, folder: Path
) -> None:
    """
    Settings or evidence that cannot be read are symptoms; the doctor still reports all others.
    """
    remote.on("/", says("hello"))
    (folder / ".env").write_text("no setting\n")
    (folder / "file").write_text("")

    result = CliRunner().invoke(main, ["doctor", "--evidence", "file", "--json"])

    symptoms = {each["subject"]: each for each in json.loads(result.stdout)}
    assert result.exit_code == ExitCode.USAGE
    assert "Line 1" in symptoms["Settings"]["said"]
    assert "file is a file" in symptoms["Evidence folder"]["said"]


def test_the_doctor_looks_at_the_evidence_folder_that_the_settings_name(
    remote: FakeRemote, folder: Path
) -> None:
    """The doctor examines the evidence folder that a run would use."""
    remote.on("/", says("hello"))
    (folder / ".env").write_text("RUNBOOK_EVIDENCE=elsewhere\n")

    result = CliRunner().invoke(main, ["doctor", "--json"])

    assert "elsewhere can be written" in result.stdout


def test_secrets_that_a_timer_does_not_have_are_named(
    remote: FakeRemote, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only this session's environment has, or refers to, is a warning; a file is none."""
    remote.on("/", says("hello", 404))
    assert not found(examine())["Environment without a session"].is_warning
    monkeypatch.setenv("RUNBOOK_MAIL_PASSWORD", "kD93-mail-Account")
    monkeypatch.setenv("ELSEWHERE", "1f2e3d4c" * 4)
    env.write_text("RUNBOOK_FACEBOOK_APP_SECRET=env:ELSEWHERE\n")

    symptom = found(examine())["Environment without a session"]

    assert symptom.is_warning
    assert symptom.is_well
    assert "set RUNBOOK_FACEBOOK_APP_SECRET, RUNBOOK_MAIL_PASSWORD for cron" in symptom.said
    assert "1f2e" not in symptom.said + "".join(found(examine())["Settings"].said)


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
    remote: FakeRemote, env: Path, folder: Path, monkeypatch: pytest.MonkeyPatch,
    backend: str, reference: str, *, can_be_read: bool, is_warning: bool,
) -> None:  # fmt: skip
    """
    A process without anything of this session reads the entries that the settings name.

    A backend that only this session's environment names does not count.
    """
    remote.on("/", says("hello", 404))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    (folder / ".config" / "python_keyring").mkdir(parents=True)
    (folder / "kept.py").write_text(_KEYRING)
    (folder / ".config" / "python_keyring" / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring={backend}\nkeyring-path={folder}\n"
    )
    env.write_text(f"RUNBOOK_FACEBOOK_APP_SECRET={reference and f'keyring:{reference}'}\n")

    symptom = found(examine())["Keyring without a session"]

    assert symptom.said.startswith("can be read") is can_be_read
    assert symptom.is_warning is is_warning


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("1 0 0:1 / / rw - ext4 /dev/sda rw", ""),
        ("1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {place} rw - nfs4 host:/x rw", "nfs4"),
        ("1 0 0:1 / / rw - nfs4 host:/ rw\n2 1 0:2 / {place} rw - ext4 /dev/sda rw", ""),
        ("1 0 0:1 / {place} rw shared:1 - fuse.sshfs me@host: rw", "fuse.sshfs"),
        ("1 0 0:1 / {place}x rw - nfs4 host:/x rw", ""),
        ("", ""),
    ],
)
def test_a_network_file_system_is_recognised(tmp_path: Path, lines: str, kind: str) -> None:
    """The nearest mount above the folder decides, as Linux lists it."""
    mounts, place = tmp_path / "mountinfo", tmp_path / "a b"
    place.mkdir()
    mounts.write_text(lines.format(place=str(place).replace(" ", "\\040")))

    assert doctor._network_file_system(place, mounts) == kind
    assert doctor._network_file_system(place, tmp_path / "nothing") == ""
