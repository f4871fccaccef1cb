"""Invalid input gives exit code 2 and one clear message, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.test_main import _own_folder, runbook  # noqa: F401  (a fixture that acts by itself)

DOMAIN = "service_domain=acme-h.cyclr.com"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "service_domian=acme-h.cyclr.com"), "Did you mean service_domain?"),
        ((), "service_domain (Service Domain) is missing"),
        (("--set", DOMAIN, "--set", "install_connector=perhaps"), "takes true or false"),
        (("--set", "service_domain=acme-h.cyclr.com:8443"), "has no port"),
        (("--set", "service_domain=not a domain"), "looks like acme-h.cyclr.com"),
        (("--set", DOMAIN, "--set", "app_id=abc"), "15 or 16 digits"),
        (("--set", DOMAIN, "--set", "graph_version=26"), "looks like v26.0"),
        (("--set", DOMAIN, "--set", "permissions=Leads!"), "is not a permission"),
        (("--set", DOMAIN, "--set", "app_secret=0123456789abcdef"), "never use it as a parameter"),
        (("--set", DOMAIN, "--set", "graph_url=http://graph.example"), "over https only"),
        (("--set", DOMAIN, "--set", "ca_file=nowhere.pem"), "cannot be read as a PEM file"),
        (("--set", "service_domain"), "NAME=VALUE"),
        (("--set", DOMAIN, "--set", "four_eyes=fb-99"), "names fb-99, which is not a step"),
        (("--set", DOMAIN, "--tenant", "../elsewhere"), "is not a tenant name"),
        (("--set", DOMAIN, "--attestations", "nowhere.toml"), "cannot be read"),
        (("--set", DOMAIN, "--env-file", "nowhere.env"), "cannot be read"),
        (("--sandbox", "paradise"), "There is no scenario called paradise"),
        (("--sandbox", "approved", "--env-file", "x.env"), "brings its own settings"),
        (
            (
                "--sandbox",
                "approved",
                "--no-such-option",
            ),
            "No such option",
        ),
    ],
)
def test_invalid_input_is_refused_before_anything_is_written(
    arguments: tuple[str, ...], said: str, folder: Path
) -> None:
    """Invalid arguments are named in one message, and nothing is written."""
    result = runbook("run", *arguments, "--evidence", "evidence")
    assert result.exit_code == 2, result.stdout + result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "evidence").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "contains no settings"),
        (b"# only a comment\n", "contains no settings"),
        (b"\xff\xfe\x00\n", "is not UTF-8"),
        (b"RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\nthis is no setting\n", "Line 2"),
        (
            b"RUNBOOK_SERVICE_DOMIAN=acme-h.cyclr.com\n",
            "Did you mean RUNBOOK_CYCLR_SERVICE_DOMAIN?",
        ),
        (b"RUNBOOK_CYCLR_SERVICE_DOMAIN='acme\n", "Line 1"),
        (
            b"RUNBOOK_CYCLR_SERVICE_DOMAIN=a.b\nRUNBOOK_FACEBOOK_APP_SECRET=canary-5ecret\n",
            "32 characters",
        ),
    ],
    ids=["empty", "comments", "not UTF-8", "no setting", "unknown", "open quote", "bad secret"],
)
def test_an_invalid_env_file_is_refused(content: bytes, said: str, folder: Path) -> None:
    """An invalid `.env` gives a message that does not quote its content, and nothing is written."""
    (folder / ".env").write_bytes(content)
    result = runbook("run", "--evidence", "evidence")
    assert result.exit_code == 2, result.stdout + result.stderr
    assert said in result.stderr
    assert "canary-5ecret" not in result.stdout + result.stderr
    assert not (folder / "evidence").exists()


def test_an_env_file_that_is_a_folder_is_refused(folder: Path) -> None:
    """A folder in place of the `.env` file is refused, and nothing is written."""
    (folder / "settings").mkdir()
    result = runbook("run", "--env-file", "settings", "--evidence", "evidence")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert not (folder / "evidence").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '[[attestation]]\nstep = "fb-99"\nby = "Operator"\nat = 2026-01-05T09:00:00Z',
            "no such step",
        ),
        ('[[attestation]]\nstep = "fb-01-log-in"\nat = 2026-01-05T09:00:00Z', "by is missing"),
        ('[[attestation]]\nstep = "fb-01-log-in"\nby = "Operator"', "at takes a time"),
        (
            '[[attestation]]\nstep = "fb-01-log-in"\nby = "Operator"\nat = 2999-01-05',
            "at takes a time",
        ),
        (
            '[[attestation]]\nstep = "fb-01-log-in"\nby = "Operator"\nat = 2999-01-05T09:00:00Z',
            "is in the future",
        ),
        (
            '[[skip]]\nstep = "fb-01-log-in"\nby = "Operator"\nat = 2026-01-05T09:00:00Z',
            "reason is",
        ),
        ("step = ", "is not TOML"),
    ],
)
def test_invalid_attestations_are_refused(content: str, said: str, folder: Path) -> None:
    """Invalid attestations are refused before the run starts."""
    (folder / "words.toml").write_text(content, encoding="utf-8")
    result = runbook(
        *("run", "--set", DOMAIN, "--attestations", "words.toml", "--evidence", "evidence"),
    )
    assert result.exit_code == 2, result.stdout + result.stderr
    assert said in result.stderr
    assert not (folder / "evidence").exists()
