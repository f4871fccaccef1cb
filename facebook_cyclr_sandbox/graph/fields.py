"""
Graph's field syntax: `id,name,leads.limit(2){id,created_time},has_lead_access.user_id(1)`.
"""

import re
from dataclasses import dataclass, field

from facebook_cyclr_sandbox.graph.graph_errors import FIELD_SYNTAX, GraphError

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_MAX_DEPTH = 10


@dataclass(frozen=True)
class Field:
    """One requested field, with its arguments and the fields below it."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)
    children: tuple["Field", ...] | None = None

    @property
    def shown_as(self) -> str:
        """The key in the response, which `as(x)` renames."""
        return self.arguments.get("as", self.name)


def parse_fields(text: str) -> tuple[Field, ...]:
    """Parse a `fields` parameter; raise GraphError 2500 when it is malformed."""
    reader = _FieldParser(text)
    fields = reader.fields(0) if text.strip() else ()
    if reader.position < len(text.rstrip()):
        raise reader.problem("Expected end of string instead of " + text[reader.position])
    return fields


class _FieldParser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def problem(self, problem: str) -> GraphError:
        return GraphError(FIELD_SYNTAX, problem=problem, position=self.position, text=self.text)

    def fields(self, depth: int) -> tuple[Field, ...]:
        if depth > _MAX_DEPTH:
            raise self.problem("Too many levels")
        fields = [self.field(depth)]
        while self.take(","):
            fields.append(self.field(depth))
        return tuple(fields)

    def field(self, depth: int) -> Field:
        name = self.take(_NAME, "Expected name")
        arguments: dict[str, str] = {}
        while self.take(r"\."):
            argument = self.take(_NAME, "Expected name")
            self.take(r"\(", "Expected (")
            end = self.text.find(")", self.position)
            if end < 0:
                raise self.problem("Expected )")
            arguments[argument] = self.text[self.position : end].strip().strip("\"'")
            self.position = end + 1
        children = None
        if self.take(r"\{"):
            children = self.fields(depth + 1)
            self.take(r"\}", "Expected }")
        return Field(name, arguments, children)

    def take(self, pattern: str, problem: str = "") -> str:
        """Consume whitespace and a match of `pattern`; without one, raise `problem` if given."""
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1
        match = re.compile(pattern).match(self.text, self.position)
        if match is not None:
            self.position = match.end()
            return match.group()
        if problem:
            raise self.problem(problem)
        return ""
