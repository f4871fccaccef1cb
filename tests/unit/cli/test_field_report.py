"""The view that a person has of a field report, and the runs that offer one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook_lib.cli.comparison_output import show_field_report, summary
from runbook_lib.cli.run_display import RunDisplay
from runbook_lib.engine.field_report import (
    CallComparison,
    DifferenceKind,
    FieldReport,
    ShapeDifference,
)
from runbook_lib.errors import ExitCode
from tests.support.commands import runbook
from tests.support.wording import wording


def report(*calls: CallComparison, **more: Any) -> FieldReport:
    given = {"runbook": "1", "connector": "c", "month": "2026-11", "sandbox": False, "headers": ()}
    return FieldReport(calls=calls, **{**given, **more})


def call(*kinds: DifferenceKind, matters: bool = False) -> CallComparison:
    differences = tuple(
        ShapeDifference(kind=kind, where="a.b", known="text", seen="number", matters=matters)
        for kind in kinds
    )
    return CallComparison(call="GET me?fields=id,name", checks=("c",), differences=differences)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (report(), "This evidence has no response of a remote system."),
        (report(call()), "1 call: each was answered in a known shape."),
        (
            report(call(), call(DifferenceKind.MORE_KEYS)),
            "2 calls: 1 answered in a known shape, 1 in another one. No check reads what differs.",
        ),
        (
            report(call(DifferenceKind.LEFT_OUT, matters=True), call(DifferenceKind.MORE_KEYS)),
            (
                "2 calls: 0 answered in a known shape, 2 in another one. "
                "Of these, 1 may mislead a check."
            ),
        ),
    ],
)
def test_the_summary_counts_calls(shown: FieldReport, expected: str) -> None:
    """The numbers of responses that differ, and of those that matter."""
    assert summary(shown) == expected


def difference(name: str, shown: str = "number") -> str:
    """Return the line about a difference; `shown` is the type that it names."""
    sentence = wording(f"compare.{name}", field="a.b", type=shown)
    return f"  {sentence} {wording('compare.matters')}"


def test_each_kind_of_difference_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the call, the fields it asked for, and the checks that read it."""
    monkeypatch.setenv("COLUMNS", "100")
    show_field_report(report(call(*DifferenceKind, matters=True), headers=("x-new",)), Path("b"))

    assert capsys.readouterr().out.splitlines()[2:] == [
        "",
        "✘ GET me",
        "  fields: id, name",
        "  read by: c",
        difference("left-out", "text"),
        difference("other-type"),
        difference("more"),
        difference("error-code"),
        difference("status"),
        difference("not-json"),
        difference("no-response-known"),
        "",
        wording("compare.unknown-headers", headers="x-new"),
    ]


@pytest.mark.parametrize("is_sandbox", [True, False])
def test_a_run_against_the_live_systems_offers_it(
    is_sandbox: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At its end, with the command to copy; practice teaches nothing."""
    sealed = SimpleNamespace(folder=tmp_path / "a" / "b", sequence=1, unstamped="")
    result: Any = SimpleNamespace(sealed=sealed, broken="", key_id="0" * 64)
    known: Any = SimpleNamespace(is_sandbox=is_sandbox)
    with RunDisplay(as_json=False, is_verbose=False) as display:
        display.run = known
        display.on_sealed(result)

    offered = f"compare {sealed.folder}" in capsys.readouterr().out
    assert offered is not is_sandbox


def test_a_spoilt_bundle_is_refused(tmp_path: Path) -> None:
    """Its record is not the sealed one."""
    bundle = tmp_path / "20261124T120000Z-0a1b2c3d"
    bundle.mkdir()
    (bundle / "record.json").write_text("{}", encoding="utf-8")

    result = runbook("compare", str(bundle))

    assert result.exit_code == ExitCode.REFUSED
    assert wording("content-altered.not-the-sealed-one") in result.output
