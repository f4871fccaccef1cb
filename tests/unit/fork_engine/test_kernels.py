"""Which kernels are this interpreter's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runbook_lib.fork_engine.kernels import NotOursError, kernel_environment

MODULE = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(autouse=True)
def _kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write some specifications, and look for no others before them."""
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
def test_ipykernel_in_this_interpreter_is_ours(name: str) -> None:
    """Its variables are the specification's."""

    assert kernel_environment(name) == {"NAME": name.lower()}


@pytest.mark.parametrize("name", ["elsewhere", "shell", "other"])
def test_any_other_program_is_not(name: str) -> None:
    """The reason names the program."""

    with pytest.raises(NotOursError, match=f"{name} is another program: "):
        kernel_environment(name)


def test_a_kernel_that_is_not_installed_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Except for Jupyter's own name for the interpreter that it runs in."""

    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [])

    assert kernel_environment("python3") == {}
    with pytest.raises(NotOursError, match="no kernel is called exact"):
        kernel_environment("exact")
