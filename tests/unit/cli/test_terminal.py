"""What a person sees in a terminal: every step, in words, whatever stands in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runbook_lib.cli.terminal import plain_cell, progress, say, show_steps, show_table, show_verdict
from runbook_lib.core.outcome import LABELS
from runbook_lib.core.procedure import Conclusion, Finding, Outcome, Source, Step, StepKind
from runbook_lib.core.state import RunState, StepState
from runbook_lib.errors import ChainError
from runbook_lib.evidence.verify.chain import Verdict
from runbook_lib.plain_text import escaped_json, one_line

Capture = pytest.CaptureFixture[str]


def state(name: str, outcome: Outcome, reason: str = "", **more: object) -> StepState:
    step = Step(
        id=name,
        title=f"Do {name}",
        kind=StepKind.MANUAL,
        source=Source(1),
        prose="",
        confirms=f"I did {name}.",
        subject=(),
    )
    conclusion = Conclusion(outcome=outcome, reason=reason or f"Because {name}.")
    return StepState(step=step, conclusion=conclusion, **more)  # type: ignore[arg-type]


def run(*states: StepState) -> RunState:
    return RunState("0a1b2c3d", {one.step.id: one for one in states})


def test_every_step_is_in_the_table(capsys: Capture) -> None:
    """Number, id, icon, outcome and reason of each, then all counted and the run's outcome."""

    states = [state(f"step-{outcome}", outcome) for outcome in Outcome]

    show_steps(run(*states), title="SANDBOX acme")

    text = capsys.readouterr().out
    assert text.startswith("SANDBOX acme")
    for number, one in enumerate(states, 1):
        (line,) = [line for line in text.splitlines() if f" {one.step.id} " in line]
        assert line.startswith(f"{number} ")
        assert f" {LABELS[one.conclusion.outcome]} " in line
        assert one.conclusion.reason in line
    assert text.splitlines()[-1].startswith("FAILED 1 verified · 1 attested · ")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.VERIFIED, "COMPLETE 1 verified"),
        (Outcome.WAITING, "INCOMPLETE 1 waiting"),
        (Outcome.FAILED, "FAILED 1 failed"),
    ],
)
def test_the_last_line_says_what_the_run_came_to(
    capsys: Capture, outcome: Outcome, said: str
) -> None:
    """Without reading the table one knows."""

    show_steps(run(state("a", outcome)))

    assert capsys.readouterr().out.splitlines()[-1] == said


def test_a_time_in_a_reason_is_told_as_people_tell_it(capsys: Capture) -> None:
    """As in the panels and the report; the record is exact to the millisecond."""

    show_steps(run(state("a", Outcome.ATTESTED, "Operator on 2026-11-24T12:00:00.000Z: done.")))

    assert "Operator on 24 Nov 2026, 12:00 UTC: done." in capsys.readouterr().out


def test_text_from_outside_is_not_taken_for_markup(capsys: Capture) -> None:
    """Brackets in a remote system's words are shown, not obeyed."""

    warning = Finding(outcome=Outcome.FAILED, reason="", warnings=("[link=x]soon[/link]",))

    show_steps(run(state("a", Outcome.FAILED, "[bold]x[/] [/]", findings=(warning,))))

    text = capsys.readouterr().out
    assert "[bold]x[/] [/]" in text
    assert "! [link=x]soon[/link]" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë's page, 5\u00a0s 🎉", "Zoë's page, 5\u00a0s 🎉"),
        ("a\nb\r\tc", "a[U+000A]b[U+000D][U+0009]c"),
        ("\x1b[2K\x9b1A\x7f", "[U+001B][2K[U+009B]1A[U+007F]"),
        ("\u2028\u202e\u200b\udcff", "[U+2028][U+202E][U+200B][U+DCFF]"),
    ],
)
def test_text_is_one_line_of_printable_characters(text: str, shown: str) -> None:
    """What moves the cursor, ends the line or turns the writing is shown instead of obeyed."""

    assert one_line(text) == shown


def test_text_from_outside_moves_no_cursor(capsys: Capture) -> None:
    """Neither a reason nor a warning nor a title reaches the terminal raw."""

    odd = "\x1b[2J\nforged"
    warning = Finding(outcome=Outcome.FAILED, reason="", warnings=(odd,))
    told = state("a", Outcome.FAILED, odd, findings=(warning,), checked_on="t")
    told = replace(told, step=replace(told.step, title=odd))

    show_steps(run(told))
    with progress(1, is_quiet=False) as display:
        display.update(run(told))

    text = capsys.readouterr().out
    assert "\x1b[2J" not in text
    assert not any(line.strip() == "forged" for line in text.splitlines())
    assert text.count("[U+001B][2J[U+000A]forged") == 3


def test_each_verdict_is_a_line(capsys: Capture) -> None:
    """A chain is called whole only where nothing is left open; notes and reasons are one line."""

    where = Path("/evidence/acme/p")
    for verdict in (
        Verdict(where, length=2),
        Verdict(where, length=2, notes=("Not\nshown.",)),
        Verdict(where, notes=("Nothing is sealed yet.",)),
        Verdict(where, error=ChainError("No\nchain.")),
    ):
        show_verdict(verdict)

    assert capsys.readouterr().out.splitlines() == [
        "✔ acme/p: 2 in a chain, none missing",
        "✔ acme/p: 2 in a chain",
        "  ! Not[U+000A]shown.",
        "- acme/p: nothing sealed yet",
        "✘ evidence/acme/p: No[U+000A]chain.",
    ]


def test_a_log_gets_wide_lines_without_colours(capsys: Capture) -> None:
    """Where there is no terminal, lines are 120 wide and hold no escape codes."""

    show_steps(run(state("a", Outcome.VERIFIED, "word " * 60)))

    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert any(len(line) > 100 for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_narrower_width_can_be_set(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS, as everywhere."""

    monkeypatch.setenv("COLUMNS", "60")
    show_steps(run(state("a", Outcome.VERIFIED, "word " * 60)))

    assert all(len(line) <= 60 for line in capsys.readouterr().out.splitlines())


def test_a_table_keeps_all_but_its_last_column_whole(capsys: Capture) -> None:
    """An id can be copied; only the reason wraps."""

    show_table("T", ("Step", "Reason"), [("fb-09-permissions-and-features", "word " * 60)])

    text = capsys.readouterr().out
    assert "fb-09-permissions-and-features " in text
    assert text.count("word") == 60


def test_progress_tells_each_step_once(capsys: Capture) -> None:
    """A line for each step as it is checked, in the order of the procedure."""

    checked = state("a", Outcome.VERIFIED, checked_on="t")
    later = state("b", Outcome.NOT_RUN)

    with progress(2, is_quiet=False) as display:
        display.update(run(checked, later))
        display.update(run(checked, later))
        done = StepState(
            later.step, replace(later.conclusion, outcome=Outcome.FAILED), checked_on="t"
        )
        display.update(run(checked, done))

    text = capsys.readouterr().out
    assert text.count("Do a") == 1
    assert text.index("✔ verified") < text.index("✘ failed")
    assert "Do b" in text


def test_a_quiet_progress_says_nothing(capsys: Capture) -> None:
    """With --json the output is JSON alone."""

    with progress(1, is_quiet=True) as display:
        display.update(run(state("a", Outcome.VERIFIED, checked_on="t")))

    assert capsys.readouterr().out == ""


# An escape sequence of old and of new, a bell, a title, what turns the line, what is not seen.
NASTY = "a\x1b[2J\x9b31m\x07\x1b]0;t\x07\x7f\u202e\u2066\u200b\ufeff\r\n\u2028b\t\x00"


def is_safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_nothing_that_is_said_moves_the_cursor(capsys: Capture) -> None:
    """A line stays a line, on either stream, and is still read."""

    say(f"It answered {NASTY}.")
    say(f"It answered {NASTY}.", is_error=True)

    for text in capsys.readouterr():
        assert is_safe(text)
        assert text.count("\n") == 1
        assert "[U+001B][2J" in text


def test_nothing_in_a_table_moves_the_cursor(capsys: Capture) -> None:
    """Titles, cells, reasons and warnings are text, neither escapes nor markup."""

    finding = Finding(outcome=Outcome.FAILED, reason=NASTY, warnings=(NASTY,))
    one = state("a", Outcome.FAILED, NASTY, findings=(finding,))

    show_steps(run(one), title=NASTY)
    show_table(NASTY, ("",), [(plain_cell(f"[bold]{NASTY}"),)])

    text = capsys.readouterr().out
    assert is_safe(text)
    assert "[bold]a[U+001B]" in text


def test_json_stays_json_and_moves_no_cursor() -> None:
    """What a terminal might obey is an escape in the document, which is the same one."""

    document = {"reason": NASTY + "Zoë \U000e0001\ud800", "list": [NASTY]}
    for indent in (None, 2):
        shown = escaped_json(json.dumps(document, ensure_ascii=False, indent=indent))
        assert is_safe(shown)
        assert "Zoë" in shown
        assert json.loads(shown) == document
