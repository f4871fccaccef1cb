"""
Graph's field syntax: `id,name,leads.limit(2){id,created_time},has_lead_access.user_id(1)`.
"""

import re
from dataclasses import dataclass, field

from facebook_cyclr_sandbox.graph.refusals import FIELD_SYNTAX, GraphError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DEPTH = 10


@dataclass(frozen=True)
class Field:
    """One requested field: its arguments, the fields below it, and the name it is shown under."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)
    children: tuple["Field", ...] | None = None

    @property
    def shown_as(self) -> str:
        """The key in the answer: `as(x)` renames."""
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
        name = self.name()
        arguments: dict[str, str] = {}
        while self.take("."):
            argument = self.name()
            arguments[argument] = self.argument()
        children = None
        if self.take("{"):
            children = self.fields(depth + 1)
            if not self.take("}"):
                raise self.problem("Expected }")
        return Field(name, arguments, children)

    def name(self) -> str:
        self.skip()
        match = _NAME.match(self.text, self.position)
        if not match:
            raise self.problem("Expected name")
        self.position = match.end()
        return match.group()

    def argument(self) -> str:
        if not self.take("("):
            raise self.problem("Expected (")
        end = self.text.find(")", self.position)
        if end < 0:
            raise self.problem("Expected )")
        value = self.text[self.position : end].strip().strip("\"'")
        self.position = end + 1
        return value

    def skip(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def take(self, character: str) -> bool:
        self.skip()
        if self.text[self.position : self.position + 1] != character:
            return False
        self.position += 1
        return True
