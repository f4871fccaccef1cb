"""The environment of kernels has what steps need, and no unrelated credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.config.runner_settings import OUTSIDE_KERNEL, inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.engine.kernel_environment import WITHHELD, kernel_environment
from runbook_lib.errors import SettingsError
from runbook_lib.notebook import session

CANARY = "canary-of-a-stranger-1"
STRANGERS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_APPLICATION_CREDENTIALS", "GITHUB_TOKEN", "JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN",
    "JPY_SESSION_NAME", "DATABASE_URL", "OTHER", "RUNBOOK_SIGNING_PASSPHRASE",
    "RUNBOOK_SIGNING_KEY", "RUNBOOK_SIGNING_PUBLIC_KEY", "RUNBOOK_ARCHIVE", "RUNBOOK_TSA",
    "RUNBOOK_FACEBOOK_MARKETING_SIGNING_PASSPHRASE",
)  # fmt: skip
NEEDED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_DATA_HOME", "IPYTHONDIR",
    "JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "PYTHONPATH", "PYTHON_KEYRING_BACKEND", "VIRTUAL_ENV",
    "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "COVERAGE_PROCESS_START",
    "DBUS_SESSION_BUS_ADDRESS", "RUNBOOK_TENANT", "RUNBOOK_EVIDENCE",
    "RUNBOOK_ENV_FILE", "RUNBOOK_FACEBOOK_APP_ID", "RUNBOOK_FACEBOOK_APP_SECRET",
    "RUNBOOK_CYCLR_CLIENT_SECRET", "RUNBOOK_FACEBOOK_USER_ACCESS_TOKEN", "RUNBOOK_CA_FILE",
    "RUNBOOK_FOUR_EYES", "RUNBOOK_CONNECTOR",
    "RUNBOOK_CYCLR_CONNECTOR", "RUNBOOK_FACEBOOK_MARKETING_APP_SECRET",
)  # fmt: skip


def test_a_kernel_gets_what_its_steps_need_and_nothing_else(folder: Path) -> None:
    """Only variables that are known to be needed reach the kernel."""
    environ = dict.fromkeys((*STRANGERS, *NEEDED), CANARY)

    assert set(kernel_environment(PROCEDURE, {}, environ)) == set(NEEDED)


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("source", ["parameters", "environ", "env_file", "found"])
def test_a_referenced_variable_is_passed_on(folder: Path, source: str, is_alone: bool) -> None:
    """
    A variable that a step's input refers to with `env:` is passed on; the signing key's is not.
    """
    given = {"app_secret": "env:MINE", "signing_passphrase": "env:KEYS"}
    items = [item for item in inputs_of(PROCEDURE) if item.name in given]
    variables = {
        item.variable_for(PROCEDURE.id) if is_alone else item.variable: given[item.name]
        for item in items
    }
    environ = {"MINE": "x", "KEYS": "y", "OTHER": "z"}
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    parameters: dict[str, str] = {}
    if source == "parameters":
        parameters = given
    elif source == "environ":
        environ |= variables
    else:
        name = ".env" if source == "found" else "named.env"
        (folder / name).write_text(text, encoding="utf-8")
        parameters = {"env_file": "" if source == "found" else str(folder / name)}

    taken = kernel_environment(PROCEDURE, parameters, environ)

    assert {"MINE", "KEYS", "OTHER"} & set(taken) == {"MINE"}


def test_a_settings_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """A missing settings file raises `SettingsError` before a kernel starts."""
    with pytest.raises(SettingsError, match=r"nowhere\.env"):
        kernel_environment(PROCEDURE, {"env_file": "nowhere.env"}, {})


def test_only_what_no_step_asks_for_is_withheld() -> None:
    """Exactly the secrets that no step or check needs are withheld from the kernel."""
    asked = {item.name for step in PROCEDURE.steps for item in step.inputs}
    needed = {name for step in PROCEDURE.steps for check in step.checks for name in check.needs}
    handed = {step.copies_secret.name for step in PROCEDURE.steps if step.copies_secret}
    secret = {item.name for item in inputs_of(PROCEDURE) if item.secret}

    assert set(WITHHELD) == secret - asked - needed - handed
    assert "signing_passphrase" in WITHHELD
    assert not {item.name for item in OUTSIDE_KERNEL} & (asked | needed | handed)


def test_a_notebook_does_not_hold_the_passphrase_of_the_settings_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel does not read the signing passphrase from `.env`."""
    (folder / ".env").write_text(
        "RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\n"
        f"RUNBOOK_CYCLR_CLIENT_SECRET={CANARY}\n"
        "RUNBOOK_SIGNING_PASSPHRASE=correct horse battery staple\n",
        encoding="utf-8",
    )

    opened = session.open_run(PROCEDURE.id, {"mode": "headless"})

    assert isinstance(opened, session.HeadlessRun)
    assert set(opened.run.settings.secrets) == {"cyclr_client_secret"}
