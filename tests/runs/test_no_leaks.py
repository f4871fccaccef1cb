"""No secret is in any file, output or command line of a run."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facebook_cyclr_sandbox.server import Sandbox
from runbook_lib.config.credential_stores import EnvFileStore
from runbook_lib.config.runner_settings import inputs_of
from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import read_key
from runbook_lib.core.redaction import Secret
from runbook_lib.engine.elsewhere import run_elsewhere, sendable
from runbook_lib.engine.headless import RunRequest
from tests.runs.conftest import RunAcme, new_runbook, outcomes, records, runbook
from tests.support.notebooks import project_with
from tests.support.post import SECRET, receiving
from tests.support.practice_runs import CommandLines, PractiseOnce

SECRETS = ("app_secret", "cyclr_client_secret", "user_access_token", "page_access_token")


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms that a leaked secret may have, without using the redactor's code."""
    raw = secret.encode()
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield raw.hex()
    yield json.dumps(secret)[1:-1]
    yield html.escape(secret)
    yield secret[:-4]
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + raw + b"x" * (-(shift + len(raw)) % 3)).decode()
        yield whole[4:-4]


def _secrets_in(secrets: dict[str, str], text: str) -> list[str]:
    return [
        f"{name} ({form[:3]}…)"
        for name, secret in secrets.items()
        for form in _forms(secret)
        if form in text
    ]


@pytest.mark.parametrize(
    "scenario",
    [
        "approved",
        "wrong-secret",
        "unknown-app",
        "redirect-missing",
        "permission-missing",
        "cyclr-mismatch",
        "cyclr-ip-blocked",
        "token-expired",
        "flaky",
    ],
)
def test_no_secret_is_left_anywhere(scenario: str, practice_run: PractiseOnce) -> None:
    """In each scenario, no file, output or command line contains a credential in any encoding."""
    run = practice_run(scenario)
    home = run.bundle.parent
    key = read_key(home)
    # NOTE: a tenant's key is the seed of its sandbox, so these are the credentials of that run.
    with Sandbox(scenario, seed=key.seed) as sandbox:
        secrets = {name: str(sandbox.description[name]) for name in SECRETS}
    journal = (home / "journal.jsonl").read_text(encoding="utf-8")
    assert key.of_secret("app_secret", Secret(secrets["app_secret"])) in journal

    assert run.command_lines, "no command line was seen"
    assert _secrets_in(secrets, run.stdout + run.stderr) == []
    assert _secrets_in(secrets, "\n".join(run.command_lines)) == []
    files = [path for path in run.evidence.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".ipynb", ".json", ".jsonl"}
    for path in files:
        assert _secrets_in(secrets, path.read_text(encoding="utf-8", errors="replace")) == [], (
            path.name
        )


def test_no_other_user_reads_a_file_with_key_material(tmp_path: Path, sandbox: Any) -> None:
    """Each file with a key or a credential is private, also where the umask forbids nothing."""
    private = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    private |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    given = str(sandbox.description["app_secret"])
    before = os.umask(0)
    try:
        run = new_runbook("run", "--sandbox", "approved", cwd=tmp_path, env=private)
        initialised = new_runbook("init", cwd=tmp_path, env=private)
        item = next(item for item in inputs_of(PROCEDURE) if item.name == "app_secret")
        store = EnvFileStore(tmp_path / ".env")
        store.save("acme", item, Secret(given))
        store.forget("acme", next(each for each in inputs_of(PROCEDURE) if each.name == "app_id"))
    finally:
        os.umask(before)

    assert (run.returncode, initialised.returncode) == (0, 0)
    key = read_key(next(tmp_path.glob("evidence/*/facebook_marketing")))
    with Sandbox("approved", seed=key.seed) as practised:
        secrets = {name: str(practised.description[name]) for name in SECRETS}
    secrets |= {"fingerprint key": key.text().strip(), "setting": given}
    holders = {
        path: path.stat().st_mode & (0o007 if path.name == "fingerprint.key" else 0o077)
        for path in tmp_path.rglob("*")
        if path.is_file()
        and (
            _secrets_in(secrets, text := path.read_text("utf-8", "replace"))
            or "PRIVATE KEY" in text
        )
    }
    assert {path.name for path in holders} >= {"fingerprint.key", "sandbox-key.pem", ".env"}
    assert {path.name: mode for path, mode in holders.items() if mode} == {}


def test_sealing_a_walkthrough_leaks_no_typed_credential(
    sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """Typed credentials reach the run's process, but no file, output or command line."""
    secrets = {name: str(sandbox.description[name]) for name in SECRETS}
    variables = {item.name: item.variable for item in inputs_of(PROCEDURE)}
    typed = {variables[name]: secrets[name] for name in SECRETS[:3]}
    lines = env_file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition("=")[0] not in typed]
    env_file.write_text("".join(kept), encoding="utf-8")
    watcher = CommandLines(os.getpid())
    watcher.start()
    request = RunRequest(
        procedure=PROCEDURE,
        tenant="acme",
        evidence=str(tmp_path / "evidence"),
        env_file=str(env_file),
    )
    finished = run_elsewhere(sendable(request), typed)
    watcher.is_over.set()
    watcher.join()

    (record,) = records(tmp_path / "evidence")
    assert finished.bundle.endswith(record["run"])
    assert finished.outcome == record["outcome"] == "incomplete"
    outcome_by_step = outcomes(record)
    for step in ("fb-13-app-id-and-secret", "cy-01-connector-setup", "test-04-user-token"):
        assert outcome_by_step[step] == "verified", "the credential did not reach the check"
    keys = str(tmp_path / "evidence" / "keys")
    assert runbook("verify", finished.bundle, "--trusted-keys", keys).returncode == 0
    assert any("runbook_lib.engine.elsewhere" in line for line in watcher.seen)
    assert _secrets_in(secrets, "\n".join(watcher.seen)) == []
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert _secrets_in(secrets, path.read_text(encoding="utf-8", errors="replace")) == [], (
            path.name
        )


def test_a_watch_that_sends_messages_leaves_no_secret_and_no_address(
    run_acme: RunAcme, sandbox: Any, env_file: Path, tmp_path: Path
) -> None:
    """Neither the state nor what it prints has a credential or address."""
    assert run_acme().returncode == 0
    evidence = tmp_path / "evidence"
    words = ("--once", "--tenant", "acme", "--env-file", str(env_file), "--evidence", str(evidence))
    printed = []
    with receiving() as post:
        with env_file.open("a", encoding="utf-8") as file:
            file.write(post.settings)
        for secret in (None, "f" * 32):
            (app,) = sandbox.state.facebook.apps.values()
            app.secret = secret or app.secret
            (evidence / "watch.db").unlink(missing_ok=True)
            done = runbook("watch", *words)
            printed.append(done.stdout + done.stderr)

    assert any(row["failing"] for hook in post.hooks for row in hook["data"]["rows"])
    kept = [(evidence / "watch.db").read_bytes().decode("latin-1")]
    secrets = {name: str(sandbox.description[name]) for name in SECRETS}
    secrets |= {"webhook_secret": SECRET, "mail": "acme.example"}
    assert _secrets_in(secrets, "\n".join([*kept, *printed])) == []
    assert (evidence / "watch.db").stat().st_mode & 0o777 == 0o600


def test_no_token_issued_during_the_run_is_left(
    run_acme: RunAcme, sandbox: Any, tmp_path: Path
) -> None:
    """Tokens issued during the run are redacted too."""
    assert run_acme().returncode == 0
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (tmp_path / "evidence").rglob("*")
        if path.is_file()
    )
    assert "**********" in text
    assert _secrets_in({name: str(sandbox.description[name]) for name in SECRETS}, text) == []
    app_id = sandbox.description["app_id"]
    assert f"{app_id}|" not in text
    assert urllib.parse.quote(f"{app_id}|", safe="") not in text
    assert re.search(r"\bEAA[0-9A-Za-z]{20}", text) is None
    assert "Bearer" not in text


def test_cells_are_not_given_what_their_steps_do_not_need(
    run_acme: RunAcme, tmp_path: Path
) -> None:
    """The environment of the cells has no credential that only sealing needs."""
    names = (
        "RUNBOOK_SIGNING_PASSPHRASE",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GITHUB_TOKEN",
        "JUPYTERHUB_API_TOKEN",
        "OTHER",
    )
    noted = tmp_path / "environment.json"
    note = f"import json, os; open({str(noted)!r}, 'w').write(json.dumps(dict(os.environ)))"
    project = project_with(tmp_path / "project", "test-05-marketing-data", note)
    done = run_acme(env=dict.fromkeys(names, "canary horse battery staple"), cwd=project)

    assert done.returncode == 3
    held = json.loads(noted.read_text(encoding="utf-8"))
    assert held["PATH"]
    assert [each for each in held.values() if "canary" in each] == []


def test_the_search_finds_each_encoding(tmp_path: Path) -> None:
    """The search of this test finds a secret in each encoding."""
    secret = "5ecret/with+odd&characters"
    for text in (secret, urllib.parse.quote(secret, safe=""), secret.encode().hex()):
        assert _secrets_in({"it": secret}, f"before {text} after")
    assert _secrets_in({"it": secret}, base64.b64encode(f"before {secret} after".encode()).decode())
