"""
A review kit: texts, screencast script and reviewer's steps for a review, as Markdown.

Pure. What a kit says is made in the provider's package. It contains no credential. What
only the maker of the product knows is in `‹…›`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.core.templates import template_environment
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment

    from runbook_lib.core.procedure import Procedure


_BLANK = re.compile("‹[^‹›]+›")
# CommonMark: what begins emphasis, code, links, HTML, tables or strikethrough; an underscore only
# at the edge of a word, an ampersand only before an entity; what begins a heading, a list or a
# quotation only at the beginning of a text.
_MARKED = re.compile(
    r"[\\`*\[\]<|~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|&(?=#?[0-9A-Za-z]{1,32};)"
    r"|(?<!\S)#|^[>+=-]|(?<=^[0-9])[.)]|(?<=^[0-9]{2})[.)]"
)
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class PermissionCall:
    """
    An API call that needs the permission; `method` is the connector's, if documented.

    `is_test`: the connector is not known to make it, but a person can, as the
    call that the provider wants to see before a submission.
    """

    request: str
    does: str
    method: str = ""
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class PermissionReason:
    """A permission that brings another one with it, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KitPermission:
    """
    A permission or feature in the kit.

    `usage` is the text for the review; `reasons` says what asks for it if
    nobody chose it; `warning` is empty where a call of the connector is known.
    """

    name: str
    is_feature: bool
    is_chosen: bool
    reasons: tuple[PermissionReason, ...]
    usage: str
    calls: tuple[PermissionCall, ...]
    scene: str
    warning: str
    source: str


@dataclass(frozen=True, slots=True)
class RecordingScene:
    """A part of the recording: what it shows, a caption, and the permissions that it is about."""

    shows: str
    caption: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preparation:
    """A part of what else the provider asks for, and what to have ready for it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """
    All that a submission to a provider's review needs in words.

    `review` is what it is called, `declined` why most submissions are declined. `prepare` are
    the parts of what the provider may ask for first, `prepare_for`. `unknown` are the labels of
    the values that the texts have blanks for.
    """

    review: str
    declined: str
    connector: str
    app_name: str
    service_domain: str
    warnings: tuple[str, ...]
    about: tuple[str, ...]
    permissions: tuple[KitPermission, ...]
    rules: tuple[str, ...]
    scenes: tuple[RecordingScene, ...]
    reviewer: tuple[str, ...]
    prepare_for: str
    prepare: tuple[Preparation, ...]
    sources: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    is_sandbox: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


def find_blanks(text: str) -> list[tuple[int, str]]:
    """Return each place of `text` that is still to be filled in, with its line from 1."""
    return [
        (text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()))
        for match in _BLANK.finditer(text)
    ]


# --- as Markdown ------------------------------------------------------------------------------
def kit_markdown(
    kit: Kit, procedure: Procedure, *, forecast_title: str = "", forecast_lines: Sequence[str] = ()
) -> str:
    """
    Return the kit as Markdown; what people named in it cannot become markup.

    `forecast_title` and `forecast_lines` say how far the plan is today.
    """
    values = {"kit": kit, "procedure": procedure, "title": forecast_title, "lines": forecast_lines}
    return _markdown().get_template("kit.md").render(values)


def plan_markdown(procedure: Procedure) -> str:
    """Return as Markdown how long the whole procedure takes, and why."""
    return _markdown().get_template("plan.md").render(procedure=procedure)


@cache
def _markdown() -> Environment:
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        """Escape for Markdown; the templates themselves are left as they are."""
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return Markup(_MARKED.sub(r"\\\g<0>", one_line(str(value)))) if is_text else value  # noqa: S704

    return template_environment(_TEMPLATES, finalize=shown)
