"""
The shards of a fleet: which of its parts this process runs, and the name of the whole run.

An orchestrator starts the parts. Its variables are read only where a shard is asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.config.settings import visible
from runbook_lib.errors import SettingsError

__all__ = ["Shard", "read_run_name", "read_shard"]

_SHARD = re.compile(r"(?:([0-9]{1,6})/)?([0-9]{1,6})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_LONGEST_NAME = 200
# NOTE: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
_KUBERNETES = "JOB_COMPLETION_INDEX"
# NOTE: https://slurm.schedmd.com/job_array.html#env_vars
_SLURM = "SLURM_ARRAY_TASK_ID"
_SLURM_FIRST, _SLURM_COUNT = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"
# What orchestrators call a run, the same in all of its parts.
_RUN_NAMES = (
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",  # GitLab
    "BUILDKITE_BUILD_ID",
    "CIRCLE_WORKFLOW_ID",
    "BUILD_BUILDID",  # Azure Pipelines
    "BUILD_TAG",  # Jenkins
    "AIRFLOW_CTX_DAG_RUN_ID",
    "SLURM_ARRAY_JOB_ID",
)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of a fleet; `index` counts from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, key: str) -> bool:
        """Return whether what `key` stands for is in this shard, the same on every machine."""
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1


def read_shard(text: str, environ: Mapping[str, str]) -> Shard:
    """
    Return the shard that `text` names: `I/N`, or `N` with the orchestrator's index.

    Raises `SettingsError` for anything else.
    """
    match = _SHARD.fullmatch(text)
    if match is None or int(match[2]) == 0:
        msg = f"--shard takes I/N, such as 2/8, or N alone; not {text[:20]!r}."
        raise SettingsError(msg)
    count = int(match[2])
    if match[1] is None:
        return Shard(_index(count, environ), count)
    if not 1 <= int(match[1]) <= count:
        msg = f"--shard {text}: shards are counted from 1/{count} to {count}/{count}."
        raise SettingsError(msg)
    return Shard(int(match[1]), count)


def read_run_name(text: str, environ: Mapping[str, str]) -> str:
    """Return the name of the run: `text`, else the orchestrator's, else nothing."""
    found = {"--run-name": text, **{name: environ.get(name, "") for name in _RUN_NAMES}}
    source = next((name for name, value in found.items() if value.strip()), "--run-name")
    try:
        return visible(found[source], longest=_LONGEST_NAME)
    except ValueError as error:
        msg = f"{source}, the name of the run: {error}."
        raise SettingsError(msg) from None


def _index(count: int, environ: Mapping[str, str]) -> int:
    """Return the index, from 1, that the orchestrator's variables say."""
    said = {
        name: index
        for name, index in ((_KUBERNETES, _kubernetes(environ)), (_SLURM, _slurm(count, environ)))
        if index is not None
    }
    advice = f"Name the shard: --shard 1/{count} for the first of {count}."
    if not said:
        msg = f"--shard {count} needs {_KUBERNETES} or {_SLURM}, and neither is set."
        raise SettingsError(msg, next_step=advice)
    if len(set(said.values())) > 1:
        msg = f"{_KUBERNETES} and {_SLURM} contradict each other."
        raise SettingsError(msg, next_step=advice)
    name, index = next(iter(said.items()))
    if not 1 <= index <= count:
        msg = f"{name} says that this is shard {index}, and --shard {count} that there are {count}."
        raise SettingsError(msg, next_step=f"Start {count} parts, numbered without a gap.")
    return index


def _kubernetes(environ: Mapping[str, str]) -> int | None:
    """Return the index of an Indexed Job's pod, which counts from 0."""
    found = _number(_KUBERNETES, environ)
    return None if found is None else found + 1


def _slurm(count: int, environ: Mapping[str, str]) -> int | None:
    """Return the index of an array's task, which counts from whatever the array begins with."""
    found = _number(_SLURM, environ)
    if found is None:
        return None
    first, tasks = _number(_SLURM_FIRST, environ), _number(_SLURM_COUNT, environ)
    if first is None:
        msg = f"{_SLURM} is set, but not {_SLURM_FIRST}, from which it counts."
        raise SettingsError(msg, next_step=f"Name the shard: --shard 1/{count}.")
    if tasks not in (None, count):
        msg = f"The array has {tasks} tasks ({_SLURM_COUNT}), and --shard says {count}."
        raise SettingsError(msg, next_step=f"Give --shard {tasks}, or start {count} tasks.")
    return found - first + 1


def _number(name: str, environ: Mapping[str, str]) -> int | None:
    """Return the number in a variable; nothing where it is not set, or empty."""
    text = environ.get(name, "")
    if text and not _NUMBER.fullmatch(text):
        msg = f"{name} is {text[:20]!r}, and should be a number."
        raise SettingsError(msg, next_step="Name the shard: --shard I/N, such as 2/8.")
    return int(text) if text else None
