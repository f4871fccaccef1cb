"""
The form of credentials: reject words that are too plain, and recognise tokens.

The runbook searches all its output for credentials, so one that equals a word
of its own text could be neither masked nor found. `config.formats` checks the
format of each setting.
"""

from __future__ import annotations

import re

_SHORTEST = 8
_FEWEST_CHARACTERS = 5
_FEWEST_WORDS = 4
_SHORTEST_TOKEN = 20
_FEWEST_CHANGES = 4

_ADDRESS_OR_TIME = re.compile(
    r"[a-z][a-z0-9+.-]*://|[0-9]{4}-[0-9]{2}-[0-9]{2}(T|$)", re.IGNORECASE
)
# From one kind of character to another within a word: `Lead_Form-2` has none, `kT9-xx_q` two.
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
_MIXED = re.compile(r"[A-Za-z].*[0-9]|[0-9].*[A-Za-z]", re.DOTALL)
_SIGN = re.compile(r"[^A-Za-z0-9\s_./:+,()'-]")  # neither in identifiers nor in plain prose
_WORD = re.compile(r"(?<![^ -])[A-Za-z]{3,}(?![^ -])")

# RFC 6750 §2.1; authorization codes have this form too.
_BEARER = re.compile(r"[0-9A-Za-z._~+/-]+=*")
# A SHA-256 or a GUID: the record shows these on purpose.
_GUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_IDENTIFIER = re.compile(rf"[0-9a-f]{{64}}|{_GUID.pattern}", re.IGNORECASE)


def why_implausible(text: str) -> str:
    """
    Return the reason why `text` cannot be a credential, without quoting it; empty if it can.

    NOTE: the rule knows lengths and kinds of characters, not the runbook's own texts, so that no
    change of these makes a password invalid.
    """
    if len(text) < _SHORTEST:
        reason = f"it has fewer than {_SHORTEST} characters"
    elif len(set(text)) < _FEWEST_CHARACTERS:
        reason = f"it has fewer than {_FEWEST_CHARACTERS} different characters"
    elif _ADDRESS_OR_TIME.match(text):
        reason = "it is an address or a time"
    elif _is_plain(text):
        reason = (
            "it must mix letters with digits or signs, or have at least "
            f"{_FEWEST_WORDS} words with spaces or hyphens between them"
        )
    else:
        return ""
    return f"this cannot be distinguished from an ordinary word: {reason}"


def is_issued_token(text: str) -> bool:
    """
    Return whether `text` has the form of a bearer token or an authorization code.

    NOTE: a remote system chooses it, and could choose a word that every bundle
    contains. Random text of 24 characters fails twice in 1,000, longer text less often.
    """
    if len(text) < _SHORTEST_TOKEN or not _BEARER.fullmatch(text) or _IDENTIFIER.fullmatch(text):
        return False
    return len(_CHANGE.findall(text)) >= _FEWEST_CHANGES and not why_implausible(text)


def is_authorization_code(text: str) -> bool:
    """
    Return whether `text` has the form of an authorization code (RFC 6749 §4.1.2).

    It may be a GUID, unlike a token: it is single use, and no record shows it.
    """
    return bool(_GUID.fullmatch(text)) or is_issued_token(text)


def _is_plain(text: str) -> bool:
    varied = _MIXED.search(text) or _CHANGE.search(text) or _SIGN.search(text)
    return not varied and len(_WORD.findall(text)) < _FEWEST_WORDS
