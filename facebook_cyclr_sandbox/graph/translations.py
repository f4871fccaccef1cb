"""
The language of Graph's error messages: English, or Portuguese.

`GraphCall.locale` decides; any other language is English here.
"""

import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

from facebook_cyclr_sandbox.graph import graph_errors
from facebook_cyclr_sandbox.graph.graph_errors import ErrorDefinition, GraphError

_PORTUGUESE = "pt_BR"


def translate(error: GraphError, locale: str) -> GraphError:
    """Return `error` with its texts in the language of `locale`, such as `pt_BR`."""
    if locale != _PORTUGUESE:
        return error
    definition = load_portuguese_errors().get(error.definition, error.definition)
    return GraphError(definition, **error.values)


@cache
def load_portuguese_errors() -> dict[ErrorDefinition, ErrorDefinition]:
    """Return each error definition's translation into Portuguese."""
    text = Path(__file__).with_name("portuguese.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return {
        (english := getattr(graph_errors, name)): replace(
            english,
            message=message,
            user_title=tables["user_titles"].get(name, ""),
            user_message=tables["user_messages"].get(name, ""),
        )
        for name, message in tables["messages"].items()
    }
