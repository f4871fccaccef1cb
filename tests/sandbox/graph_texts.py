"""Texts of Graph responses that several tests compare, word for word: facts of the protocol."""

from __future__ import annotations

WRONG_SECRET = "Error validating client secret."
WRONG_PROOF = "Invalid appsecret_proof provided in the API argument"
PROOF_REQUIRED = "API calls from the server require an appsecret_proof argument"
PAGE_TOKEN_REQUIRED = "(#190) This method must be called with a Page Access Token"
UNAVAILABLE = "(#2) Service temporarily unavailable"
CODE_USED = "This authorization code has been used."
CODE_EXPIRED = "This authorization code has expired."


def no_field(name: str, kind: str) -> str:
    """Return the refusal of a field that a node of this type does not have."""
    return f"(#100) Tried accessing nonexisting field ({name}) on node type ({kind})"


def needs_permission(name: str) -> str:
    """Return the refusal of a call whose token lacks this permission."""
    return f"(#200) Requires {name} permission to manage the object"


def upgrade_warning(served: str, asked: str) -> str:
    """Return the warning of a Marketing call that another version has answered."""
    return f"The call has been auto-upgraded to {served} as {asked} will be deprecated."


def unknown_path(path: str) -> str:
    """Return the refusal of a path that no edge has."""
    return f"Unknown path components: {path}"
