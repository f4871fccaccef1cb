"""Pictures: well-formed, with a text alternative, from a source, and safe with any value."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from runbook_lib.connectors.registry import connector_names, find_procedure
from runbook_lib.core.procedure import Screen, ScreenField, Step
from runbook_lib.engine.notebooks import notebook_text
from runbook_lib.evidence.reports.pictures import (
    forecast_chips,
    forecast_lines,
    forecast_picture,
    forecast_title,
    meanwhile,
    screen_picture,
)
from runbook_lib.run.forecast import ExternalDecision, Forecast
from tests.support.wording import wording

SVG = "{http://www.w3.org/2000/svg}"
STEPS = {
    f"{name} {step.id}": step
    for name in connector_names()
    for step in find_procedure(name).steps
    if step.screen
}
SCREEN = Screen(
    page="Settings",
    source="https://example.com",
    menu=("Login", "Settings"),
    fields=(ScreenField(label="Address", template="https://{domain}/back"),),
    highlight="Client | Save",
)


def drawn(svg: object) -> ET.Element:
    """Return a picture's document, in which nothing can run or be loaded."""
    root = ET.fromstring(str(svg))
    names = {node.tag.removeprefix(SVG) for node in root.iter()}
    assert root.tag == f"{SVG}svg"
    assert names <= {"svg", "style", "rect", "path", "text", "circle"}
    attributes = {name for node in root.iter() for name in node.attrib}
    assert not {name for name in attributes if name.startswith("on") or "href" in name}
    return root


def texts(root: ET.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_each_screen_is_drawn_from_its_step(step: Step) -> None:
    """Page, menu, fields and button stand in the picture and in its alternative."""
    screen = step.screen
    assert screen is not None
    root = drawn(screen_picture(screen, {}))

    area, _, button = screen.highlight.rpartition(" | ")
    named = [screen.page, *screen.menu, *(field.label for field in screen.fields), area]
    shown = texts(root)
    assert [text for text in named if text and text not in shown] == []
    assert button.replace(" ", "") in "".join(shown).replace(" ", "")
    assert [text for text in [*named, button] if text not in root.attrib["aria-label"]] == []
    assert root.attrib["role"] == "img"


@pytest.mark.parametrize("name", connector_names())
def test_a_notebook_carries_its_pictures(name: str) -> None:
    """Each is there, with its own ground and no style sheet, in at most 30 KiB in all."""
    pattern = r"!\[Schematic\. [^\]]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)"
    found = re.findall(pattern, notebook_text(find_procedure(name)))

    assert len(found) == sum(key.startswith(name) for key in STEPS)
    assert sum(map(len, found)) <= 30 * 1024
    for text in found:
        root = drawn(base64.b64decode(text).decode())
        frame = root.find(f"{SVG}rect")
        assert root.find(f"{SVG}style") is None
        assert frame is not None
        assert frame.attrib["fill"] == "#fff"
        assert int(root.attrib["width"]) > 0 < int(root.attrib["height"])


@pytest.mark.parametrize(
    "value",
    [
        "</svg><script>alert(1)</script>",
        '"><image href="https://evil.example/x"/>',
        "a\x00b\x1b[31m\ud800",
        "x" * 5_000,
        "\u202egnp.exe",
        "{{ 7 * 7 }} {domain} %s",
        ("one", "two"),
    ],
)
def test_a_value_is_text_in_a_picture(value: object) -> None:
    """Markup is escaped, what cannot be seen is named, and a long value is cut."""
    plain = drawn(screen_picture(SCREEN, {"domain": "d"}))
    root = drawn(screen_picture(SCREEN, {"domain": value}))

    assert len(texts(root)) <= len(texts(plain)) + 2
    assert max(map(len, texts(root))) <= 60
    assert "\u202e" not in "".join(texts(root))


def test_a_picture_is_a_map_without_values() -> None:
    """The field is there; only the alternative names a value, once it is known."""
    root = drawn(screen_picture(SCREEN, {}))
    assert root.attrib["aria-label"] == wording(
        "report.picture", page="Settings", menu="Login > Settings", field="Address"
    )
    known = drawn(screen_picture(SCREEN, {"domain": "a.example"}))
    assert "Address, enter https://a.example/back;" in known.attrib["aria-label"]
    assert texts(known) == texts(root)
    assert not [text for text in texts(known) if "a.example" in text]


def decision(number: str, stage: str, begins: str, ends: str, *after: str) -> ExternalDecision:
    return ExternalDecision(
        step=f"s-{number}",
        number=number,
        title=f"Decision {number}",
        stage=stage,  # type: ignore[arg-type]
        begins=begins,
        ends=ends,
        after=after,
    )


FORECAST = Forecast(
    today="2026-12-01",
    decisions=(
        decision("1", "done", "2026-11-10", "2026-11-10"),
        decision("2", "waiting", "2026-11-11", "2026-11-16"),
        decision("3", "ahead", "2026-12-01", "2026-12-22"),
        decision("4", "ahead", "2026-12-22", "2027-01-13", "3"),
        decision("5", "ahead", "", ""),
    ),
    can_start_now=("6", "7"),
)


def test_the_forecast_has_a_bar_for_each_decision() -> None:
    """Bars are in the order of their days, inside the picture; the alternative says all of it."""
    root = drawn(forecast_picture(FORECAST))
    stages = ("done", "waiting", "ahead")
    bars = [node for node in root.iter(f"{SVG}rect") if node.attrib["class"] in stages]
    width = float(root.attrib["viewBox"].split()[2])
    spans = [(float(n.attrib["x"]), float(n.attrib["width"])) for n in bars]
    assert [node.attrib["class"] for node in bars] == [
        decision.stage for decision in FORECAST.decisions
    ]
    assert all(x >= 0 and x + wide <= width for x, wide in spans)
    # An overdue decision lasts until today, where the next one begins.
    assert spans[1][0] + spans[1][1] == pytest.approx(spans[2][0], abs=0.2)
    alternative = root.attrib["aria-label"]
    assert all(f"{name}: {days}" in alternative for name, days in forecast_lines(FORECAST))
    assert meanwhile(FORECAST) in alternative


def test_chips_name_what_has_begun_or_is_next() -> None:
    """Each has words and a day; what is ahead has a chip only if it is next."""

    def shown(forecast: Forecast, next_step: str = "") -> list[tuple[str, str]]:
        return [(chip["text"], chip["state"]) for chip in forecast_chips(forecast, next_step)]

    assert shown(FORECAST, "s-3") == [
        (wording("report.chip-done", decision="1 Decision 1", day="10 Nov"), "done"),
        (wording("report.chip-overdue", decision="2 Decision 2", day="16 Nov"), "waiting"),
        (wording("report.chip-ahead", decision="3 Decision 3"), "ahead"),
    ]
    waiting = (
        decision("2", "waiting", "2026-11-11", "2026-12-22"),
        decision("6", "waiting", "2026-11-11", ""),
    )
    assert shown(Forecast(today="2026-12-01", decisions=waiting, can_start_now=())) == [
        (wording("report.chip-expected", decision="2 Decision 2", day="22 Dec"), "waiting"),
        (wording("report.chip-waiting", decision="6 Decision 6", day="11 Nov"), "waiting"),
    ]
    assert (
        shown(Forecast(today="2026-12-01", decisions=FORECAST.decisions[2:], can_start_now=()))
        == []
    )


def test_the_forecast_as_text() -> None:
    """Each decision has its days, and the title says what matters."""
    assert forecast_lines(FORECAST) == [
        ("1 Decision 1", "done 10 Nov"),
        ("2 Decision 2", wording("report.overdue", since="11 Nov", day="16 Nov")),
        ("3 Decision 3", wording("report.can-begin", days="1 Dec to 22 Dec")),
        ("4 Decision 4", wording("report.after", number=3, days="22 Dec to 13 Jan 2027")),
        ("5 Decision 5", wording("report.can-begin-any-day")),
    ]
    assert forecast_title(FORECAST) == wording(
        "report.forecast-overdue", done=1, count=5, overdue=2
    )
    assert meanwhile(FORECAST) == "Meanwhile: steps 6, 7."
    in_time = Forecast(today="2026-11-12", decisions=FORECAST.decisions[:2], can_start_now=("6",))
    assert forecast_title(in_time) == wording(
        "report.forecast-in-time", done=1, count=2, day="16 Nov"
    )
    assert meanwhile(in_time) == "Meanwhile: step 6."
    over = Forecast(today="2026-11-12", decisions=FORECAST.decisions[:1], can_start_now=())
    assert forecast_title(over) == wording("report.forecast-over")
    assert meanwhile(over) == ""


@pytest.mark.parametrize("begins", ["0001-01-01", "2026-12-01"])
@pytest.mark.parametrize("ends", ["2026-12-01", "9999-12-31"])
def test_any_days_have_room(begins: str, ends: str) -> None:
    """A forecast of one day, and one of ten thousand years, are as wide."""
    forecast = Forecast(
        today="2026-12-01", decisions=(decision("1", "ahead", begins, ends),), can_start_now=()
    )
    svg = str(forecast_picture(forecast))
    drawn(svg)
    assert len(svg) < 20_000


def test_the_style_of_pictures_loads_nothing() -> None:
    """It names no address, and no rule of it reaches beyond a picture."""
    folder = Path(__file__).parents[4] / "runbook_lib" / "evidence" / "reports" / "templates"
    css = (folder / "picture.css").read_text(encoding="utf-8")
    assert "url(" not in css
    selectors = re.findall(r"^([^@{}\n]+)\{", css, re.MULTILINE)
    assert all(selector.strip().startswith(".picture") for selector in selectors)
