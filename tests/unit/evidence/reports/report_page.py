"""A report as a program reads it: elements, text and headings, strictly nested."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from runbook_lib.evidence.reports.report import run_report
from tests.unit.evidence.reports.sample_runs import Document, lines_of, record

VOID = {"meta", "link", "br", "img", "input"}


@dataclass
class Element:
    """An element: its attributes, its text, and the elements around it."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...] = ()
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in the element, with white space collapsed."""
        return " ".join("".join(self.pieces).split())

    def is_within(self, other: Element) -> bool:
        """Return whether it is inside `other`."""
        return any(parent is other for parent in self.parents)


class ReportPage(HTMLParser):
    """The elements of a report in order; wrong nesting fails."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert self._open == [], [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element and its parents."""
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """Assert that it closes the element that was opened last."""
        assert self._open.pop().tag == tag, tag

    def handle_data(self, data: str) -> None:
        """Add the text to every open element."""
        for element in self._open:
            element.pieces.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of this name with these attributes (`class_` for class)."""
        wanted = {name.rstrip("_").replace("_", "-"): text for name, text in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag and wanted.items() <= element.attributes.items()
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        """Return the only element of this name with these attributes."""
        (element,) = self.all(tag, **attributes)
        return element

    @property
    def title(self) -> str:
        """The page's own title; those of an SVG's parts have the same tag."""
        (title,) = self.within(self.one("head"), "title")
        return title.text

    def within(self, other: Element, tag: str) -> list[Element]:
        """Return the elements of this name inside `other`."""
        return [each for each in self.all(tag) if each.is_within(other)]

    def section(self, identifier: str) -> str:
        """Return the text from the heading with this id to the next one of its level."""
        heading = self.one("h2", id=identifier)
        body = self.one("main").text
        start = body.index(heading.text)
        rest = [each.text for each in self.all("h2")]
        later = rest[rest.index(heading.text) + 1 :]
        return body[start : body.index(later[0], start)] if later else body[start:]

    def table(self, caption: str) -> Element:
        """Return the first table whose text has this."""
        return next(each for each in self.all("table") if caption in each.text)

    def step(self, step_id: str) -> Element:
        """Return the part with the evidence of one step."""
        return self.one("section", id=f"step-{step_id}")

    @property
    def text(self) -> str:
        """All visible text."""
        return self.one("body").text


def assert_accessible(page: ReportPage) -> None:
    """Fail without one h1, captions and valid internal links, or if a level is skipped."""
    levels = [int(each.tag[1]) for each in page.elements if each.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for table in page.all("table"):
        assert page.within(table, "caption")
        assert page.within(table, "th")
    names = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(names) == len(set(names))
    links = {each.attributes["href"] for each in page.all("a")}
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in names}


def printed_elsewhere(code: str) -> list[str]:
    """Return the output of this code in two other processes, time zones and hash seeds."""
    return [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
        ).stdout
        for seed, zone in (("1", "Pacific/Auckland"), ("2", "America/Lima"))
    ]


def report_of(
    *steps: Document, lines: Any = None, attachments: Path | None = None, **more: Any
) -> ReportPage:
    """Return the report of a run with these steps; its lines have their attestations."""
    run = record(*steps, **more)
    given = lines_of(run) if lines is None else lines
    return ReportPage(run_report(run, given, attachments=attachments))
