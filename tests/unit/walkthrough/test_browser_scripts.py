"""The logic of the browser scripts, tested in node without a browser (`scripts/*.test.mjs`)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.core.model import Outcome
from runbook_lib.run.advice import NextStep
from runbook_lib.walkthrough.panel_status import PanelStatus
from runbook_lib.walkthrough.views import finish_view, header_view, step_view
from tests.support.run_states import run_state, step_state
from tests.unit.walkthrough.sample_run import app_step, make_context, make_step

_SCRIPTS = Path(__file__).parent / "scripts"
_TESTS = sorted(path.name for path in _SCRIPTS.glob("*.test.mjs"))


@pytest.mark.needs("node")
@pytest.mark.parametrize("name", _TESTS)
def test_browser_scripts(name: str) -> None:
    """The tests of each script pass in node."""
    done = subprocess.run(
        ["node", "--test", name],
        cwd=_SCRIPTS,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# fail 0\n" in done.stdout
    assert "\n# pass 0\n" not in done.stdout


def _made() -> dict[str, Any]:
    """Return a view of each panel as the kernel makes it."""
    steps = (app_step(), make_step("b"))
    first = step_state(steps[0], Outcome.NOT_RUN, number="")
    run = run_state(first, step_state(steps[1], Outcome.ATTESTED, number=""))
    context = make_context(*steps, has_confirm_page=True, following=NextStep(first, ""))
    known: dict[str, Any] = {
        "title": "One",
        "tenant": "acme",
        "sandbox": True,
        "start": "",
        "others": "",
        "package": "",
        "sealed": "",
        "unsaved": False,
        "plan": None,
    }
    views = {
        "step": step_view(first, context, recent=(), exchanges={}, status=PanelStatus(), lacks=()),
        "header": header_view(run, context, status=PanelStatus(), **known),
        "finish": finish_view(
            run,
            context,
            status=PanelStatus(),
            bundle="",
            sealed="",
            ended_on="",
            doubts=(),
            plan=None,
        ),
    }
    return json.loads(json.dumps(views))  # type: ignore[no-any-return]


def _shape(value: Any) -> Any:
    """Return the names and types of a view; a list has those of its first item."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else list
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


@pytest.mark.parametrize("name", ["step", "header", "finish"])
def test_the_tests_views_have_the_kernels_shape(name: str) -> None:
    """A view in these tests has the same names and types as the kernel's."""
    views = json.loads((_SCRIPTS / "views.json").read_text(encoding="utf-8"))
    assert _shape(views[name]) == _shape(_made()[name])
