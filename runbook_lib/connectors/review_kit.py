"""
A review kit: texts, screencast script and reviewer's steps for a review, as Markdown.

Pure. The provider's package makes the texts. They contain no credential. Each `‹…›` is a blank
that only the maker of the product can fill in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runbook_lib.core.templates import template_environment
from runbook_lib.text import one_line

if TYPE_CHECKING:
    from jinja2 import Environment

    from runbook_lib.core.procedure import Procedure


_BLANK = re.compile("‹[^‹›]+›")
# CommonMark: characters that begin emphasis, code, links, HTML, tables or strikethrough. An
# underscore counts only at the edge of a word, an ampersand only before an entity. Characters that
# begin a heading, a list or a quotation count only at the beginning of a text.
_MARKED = re.compile(
    r"[\\`*\[\]<|~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|&(?=#?[0-9A-Za-z]{1,32};)"
    r"|(?<!\S)#|^[>+=-]|(?<=^[0-9])[.)]|(?<=^[0-9]{2})[.)]"
)
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class PermissionCall:
    """
    An API call that needs the permission; `method` is the connector's, if documented.

    `is_test`: we do not know that the connector makes it. A person makes it as the call that the
    provider wants to see before a submission.
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
    """A permission or feature in the kit."""

    name: str
    """The provider's name of it, such as `pages_show_list`."""

    is_feature: bool
    """Whether it is a feature, not a permission."""

    is_chosen: bool
    """Whether the operator chose it; else another permission depends on it."""

    reasons: tuple[PermissionReason, ...]
    """The permissions that depend on it; empty if the operator chose it."""

    usage: str
    """The text for the review: how the app uses it."""

    calls: tuple[PermissionCall, ...]
    """The API calls that need it: the connector's first, then a person's test calls."""

    scene: str
    """The part of the recording that shows it."""

    warning: str
    """A sentence that we know of no connector call that needs it; empty if we know one."""

    source: str
    """The page or reading that this was taken from."""


@dataclass(frozen=True, slots=True)
class RecordingScene:
    """A part of the recording: its picture, a caption, and the permissions that it is about."""

    shows: str
    caption: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preparation:
    """A further demand of the provider, and the things to have ready for it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The texts for a submission to a provider's review."""

    review: str
    """The provider's name for the review."""

    access_level: str
    """The level of access that the review gives, in the provider's words."""

    declined: str
    """A sentence: why most submissions are declined."""

    connector: str
    """Title of the connector in the texts."""

    app_name: str
    """The app's name on the consent screen, or a blank."""

    service_domain: str
    """Host name where the recording takes place, or a blank."""

    warnings: tuple[str, ...]
    """Sentences about doubtful permissions; empty without any."""

    about: tuple[str, ...]
    """Paragraphs that describe the app to the reviewer."""

    permissions: tuple[KitPermission, ...]
    """The permissions and features to submit, in the order of the recording."""

    rules: tuple[str, ...]
    """Rules for the recording, one sentence each."""

    scenes: tuple[RecordingScene, ...]
    """The parts of the recording, in order."""

    reviewer: tuple[str, ...]
    """The reviewer's steps to try the app, in order."""

    prepare_for: str
    """Name of the process that the provider may ask for first, such as business verification."""

    prepare: tuple[Preparation, ...]
    """The demands of that process."""

    sources: tuple[str, ...]
    """Addresses of the pages that the texts were taken from."""

    unknown: tuple[str, ...] = ()
    """Labels of the values that the texts have blanks for."""

    is_sandbox: bool = False
    """Whether the values are those of the practice system."""

    def document(self) -> dict[str, Any]:
        """Return the kit as a JSON document."""
        return asdict(self)


class MethodNeeds(NamedTuple):
    """The needs of one method of the connector, as a row of a table."""

    method: str
    """The method's name in Cyclr."""

    request: str
    """Its API call."""

    permission: str
    """The permission that the call needs."""

    access_level: str
    """The level of access for people without a role on the app."""

    approved_by: str
    """The review that gives it."""

    usual_time: str
    """The usual duration of that review."""


def method_needs(kit: Kit, procedure: Procedure) -> list[MethodNeeds]:
    """Return a row for each documented method and permission, in the order of the methods."""
    usual = next((step.usual_time for step in procedure.steps if step.review_kit), "")
    rows = [
        MethodNeeds(
            method=call.method,
            request=call.request,
            permission=part.name,
            access_level=kit.access_level,
            approved_by=kit.review,
            usual_time=usual,
        )
        for part in kit.permissions
        for call in part.calls
        if call.method
    ]
    return sorted(rows)


def find_blanks(text: str) -> list[tuple[int, str]]:
    """Return each blank in `text`, with its line number from 1."""
    return [
        (text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()))
        for match in _BLANK.finditer(text)
    ]


# --- as Markdown ------------------------------------------------------------------------------
def kit_markdown(
    kit: Kit, procedure: Procedure, *, forecast_title: str = "", forecast_lines: Sequence[str] = ()
) -> str:
    """
    Return the kit as Markdown; names that people gave cannot become markup.

    `forecast_title` and `forecast_lines` say how far the plan is today.
    """
    values = {
        "kit": kit,
        "procedure": procedure,
        "title": forecast_title,
        "lines": forecast_lines,
        "needs": method_needs(kit, procedure),
    }
    return _markdown_templates().get_template("kit.md").render(values)


@cache
def _markdown_templates() -> Environment:
    from markupsafe import Markup  # noqa: PLC0415

    def shown(value: object) -> object:
        """Escape for Markdown; the templates themselves are left as they are."""
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return Markup(_MARKED.sub(r"\\\g<0>", one_line(str(value)))) if is_text else value  # noqa: S704

    return template_environment(_TEMPLATES, finalize=shown)
