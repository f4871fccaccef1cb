"""
Practice: a headless run against the embedded sandbox instead of the world.

The sandbox is one more remote system: its addresses and credentials go into
a settings file of its own, and nothing of the operator's real settings is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from runbook_lib.connectors.facebook_marketing.procedure import PROCEDURE
from runbook_lib.core.fingerprints import FingerprintKey
from runbook_lib.core.scratch import scratch_folder
from runbook_lib.errors import SettingsError

__all__ = ["Practice", "practice", "require_scenario"]

# What people have said by then: nothing, what goes before the review, or all of it.
_WORDS = {"fresh": "", "review-pending": "submitted.toml", "review-declined": "submitted.toml"}
_ALL_WORDS = "connected.toml"


@dataclass(frozen=True, slots=True)
class Practice:
    """
    A running sandbox as settings: the file that holds them, and what people have said.

    `login` is what its one operator signs in with.
    """

    scenario: str
    env_file: str
    attestations: str
    login: str


def require_scenario(name: str) -> None:
    """Raise `SettingsError` where there is no scenario called `name`."""
    from runbook_lib.sandbox.server import SCENARIOS  # noqa: PLC0415

    if name not in SCENARIOS:
        msg = f"There is no scenario called {name[:60]}; known are {', '.join(SCENARIOS)}."
        raise SettingsError(msg)


@contextmanager
def practice(scenario: str, key: FingerprintKey) -> Iterator[Practice]:
    """
    Serve the sandbox in `scenario` for as long as the context lasts.

    A tenant's `key` is its sandbox's seed: it meets the same app each time.
    The environment's own settings are put aside meanwhile: a real
    credential must not be sent to a practice server. Raises `SettingsError`
    for an unknown scenario.
    """
    from runbook_lib.sandbox.server import Sandbox  # noqa: PLC0415

    require_scenario(scenario)
    words = resources.files("runbook_lib.connectors.facebook_marketing").joinpath("practice")
    name = _WORDS.get(scenario, _ALL_WORDS)
    with (
        scratch_folder() as folder,
        Sandbox(scenario, seed=key.seed, folder=folder) as sandbox,
        _without_own_settings(),
        resources.as_file(words) as words_folder,
    ):
        env_file = folder / "sandbox.env"
        _write_env_file(env_file, sandbox.description)
        who = sandbox.description
        yield Practice(
            scenario=scenario,
            env_file=str(env_file),
            attestations=str(words_folder / name) if name else "",
            login=f"{who['login_email']} / {who['login_password']}",
        )


def _write_env_file(path: Path, description: Mapping[str, object]) -> None:
    lines = [
        f'{item.variable}="{description[item.name]}"'
        for item in PROCEDURE.inputs
        if description.get(item.name)
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def _without_own_settings() -> Iterator[None]:
    names = [item.variable for item in PROCEDURE.inputs]
    kept = {name: os.environ.pop(name, None) for name in (*names, "RUNBOOK_ENV_FILE")}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in kept.items() if value is not None})
