"""
Tell from a status whether a remote system refused the made-up part of a control.

A control repeats a request with one part made up. If an answer's own words name the refused part,
its client reads them; here only the status decides.
"""

from __future__ import annotations

# Statuses that refuse the named object (RFC 9110 §15.5). Other client errors are about the method,
# the form or the moment of a request, and would meet the true one as well.
_REFUSALS = (400, 401, 403, 404, 410, 422)
# These may also refuse the caller, for example if its token has expired meanwhile.
_OF_THE_CALLER = (401, 403)


def refuses_made_up(status: int) -> bool:
    """Return whether `status` refuses the made-up object that the request names."""
    return status in _REFUSALS


def may_refuse_caller(status: int) -> bool:
    """Return whether the true object must be read once more, in `branch(once_more=True)`."""
    return status in _OF_THE_CALLER
