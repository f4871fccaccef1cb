"""An author's own tests: the kit is green for the example, and red for each slip in its check."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.conftest import ROOT, environment

PACKAGE = ROOT / "tests/packages/plainmail"
CHECKS = "plainmail/checks.py"
TESTS = "test_plainmail.py"
# A text of a file and its replacement, which together are a slip.
Slip = tuple[tuple[str, str, str], ...]
WITHOUT_CONTROL = (CHECKS, " and _is(PAIR_REFUSED, control)", "")
NOT_SENT = (
    CHECKS,
    '    control = _refusal_of(context, Secret(context.made_up("plainmail secret", 25)))\n',
    "",
)
NOT_LISTED = (TESTS, "        controls=(\n", "        controls=() and (\n")
NOT_SCRIPTED = (TESTS, "asks=asking(client_secret=APP_SECRET, code=made_up(16)),", "")

SLIPS: dict[str, tuple[Slip, str, str]] = {
    "verifies without a control, and has none": (
        (WITHOUT_CONTROL, NOT_SENT, NOT_LISTED, NOT_SCRIPTED),
        "test_it_has_a_control_or_names_its_object",
        "Repeat the request with one made-up part",
    ),
    "verifies without the control that it lists": (
        (WITHOUT_CONTROL, NOT_SENT),
        "test_every_control_is_listed",
        "`controls` lists",
    ),
    "does not look at the control": (
        (WITHOUT_CONTROL,),
        "test_only_a_refusal_of_what_is_made_up_proves_something",
        "not inconclusive",
    ),
    "takes any status": (
        ((CHECKS, "status=refusal.status", "status=400"),),
        "test_the_right_response_with_a_wrong_status_verifies_nothing",
        "with 200 verifies",
    ),
    "has no responses": (
        ((TESTS, '"plainmail-pair-is-accepted": (\n                MinimalExchanges',
          '"another": (\n                MinimalExchanges'),),
        "test_every_check_has_its_minimal_responses",
        "add the responses that verify plainmail-pair-is-accepted",
    ),
    "describes no code": (
        (("plainmail/codes.toml", "[pair-accepted]", "[pair-taken]"),),
        "test_its_code_is_described",
        "describe the code pair-accepted",
    ),
}  # fmt: skip


def run_tests(folder: Path, *slip: tuple[str, str, str]) -> tuple[int, str]:
    """Run the package's tests in a copy with this slip; return the exit code and the output."""
    copy = folder / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in slip:
        text = (copy / file).read_text()
        assert text.count(old) == 1, (file, old)
        (copy / file).write_text(text.replace(old, new))
    words = ("-q", "-pno:cacheprovider", "-pno:randomly", "-n0", "-k", "plainmail or every")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, TESTS],
        cwd=copy,
        env=environment(PYTHONPATH=str(copy)),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_example_keeps_every_promise(tmp_path: Path) -> None:
    """Unchanged, its tests are green, so each slip below is the reason for a red one."""
    code, output = run_tests(tmp_path)

    assert code == 0, output
    assert int(re.findall(r"(\d+) passed", output)[0]) > 100


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_red(tmp_path: Path, name: str) -> None:
    """The test that is red says what the author has to do."""
    slip, test, advice = SLIPS[name]

    code, output = run_tests(tmp_path, *slip)

    assert code == 1, output
    assert re.search(rf"^FAILED .*::{test}\b", output, flags=re.MULTILINE), output
    assert advice in output


def test_the_kit_loads_no_pytest() -> None:
    """The product depends on no test tool, though its wheel has the kit."""
    program = "import sys, runbook_lib.testing; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
