"""Which kernels run in this interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runbook_lib.fork_engine.fallback import NotOursError, kernel_environment

MODULE = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(autouse=True)
def _kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write some kernel specifications into the first folder that Jupyter searches."""
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    for name, argv in {
        "generic": ["python", *MODULE],
        "exact": [sys.executable, *MODULE],
        "elsewhere": ["/opt/elsewhere/bin/python3", *MODULE],
        "shell": ["/bin/sh", *MODULE],
        "other": [sys.executable, "-m", "bash_kernel"],
    }.items():
        place = folder / "kernels" / name / "kernel.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps({"argv": argv, "env": {"NAME": name}}))


@pytest.mark.parametrize("name", ["generic", "exact", "Exact"])
def test_ipykernel_in_this_interpreter_is_accepted(name: str) -> None:
    """For ipykernel in this interpreter, the environment of the specification is returned."""

    assert kernel_environment(name) == {"NAME": name.lower()}


@pytest.mark.parametrize("name", ["elsewhere", "shell", "other"])
def test_any_other_program_is_refused(name: str) -> None:
    """For another program, the error names it."""

    with pytest.raises(NotOursError, match=f"{name} is another program: "):
        kernel_environment(name)


def test_a_kernel_that_is_not_installed_is_refused() -> None:
    """A kernel without a specification is refused; `python3`, Jupyter's own, needs none."""

    assert kernel_environment("python3") == {}
    with pytest.raises(NotOursError, match="no kernel is called nosuch"):
        kernel_environment("nosuch")
