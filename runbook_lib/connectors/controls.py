"""
Which answers to a control show that the made-up part of it was refused.

A control repeats a request with one part made up. Where an answer says in its own words what it
refuses, its client reads that; here is what a status alone shows.
"""

from __future__ import annotations

# They refuse what is named (RFC 9110 §15.5). Other client errors are about the method, the form
# or the moment of a request, and would meet the true one as well.
_REFUSALS = (400, 401, 403, 404, 410, 422)
# These may also be about who asks, such as with a token that has ended meanwhile.
_OF_THE_CALLER = (401, 403)


def refuses_made_up(status: int) -> bool:
    """Return whether `status` refuses what the request names, which is made up."""
    return status in _REFUSALS


def may_refuse_caller(status: int) -> bool:
    """Return whether the true object must be read once more, in `branch(once_more=True)`."""
    return status in _OF_THE_CALLER
