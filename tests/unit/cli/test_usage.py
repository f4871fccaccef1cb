"""Commands that are used wrongly: one message, what to do next, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook_lib.errors import ExitCode
from tests.support.commands import refused, runbook
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET

DOMAIN = "service_domain=acme-h.cyclr.com"
GIVEN = ("run", "--set", DOMAIN)
CANARY = "canary-5ecret"


def refusal(*words: str) -> str:
    """Return the message of a usage error, which writes nothing and quotes no secret."""
    before = sorted(Path().rglob("*"))
    message, advice = refused(*words).strip().splitlines()
    assert message.startswith("runbook: ")
    assert advice.startswith("Next: ")
    assert not [secret for secret in (APP_SECRET, CANARY) if secret in message + advice]
    assert sorted(Path().rglob("*")) == before
    return message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--set", "nonsense"), wording("setting-invalid.set-takes-name-value")),
        (("run", "--set", "=x"), wording("setting-invalid.set-takes-name-value")),
        (
            ("run", "--set", "nonsense=1"),
            wording("setting-invalid.no-such-parameter", name="nonsense"),
        ),
        (
            ("run", "--set", "service_domian=acme-h.cyclr.com"),
            wording("setting-invalid.did-you-mean", name="service_domain"),
        ),
        (
            ("run",),
            wording("setting-invalid.value-missing", name="service_domain", label="Service Domain"),
        ),
        (
            (*GIVEN, "--set", "install_connector=perhaps"),
            wording("setting-invalid.takes-true-or-false", value="perhaps"),
        ),
        (("run", "--set", "service_domain=acme-h.cyclr.com:8443"), "has no port"),
        (("run", "--set", "service_domain=not a domain"), "looks like acme-h.cyclr.com"),
        ((*GIVEN, "--set", "app_id=abc"), "15 or 16 digits"),
        (
            (*GIVEN, "--set", "graph_version=26"),
            wording("ValueError.graph-version-form", version="v26.0"),
        ),
        ((*GIVEN, "--set", "permissions=Leads!"), "is not a permission"),
        ((*GIVEN, "--set", "graph_url=http://graph.example"), "over https only"),
        ((*GIVEN, "--set", "ca_file=nowhere.pem"), wording("setting-invalid.not-a-pem-file")),
        (
            (*GIVEN, "--set", "four_eyes=fb-99"),
            wording("setting-invalid.four-eyes-names", step="fb-99"),
        ),
        ((*GIVEN, "--tenant", "../x"), wording("setting-invalid.not-a-tenant-name")),
        (
            (*GIVEN, "--attestations", "none.toml"),
            wording("confirmation-invalid.no-attestations-file", file="none.toml"),
        ),
        ((*GIVEN, "--env-file", "none.env"), wording("setting-invalid.file-unreadable")),
        ((*GIVEN, "--env-file", "."), wording("setting-invalid.file-unreadable")),
        (("status", "--env-file", "none.env"), wording("setting-invalid.file-unreadable")),
        (
            ("run", "--sandbox", "approved", "--env-file", "x"),
            wording("setting-invalid.has-own-settings", option="--env-file"),
        ),
        (
            ("run", "--sandbox", "aproved"),
            wording("setting-invalid.no-scenario", near="approved", name="aproved"),
        ),
        (
            ("lab", "--sandbox", "aproved"),
            wording("setting-invalid.no-scenario", near="approved", name="aproved"),
        ),
        (
            ("sandbox", "--scenario", "aproved"),
            wording("setting-invalid.no-scenario", near="approved", name="aproved"),
        ),
        (
            ("lab", "--sanbox"),
            wording("setting-invalid.no-option", near="--sandbox", option="--sanbox"),
        ),
        (
            ("lab", "--colaborative"),
            wording("setting-invalid.did-you-mean", name="--collaborative"),
        ),
        (
            (*GIVEN, "--set", "servce_domain=x"),
            wording("setting-invalid.did-you-mean", name="service_domain"),
        ),
        # A secret on the command line is refused, and the message does not repeat it.
        (("run", "--set", f"app_secret={APP_SECRET}"), "RUNBOOK_FACEBOOK_APP_SECRET"),
        (
            (*GIVEN, "--set", "app_secret=0123456789abcdef"),
            wording("setting-invalid.never-as-parameter"),
        ),
        (("kit", "--attach"), "--by NAME"),
        (("kit", "--attach", "--by", "  "), "--by NAME"),
        (("kit", "--by", "Operator"), wording("setting-invalid.need-attach")),
        (("kit", "--note", "n"), wording("setting-invalid.need-attach")),
        (("kit", "--set", "permissions=Leads!"), "is not a permission"),
        (("kit", "--set", "permissions"), "NAME=VALUE"),
        (("kit", "--set", "app_secret=env:HOME"), wording("setting-invalid.kit-needs-none")),
        (("kit", "--connector", "nowhere"), "There is no connector"),
        (("kit", "--tenant", "../x"), wording("setting-invalid.not-a-tenant-name")),
    ],
)
def test_wrong_words_are_one_message_and_a_next_step(words: tuple[str, ...], said: str) -> None:
    """A usage error gives exit code 2, one message and a next step; nothing is written."""
    assert said in refusal(*words)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("report", "nowhere"), wording("verify.name-a-sealed-run")),
        ((*GIVEN, "--set", "nothing=x"), wording("run.known-parameters", name="service_domain")),
        (("run", "--sandbox", "nothing"), wording("run.known-scenarios", names="approved, fresh")),
    ],
)
def test_the_next_step_is_about_the_mistake(words: tuple[str, ...], advice: str) -> None:
    """It does not advise a new settings file where none is wrong."""
    said = refused(*words)

    assert f"Next: {advice}" in said
    assert "runbook init" not in said


def test_an_unknown_option_is_named() -> None:
    """It is an error beside options that are right."""
    words = ("run", "--sandbox", "approved", "--no-such-option", "--evidence", "evidence")
    assert "--no-such-option" in refused(*words)
    assert not Path("evidence").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", wording("setting-invalid.no-settings")),
        (b"# only a comment\n", wording("setting-invalid.no-settings")),
        (b"\xff\xfe\x00\n", "is not UTF-8"),
        (b"RUNBOOK_CYCLR_SERVICE_DOMAIN=acme-h.cyclr.com\nthis is no setting\n", "Line 2"),
        (
            b"RUNBOOK_SERVICE_DOMIAN=a.b\n",
            wording("setting-invalid.did-you-mean", name="RUNBOOK_CYCLR_SERVICE_DOMAIN"),
        ),
        (b"RUNBOOK_CYCLR_SERVICE_DOMAIN='acme\n", "Line 1"),
        (
            b"RUNBOOK_CYCLR_SERVICE_DOMAIN=a.b\nRUNBOOK_FACEBOOK_APP_SECRET=canary-5ecret\n",
            "32 characters",
        ),
    ],
    ids=["empty", "comments", "not UTF-8", "no setting", "unknown", "open quote", "bad secret"],
)
def test_an_invalid_env_file_is_refused(content: bytes, said: str) -> None:
    """An invalid `.env` gives a message that does not quote its content, and nothing is written."""
    Path(".env").write_bytes(content)
    assert said in refusal("run")


STEP = 'step = "fb-01-log-in"\n'
BY = 'by = "Operator"\n'
AT = "at = 2026-01-05T09:00:00Z\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[[attestation]]\nstep = "fb-99"\n' + BY + AT, "no such step"),
        ("[[attestation]]\n" + STEP + AT, "by is missing"),
        ("[[attestation]]\n" + STEP + BY, "at takes a time"),
        ("[[attestation]]\n" + STEP + BY + "at = 2999-01-05", "at takes a time"),
        ("[[attestation]]\n" + STEP + BY + "at = 2999-01-05T09:00:00Z", "is in the future"),
        ("[[skip]]\n" + STEP + BY + AT, "reason is"),
        ("step = ", "is not TOML"),
    ],
)
def test_invalid_attestations_are_refused(content: str, said: str) -> None:
    """Invalid attestations are refused before the run starts."""
    Path("attestations.toml").write_text(content, encoding="utf-8")
    assert said in refusal(*GIVEN, "--attestations", "attestations.toml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "evidence"), "`compare` was withdrawn; use `python -m tools.field_report`"),
        (("inbox", "--ics", "due.ics"), "`--ics` was withdrawn; use `inbox --json`"),
        (("connections", "--use", "5"), "`--use` was withdrawn; use `--test ACCOUNT`"),
        (("connections", "--count=a", "--form", "1"), "`--count` was withdrawn; use List Leads"),
        (("connections", "--letters", "l", "--language", "de"), "`--language` was withdrawn"),
        (("connections", "--csv", "all.csv"), "`--csv` was withdrawn; use `--json`"),
        (("watch", "--until=2026-12-31"), "`--until` was withdrawn; use `--ack ID --by NAME`"),
    ],
)
def test_a_withdrawn_command_or_option_names_what_serves_instead(
    words: tuple[str, ...], said: str
) -> None:
    """Until the first release, with exit code 2, and before anything is done."""
    result = runbook(*words)

    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
