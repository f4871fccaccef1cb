"""
The language of Graph's error messages: English, or Portuguese.

Which of the two a call gets is decided by `Call.locale`; other languages are English here.
"""

import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

from facebook_cyclr_sandbox.graph import refusals
from facebook_cyclr_sandbox.graph.refusals import GraphError, Refusal

_PORTUGUESE = "pt_BR"


def translate(error: GraphError, locale: str) -> GraphError:
    """Return `error` with its texts in the language of `locale`, such as `pt_BR`."""
    if locale != _PORTUGUESE:
        return error
    refusal = in_portuguese().get(error.refusal, error.refusal)
    return GraphError(refusal, **error.values)


@cache
def in_portuguese() -> dict[Refusal, Refusal]:
    """Return, by refusal, the same one with its texts in Portuguese."""
    text = Path(__file__).with_name("portuguese.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return {
        (english := getattr(refusals, name)): replace(
            english,
            message=message,
            title=tables["titles"].get(name, ""),
            explanation=tables["explanations"].get(name, ""),
        )
        for name, message in tables["messages"].items()
    }
