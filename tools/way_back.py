"""
Show a customer's way back in the sandbox: cut off, told by a letter, back, and what to fetch.

`python -m tools.way_back` (or `make way-back`) prints each command with its output. It works in a
temporary folder, and contacts loopback only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from facebook_cyclr_sandbox.customer_accounts import cut_off_customers, restore_customers
from facebook_cyclr_sandbox.server import Sandbox

_RUNBOOK = Path(sys.executable).with_name("runbook")
_SETTINGS = (
    "cyclr_api_url", "cyclr_console_url", "cyclr_client_id", "cyclr_client_secret",
)  # fmt: skip


def main() -> None:
    """Play the story."""
    with (
        tempfile.TemporaryDirectory(prefix="way-back-") as home,
        Sandbox("customers-cut-off") as sandbox,
    ):
        folder = Path(home)
        given = sandbox.description
        settings = {f"RUNBOOK_{name.upper()}": str(given[name]) for name in _SETTINGS}
        environment = {
            **os.environ,
            **settings,
            "RUNBOOK_TENANT": "acme",
            "RUNBOOK_CYCLR_REQUESTS_A_SECOND": "50",
            "RUNBOOK_CYCLR_USE_CONNECTIONS": "true",
        }

        def run_command(*words: str) -> None:
            line = " ".join(words)
            print(f"\n$ runbook {line}", flush=True)  # noqa: T201
            subprocess.run([_RUNBOOK, *words], cwd=folder, env=environment, check=False)

        _tell("Five customers, of whom one never signed in. Each connection is proven by use.")
        run_command("connections")
        run_command("connections", "--use", "5")

        _tell("A token ends, a permission is withdrawn, a cycle is paused, a form is deleted.")
        cut_off_customers(sandbox.state)
        log = json.dumps(sandbox.state.cyclr.transaction_errors)
        (folder / "errors.log").write_text(log, encoding="utf-8")
        run_command("connections", "--errors", "errors.log", "--letters", "letters")
        for letter in sorted((folder / "letters").iterdir()):
            _tell(f"The letter {letter.name}:\n\n{letter.read_text(encoding='utf-8')}")

        _tell("Everybody signs in again. The calls of two are proven by use, at the next test.")
        restore_customers(sandbox.state)
        run_command("connections")
        first = sandbox.state.cyclr.story[0]
        form = next(iter(sandbox.state.facebook.forms))
        run_command("connections", "--count", first, "--form", form)


def _tell(text: str) -> None:
    print(f"\n— {text}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
