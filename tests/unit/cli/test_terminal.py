"""Terminal output: every step in plain text, whatever its texts contain."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest
from msgspec import structs

from runbook_lib.cli.plain_output import say
from runbook_lib.cli.terminal import (
    line_of,
    progress,
    show_next,
    show_open,
    show_steps,
    show_table,
    show_verdict,
    this_program,
)
from runbook_lib.core.model import Finding, Outcome
from runbook_lib.core.outcome import ICONS, LABELS, OUTCOMES
from runbook_lib.core.procedure import Check, Link, Procedure, StepKind
from runbook_lib.errors import ChainError
from runbook_lib.evidence.verify.verify import Verdict
from runbook_lib.run.state import RunState, StepState
from runbook_lib.text import escaped_json, one_line
from tests.support.procedures import plain_procedure, plain_step
from tests.support.run_states import run_state, step_state
from tests.support.wording import wording

Capture = pytest.CaptureFixture[str]
STEP = "fb-09-permissions-and-features"


def state(name: str, outcome: Outcome, reason: str = "", **more: object) -> StepState:
    given = {"number": "8a", "reason": reason or f"Because {name}.", **more}
    return step_state(plain_step(name), outcome, **given)


def run(*states: StepState, **more: object) -> tuple[RunState, Procedure]:
    """Return a run with these states, and its procedure, whose steps have `more` fields."""
    steps = (plain_step(one.id, kind=StepKind.MANUAL, **more) for one in states)
    return run_state(*states), plain_procedure(*steps)


def test_every_step_is_in_the_table(capsys: Capture) -> None:
    """The table has number, id, outcome and reason of each step; the counts come last."""
    states = [state(f"step-{outcome}", outcome) for outcome in Outcome]

    show_steps(*run(*states), title="SANDBOX acme")

    text = capsys.readouterr().out
    assert text.startswith("SANDBOX acme")
    for one in states:
        (line,) = [line for line in text.splitlines() if f" {one.id} " in line]
        assert line.startswith("8a ")
        assert f" {LABELS[one.outcome]} " in line
        assert one.reason in line
    counts = " · ".join(f"{row.icon} 1 {row.label}" for row in OUTCOMES.values())
    assert " ".join(text.split()).endswith(f"FAILED {counts}")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.VERIFIED, "COMPLETE ✔ 1 verified"),
        (Outcome.WAITING, "INCOMPLETE ◔ 1 waiting"),
        (Outcome.FAILED, "FAILED ✘ 1 failed"),
    ],
)
def test_the_last_line_gives_the_outcome_of_the_run(
    capsys: Capture, outcome: Outcome, said: str
) -> None:
    """The last line gives the outcome of the run and the counts."""
    show_steps(*run(state("a", outcome)))

    assert capsys.readouterr().out.splitlines()[-1] == said


def test_only_open_steps_have_a_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form counts settled steps; each other one is a line with number, mark and title."""
    monkeypatch.setenv("COLUMNS", "80")
    finding = Finding(outcome=Outcome.VERIFIED, code="a-code", reason="", warnings=("Soon.",))
    settled = state("done", Outcome.VERIFIED, findings=(finding,))
    failed = state("a-title-that-is-long-" * 4, Outcome.FAILED, "Why it failed. " * 20)
    waiting = state("review", Outcome.WAITING, "Since 2026-11-24T12:00:00Z.")

    show_open(*run(settled, failed, waiting), title="acme")

    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[:2] == ["acme", "FAILED ✔ 1 verified · ◔ 1 waiting · ✘ 1 failed"]
    assert lines[2].startswith(wording("terminal.warnings", warnings=1))
    assert lines[-3] == "Open:"
    assert lines[-2].startswith("✘ 8a   Do a-title-that-is-long-a-title-that-is-lon…  Why it")
    assert lines[-1].startswith("◔ 8a   Do review  ")
    assert "Since 24 Nov, 12:00" in lines[-1]
    assert "Do done" not in text
    assert all(len(line) <= 80 for line in lines)


def test_a_wait_says_since_when_however_narrow(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns, since when a step waits is not cut off, nor that it is overdue."""
    monkeypatch.setenv("COLUMNS", "80")
    since = "2026-01-05T09:00:00Z"
    waits = state("review", Outcome.WAITING, "Submitted (somebody).  " * 9, waiting_since=since)

    show_open(*run(waits), title="acme")

    assert " 5 Jan. Submitted" in capsys.readouterr().out

    late = structs.replace(waits, overdue_days=301)
    show_open(*run(late), title="acme")
    assert "  Since 5 Jan, 301 days overdue" in capsys.readouterr().out


def test_a_step_verified_in_part_is_open_with_its_sentence(capsys: Capture) -> None:
    """It has its own label and count, and its line begins with what a person must confirm."""
    check = Check("seen", lambda _: None, needs_confirmation="It is so.")
    finding = Finding(
        outcome=Outcome.VERIFIED, code="a-code", reason="Seen.", check="seen", limits=("More.",)
    )
    in_part = state("a", Outcome.VERIFIED, "Seen.", findings=(finding,), needs_person=True)
    shown = run(in_part, checks=(check,))

    show_open(*shown)
    show_steps(*shown)

    text = capsys.readouterr().out
    assert "INCOMPLETE ✔ 1 verified in part" in text
    assert (
        text.count(wording("terminal.person-must-confirm", sentence="It is so.", reason="Seen."))
        == 2
    )
    assert "✔ verified in part" in text


def test_nothing_open_is_no_list(capsys: Capture) -> None:
    """A complete run has no list of open steps, and no next step."""
    complete = run(state("a", Outcome.VERIFIED))
    show_open(*complete)
    show_next(*complete, {})

    assert capsys.readouterr().out.splitlines() == [
        "COMPLETE ✔ 1 verified",
        wording("terminal.verbose-shows-all"),
    ]


@pytest.mark.parametrize("width", range(36, 60))
def test_counts_that_do_not_fit_go_on_below(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """The line of counts is wrapped between counts, so that none is torn apart."""
    monkeypatch.setenv("COLUMNS", str(width))
    show_open(*run(*(state(f"step-{outcome}", outcome) for outcome in Outcome)))

    lines = capsys.readouterr().out.split("\n--verbose", 1)[0].splitlines()
    assert len(lines) > 2
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith("       ") for line in lines[1:])
    begins = tuple(f"{icon} 1 " for icon in ICONS.values())
    assert all(line[7:].startswith(("· ", *begins)) for line in lines)
    assert "\u00a0" not in "".join(lines)


def test_the_next_step_has_its_reason_and_its_links(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step is shown in full: the reason, the advice, and the page to open."""
    monkeypatch.setenv("COLUMNS", "40")
    failed = state("a", Outcome.FAILED, "It says, at length, that something is wrong.")
    link = Link("Settings", "{dashboard_url}/settings/")
    values = {"dashboard_url": "https://developers.facebook.com/at/a/length"}
    show_next(*run(failed, links=(link,)), values)

    text = capsys.readouterr().out
    assert text.startswith("\nNext: step 8a, Do a (a).\n      It says, at length,")
    said = " ".join(text.split())
    assert f"that something is wrong. {wording('advice.fix-problem')}" in said
    assert "Settings: https://developers.facebook.com/at/a/length/settings/\n" in text


@pytest.mark.parametrize(
    ("path", "found", "called"),
    [
        (".venv/bin/runbook", None, ".venv/bin/runbook"),
        ("/my projects/bin/runbook", None, "'/my projects/bin/runbook'"),
        ("/usr/bin/runbook", "/usr/bin/runbook", "runbook"),
        (".venv/bin/runbook", "/usr/bin/runbook", ".venv/bin/runbook"),
        ("runbook_lib/__main__.py", None, "runbook"),
    ],
)
def test_a_command_to_type_begins_with_what_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, path: str, found: str | None, called: str
) -> None:
    """Without `runbook` on the PATH, commands name the path that it was started by."""
    monkeypatch.setattr("sys.argv", [path])
    monkeypatch.setattr("shutil.which", lambda _name: found)

    assert this_program() == called


def test_a_time_in_a_reason_is_readable(capsys: Capture) -> None:
    """An ISO time in a reason is shown as a date and a time in minutes, UTC."""
    show_steps(*run(state("a", Outcome.ATTESTED, "Operator on 2026-11-24T12:00:00.000Z: done.")))

    assert "Operator on 24 Nov, 12:00: done." in capsys.readouterr().out


def test_remote_text_is_not_markup(capsys: Capture) -> None:
    """Markup in a reason or a warning is shown as text."""
    warning = Finding(
        outcome=Outcome.FAILED, code="a-code", reason="", warnings=("[link=x]soon[/link]",)
    )

    show_steps(*run(state("a", Outcome.FAILED, "[bold]x[/] [/]", findings=(warning,))))

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
    """`one_line` escapes control, line-break, direction and invisible characters."""
    assert one_line(text) == shown


def test_remote_text_cannot_move_the_cursor(capsys: Capture) -> None:
    """Control characters in a reason, a warning or a title are escaped."""
    odd = "\x1b[2J\nforged"
    warning = Finding(outcome=Outcome.FAILED, code="a-code", reason="", warnings=(odd,))
    hostile = state("a", Outcome.FAILED, odd, title=odd, findings=(warning,), checked_on="t")
    now, procedure = run(hostile)

    show_steps(now, procedure)
    show_open(now, procedure, title=odd)
    show_next(now, procedure, {})
    with progress(procedure, is_quiet=False) as display:
        display.update(now)

    text = capsys.readouterr().out
    assert "\x1b[2J" not in text
    assert not any(line.strip() == "forged" for line in text.splitlines())
    # Reason and warning; the heading, title and reason; title and reason; title and reason.
    assert text.count("[U+001B][2J[U+000A]forged") == 9


def test_each_verdict_is_a_line(capsys: Capture) -> None:
    """Each verdict is one line; a chain is called complete only if no note remains."""
    where = Path("/evidence/acme/p")
    for verdict in (
        Verdict(where, length=2),
        Verdict(where, length=2, notes=("Not\nshown.",)),
        Verdict(where, notes=("Nothing is sealed yet.",)),
        Verdict(where, error=ChainError("No\nchain.")),
    ):
        show_verdict(verdict)

    assert capsys.readouterr().out.splitlines() == [
        f"✔ acme/p: {wording('verify.chain-whole', count=2)}",
        "✔ acme/p: 2 in a chain",
        "  ! Not[U+000A]shown.",
        f"- acme/p: {wording('verify.nothing-sealed-yet')}",
        "✘ evidence/acme/p: No[U+000A]chain.",
    ]


def test_a_log_gets_wide_lines_without_colours(capsys: Capture) -> None:
    """Without a terminal, lines are up to 120 columns wide and have no escape codes."""
    show_steps(*run(state("a", Outcome.VERIFIED, "word " * 60)))

    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert any(len(line) > 100 for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_narrower_width_can_be_set(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS sets the width."""
    monkeypatch.setenv("COLUMNS", "60")
    show_steps(*run(state("a", Outcome.VERIFIED, "word " * 60)))

    assert all(len(line) <= 60 for line in capsys.readouterr().out.splitlines())


def test_a_table_keeps_all_but_its_last_column_whole(capsys: Capture) -> None:
    """Only the last column of a table wraps, so that an id can be copied."""
    show_table(
        "T",
        ("Step", "Reason"),
        [((line_of("fb-09-permissions-and-features"),), [line_of("word " * 60)])],
    )

    text = capsys.readouterr().out
    assert f"{STEP} " in text
    assert text.count("word") == 60


@pytest.mark.parametrize("text", ["x" * 500, "接続の確認 " * 40, "接続" * 200, "e\u0301" * 300])
def test_a_table_fits_its_width(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """No line is wider than the terminal, and no character is lost."""
    monkeypatch.setenv("COLUMNS", "60")
    show_table("", ("Step", "Reason"), [((line_of(STEP),), [line_of(text)])])

    lines = capsys.readouterr().out.splitlines()
    widths = [sum(1 + (unicodedata.east_asian_width(c) == "W") for c in line) for line in lines]
    combined = [sum(unicodedata.combining(c) > 0 for c in line) for line in lines]
    assert all(width - more <= 60 for width, more in zip(widths, combined, strict=True))
    shown = "".join(line[len(STEP) :].replace(" ", "") for line in lines[1:])
    assert shown == text.replace(" ", "")


def test_a_terminal_gets_colors_unless_it_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are colored on a terminal; NO_COLOR turns that off."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = []
    for no_color in ("", "1"):
        monkeypatch.setattr("sys.stdout", Terminal())
        monkeypatch.setenv("NO_COLOR", no_color)
        show_steps(*run(state("a", Outcome.FAILED)))
        shown.append(sys.stdout.getvalue())  # type: ignore[attr-defined]

    assert "31m✘ failed" in shown[0]
    assert "\x1b" not in shown[1]
    assert "FAILED ✘ 1 failed" in shown[1]


def test_progress_shows_each_step_once(capsys: Capture) -> None:
    """A log gets one line for each step when it is checked: its id, and why it is not done."""
    checked = state("a", Outcome.VERIFIED, checked_on="t")
    later = state("b", Outcome.NOT_RUN)

    done = state("b", Outcome.FAILED, checked_on="t")
    before, procedure = run(checked, later)

    with progress(procedure, is_quiet=False) as display:
        display.update(before)
        display.update(before)
        display.update(run_state(checked, done))

    text = capsys.readouterr().out
    assert text.count("Do a (a)\n") == 1
    assert "Do b (b): Because b." in text
    assert text.index("✔ verified") < text.index("✘ failed")
    assert "Do b" in text


def test_a_step_that_rests_on_an_earlier_run_has_its_line_in_its_place(capsys: Capture) -> None:
    """Nobody checks it in this run: it follows the step before it, once that is checked."""
    checked = state("a", Outcome.VERIFIED, checked_on="t")
    earlier = state("b", Outcome.VERIFIED, verified_on="2026-11-24")
    left = state("c", Outcome.NOT_RUN)
    unchecked = structs.replace(checked, checked_on="")
    states, procedure = run(checked, earlier, left)

    with progress(procedure, is_quiet=False) as display:
        display.update(run_state(unchecked, earlier, left))
        assert "Do b" not in capsys.readouterr().out
        display.update(states)
        display.update(states)

    lines = capsys.readouterr().out.splitlines()
    assert ["(a)" in line for line in lines] == [True, False]
    assert "verified on 2026-11-24" in lines[1]
    assert "Do b" in lines[1]


def test_a_quiet_progress_prints_nothing(capsys: Capture) -> None:
    """A quiet progress prints nothing, so that JSON output stays clean."""
    now, procedure = run(state("a", Outcome.VERIFIED, checked_on="t"))
    with progress(procedure, is_quiet=True) as display:
        display.update(now)

    assert capsys.readouterr().out == ""


# Escape sequences, a bell, a title, direction overrides, invisible characters, line breaks.
HOSTILE = "a\x1b[2J\x9b31m\x07\x1b]0;t\x07\x7f\u202e\u2066\u200b\ufeff\r\n\u2028b\t\x00"


def is_safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_a_message_cannot_move_the_cursor(capsys: Capture) -> None:
    """`say` escapes control characters on both streams and prints one line."""
    say(f"It answered {HOSTILE}.")
    say(f"It answered {HOSTILE}.", is_error=True)

    for text in capsys.readouterr():
        assert is_safe(text)
        assert text.count("\n") == 1
        assert "[U+001B][2J" in text


def test_a_table_cannot_move_the_cursor(capsys: Capture) -> None:
    """Titles, cells, reasons and warnings in a table are escaped and are not markup."""
    finding = Finding(outcome=Outcome.FAILED, code="a-code", reason=HOSTILE, warnings=(HOSTILE,))
    one = state("a", Outcome.FAILED, HOSTILE, findings=(finding,))

    show_steps(*run(one), title=HOSTILE)
    show_table(HOSTILE, ("",), [((), [line_of(f"[bold]{HOSTILE}")])])

    text = capsys.readouterr().out
    assert is_safe(text)
    assert "[bold]a[U+001B]" in text


def test_escaped_json_is_the_same_document() -> None:
    """`escaped_json` escapes control characters in JSON, and the document stays the same."""
    document = {"reason": HOSTILE + "Zoë \U000e0001\ud800", "list": [HOSTILE]}
    for indent in (None, 2):
        shown = escaped_json(json.dumps(document, ensure_ascii=False, indent=indent))
        assert is_safe(shown)
        assert "Zoë" in shown
        assert json.loads(shown) == document
