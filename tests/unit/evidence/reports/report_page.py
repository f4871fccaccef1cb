"""A report as a reader's program takes it in: elements, text and headings, strictly nested."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from runbook_lib.evidence.reports.report import history_report, run_report
from tests.unit.evidence.reports.sample_runs import Document, record, sealed

VOID = {"meta", "link", "br", "img"}


@dataclass
class Element:
    """An element: its attributes, the text in it, and the elements it stands in."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...] = ()
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in the element, white space folded."""
        return " ".join("".join(self.pieces).split())

    def is_within(self, other: Element) -> bool:
        """Tell whether it stands in `other`."""
        return any(parent is other for parent in self.parents)


class ReportPage(HTMLParser):
    """The elements of a report in order; refuses what is not nested as it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert self._open == [], [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and where it stands."""
        assert len(attrs) == len(dict(attrs)), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last; it must be this one."""
        assert self._open.pop().tag == tag, tag

    def handle_data(self, data: str) -> None:
        """Give text to every element it stands in."""
        for element in self._open:
            element.pieces.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of this name that have these attributes (`class_` for class)."""
        wanted = {name.rstrip("_").replace("_", "-"): text for name, text in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag and wanted.items() <= element.attributes.items()
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        """Return the one element of this name that has these attributes."""
        (element,) = self.all(tag, **attributes)
        return element

    def within(self, other: Element, tag: str) -> list[Element]:
        """Return the elements of this name that stand in `other`."""
        return [each for each in self.all(tag) if each.is_within(other)]

    def section(self, identifier: str) -> str:
        """Return the text from the heading with this id to the next one of its level."""
        heading = self.one("h2", id=identifier)
        body = self.one("main").text
        start = body.index(heading.text)
        rest = [each.text for each in self.all("h2")]
        later = rest[rest.index(heading.text) + 1 :]
        return body[start : body.index(later[0], start)] if later else body[start:]

    def step(self, step_id: str) -> Element:
        """Return the part that holds the evidence of one step."""
        return self.one("section", id=f"step-{step_id}")

    @property
    def text(self) -> str:
        """All that a reader reads."""
        return self.one("body").text


def report_of(
    *steps: Document, lines: Any = (), attachments: Path | None = None, **more: Any
) -> ReportPage:
    """Return the report of a run with these steps and journal lines."""
    return ReportPage(run_report(record(*steps, **more), lines, attachments=attachments))


def history(*records: Document) -> ReportPage:
    """Return the history of the tenant acme."""
    return ReportPage(history_report("acme", sealed(*records)))
