"""
The form of credentials: what is too plain to be one, and what looks like a token.

The runbook searches all its output for credentials, so one that equals a word
of its own text could be neither masked nor found. `config.formats` checks the
format of each setting.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_SHORTEST = 8
_FEWEST_CHARACTERS = 5
_SHORTEST_TOKEN = 20
# Files that contain the runbook's own text; the sandbox does not count.
_SOURCES = (".css", ".html", ".j2", ".js", ".json", ".py", ".toml")
_APART = ("sandbox", "__pycache__")
_PACKAGE = Path(__file__).parents[1]
# What Jupyter and papermill write into each notebook (nbformat 4.5).
_OF_NOTEBOOKS = (
    b"application/vnd.jupyter.widget-view+json codemirror_mode display_data environment_variables "
    b"execute_result execution_count file_extension input_path language_info nbconvert_exporter "
    b"nbformat_minor output_path outputs parameters pygments_lexer text/x-python version_minor"
)

# Composed when they are written, so no source file contains them.
_ADDRESS_OR_TIME = re.compile(
    r"[a-z][a-z0-9+.-]*://|[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)", re.IGNORECASE
)

# User, page and system-user tokens (Graph: Access Token Guide).
_USER_TOKEN = re.compile(r"EAA[0-9A-Za-z]{17,}")
# App tokens (the same guide).
_APP_TOKEN = re.compile(r"[0-9]{8,20}\|[0-9A-Za-z_-]{16,}")
# RFC 6750 §2.1; Facebook's codes and Cyclr's tokens have this form too.
_BEARER = re.compile(r"[0-9A-Za-z._~+/-]+=*")
_CLASSES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[0-9]"))
# A SHA-256 or a GUID: the record shows these on purpose.
_IDENTIFIER = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


def implausible(text: str) -> str:
    """Return why `text` cannot be a credential, without quoting it; empty if it can."""
    if len(text) < _SHORTEST:
        why = f"it has fewer than {_SHORTEST} characters"
    elif len(set(text)) < _FEWEST_CHARACTERS:
        why = f"it has fewer than {_FEWEST_CHARACTERS} different characters"
    elif _ADDRESS_OR_TIME.match(text):
        why = "it is an address or a time"
    elif _is_own(text):
        why = "the runbook itself writes it"
    else:
        return ""
    return f"this cannot be distinguished from an ordinary word: {why}"


def is_facebook_token(text: str) -> bool:
    """Return whether `text` has the form of a Facebook access token, a user's or an app's."""
    is_one = _USER_TOKEN.fullmatch(text) or _APP_TOKEN.fullmatch(text)
    return bool(is_one) and not implausible(text)


def is_issued_token(text: str) -> bool:
    """Return whether `text` has the form of a Cyclr token or an authorization code."""
    if len(text) < _SHORTEST_TOKEN or not _BEARER.fullmatch(text) or _IDENTIFIER.fullmatch(text):
        return False
    return sum(bool(each.search(text)) for each in _CLASSES) > 1 and not implausible(text)


def _is_own(text: str) -> bool:
    """Return whether the runbook writes `text`, also as a variable: its provider, then a name."""
    name = text.lower().removeprefix("runbook_")
    parts = [(name, name)]
    if text.isupper() or text.lower() != name:
        parts += [(name[:at], name[at + 1 :]) for at, each in enumerate(name) if each == "_"]
    return any(all(each.encode() in _own_text() for each in pair) for pair in parts)


@cache
def _own_text() -> bytes:
    """
    Return all text that the runbook itself can write, in lower case.

    NOTE: its own source files contain each name of a field, step or setting,
    each outcome and address, so there is no second list. They are not decoded:
    that would take as long as to start Python.
    """
    return b"\n".join([_OF_NOTEBOOKS, *_texts(_PACKAGE)]).lower()


def _texts(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _texts(each) if each.name not in _APART else []
        elif each.name.endswith(_SOURCES):
            found.append(each.read_bytes())
    return found
