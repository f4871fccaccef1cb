"""The errors that only Facebook returns, with the operator's next step."""

from __future__ import annotations

from runbook_lib.errors import OAuthError, RemoteError, TokenRequestError
from runbook_lib.remote.json_fields import JSONObject

# NOTE: code 1 also refuses an App Secret, and every exchange of a desktop app's codes.
_FAULTS = (1, 2)
_REFUSALS = ("client secret", "desktop app")
# Application, user, page and custom limits, and the business-use-case ones (Graph: Rate Limits).
THROTTLED = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})


# Text for people if Facebook refuses the App ID together with the App Secret.
PAIR_REFUSED = (
    "Facebook does not accept this App ID with this App Secret. Compare both with App settings > "
    "Basic."
)
_WITHOUT_TRACE = "Look up the code in Graph's error reference, then check again."


class GraphTokenError(TokenRequestError):
    """Facebook's token endpoint refused; Graph's own error fields are kept."""

    code = "graph-token-request-refused"
    next_step = "Compare the App ID and App Secret with Settings > Basic of the app."

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_code: int | None = None,
        error_subcode: int | None = None,
        trace_id: str = "",
        error: str = "",
    ) -> None:
        super().__init__(message, status=status, error=error)
        self.error_code = error_code
        self.error_subcode = error_subcode
        self.trace_id = trace_id

    @property
    def in_own_words(self) -> str:
        """The refusal in Facebook's own words, with its code."""
        return str(self) if self.error_subcode else f"{self} (code {self.error_code})"


class RefusedAppError(OAuthError):
    """Facebook issues no app token for the App ID and App Secret; `refusal` is its response."""

    code = "app-credentials-refused"
    refuses = ("app_id",)
    next_step = "Correct the one that differs, then check again."

    def __init__(self, refusal: GraphTokenError, *, code: str = "") -> None:
        super().__init__(PAIR_REFUSED, code=code)
        self.refusal = refusal
        self.quotes = (refusal.in_own_words,)


class GraphAPIError(RemoteError):
    """Graph answered with an error object (Graph API: Handle Errors)."""

    code = "graph-request-refused"
    next_step = "Look up the code in Graph's error reference, and give Facebook the fbtrace_id."

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_code: int | None,
        error_subcode: int | None = None,
        trace_id: str = "",
    ) -> None:
        super().__init__(message, next_step=None if trace_id else _WITHOUT_TRACE)
        self.status = status
        self.error_code = error_code
        self.error_subcode = error_subcode
        self.trace_id = trace_id


def error_in_words(error: JSONObject) -> str:
    """
    Return an error object's message after what Facebook shows to people, quoted, with its subcode.

    (Graph API: Handle Errors: `error_user_title`, `error_user_msg`.)
    """
    shown = dict.fromkeys(map(error.display_text, ("error_user_title", "error_user_msg")))
    quoted = [f"“{text}”" for text in shown if text]
    subcode = error.code("error_subcode")
    codes = f"(code {error.code('code')}, subcode {subcode})" if subcode else ""
    return " ".join([*quoted, error.display_text("message"), codes]).strip()


def is_fault(response: object) -> bool:
    """
    Return whether a recorded body is a fault of Graph's own, or reports a reached limit.

    (Graph API: Handle Errors, Rate Limits.) Neither decides anything.
    """
    error = response.get("error") if isinstance(response, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    message = str(error.get("message", "")).lower() if isinstance(error, dict) else ""
    is_own = code in _FAULTS and not any(words in message for words in _REFUSALS)
    return is_own or (isinstance(code, int) and code in THROTTLED)
