"""`fleet`: every mistake on a line, consent to what is spent, a line for each result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runbook_lib.cli.main import main
from runbook_lib.engine.elsewhere import RunEnd
from runbook_lib.errors import FleetFileError
from runbook_lib.evidence.fleet_result import TenantResult, TenantRunStatus
from runbook_lib.operations.fleet import Fleet, Job
from tests.support.wording import wording
from tests.unit.bodies import APP_SECRET

HOSTILE = "a\x1b[2J\u202e\nb"
TENANTS = "".join(
    f'[[tenant]]\ntenant = "{name}"\nservice_domain = "{name}.cyclr.com"\n'
    for name in ("acme", "bloom", "clover")
)


@pytest.fixture(autouse=True)
def _results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each tenant a result without running it: one is complete, one failed, one crashed."""
    results: Mapping[str, dict[str, Any]] = {
        "acme": {"status": TenantRunStatus.SEALED, "outcome": "complete", "exit_code": 0},
        "bloom": {
            "status": TenantRunStatus.SEALED,
            "outcome": "failed",
            "exit_code": 1,
            "steps": (
                {
                    "id": "fb-08-redirect-uri",
                    "outcome": "failed",
                    "reason": HOSTILE,
                    "needs_person": False,
                },
            ),
        },
        "clover": {"status": TenantRunStatus.UNSEALED, "exit_code": 3, "reason": HOSTILE},
    }

    def run(groups: Any, _: object) -> Iterator[tuple[object, RunEnd]]:
        return ((request, RunEnd()) for group in groups for request, _ in group)

    def result(_: Fleet, job: Job, _end: RunEnd) -> TenantResult:
        return replace(job.pending, **results[job.tenant.tenant])

    monkeypatch.setattr("runbook_lib.operations.fleet.run_all", run)
    monkeypatch.setattr(Fleet, "tenant_result", result)


def fleet(*words: str, text: str = TENANTS) -> Result:
    """Run the command over a file with this text; an exception that it raises fails the test."""
    Path("tenants.toml").write_text(text)
    result = CliRunner().invoke(main, ("fleet", "tenants.toml", *words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_each_result_is_a_line() -> None:
    """In a log each tenant is a line with what failed or why; a hostile reason moves no cursor."""
    result = fleet("--workers", "1")

    begun, first, second, third, counts, now, path = result.stdout.splitlines()
    assert result.exit_code == 1
    (folder,) = Path("evidence/fleet").iterdir()
    assert begun == wording("fleet.begun", run=folder.name[-8:], tenants=3)
    assert first.startswith("[1/3, ")
    assert first.endswith("✔ acme (facebook_marketing): complete")
    assert second.endswith("✘ bloom (facebook_marketing): failed: fb-08-redirect-uri")
    not_sealed = wording("fleet.not-sealed", tenant="clover", connector="facebook_marketing")
    assert third.endswith(f"{not_sealed}a[U+001B][2J[U+202E][U+000A]b")
    assert counts == "1 complete · 1 failed · 1 unsealed"
    assert now.startswith(wording("inbox.tenants-need-you", tenants=3, tenant=""))
    assert Path(path.removeprefix("Read ").partition(";")[0]).is_file()


def test_json_is_the_result_alone() -> None:
    """`--json` prints the result and no more, with control characters escaped."""
    result = fleet("--json")

    document = json.loads(result.stdout)
    (folder,) = Path("evidence/fleet").iterdir()
    assert folder.name.endswith(f"-{document['fleet_id']}")
    outcomes = [(each["tenant"], each["status"], each["outcome"]) for each in document["tenants"]]
    assert outcomes == [
        ("acme", "sealed", "complete"),
        ("bloom", "sealed", "failed"),
        ("clover", "unsealed", None),
    ]
    assert document["tenants"][2]["reason"] == HOSTILE
    assert "\x1b" not in result.stdout


def test_junit_is_written_beside() -> None:
    """`--junit` writes a suite for each tenant."""
    assert fleet("--junit", "out.xml").exit_code == 1
    assert Path("out.xml").read_text().count("<testsuite ") == 3


def test_a_bar_on_a_terminal_shows_failures_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar counts, and only what failed is a line."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True)
    result = fleet("--workers", "1")

    assert "bloom (facebook_marketing): failed" in result.stdout
    assert "acme (facebook_marketing)" not in result.stdout
    assert "\x1b[2J" not in result.stdout


def test_every_mistake_is_a_line_and_nothing_is_written() -> None:
    """All mistakes are listed with table and key, exit code 2, and nothing is written or shown."""
    result = fleet(
        text=f'{TENANTS}app_id = "x"\nsecrets.app_secret = "{APP_SECRET}"\na\\u001b = 1'.replace(
            "a\\u001b", '"a\\u001b"'
        )
    )

    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "[[tenant]] 3 (clover, line 7)",
        "[[tenant]] 3 (clover, line 7), a key",
        "[[tenant]] 3 (clover, line 7), secrets, app_secret",
        "runbook",
        "Next",
    ]
    assert lines[3] == wording("fleet.mistakes", file="tenants.toml", mistakes=3)
    assert APP_SECRET not in result.stderr
    assert "\x1b" not in result.stderr
    assert [path.name for path in Path().iterdir()] == ["tenants.toml"]


def test_a_hostile_mistake_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in a mistake are shown as such, each mistake on one line."""

    def refuse(_: object) -> None:
        raise FleetFileError("No.", [f"line 1: {HOSTILE}"])

    monkeypatch.setattr("runbook_lib.operations.fleet.Fleet", refuse)

    assert fleet().stderr.splitlines()[0] == "line 1: a[U+001B][2J[U+202E][U+000A]b"


def test_a_side_effect_needs_a_yes() -> None:
    """Without `--yes` what checks may spend is listed, and the tenants run without them."""
    text = f"[defaults]\nmake_test_calls = true\n{TENANTS}"
    result = fleet(text=text)
    permitted = fleet("--yes", text=text)

    listed = wording("fleet.makes-calls", setting="make_test_calls", tenants=3)
    assert listed in result.stderr
    assert wording("fleet.give-yes") in result.stderr
    assert "[3/3, " in result.stdout
    assert listed in permitted.stderr
    assert wording("fleet.give-yes") not in permitted.stderr
    assert (result.exit_code, permitted.exit_code) == (1, 1)


def test_an_attestation_about_no_tenant_is_shown_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slip in a subject is shown, of many the first and how many more; the fleet runs."""
    subjects = ", ".join(f'{{service_domain = "{number}.cyclr.com"}}' for number in range(23))
    Path("attestations.toml").write_text(
        '[[attestation]]\nstep = "fb-08-redirect-uri"\nby = "Ann"\nat = 2026-01-20T09:00:00Z\n'
        f'subject = [{{service_domain = "acme.cyclr.com"}}, {subjects}]\n'
    )
    shown = fleet("--attestations", "attestations.toml", "--json").stderr.splitlines()
    assert shown[0] == (
        wording(
            "fleet.about-no-tenant",
            step="fb-08-redirect-uri",
            file="attestations.toml",
            name="service_domain",
            value="0.cyclr.com",
        )
    )
    assert len(shown) == 21
    assert shown[-1] == wording("fleet.more-about-no-tenant", entries=3)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runbook_lib.operations.fleet.Fleet.run", stop)
    assert fleet("--attestations", "attestations.toml").stderr.splitlines()[:21] == shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--resume", "0badcafe", "--failed"), wording("fleet.different-tenants")),
        (("--resume", "../.."), wording("setting-invalid.not-a-fleet-run")),
        (("--junit", "."), wording("run.junit-is-a-folder")),
        (("--junit", "no/out.xml"), "cannot be written: No such file"),
        (("--workers", "0"), "Invalid value for '--workers'"),
        (("--timeout", "0"), "Invalid value for '--timeout'"),
        (("--only", "d*"), wording("fleet.no-tenant-matches", pattern="d*")),
        (("--attestations", "none.toml"), wording("setting-invalid.file-unreadable")),
        (("--env-file", "none.env"), wording("setting-invalid.file-unreadable")),
    ],
)
def test_bad_usage_is_refused_before_anything_is_written(words: tuple[str, ...], said: str) -> None:
    """Each option that cannot be meant is refused with exit code 2, and nothing is written."""
    result = fleet(*words)

    assert result.exit_code == 2
    assert said in result.stderr
    assert not Path("evidence").exists()


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130, and names the command that runs what is left."""

    run = Fleet.run

    def interrupted(_: TenantResult) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Fleet, "run", lambda started, _: run(started, interrupted))
    result = fleet()
    assert result.exit_code == 130
    (folder,) = Path("evidence/fleet").iterdir()
    again = f"`runbook fleet tenants.toml --resume {folder.name[-8:]}` runs the rest."
    assert again in result.stderr
