"""
JSON as Cyclr reads it: also with single quotes, bare names and a comma too many.
"""

import json
import re

from facebook_cyclr_sandbox.origins import verbatim

_TOKEN = re.compile(
    r"""
    "(?:[^"\\]|\\.)*"                       # a text, as JSON has it
    | '(?P<single>(?:[^'\\]|\\.)*)'         # a text in single quotes
    | (?P<comma>,)(?=\s*[}\]])               # a comma before the end
    | (?P<bare>[A-Za-z_$][\w$]*|\d+)(?=\s*:)  # a name without quotes
    | ["'].*                                # a text that does not end: as it is
    """,
    re.VERBOSE | re.DOTALL,
)


@verbatim("cyclr §3", "{'Parameters': {400123 : 1}} is read as JSON", "cyclr_api_testing")
def read_json(text: str) -> object:
    """Return the value that `text` holds; raise ValueError if it is not even lenient JSON."""
    try:
        try:
            return json.loads(text)
        except ValueError:
            return json.loads(_TOKEN.sub(_strict, text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _strict(found: re.Match[str]) -> str:
    if found["single"] is not None:
        return json.dumps(found["single"].replace("\\'", "'"))
    if found["comma"] is not None:
        return ""
    return json.dumps(found["bare"]) if found["bare"] is not None else found[0]
