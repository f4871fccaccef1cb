"""
What a Graph error is made of: message, code, subcode, HTTP status, and where it is from.

A `GraphError` is a `Refusal` with the blanks of its message filled in. Nothing
here decides when to refuse.
"""

from dataclasses import dataclass

from runbook_lib.sandbox.origins import Origin

__all__ = ["GraphError", "Refusal"]


@dataclass(frozen=True)
class Refusal:
    """
    One way in which Graph says no.

    `kind` is the middle word of `WWW-Authenticate: OAuth "Facebook Platform" "<kind>" "<message>"`.
    """

    message: str
    code: int
    origin: Origin
    type: str = "OAuthException"
    subcode: int | None = None
    status: int = 400
    is_transient: bool | None = None
    kind: str = "invalid_request"


class GraphError(Exception):
    """A refusal on its way to the client; `values` fill the blanks of its message."""

    def __init__(self, refusal: Refusal, **values: object) -> None:
        self.refusal = refusal
        self.message = refusal.message.format(**values) if values else refusal.message
        super().__init__(self.message)

    def body(self, fbtrace_id: str) -> dict[str, dict[str, object]]:
        """Return the error object with its keys in Graph's order (graph §10)."""
        refusal = self.refusal
        error: dict[str, object] = {"message": self.message, "type": refusal.type}
        if refusal.is_transient is not None:
            error["is_transient"] = refusal.is_transient
        error["code"] = refusal.code
        if refusal.subcode is not None:
            error["error_subcode"] = refusal.subcode
        error["fbtrace_id"] = fbtrace_id
        return {"error": error}
