"""Shards: each key in one of them, the index from what an orchestrator sets, mistakes refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.config.shards import Shard, read_run_name, read_shard
from runbook_lib.errors import SettingsError

POD = {"JOB_COMPLETION_INDEX": "2"}
TASK = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5"}


@given(st.text(), st.integers(1, 50))
def test_each_key_is_in_one_shard(key: str, count: int) -> None:
    """Whatever a key is, exactly one of the shards has it."""

    assert [Shard(n, count).has(key) for n in range(1, count + 1)].count(True) == 1


def test_a_key_stays_where_it_is() -> None:
    """The shard of a key is the same on every machine and in every version: it is pinned here."""

    keys = [f"{number}" for number in range(100_000_000_001, 100_000_000_009)]
    pinned = [3, 2, 3, 2, 3, 1, 2, 2]

    assert [next(n for n in (1, 2, 3) if Shard(n, 3).has(key)) for key in keys] == pinned


@pytest.mark.parametrize(
    ("text", "environ", "index"),
    [
        ("3/8", {}, 3),
        ("1/1", {}, 1),
        ("3/8", {**POD, "SLURM_ARRAY_TASK_ID": "nonsense"}, 3),
        ("8", POD, 3),
        ("8", TASK, 3),
        ("8", {**TASK, "SLURM_ARRAY_TASK_COUNT": "8"}, 3),
        ("8", {**TASK, **POD}, 3),
        ("8", {**POD, "SLURM_ARRAY_TASK_ID": ""}, 3),
        ("8", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0"}, 1),
    ],
)
def test_the_index_counts_from_one(text: str, environ: Mapping[str, str], index: int) -> None:
    """An index that is named counts from 1 and wins; a pod's from 0, a task's from its array's."""

    assert read_shard(text, environ) == Shard(index, int(text.rpartition("/")[2]))


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/", "/2", "1 /2", "1.0/2",
             "٣/٨", "1/2\n", "9" * 5_000, "1/" + "9" * 5_000]
)  # fmt: skip
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    """A text that names no shard is refused, and shown in part."""

    with pytest.raises(SettingsError, match="--shard") as caught:
        read_shard(text, POD)

    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "neither is set"),
        ({"JOB_COMPLETION_INDEX": "", "SLURM_ARRAY_TASK_ID": ""}, "neither is set"),
        ({"JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETION_INDEX says that this is shard 4"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "JOB_COMPLETION_INDEX is '-1'"),
        ({"JOB_COMPLETION_INDEX": "9" * 5_000}, "JOB_COMPLETION_INDEX is '9999"),
        ({"JOB_COMPLETION_INDEX": "\x1b[2J"}, "should be a number"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "not SLURM_ARRAY_TASK_MIN"),
        ({**TASK, "SLURM_ARRAY_TASK_ID": "4"}, "SLURM_ARRAY_TASK_ID says that this is shard 0"),
        ({**TASK, "SLURM_ARRAY_TASK_ID": "8"}, "SLURM_ARRAY_TASK_ID says that this is shard 4"),
        ({**TASK, "SLURM_ARRAY_TASK_COUNT": "4"}, "The array has 4 tasks"),
        ({**TASK, "SLURM_ARRAY_TASK_COUNT": "x"}, "SLURM_ARRAY_TASK_COUNT is 'x'"),
        ({**TASK, "JOB_COMPLETION_INDEX": "0"}, "contradict each other"),
    ],
)
def test_an_index_that_is_none_is_refused(environ: Mapping[str, str], said: str) -> None:
    """Variables that are missing, nonsense, out of range or contradictory name what to do."""

    with pytest.raises(SettingsError) as caught:
        read_shard("3", environ)

    assert said in str(caught.value)
    assert any(word in caught.value.next_step for word in ("--shard", "Start 3 parts"))


@pytest.mark.parametrize(
    ("text", "environ", "name"),
    [
        ("", {}, ""),
        ("", {"GITHUB_RUN_ID": "77", "SLURM_ARRAY_JOB_ID": "5"}, "77"),
        ("", {"SLURM_ARRAY_JOB_ID": "5"}, "5"),
        ("", {"AIRFLOW_CTX_DAG_RUN_ID": "manual__2026-11-24T00:00:00+00:00"},
         "manual__2026-11-24T00:00:00+00:00"),
        (" nightly ", {"GITHUB_RUN_ID": "77"}, "nightly"),
    ],
)  # fmt: skip
def test_the_run_has_the_name_that_all_parts_have(
    text: str, environ: Mapping[str, str], name: str
) -> None:
    """A run is called what `--run-name` says, else what the orchestrator calls it."""

    assert read_run_name(text, environ) == name


@pytest.mark.parametrize(
    ("text", "environ", "said"),
    [
        ("a\x1b[2J", {}, "--run-name, the name of the run: it contains an invisible character"),
        ("a" * 201, {}, "--run-name, the name of the run: it has 201 characters"),
        ("", {"BUILD_TAG": "a\u202eb"}, "BUILD_TAG, the name of the run: it contains"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(
    text: str, environ: Mapping[str, str], said: str
) -> None:
    """A name that moves a cursor or is too long is refused, by where it comes from."""

    with pytest.raises(SettingsError) as caught:
        read_run_name(text, environ)

    assert str(caught.value).startswith(said)
