"""The example in the package's docstring, which `help(runbook_lib)` shows."""

from __future__ import annotations

import runbook_lib


def example() -> str:
    """Return its code."""
    lines = (runbook_lib.__doc__ or "").splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    "))
