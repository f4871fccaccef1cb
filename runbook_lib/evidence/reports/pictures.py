"""
Pictures, drawn from data as SVG: a schematic of another system's screen, and the forecast.

Each has a text alternative. A picture in a file of its own has its own colours and ground. On a
page with the style of pictures (`picture_style`), it takes the page's colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from runbook_lib.core.procedure import Screen
from runbook_lib.evidence.reports import phrases
from runbook_lib.evidence.reports.renderer import render
from runbook_lib.run.forecast import ExternalDecision, Forecast
from runbook_lib.text import as_text, one_line

if TYPE_CHECKING:
    from markupsafe import Markup

SCHEMATIC = "Schematic, not a screenshot"
# The letters of a line: in a field, on a button.
_LETTERS = 42
_BOLD = 36
_MOST_LINES = 3
# The size of the forecast's bars. A longer forecast has no marks for weeks.
_WIDTH = 340
_MOST_DAYS = 366


def screen_picture(
    screen: Screen, values: Mapping[str, object], *, is_alone: bool = False
) -> Markup:
    """
    Return a map of a screen: where a person looks, without the values that are entered there.

    Its text alternative names those of `values` that are.
    """
    known = {name: one_line(as_text(value)) for name, value in values.items()}
    area, _, button = screen.highlight.rpartition(" | ")
    fields = [(label, _lines(text, _LETTERS)) for label, text in screen.filled(known)]
    return _drawn(
        "screen.svg",
        is_alone=is_alone,
        screen=screen,
        alternative=f"Schematic. {screen.described(known)}",
        fields=fields,
        area=area,
        press=_lines(button, _BOLD),
    )


def forecast_picture(forecast: Forecast) -> Markup:
    """Return the forecast: a bar for each decision, over weeks."""
    days = [
        day for decision in forecast.decisions for day in (decision.begins, decision.ends) if day
    ] + [forecast.today]
    first = date.fromisoformat(min(days))
    last = date.fromisoformat(max(days))
    whole = max((last - first).days, 7)
    lines = "; ".join(f"{name}: {days}" for name, days in forecast_lines(forecast))

    def place(day: str) -> float:
        passed = (date.fromisoformat(day) - first).days if day else 0
        return round(_WIDTH * passed / whole, 1)

    return _drawn(
        "forecast.svg",
        forecast=forecast,
        alternative=f"{forecast_title(forecast)}. {lines}. {meanwhile(forecast)}".strip(),
        days={
            decision.step: decision_days(decision, forecast.today)
            for decision in forecast.decisions
        },
        place=place,
        weeks=[round(_WIDTH * day / whole, 1) for day in range(0, whole + 1, 7)]
        if whole <= _MOST_DAYS
        else [],
        first=first.isoformat(),
        last=last.isoformat(),
    )


def forecast_title(forecast: Forecast) -> str:
    """Return the forecast in words: `1 of 4 decisions made; all expected by 12 Jan`."""
    late = [decision.number for decision in forecast.decisions if decision.is_late(forecast.today)]
    if late:
        return f"{forecast.message}; overdue: {', '.join(late)}"
    expected = f"; all expected by {phrases.day(forecast.end)}" if forecast.end else ""
    return f"{forecast.message}{expected}"


def forecast_lines(forecast: Forecast) -> list[tuple[str, str]]:
    """Return each decision of the forecast with its days, as text."""
    return [
        (f"{decision.number} {decision.title}", decision_days(decision, forecast.today))
        for decision in forecast.decisions
    ]


def forecast_chips(forecast: Forecast, next_step: str) -> list[dict[str, str]]:
    """
    Return the decisions that have begun or are next, each with its day in one short `text`.

    `next_step` is the id of the step that is next; `state` says how a decision looks.
    """
    chips: list[dict[str, str]] = []
    for decision in forecast.decisions:
        if decision.stage == "ahead" and decision.step != next_step:
            continue
        ends = phrases.day(decision.ends) if decision.ends else ""
        if decision.stage == "done":
            when = f"{ends} ✓".strip()
        elif decision.stage == "ahead":
            when = "not begun"
        elif decision.is_late(forecast.today):
            when = f"overdue since {ends}"
        else:
            when = f"by {ends}" if ends else f"since {phrases.day(decision.begins)}"
        text = f"{decision.number} {decision.title} · {when}"
        chips.append({"step": decision.step, "text": text, "state": decision.stage})
    return chips


def meanwhile(forecast: Forecast) -> str:
    """Return the steps that you can do while others decide, in words; empty without such steps."""
    word = "step" if len(forecast.can_start_now) == 1 else "steps"
    return (
        f"Meanwhile: {word} {', '.join(forecast.can_start_now)}." if forecast.can_start_now else ""
    )


def decision_days(decision: ExternalDecision, today: str) -> str:
    """Return the state of a decision, and its days."""
    begins, ends = (phrases.day(day) if day else "" for day in (decision.begins, decision.ends))
    if decision.stage == "done":
        return f"done {ends}".strip()
    if decision.stage == "waiting":
        expected = f", expected by {ends}" if ends else ""
        return f"waits since {begins}{expected}{' (overdue)' if decision.is_late(today) else ''}"
    first = f"after {', '.join(decision.after)}" if decision.after else "can begin now"
    return f"{first}: {begins} to {ends}" if ends else first


def picture_style() -> Markup:
    """Return the style sheet of all pictures, for a page that has it once."""
    from markupsafe import Markup  # noqa: PLC0415  (slow)

    return Markup(render("picture.css"))  # noqa: S704  (our own)


def _drawn(template: str, **values: object) -> Markup:
    from markupsafe import Markup  # noqa: PLC0415  (slow)

    lines = filter(None, render(template, **values).split("\n"))
    return Markup("\n".join(lines))  # noqa: S704  (escaped by its template)


def _lines(text: str, letters: int) -> list[str]:
    """Return a text in lines that have room in a picture; an address ends one with a slash."""
    lines = textwrap.wrap(
        text.replace("/", "/ "),
        letters,
        break_on_hyphens=False,
        max_lines=_MOST_LINES,
        placeholder=" …",
    )
    return [line.replace("/ ", "/") for line in lines]
